"""Langfuse's scores: what was judged stands in a trace; without the trace's input and output there
is nothing to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.errors import DataError
from accord.feedback.formats.columns import Parsed, RowError, build, content_of, name_in, named
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.sheets import ScaleGuess
from accord.feedback.formats.values import empty, number, truth
from accord.feedback.records import Content

TEXTS = ("input", "output")
TRACES = ("traceId", "trace_id")
OWN = (
    "id",
    "name",
    "value",
    "stringValue",
    "dataType",
    "comment",
    "userId",
    "authorUserId",
    "timestamp",
    "createdAt",
    *TEXTS,
)


def is_langfuse(row: Row) -> bool:
    """A named value about a trace."""
    return {"name", "value"} <= row.keys() and any(name in row for name in TRACES)


def prepare(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of scores beside their texts. Raises DataError where the file does not hold the
    texts."""
    if any(name not in rows[0] for name in TEXTS):
        raise DataError(
            f"{source.name} holds Langfuse's scores, and not the texts that they judge",
            "join the traces to it by their ids: columns input and output beside name and value",
        )
    scales = ScaleGuess(usual=(1, 5, 10, 100), low=0)
    for row in rows:
        if _kind(row) == "NUMERIC" and not empty(row["value"]):
            try:
                scales.see(str(row["name"]), number(row["value"], "value"))
            except RowError:
                continue  # its row is dropped, with the column named
    return lambda row: _score(row, scales)


def _kind(row: Row) -> str:
    return str(row.get("dataType") or "NUMERIC").upper()


def _score(row: Row, scales: ScaleGuess) -> Iterator[Parsed]:
    """A truth value is a thumb, a number a rating, a category a flag; a comment is a critique."""
    prompt, answers, name = (
        _content(row["input"], "input"),
        [_content(row["output"], "output")],
        named(row["name"], "name"),
    )
    who = next(filter(None, (name_in(row, c) for c in ("authorUserId", "userId", "source"))), None)
    common = {
        "annotator": who,
        "created_at": row.get("createdAt") if empty(row.get("timestamp")) else row["timestamp"],
    }
    meta: dict[str, Any] = {"source": {"score": name}}
    if _kind(row) == "BOOLEAN":
        yield build(
            "thumb", prompt, answers, {"up": truth(row["value"], "value")}, common, meta=meta
        )
    elif _kind(row) == "CATEGORICAL":
        value = row.get("stringValue") if not empty(row.get("stringValue")) else row["value"]
        if empty(value):
            raise RowError("the value is empty")
        yield build(
            "flags", prompt, answers, {"flags": {name: named(value, "value")}}, common, meta=meta
        )
    else:
        score = number(row["value"], "value")
        low, high = scales.range(name)
        choice = {"scores": {name: score}, "low": low, "high": high}
        yield build("rating", prompt, answers, choice, common, meta={**meta, "scale": "guessed"})
    if not empty(row.get("comment")):
        yield build(
            "critique",
            prompt,
            answers,
            {"text": named(row["comment"], "comment")},
            common,
            meta=meta,
        )


def _content(value: Any, column: str) -> Content:
    content = content_of([value] if isinstance(value, Mapping) else value)
    if empty(content):
        raise RowError(f"the column {column!r} is empty")
    return content
