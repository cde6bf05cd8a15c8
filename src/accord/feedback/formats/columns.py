"""What rows of every shape have in common: who judged, when, for how long; and records built from
rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from accord.feedback.formats.hints import is_fault, meaning_of
from accord.feedback.formats.turns import (
    MEDIA,
    REASONING,
    history_of,
    is_conversation,
    messages,
    tools_of,
)
from accord.feedback.formats.values import (
    RowError,
    bare,
    empty,
    is_label,
    marked,
    number,
    shown,
    truth,
    unpacked,
    whole,
)
from accord.feedback.records import Content, Feedback, Message, asking, content_id, to_json

__all__ = [
    "ANNOTATOR_COLUMNS",
    "COMMON",
    "CONSENT",
    "DERIVED",
    "PROMPT_COLUMNS",
    "SOURCE",
    "SYSTEM_COLUMNS",
    "TIME_COLUMNS",
    "TOOLS_COLUMNS",
    "UNKNOWN_ORDER",
    "Left",
    "Parsed",
    "RowError",
    "Watched",
    "annotator_of",
    "asked_of",
    "bare_reply",
    "build",
    "can_keep",
    "check_consent",
    "check_understood",
    "check_unjudged",
    "check_used",
    "content_of",
    "flat",
    "how_much",
    "judgement_fields",
    "messages",
    "name_in",
    "named",
    "option_ids",
    "prompt_of",
    "time_of",
    "written_as",
]  # fmt: skip

SOURCE = "dataset"
"""The annotator of rows that do not name one."""
UNKNOWN_ORDER = "unknown"
"""`meta["shown"]` of a record whose source does not say in which order the options were shown."""
ANNOTATOR_COLUMNS = ("annotator", "worker", "worker_id", "labeler", "judge", "user_id")
CONSENT = "consent"
TIME_COLUMNS = ("created_at", "timestamp", "created_date", "tstamp")
SECONDS_COLUMNS = ("active_seconds", "lead_time")
TOOLS_COLUMNS = ("tools", "functions")
SYSTEM_COLUMNS = ("system", "system_prompt")
PROMPT_COLUMNS = ("prompt", "history", "chat_template_kwargs", *SYSTEM_COLUMNS, *TOOLS_COLUMNS)
"""What is asked, and what was offered beside it."""
DERIVED = {"soft_label", "votes"}
"""Columns of our exports that are computed anew from the records."""
COMMON = {
    *ANNOTATOR_COLUMNS, *TIME_COLUMNS, *SECONDS_COLUMNS, *TOOLS_COLUMNS, *SYSTEM_COLUMNS, "history", "chat_template_kwargs",  # noqa: E501
    "session", "guideline", "record_id", "shown_at", "weight", "finished", "deleted", "written_as", *DERIVED,  # noqa: E501
}  # fmt: skip
"""Columns understood in rows of any shape."""
_MEANT_COMMON = {
    *TOOLS_COLUMNS,
    *SYSTEM_COLUMNS,
    "history",
    "chat_template_kwargs",
    "weight",
    "finished",
}
MEANT = {
    **dict.fromkeys(MEDIA, "accord reads text only"),
    **dict.fromkeys(("label", "labels", "kto_tag", "thumb", "thumbs"), "this format has no label"),
    **dict.fromkeys((*REASONING, "tool_calls", "function_call"), "write it into the assistant's message"),  # noqa: E501
    **dict.fromkeys(("train", "loss", "weights", "sample_weight"), "a judgement's weight is the column 'weight'"),  # noqa: E501
}  # fmt: skip
"""Columns that change what a row says: understood by its shape, or the row is refused."""


@dataclass(frozen=True)
class Left:
    """A part of a row that no record holds; a parser yields it among the records, and it is
    counted."""

    reason: str


Parsed = Feedback | Left


def check_understood(row: Mapping[str, Any], known: set[str]) -> None:
    """Raises RowError for a column outside `known` that changes what the row says, such as a label
    or images, for a row that says that it was deleted, and for one that says that nobody consented
    to its use."""
    if marked(row, "deleted"):
        raise RowError("the row is marked as deleted")
    check_consent(row)
    if MEANT.keys().isdisjoint(row):
        return
    for name, why in MEANT.items():
        if name not in known and not empty(row.get(name)):
            raise RowError(
                f"the column {name!r} is not understood here: {why} (or rename it to keep it aside:"
                f" meta.{name})"
            )


def check_consent(row: Mapping[str, Any]) -> None:
    """Raises RowError for a row that says that nobody consented to its use."""
    if not marked(row, CONSENT, otherwise=True):
        raise RowError("the row says that there is no consent to its use")


def check_unjudged(row: Mapping[str, Any], parsed: Sequence[Parsed], known: set[str]) -> None:
    """Raises RowError for a demonstration beside a column outside `known` that is called like a
    label, or like a fault, and
    holds one: what was judged bad demonstrates nothing."""
    if not any(isinstance(part, Feedback) and part.kind == "demonstration" for part in parsed):
        return
    for name, value in row.items():
        if (
            name not in known
            and (is_fault(name) or meaning_of(name) == "label")
            and is_label(value)
        ):
            named = () if is_fault(name) else ("label", "kto_tag")
            ours = next((label for label in named if label in known), None)
            how = f"read it as the label, --columns {ours}={name}, or keep" if ours else "keep"
            raise RowError(
                f"the column {name!r} judges the answer, so the row is not a demonstration: {how}"
                f" it aside, --columns meta.{name}={name}"
            )


class Watched(dict[str, Any]):
    """A row that knows which of its columns were looked at. A dictionary, so that asking for a
    column that it lacks, as parsers mostly do, costs next to nothing."""

    __slots__ = ("seen",)

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(row)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of any dictionary, noted."""
        self.seen.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:  # so that copies ask for each value
        return super().__iter__()

    def values(self) -> Any:
        """All are looked at."""
        self.seen.update(self)
        return super().values()

    def items(self) -> Any:
        """All are looked at."""
        self.seen.update(self)
        return super().items()

    def unseen(self) -> list[str]:
        """Columns that say something and were not looked at."""
        return [
            name for name, value in super().items() if name not in self.seen and not empty(value)
        ]


def check_used(row: Watched, known: set[str]) -> list[str]:
    """The columns among `known` that a parser passed over. Raises RowError for one that changes
    what the row says."""
    over = [name for name in row.unseen() if name in known]
    if meant := [name for name in over if name in _MEANT_COMMON or name in MEANT]:
        raise RowError(
            f"the column {meant[0]!r} is not understood here (rename it to keep it aside:"
            f" meta.{meant[0]})"
        )
    return over


def can_keep(value: Any) -> bool:
    """Whether `meta` holds the value of a column: texts, finite numbers, truth values."""
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def annotator_of(row: Mapping[str, Any]) -> str:
    """Who judged; SOURCE when no column says so. 7, 7.0 and "7" are the same annotator."""
    return named(_first(row, ANNOTATOR_COLUMNS, SOURCE), "annotator")


def name_in(row: Mapping[str, Any], column: str) -> str | None:
    """The name in a column, which may be a number; None where it says nothing. Raises RowError for
    what is no name."""
    return named(row[column], column) if says(row, column) else None


def says(row: Mapping[str, Any], column: str) -> bool:
    """Whether a row has a column that says something."""
    return column in row and not empty(row[column])


def named(value: Any, column: str) -> str:
    """A name, which may be a number. Raises RowError for what is none."""
    value = bare(value)
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise RowError(f"the column {column!r} is {shown(value)}, neither a name nor a number")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def judgement_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Session, guideline, time and active seconds of a row, those it has."""
    fields: dict[str, Any] = {
        name: value
        for name in ("session", "guideline")
        if (value := name_in(row, name)) is not None
    }
    if (when := _first(row, TIME_COLUMNS)) is not None:
        fields["created_at"] = time_of(when)
    if (seconds := _first(row, SECONDS_COLUMNS)) is not None:
        fields["active_seconds"] = number(seconds, "active_seconds")
    return fields


def time_of(when: Any) -> str:
    """A time as ISO 8601; numbers count seconds, or thousandths, millionths or billionths of them,
    since 1970. Raises RowError for what is no time."""
    if isinstance(when, (datetime, date)):
        return when.isoformat()
    if isinstance(when, str) and not re.fullmatch(
        r"\s*\d{9,}(\.\d*)?\s*", when
    ):  # fewer digits: a year, a date
        return when
    try:
        seconds = number(when, "created_at")
        for _ in range(3):
            seconds /= (
                1000 if abs(seconds) >= 1e11 else 1
            )  # the year 5138: such a number counts smaller units
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        raise RowError(f"the column 'created_at' is {shown(when)}, no time") from None


def _first(row: Mapping[str, Any], names: Sequence[str], default: Any = None) -> Any:
    for name in names:
        if name in row and not empty(value := row[name]):
            return value
    return default


def option_ids(contents: Sequence[Content]) -> list[str]:
    """Equal content, equal id, in whatever row it stands; repeats within one row are numbered."""
    seen: dict[str, int] = {}
    ids = []
    for content in contents:
        one = content_id(bare_reply(content))
        before = seen.get(one, 0)
        ids.append(f"{one}-{before}" if before else one)
        seen[one] = before + 1
    return ids


def bare_reply(content: Content) -> Content:
    """The text of a reply that is one plain message: it is the same response, however it was
    written down."""
    if not isinstance(content, str) and to_json(content) == [
        {"role": "assistant", "content": content[0].text}
    ]:
        return content[0].text
    return content


def build(
    kind: str,
    prompt: Content,
    contents: Sequence[Content],
    choice: Any,
    row: Mapping[str, Any],
    *,
    ids: Sequence[str] | None = None,
    producers: Sequence[str | None] | None = None,
    places: Sequence[int] | None = None,
    annotator: str | None = None,
    record_id: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Feedback:
    """A record about `contents`, answered with `choice` (or with choice(ids)), by whom and when the
    row says.

    places: where each was shown; without them the row's `shown_at`, else an order drawn from the
    content, so that what was preferred never looks as if it had always been shown first, and
    `meta["shown"]` says so. record_id: else the row's, else made from all of it: equal judgement,
    equal id.
    """
    contents = written_as(contents, row)
    names = list(ids) if ids is not None else option_ids(contents)
    filled = choice(names) if callable(choice) else choice
    who, common = annotator or annotator_of(row), judgement_fields(row)
    wrote = list(producers) if producers is not None else [None] * len(names)
    meta_fields = {**_finished(row.get("finished"), names), **(meta or {})}
    weight, prompt, extras = _weight(row), asked_of(prompt, row), _tools_and_settings(row)
    extra: list[Any] = [common, meta_fields] if common or meta_fields else []
    extra += [*([] if weight == 1.0 else [weight]), *([extras] if extras else [])]
    where, known = _places(places if places is not None else row.get("shown_at"), prompt, names)
    options = [
        {"id": i, "content": content, "producer": producer, "shown_at": place}
        for i, content, producer, place in zip(names, contents, wrote, where, strict=True)
    ]
    body = {
        "kind": kind,
        "prompt": prompt,
        "options": options,
        "choice": filled,
        "annotator": who,
        **common,
        **extras,
    }
    own = (
        record_id
        or name_in(row, "record_id")
        or content_id(kind, prompt, contents, names, filled, who, *extra)
    )
    return Feedback.model_validate(
        {
            "id": str(own),
            **body,
            "weight": weight,
            "meta": meta_fields if known else {**meta_fields, "shown": UNKNOWN_ORDER},
        }
    )


def written_as(contents: Sequence[Content], row: Mapping[str, Any]) -> Sequence[Content]:
    """Responses as the column `written_as` of our exports says they were: a text, to the letter, or
    messages."""
    if not says(row, "written_as"):
        return contents
    forms = unpacked(row["written_as"], "written_as")
    if (
        not isinstance(forms, (list, tuple))
        or len(forms) != len(contents)
        or not {*forms} <= {"text", "messages"}
    ):
        raise RowError(
            f"the column 'written_as' is {shown(forms)}, not text or messages for each response"
        )
    contents_as_written: list[Content] = []
    for content, how in zip(contents, forms, strict=True):
        if how == "messages" and isinstance(content, str):
            contents_as_written.append([Message(role="assistant", content=content)])
        else:
            contents_as_written.append(bare_reply(content) if how == "text" else content)
    return contents_as_written


def asked_of(prompt: Content, row: Mapping[str, Any]) -> Content:
    """The prompt with what the columns `system` and `history` put before it."""
    before: list[Message] = []
    systems = {name: row[name] for name in SYSTEM_COLUMNS if says(row, name)}
    if len(set(map(str, systems.values()))) > 1:
        raise RowError(f"the columns {' and '.join(map(repr, systems))} differ")
    for name, system in list(systems.items())[:1]:
        if not isinstance(system, str):
            raise RowError(f"the column {name!r} is {type(system).__name__}, not a text")
        before.append(Message(role="system", content=system))
    if says(row, "history"):
        before += history_of(row["history"], "history")
    if not before:
        return prompt
    turns = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
    if turns[: len(before)] == before:  # the conversation holds them too
        return turns
    if before[0].role == "system" and turns[0].role in ("system", "developer"):
        if turns[0].text != before[0].text:
            raise RowError(
                f"the column {next(iter(systems))!r} and the conversation's {turns[0].role} message"
                " differ"
            )
        before = before[1:]
        return [turns[0], *before, *turns[1:]]
    return [*before, *turns]


def prompt_of(row: Mapping[str, Any]) -> Any:
    """What a row asks, whole, as `Feedback.asked` says it: with system message, history, tools and
    settings of the template."""
    return asking(asked_of(content_of(row["prompt"]), row), **_tools_and_settings(row))


def _tools_and_settings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Tools and settings of the chat template that a row has."""
    tools_by_column = {
        name: tools
        for name in TOOLS_COLUMNS
        if name in row and (tools := tools_of(row[name], name))
    }
    if len(tools_by_column) > 1:
        raise RowError(f"tools in the columns {' and '.join(map(repr, tools_by_column))}: keep one")
    fields: dict[str, Any] = (
        {"tools": next(iter(tools_by_column.values()))} if tools_by_column else {}
    )
    if says(row, "chat_template_kwargs"):
        kwargs = unpacked(row["chat_template_kwargs"], "chat_template_kwargs")
        fields["chat_template_kwargs"] = kwargs
        if not isinstance(kwargs, Mapping):
            raise RowError(
                f"the column 'chat_template_kwargs' is {type(kwargs).__name__}, not an object"
            )
    return fields


def _finished(value: Any, ids: Sequence[str]) -> dict[str, Any]:
    """`meta["finished"]` of a row that says whether its responses ended: by option, of a
    demonstration one value."""
    if empty(value):
        return {}
    value = (
        unpacked(value, "finished")
        if isinstance(value, str) and value.lstrip().startswith("[")
        else value
    )
    if not isinstance(value, (list, tuple)):
        if len(ids) > 1:
            raise RowError(
                f"the column 'finished' is {shown(value)}: one value for {len(ids)} responses"
            )
        return {"finished": {ids[0]: truth(value, "finished")} if ids else truth(value, "finished")}
    if len(value) != len(ids):
        raise RowError(f"the column 'finished' has {len(value)} values for {len(ids)} responses")
    return {"finished": {i: truth(one, "finished") for i, one in zip(ids, value, strict=True)}}


def _weight(row: Mapping[str, Any]) -> float:
    """How much the judgement counts, 1 where the row does not say. Raises RowError for what is no
    weight."""
    value = row.get("weight")
    if value is None or value == "":
        return 1.0
    weight = number(value, "weight")
    if weight < 0:
        raise RowError(f"the column 'weight' is {shown(value)}, not a number of 0 or more")
    return weight


def _places(given: Any, prompt: Content, ids: Sequence[str]) -> tuple[list[int], bool]:
    """(place of each option, whether the source says so)."""
    if not empty(given):
        return list(unpacked(given, "shown_at")), True
    drawn = sorted(range(len(ids)), key=lambda i: content_id(prompt, ids[i]))
    places = [0] * len(ids)
    for place, i in enumerate(drawn):
        places[i] = place
    return places, len(ids) < 2


def how_much(row: Mapping[str, Any]) -> dict[str, Any]:
    """How much better the preferred response is said to be, and how probably it is: of a
    comparison's choice, what is told."""
    fields: dict[str, Any] = (
        {"strength": whole(row["strength"], "strength")} if says(row, "strength") else {}
    )
    if says(row, "probability"):
        fields["probability"] = number(row["probability"], "probability")
    return fields


def content_of(value: Any) -> Content:
    """Text as it is, a list as messages; raises RowError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return messages(value)
    if value is None:
        raise RowError("the text is missing")
    if isinstance(value, Mapping) and is_conversation([value]):
        return messages([value])
    raise RowError(f"a text is {type(value).__name__}, neither text nor messages")


def flat(content: Content) -> str:
    """All that a content says, without roles; "" where it says nothing."""
    return content if isinstance(content, str) else " ".join(m.said for m in content)
