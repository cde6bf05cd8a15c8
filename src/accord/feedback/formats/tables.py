"""Tables (CSV, or JSONL with the same columns) of comparisons and of ratings, in and out.

Comparisons: prompt, response_a, response_b, winner (a, b, tie, both_bad), and as wanted annotator,
strength, producer_a, producer_b, option_a, option_b, session, guideline, created_at,
active_seconds, meta. A was shown first
unless `shown` says unknown. Ratings: prompt, response, one column rating_NAME per attribute, low,
high, and the same. Columns `prompt_type` and `response_type` say `messages` where a text is a
conversation in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.feedback.formats.columns import (
    COMMON,
    UNKNOWN_ORDER,
    Left,
    Parsed,
    RowError,
    bare_reply,
    build,
    can_keep,
    how_much,
    messages,
    name_in,
    named,
)
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.sheets import ScaleGuess
from accord.feedback.formats.turns import unread
from accord.feedback.formats.values import empty, number, side, unpacked
from accord.feedback.records import Behaviour, Comparison, Content, Feedback, Rating, to_json

RATING = "rating_"
PAIRWISE_COLUMNS = (
    "prompt_type", "response_type", "strength", "probability", "producer_a", "producer_b", "option_a", "option_b", "shown", "meta",  # noqa: E501
)  # fmt: skip


def is_pairwise(row: Mapping[str, Any]) -> bool:
    """Two responses and a winner."""
    return all(name in row for name in ("prompt", "response_a", "response_b", "winner"))


def is_ratings(row: Mapping[str, Any]) -> bool:
    """A response and a column that starts with rating_ (or is called rating)."""
    return "prompt" in row and "response" in row and any(_attribute(name) for name in row)


def is_labels(row: Mapping[str, Any]) -> bool:
    """An item, who labelled it, and the label; no prompt and no answer that it could be about."""
    who = ("item", "annotator"), ("task", "worker")
    return "label" in row and any(all(name in row for name in pair) for pair in who)


def _attribute(column: str) -> str | None:
    return (
        column.removeprefix(RATING)
        if column.startswith(RATING)
        else "rating"
        if column == "rating"
        else None
    )


# --- in -------------------------------------------------------------------------------------------
def labels(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """One annotator's label of one item; raises RowError for a row without one of the three, and
    for a label that is neither a word, a number, true, false, nor a list of words."""
    column = "item" if "item" in row else "task"
    for name in (column, "annotator" if "annotator" in row else "worker", "label"):
        if row[name] is None or row[name] == "":
            raise RowError(f"the column {name!r} is empty")
    label = row["label"]
    if isinstance(label, (list, tuple)):
        said: Any = [named(one, "label") for one in label]
    else:
        said = label if isinstance(label, bool) else named(label, "label")
    yield build("flags", named(row[column], column), [], {"flags": {"label": said}}, row)


def pairwise(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """One comparison; raises RowError naming the column."""
    answer = side(row["winner"], "winner")
    producers = [name_in(row, "producer_a"), name_in(row, "producer_b")]
    if row["response_a"] == row["response_b"] == "" and None not in producers:
        contents: list[Content] = ["", ""]  # votes between models, without what they wrote
    else:
        contents = [_content(row, f"response_{side}", "response_type") for side in "ab"]
    if bare_reply(contents[0]) == bare_reply(contents[1]) and producers[0] == producers[1]:
        raise RowError("the columns 'response_a' and 'response_b' are the same")
    how = how_much(row)

    def choice(ids: Sequence[str]) -> dict[str, Any]:
        return (
            {"preferred": ids[answer], **how} if isinstance(answer, int) else {answer: True, **how}
        )

    ids = [own for name in ("option_a", "option_b") if (own := name_in(row, name)) is not None]
    meta = _meta(row)
    if row.get("shown") == UNKNOWN_ORDER:
        meta["shown"] = UNKNOWN_ORDER
    yield build(
        "comparison",
        _content(row, "prompt", "prompt_type"),
        contents,
        choice,
        row,
        ids=ids if len(ids) == 2 else None,
        producers=producers,
        places=[0, 1],
        meta=meta,
    )
    yield from _unread(row)


def prepare_ratings(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of rating rows; without columns low and high the range is told from all rows."""
    del source
    scales = ScaleGuess()
    for row in rows:
        for column in row:
            if (name := _attribute(column)) and row[column] not in (None, ""):
                try:
                    scales.see(name, number(row[column], column))
                except RowError:
                    continue  # its row is dropped, with the column named
    return lambda row: _ratings(row, scales)


def _ratings(row: Mapping[str, Any], scales: ScaleGuess) -> Iterator[Parsed]:
    columns = {
        c: name for c in row if (name := _attribute(c)) and row[c] not in (None, "")
    }  # NaN is named below
    if not columns:
        raise RowError("no rating is given")
    scores = {name: number(row[column], column) for column, name in columns.items()}
    meta = _meta(row)
    if empty(row.get("low")) or empty(row.get("high")):
        ranges = [scales.range(name) for name in scores]
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        meta["scale"] = "guessed"
    else:
        low, high = number(row["low"], "low"), number(row["high"], "high")
    known = {
        "prompt",
        "response",
        "low",
        "high",
        "option",
        "producer",
        "prompt_type",
        "response_type",
        "meta",
    }
    other = {
        k: v
        for k, v in row.items()
        if k not in {*known, *COMMON, *columns} and _attribute(k) is None
    }
    yield from (
        Left(f"column {name!r}")
        for name, value in other.items()
        if not empty(value) and not can_keep(value)
    )
    if further := {k: v for k, v in other.items() if not empty(v) and can_keep(v)}:
        meta["columns"] = {**meta.get("columns", {}), **further}
    yield build(
        "rating",
        _content(row, "prompt", "prompt_type"),
        [_content(row, "response", "response_type")],
        {"scores": scores, "low": low, "high": high},
        {k: v for k, v in row.items() if k not in known},
        ids=None if (own := name_in(row, "option")) is None else [own],
        producers=[name_in(row, "producer")],
        places=[0],
        meta=meta,
    )
    yield from _unread(row)


def _unread(row: Mapping[str, Any]) -> Iterator[Left]:
    """What of the messages in a row's columns no record holds, also where they are JSON in a
    text."""
    for column, kind in (
        ("prompt", "prompt_type"),
        *((f"response{end}", "response_type") for end in ("", "_a", "_b")),
    ):
        value = row.get(column)
        if isinstance(value, list) or (isinstance(value, str) and row.get(kind) == "messages"):
            yield from map(Left, unread(unpacked(value, column)))


def _content(row: Mapping[str, Any], column: str, kind: str) -> Content:
    value = row[column]
    if isinstance(value, list):
        return messages(value)
    if not isinstance(value, str) or not value.strip():
        raise RowError(
            f"the column {column!r} is"
            f" {'empty' if value in (None, '') or isinstance(value, str) else 'no text'}"
        )
    if row.get(kind) != "messages":
        return value
    return messages(unpacked(value, column))


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    if empty(row.get("meta")):
        return {}
    meta = unpacked(row["meta"], "meta")
    if not isinstance(meta, dict):
        raise RowError("the column 'meta' is not a JSON object")
    return meta


# --- out ------------------------------------------------------------------------------------------
def to_pairwise_row(record: Feedback) -> dict[str, Any]:
    """One row, a the response shown first; raises RowError for other kinds."""
    choice = record.choice
    if not isinstance(choice, Comparison):
        raise RowError(f"{record.kind}: only comparisons are written")
    a, b = record.in_order
    if (kind := _type(a.content)) != _type(b.content):
        raise RowError("one response is a text, the other a conversation")
    if choice.tie and choice.both_bad:
        raise RowError("both a tie and both bad")
    winner = (
        "tie"
        if choice.tie
        else "both_bad"
        if choice.both_bad
        else "a"
        if choice.preferred == a.id
        else "b"
    )
    return {
        "prompt": _cell(record.prompt),
        "response_a": _cell(a.content),
        "response_b": _cell(b.content),
        "winner": winner,
        "strength": choice.strength,
        "probability": choice.probability,
        "producer_a": a.producer,
        "producer_b": b.producer,
        "option_a": a.id,
        "option_b": b.id,
        "shown": record.meta.get("shown"),
        **_columns(record, kind),
    }


def to_rating_row(record: Feedback) -> dict[str, Any]:
    """One row with a column per attribute; raises RowError for other kinds."""
    if not isinstance(record.choice, Rating):
        raise RowError(f"{record.kind}: only ratings are written")
    (option,) = record.options
    scores = {RATING + name: score for name, score in record.choice.scores.items()}
    return {
        "prompt": _cell(record.prompt),
        "response": _cell(option.content),
        **scores,
        "low": record.choice.low,
        "high": record.choice.high,
        "option": option.id,
        "producer": option.producer,
        **_columns(record, _type(option.content)),
    }


def _columns(record: Feedback, response_type: str) -> dict[str, Any]:
    meta = {name: value for name, value in record.meta.items() if name != "shown"}
    extras = {"tools": record.tools, "chat_template_kwargs": record.chat_template_kwargs}
    return {
        "prompt_type": _type(record.prompt),
        "response_type": response_type,
        **{name: json.dumps(value, ensure_ascii=False) for name, value in extras.items() if value},
        "meta": json.dumps(meta, ensure_ascii=False, sort_keys=True) if meta else None,
    }


def _type(content: Content | Behaviour) -> str:
    if isinstance(content, Behaviour):
        raise RowError("the options are clips of episodes")
    return "text" if isinstance(content, str) else "messages"


def _cell(content: Content | Behaviour) -> str:
    return content if isinstance(content, str) else json.dumps(to_json(content), ensure_ascii=False)
