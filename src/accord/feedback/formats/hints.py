"""What a column that no format knows may be, by the meaning of its name; and columns read under
other names.

A likeness of letters helps against misspellings of one name, never across meanings: output_2 is no
output.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accord.errors import ConfigError, DataError
from accord.feedback.formats.turns import is_conversation
from accord.feedback.formats.values import empty

_NAMES = {
    "prompt": "prompt question query instruction input problem request user_prompt user_input user_message human post context ask asked task_description",
    "chosen": "chosen preferred better winning positive accepted preferred_output preferred_response chosen_response response_chosen good_response best",
    "rejected": "rejected dispreferred worse losing negative non_preferred non_preferred_output rejected_response response_rejected bad_response worst",
    "response": "response answer output completion reply generation target assistant model_output bot model_response",
    "messages": "messages conversation conversations dialog dialogue chat turns",
    "label": "label thumb thumbs thumb_up thumbs_up upvoted liked vote is_good good is_correct correct accepted approved",
    "winner": "winner preference preferred_side choice verdict better_response selected",
    "response_a": "response_a response_left first_response chosen_a", "response_b": "response_b response_right second_response chosen_b",
}  # fmt: skip
MEANING = {name: meaning for meaning, names in _NAMES.items() for name in names.split()}
"""Names of columns, and what they mean; each meaning is a name that formats of this package use."""
_FAULTS = {
    "bad", "is_bad", "thumb_down", "thumbs_down", "downvoted", "disliked", "toxic", "is_toxic", "unsafe", "is_unsafe", "harmful",
    "is_harmful", "wrong", "is_wrong", "incorrect", "flagged",
}  # fmt: skip
"""Names of columns that are true of a bad answer."""
_NUMBERED = re.compile(
    r"(response|answer|output|completion|reply|generation|candidate|option)_?(a|b|1|2|left|right|first|second|one|two)"
)
_NUMBERED_0 = re.compile(
    r"(response|answer|output|completion|reply|generation|candidate|option)_?(0|1)"
)
_ONE_OF = re.compile(r"\d|_[a-z]$")
_SEVERAL = re.compile(
    r"(response|answer|output|completion|reply|generation|candidate|option)(s|_?(\d+|[a-z]|left|right|first|second|one|two))"
)
_ALIKE = 0.85
_ANSWERS = (
    "chosen",
    "rejected",
    "completion",
    "completions",
    "response",
    "messages",
    "conversations",
    "output",
)
_ASIDE = re.compile(
    r"(meta\..*|.*_?(id|ids|uuid|hash|url|uri|model|models|source|name|date|time|lang|language|license)|idx|index|dataset|subset|split"
    r"|topic|category|domain|task|type|tag|tags|version|config|file|path|row|batch)",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/@#%=-]+")
_SHORT = 60
HOW = "columns: {{{0}}} in a recipe, --columns {1} on the command line"


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def is_fault(name: str) -> bool:
    """Whether a column of this name is true of a bad answer."""
    return _plain(name) in _FAULTS


def meaning_of(name: str, from_zero: bool = False) -> str | None:
    """What a column's name means: itself or a known other name of it, a numbered response (the
    first is 0 if `from_zero`), or a misspelling of one name."""
    name = _plain(name)
    if name in MEANING:
        return MEANING[name]
    if match := (_NUMBERED_0 if from_zero else _NUMBERED).fullmatch(name):
        return (
            "response_a"
            if match.group(2) in (("0",) if from_zero else ("a", "1", "left", "first", "one"))
            else "response_b"
        )
    return next((MEANING[near] for near in _misspelt(name, MEANING)), None)


def _misspelt(name: str, names: Iterable[str]) -> list[str]:
    """The name that this one was most likely meant to be; a number, or more than one of it, is no
    slip."""
    if len(name) < 5 or _ONE_OF.search(name):
        return []
    likely = [
        n
        for n in names
        if not _ONE_OF.search(n)
        and n.rstrip("s") != name.rstrip("s")
        and abs(len(n) - len(name)) <= 2
    ]
    return difflib.get_close_matches(name, likely, n=1, cutoff=_ALIKE)


def hints_an_answer(name: str) -> bool:
    """Whether a column is called, or misspelt, like one that holds an answer, or one of several."""
    plain = _plain(name)
    return plain in _ANSWERS or bool(_SEVERAL.fullmatch(plain)) or bool(_misspelt(plain, _ANSWERS))


def text_columns(rows: Sequence[Mapping[str, Any]], known: set[str]) -> list[str]:
    """Columns outside `known` that hold texts or conversations, judged over all rows: not
    identifiers, not short texts that repeat."""
    texts = []
    for name in dict.fromkeys(name for row in rows for name in row):
        if name not in known and any(is_conversation(row.get(name)) for row in rows):
            texts.append(name)
            continue
        values = [row[name] for row in rows if isinstance(row.get(name), str) and row[name].strip()]
        if (
            name in known
            or not values
            or (_ASIDE.fullmatch(name) and max(map(len, values)) <= 4 * _SHORT)
        ):
            continue
        repeat = max(map(len, values)) <= _SHORT and 2 * len(set(values)) <= len(values)
        if meaning_of(name) == "prompt" or not (repeat or all(map(_IDENTIFIER.fullmatch, values))):
            texts.append(name)
    return texts


def way_out(columns: Sequence[str]) -> str:
    """How to say which of these columns is the prompt."""
    likely = [name for name in columns if meaning_of(name) == "prompt"]
    if len(likely) == 1:
        return (
            f"{likely[0]!r} looks like the prompt:"
            f" {HOW.format(f'prompt: {likely[0]}', f'prompt={likely[0]}')}"
        )
    first = columns[0]
    return (
        f"if one is the prompt, say so: {HOW.format('prompt: NAME', 'prompt=NAME')}; to keep one"
        f" aside: {{meta.{first}: {first}}}"
    )


def nearest(names: Sequence[str], shapes: Sequence[tuple[str, Sequence[str]]]) -> str:
    """What the columns of an unknown shape may be: those whose names mean what a format needs, and
    what is missing then."""
    from_zero = any(_NUMBERED_0.fullmatch(_plain(name)) and name.endswith("0") for name in names)
    means = {name: meaning for name in names if (meaning := meaning_of(name, from_zero))}
    best: tuple[tuple[int, int], str, list[str], dict[str, str]] | None = None
    for shape, fields in shapes:
        alike = _looks_like(fields, names, means)
        missing = [f for f in fields if f not in alike]
        changed = {f: name for f, name in alike.items() if f != name}
        if len(alike) < 2 or len(missing) > 1 or not (missing or changed):
            continue
        score = (len(alike) - 2 * len(missing), sum(f in _NAMES for f in fields) - len(changed))
        if best is None or score > best[0]:
            best = score, shape, missing, changed
    if best is None:
        known = "; ".join(
            f"{name!r} looks like the {meaning}"
            for name, meaning in means.items()
            if name != meaning
        )
        how = (
            "say what the columns are,"
            f" {HOW.format('prompt: NAME, response: NAME', 'prompt=NAME')}, or see docs/formats.md"
        )
        return f"{known}: {how}" if known else how
    _, shape, missing, changed = best
    parts = [
        *(f"{name!r} looks like {f}" for f, name in changed.items()),
        *(f"nothing looks like {f}" for f in missing),
    ]
    pairs = HOW.format(
        ", ".join(f"{f}: {n}" for f, n in changed.items()),
        ",".join(f"{f}={n}" for f, n in changed.items()),
    )
    return f"nearest is {shape}: {', '.join(parts)}{f'; {pairs}' if changed else ''}"


def _looks_like(
    fields: Sequence[str], names: Sequence[str], means: Mapping[str, str]
) -> dict[str, str]:
    """For each field the column of that name, or one whose name means the same."""
    matched = {field: field for field in fields if field in names}
    for field in fields:
        if field not in matched and (meaning := meaning_of(field)):
            alike = (n for n, m in means.items() if m == meaning and n not in matched.values())
            if (name := next(alike, None)) is not None:
                matched[field] = name
    return matched


# --- columns under other names --------------------------------------------------------------------
def renamed(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> dict[str, Any]:
    """A row with our names for columns. columns: {ours: theirs}. Raises DataError where a name is
    taken by another column."""
    ours = {theirs: name for name, theirs in columns.items()}
    for name, theirs in columns.items():
        if name not in ours and not empty(row.get(name)):
            raise DataError(
                f"{where}: the column {theirs!r} is to be {name!r}, which the file has too",
                f"keep the other aside: columns: {{meta.{name}: {name}}}",
            )
    return {
        ours.get(name, name): value
        for name, value in row.items()
        if name in ours or name not in columns
    }


def check_columns(columns: Mapping[str, str], names: Iterable[str], known: Iterable[str]) -> None:
    """Raises ConfigError for a mapping to a name that no format has, or from a column that no row
    has."""
    there, ours = list(dict.fromkeys(names)), {*known}
    for name, theirs in columns.items():
        if theirs not in there:
            raise ConfigError(
                f"columns: no row has {theirs!r}", f"the columns are {', '.join(there)}"
            )
        if name not in ours and not name.startswith("meta."):
            near = difflib.get_close_matches(name, ours, n=1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else (
                    f"use prompt, chosen, rejected, response, ..., or meta.{theirs} to keep it"
                    " aside"
                )
            )
            raise ConfigError(f"columns: no format has a column {name!r}", hint)
