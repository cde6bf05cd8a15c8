"""Foreign data in, feedback records out; and back."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from accord.errors import DataError
from accord.feedback.formats.columns import COMMON, DERIVED, Left, RowError, content_of
from accord.feedback.formats.exports import EXPORTS, Exported, export, export_rows
from accord.feedback.formats.reading import Row, read_rows
from accord.feedback.formats.shapes import SHAPES, Shape, detect
from accord.feedback.records import Content, Feedback, content_id, plain, problem
from accord.feedback.words import counted, kinds_counted

__all__ = [
    "EXPORTS", "Exported", "FileReport", "ReadResult", "check_file", "export", "export_rows", "plain", "read_feedback",
]  # fmt: skip


@dataclass(frozen=True)
class ReadResult:
    """records in file order; prompts of prompt-only rows; dropped: rows per reason, and the first place of each;
    left_out: parts of rows that were read which no record holds, per reason."""

    shape: str
    rows: int
    records: list[Feedback]
    prompts: list[Content]
    dropped: dict[str, int]
    first_dropped: dict[str, str]
    left_out: dict[str, int]


def read_feedback(source: str | Path) -> ReadResult:
    """Recognise the shape of the rows and turn them into records.

    A row that cannot be used is dropped and counted with its reason. Raises DataError when the file cannot be
    read, its columns are not known, shapes are mixed, or nothing is left.
    """
    rows = read_rows(source)
    shape = _one_shape(rows, Path(source).is_dir())
    parse = shape.parser([row for _, row in rows], Path(source))
    records: list[Feedback] = []
    dropped: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}
    for where, row in rows:
        try:
            made = list(parse(row))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            reason = _reason(error)
            dropped[reason] += 1
            first.setdefault(reason, where)
            continue
        left_out.update(part.reason for part in made if isinstance(part, Left))
        found = [part for part in made if isinstance(part, Feedback)]
        records += found if shape.keeps else _with_columns(found, row, shape, left_out)
    prompts = [content_of(row["prompt"]) for _, row in rows] if shape.name == "TRL prompt-only" else []
    if not records and not prompts:
        reasons = "; ".join(f"{reason} (first at {first[reason]})" for reason in dropped) or f"{dict(left_out)}"
        raise DataError(
            f"none of {len(rows)} rows of {source} can be used: {reasons}", f"the shape was taken to be {shape.name}"
        )
    return ReadResult(shape.name, len(rows), records, prompts, dict(dropped), first, dict(left_out))


def _with_columns(
    records: list[Feedback], row: Mapping[str, Any], shape: Shape, left_out: Counter[str]
) -> list[Feedback]:
    """Records that keep the texts, numbers and truth values of columns that their shape does not know."""
    known = {*shape.fields, *shape.optional, *(COMMON if row.get("record_id") else COMMON - DERIVED)}
    other = {name: value for name, value in row.items() if name not in known and value is not None and value != ""}
    kept = {name: value for name, value in other.items() if isinstance(value, (str, int, float))}
    left_out.update(f"column {name!r}" for name in other.keys() - kept.keys())
    if not kept:
        return records
    return [
        record.model_copy(
            update={
                "id": record.id if row.get("record_id") else content_id(record.id, kept),
                "meta": {**record.meta, "columns": kept},
            }
        )
        for record in records
    ]


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return problem(error)
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing"
    if isinstance(error, RowError):
        return str(error)
    if isinstance(error, UnicodeError):
        return "a text holds half a character (a lone surrogate)"
    return f"a field has the wrong type ({error})"


def _one_shape(rows: list[Row], folder: bool) -> Shape:
    where, first = rows[0]
    shape = detect(first)
    if shape is None:
        raise DataError(f"{where}: the columns {', '.join(first) or '(none)'} are not a known shape", _nearest(first))
    for place, row in rows[1:]:
        other = detect(row)
        if other is not shape:
            found = other.name if other else f"unknown columns {', '.join(row)}"
            fix = "name one of its files" if folder else "keep one shape per file"
            raise DataError(f"mixed shapes: {where} is {shape.name}, {place} is {found}", fix)
    return shape


def _nearest(row: Mapping[str, Any]) -> str:
    """The known shape whose fields are most like these columns, and how to get there."""
    names = list(row)

    def likeness(shape: Shape) -> float:
        best = [max((difflib.SequenceMatcher(None, f, n).ratio() for n in names), default=0.0) for f in shape.fields]
        return sum(best) / len(best) - 0.02 * len(shape.fields)

    shape = max((s for s in SHAPES if any(f not in names for f in s.fields)), key=likeness)
    missing = [f for f in shape.fields if f not in names]
    renames = {near[0]: f for f in missing if (near := difflib.get_close_matches(f, names, n=1, cutoff=0.5))}
    how = (
        f"rename {', '.join(f'{old} to {new}' for old, new in renames.items())}"
        if renames
        else f"add {', '.join(missing)}"
    )
    return f"nearest is {shape.name} ({', '.join(shape.fields)}): {how}"


# --- checking --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FileReport:
    """What `accord data check` shows."""

    source: str
    result: ReadResult

    def lines(self, examples: int = 2) -> list[str]:
        """For a terminal."""
        r = self.result
        found = kinds_counted(r.records) or counted(len(r.prompts), "prompt")
        lost = sum(r.dropped.values())
        lines = [f"{self.source}: {r.shape}", f"  {r.rows:,} rows: {r.rows - lost:,} kept, {lost:,} dropped; {found}"]
        lines += [f"  dropped {n:,}: {reason} (first at {r.first_dropped[reason]})" for reason, n in r.dropped.items()]
        lines += [f"  left out {n:,}: {reason}" for reason, n in r.left_out.items()]
        others = sorted({name for record in r.records for name in record.meta.get("columns", {})})
        if others:
            lines.append(f"  columns this format does not know, kept in meta: {', '.join(others)}")
        annotators = {record.annotator for record in r.records}
        if annotators:
            lines.append(f"  {counted(len(annotators), 'annotator')}")
        for record in r.records[:examples]:
            lines += ["", *_show(record)]
        return lines


def check_file(source: str | Path) -> FileReport:
    """Read a file as training would, and report."""
    return FileReport(str(source), read_feedback(source))


def _show(record: Feedback) -> Iterator[str]:
    turns = [record.prompt] if isinstance(record.prompt, str) else [f"{m.role}: {m.content}" for m in record.prompt]
    yield f"  [{record.kind}] {_short(' | '.join(turns))}"
    for option in sorted(record.options, key=lambda o: o.shown_at):
        yield f"    {option.id[:6]}  {_short(plain(option.content))}"
    choice = str(record.choice.model_dump(exclude_none=True, exclude_defaults=True))
    for option in record.options:
        choice = choice.replace(option.id, option.id[:6])
    yield f"    → {_short(choice)}"


def _short(text: str, limit: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
