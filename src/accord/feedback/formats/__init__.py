"""Foreign data in, feedback records out; and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from accord.collector import without_collector
from accord.errors import DataError, by_reason, cut_short
from accord.feedback.formats.columns import (
    DERIVED,
    Left,
    RowError,
    Watched,
    can_keep,
    check_understood,
    check_unjudged,
    check_used,
    prompt_of,
)
from accord.feedback.formats.exports import EXPORTS, Exported, export, export_rows
from accord.feedback.formats.hints import nearest
from accord.feedback.formats.label_columns import LabelColumns
from accord.feedback.formats.reading import (
    LOCAL,
    Bounds,
    NumberedRow,
    RowsRead,
    mixed,
    read_sources,
)
from accord.feedback.formats.shape import Shape
from accord.feedback.formats.shapes import GENERAL, detect
from accord.feedback.formats.source import AnySpec, DataSource, name_of
from accord.feedback.formats.turns import is_conversation, unread
from accord.feedback.formats.values import empty, unpacked
from accord.feedback.records import Feedback, content_id, plain, problem
from accord.feedback.words import counted, kinds_counted

__all__ = [
    "EXPORTS", "Exported", "FileReport", "ReadResult", "check_file", "export", "export_rows", "plain", "read_feedback",  # noqa: E501
]  # fmt: skip


PARSING_ERRORS = (ValueError, LookupError, TypeError, AttributeError)
"""What a parser raises for a row that cannot be used."""


@dataclass(frozen=True)
class ReadResult:
    """records in file order; prompts of prompt-only rows (as `Feedback.asked`); dropped: rows per
    reason, and the first place of each;
    left_out: parts of rows that were read which no record holds, per reason; messages: what else
    people should know, such as which splits were not read; places: where each record stands in its
    file, by its id (of repeated ones the first)."""

    shape: str
    rows: int
    records: list[Feedback]
    prompts: list[Any]
    dropped: dict[str, int]
    first_dropped: dict[str, str]
    left_out: dict[str, int]
    messages: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict, repr=False)


@without_collector()
def read_feedback(spec: AnySpec, bounds: Bounds = LOCAL) -> ReadResult:
    """Recognise the shape of the rows of each source and turn them into records.

    A row that cannot be used is dropped and counted with its reason. Raises DataError when a file
    cannot be read, its columns are not known, shapes are mixed within a source, or nothing is left
    of one.
    """
    return _merged([read_as(source, read) for source, read in read_sources(spec, bounds)])


def _merged(results: Sequence[ReadResult]) -> ReadResult:
    """What several sources hold, as one: records are mixed evenly."""
    if len(results) == 1:
        return results[0]
    dropped: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}
    places: dict[str, str] = {}
    for one in results:
        places = {**one.places, **places}
        dropped.update(one.dropped)
        left_out.update(one.left_out)
        first = {**one.first_dropped, **first}
    return ReadResult(
        " and ".join(dict.fromkeys(one.shape for one in results)),
        sum(one.rows for one in results),
        mixed([one.records for one in results]),
        mixed([one.prompts for one in results]),
        dict(dropped),
        first,
        dict(left_out),
        [line for one in results for line in one.messages],
        places,
    )


def read_as(source: DataSource, read: RowsRead) -> ReadResult:
    """The rows of one source as records; the same errors."""
    rows, path = conversations_unpacked(read.rows), Path(source.path)
    shape = _one_shape(rows, path.is_dir())
    values = LabelColumns.of(shape, [row for _, row in rows], source.labels)
    parse = shape.parser([row for _, row in rows], path)
    records: list[Feedback] = []
    places: dict[str, str] = {}
    prompts: list[Any] = []
    dropped, left_out = Counter(read.dropped), Counter[str]()
    first, own_columns = dict(read.first_dropped), {*shape.fields, *shape.optional}
    for where, row in rows:
        try:
            check_understood(row, own_columns)
            watched = Watched(values.read(row))
            parsed = list(parse(watched))
            check_unjudged(row, parsed, values.known)
            parsed += (
                []
                if shape.keeps
                else [Left(f"column {name!r}") for name in check_used(watched, values.known)]
            )
            if shape.name == "TRL prompt-only":
                prompts.append(prompt_of(row))
        except PARSING_ERRORS as error:
            reason = reason_of(error)
            dropped[reason] += 1
            first.setdefault(reason, where)
            continue
        for part in parsed:
            if isinstance(part, Left):
                left_out[part.reason] += 1
        row_records = [part for part in parsed if isinstance(part, Feedback)]
        if not shape.keeps:
            for name, value in row.items():
                if name in values.known and name not in shape.counts and not isinstance(value, str):
                    left_out.update(unread(value))
            row_records = _with_columns(row_records, row, values.known, left_out)
        records += row_records
        for record in row_records:
            places.setdefault(record.id, where)
    if not records and not prompts:
        reasons = "; ".join(
            f"{reason} (first at {first[reason]})" for reason in dropped
        ) or by_reason(left_out)
        raise DataError(
            f"none of {len(rows)} rows of {source} can be used: {reasons}",
            "mend them, or say which columns are meant (--columns OURS=THEIRS): they were read as"
            f" {shape.name}",
        )
    total, messages = (
        len(rows) + read.dropped.total(),
        [*read.messages, *filter(None, [shape.note])],
    )
    if source.labels is not None and not values.schemes:
        messages.append(
            f"labels: {source.labels} changes nothing: {shape.name} has no column of labels here"
        )
    return ReadResult(
        shape.name, total, records, prompts, dict(dropped), first, dict(left_out), messages, places
    )


_CONVERSATIONS = (
    "prompt",
    "chosen",
    "rejected",
    "completion",
    "response",
    "messages",
    "conversations",
)


def conversations_unpacked(rows: list[NumberedRow]) -> list[NumberedRow]:
    """Rows in which columns whose cells are all conversations in JSON, as tables hold them, are
    lists of messages. Rows that accord wrote say themselves what is text."""
    if any(name in row for _, row in rows for name in ("record_id", "prompt_type", "options")):
        return rows
    columns = [name for name in _CONVERSATIONS if _holds_json(name, rows)]
    if not columns:
        return rows
    return [
        (where, {n: unpacked(v, n) if n in columns and not empty(v) else v for n, v in row.items()})
        for where, row in rows
    ]


def _holds_json(name: str, rows: list[NumberedRow]) -> bool:
    """Raises DataError for a column of conversations as Python prints them."""
    any_json = False
    for where, row in rows:
        if empty(value := row.get(name)):
            continue
        if not isinstance(value, str) or not value.lstrip().startswith("[{"):
            return False
        try:
            if not is_conversation(unpacked(value, name)):
                return False
        except RowError:
            if value.lstrip().startswith("[{'"):
                raise DataError(
                    f"{where}: the column {name!r} holds messages as Python prints them",
                    "write them as JSON, or the file as JSONL",
                ) from None
            return False
        any_json = True
    return any_json


def _with_columns(
    records: list[Feedback], row: Mapping[str, Any], known: set[str], left_out: Counter[str]
) -> list[Feedback]:
    """Records that keep the texts, numbers and truth values of columns that their shape does not
    know."""
    own = not empty(row.get("record_id"))
    known = known if own else known - DERIVED
    other = {name: value for name, value in row.items() if name not in known and not empty(value)}
    columns = {name: value for name, value in other.items() if can_keep(value)} if records else {}
    if not other:
        return records
    left_out.update(f"column {name!r}" for name in other if records and name not in columns)
    if not columns:
        return records
    return [
        record.model_copy(
            update={
                "id": record.id if own else content_id(record.id, columns),
                "meta": {**record.meta, "columns": columns},
            }
        )
        for record in records
    ]


def reason_of(error: Exception) -> str:
    """Why a row cannot be used, of what its parser raised."""
    if isinstance(error, ValidationError):
        return problem(error)
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing"
    if isinstance(error, RowError):
        return str(error)
    return f"a field has the wrong type ({error})"


def _one_shape(rows: list[NumberedRow], folder: bool) -> Shape:
    where, first = rows[0]
    shape = detect(first)
    if shape is None:
        hint = nearest([*first], [(one.name, one.fields) for one in GENERAL])
        raise DataError(
            f"{where}: the columns {cut_short(', '.join(first), 1000) or '(none)'} "
            "are not a known shape",
            hint,
        )
    for place, row in rows[1:]:
        other = detect(row)
        if other is not shape:
            other_name = other.name if other else f"unknown columns {', '.join(row)}"
            fix = "name one of its files" if folder else "keep one shape per file"
            raise DataError(f"mixed shapes: {where} is {shape.name}, {place} is {other_name}", fix)
    return shape


# --- checking -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FileReport:
    """What `accord data check` shows."""

    source: str
    result: ReadResult

    def lines(self, examples: int = 2) -> list[str]:
        """For a terminal."""
        r = self.result
        kinds = kinds_counted(r.records) or counted(len(r.prompts), "prompt")
        lost = sum(r.dropped.values())
        lines = [
            f"{self.source}: {r.shape}",
            f"  {r.rows:,} rows: {r.rows - lost:,} kept, {lost:,} dropped; {kinds}",
        ]
        lines += [f"  {line}" for line in r.messages]
        lines += [
            f"  dropped {n:,}: {reason} (first at {r.first_dropped[reason]})"
            for reason, n in r.dropped.items()
        ]
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


def check_file(spec: AnySpec) -> FileReport:
    """Read data as training would, and report."""
    return FileReport(name_of(spec), read_feedback(spec))


def _show(record: Feedback) -> Iterator[str]:
    turns = (
        [record.prompt]
        if isinstance(record.prompt, str)
        else [f"{m.role}: {m.said}" for m in record.prompt]
    )
    yield f"  [{record.kind}] {_short(' | '.join(turns))}"
    for option in record.in_order:
        yield f"    {option.id[:6]}  {_short(plain(option.content))}"
    choice = str(record.choice.model_dump(exclude_none=True, exclude_defaults=True))
    for option in record.options:
        choice = choice.replace(option.id, option.id[:6])
    yield f"    → {_short(choice)}"


def _short(text: str, limit: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
