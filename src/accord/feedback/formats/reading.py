"""Rows of a source: files, directories of splits or shards, globs, Hub data sets, lists of these;
lazily, within bounds.

What cannot be read is an error that names the place, or a counted drop where the other rows are not
in doubt:

| container | a bad row | refused as a whole |
|---|---|---|
| .jsonl | a line that is not a JSON object, too long or too deep | text in another encoding |
| .json | an entry that is not an object | the same; what is not JSON |
| .csv, .tsv | another width than the header, a stray quote in a line | the same; unclosed quotes |
| .parquet, .arrow | a value that Python cannot hold | a broken file |

Broken gzip is refused too. In all of them a row is dropped for an unpaired surrogate, a code point
that is not a character (U+FDD0), an integer of more than 100 digits, a key given twice, too deep a
nesting, binary data.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from accord.errors import DataError
from accord.feedback.formats.containers.locating import COLUMNAR, SUFFIXES, kind_of, located
from accord.feedback.formats.containers.notes import LOCAL, SENT, Bounds, Notes, NumberedRow, fault
from accord.feedback.formats.hints import check_columns, renamed
from accord.feedback.formats.names import KNOWN, tidied
from accord.feedback.formats.source import AnySpec, DataSource, sources

__all__ = [
    "LOCAL",
    "SENT",
    "SUFFIXES",
    "Bounds",
    "Notes",
    "NumberedRow",
    "RowsRead",
    "iter_rows",
    "kind_of",
    "read_rows",
    "read_sources",
    "read_stream",
]


@dataclass(frozen=True)
class RowsRead:
    """rows in order; dropped: rows that could not be read, per reason, with the first place;
    messages: lines for people."""

    rows: list[NumberedRow]
    dropped: Counter[str] = field(default_factory=Counter)
    first_dropped: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def read_rows(spec: AnySpec, bounds: Bounds = LOCAL) -> RowsRead:
    """All rows that `spec` names; of a list mixed evenly, by their shares.

    Raises DataError for a missing or empty source, for a split or configuration that the user must
    choose, and for what cannot be read; ConfigError for a spec that is none.
    """
    read = read_sources(spec, bounds)
    merged = RowsRead(mixed([r.rows for _, r in read]))
    for _, one in read:
        merged.dropped.update(one.dropped)
        merged.messages.extend(one.messages)
        for reason, where in one.first_dropped.items():
            merged.first_dropped.setdefault(reason, where)
    return merged


def read_sources(spec: AnySpec, bounds: Bounds = LOCAL) -> list[tuple[DataSource, RowsRead]]:
    """The rows of each source of `spec` on their own, with shares kept. Raises as `read_rows`."""
    data_sources = sources(spec)
    read = [_read(source, bounds) for source in data_sources]
    counts = _by_shares(data_sources, [len(r.rows) for r in read])
    return [
        (source, _thinned(source, one, n))
        for source, one, n in zip(data_sources, read, counts, strict=True)
    ]


def mixed(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """All lists as one, each spread evenly over it and in its own order."""
    if len(lists) == 1:
        return list(lists[0])
    places = [((i + 0.5) / len(one), k, i) for k, one in enumerate(lists) for i in range(len(one))]
    return [lists[k][i] for _, k, i in sorted(places)]


def _read(source: DataSource, bounds: Bounds) -> RowsRead:
    notes = Notes()
    rows = list(iter_rows(source, notes, bounds))
    if not rows:
        if not notes.dropped:
            raise DataError(f"{_called(source)} is empty", "it must hold at least one row")
        reasons = "; ".join(
            f"{n:,} × {why} (first at {notes.first[why]})" for why, n in notes.dropped.items()
        )
        lines = (
            "; .jsonl holds a row per line, a list of rows is .json"
            if ".jsonl" in source.path.lower()
            else ""
        )
        raise DataError(
            f"no row of {_called(source)} can be read: {reasons}",
            f"repair or remove these rows{lines}",
        )
    return RowsRead(rows, notes.dropped, notes.first, notes.messages)


def _called(source: DataSource) -> str:
    path = Path(source.path)
    return path.name if path.is_file() else str(source)


# --- shares ---------------------------------------------------------------------------------------
def _by_shares(data_sources: Sequence[DataSource], counts: Sequence[int]) -> list[int]:
    """How many rows to take of each, so that shares hold: all of those without one, or as many as
    the scarcest allows.

    Raises DataError where a source has too few rows for its share beside those that have none.
    """
    shares = [source.share for source in data_sources]
    free = sum(n for n, share in zip(counts, shares, strict=True) if share is None)
    if not any(shares):
        return list(counts)
    shares_total = sum(share for share in shares if share)
    total = (
        free / (1 - shares_total)
        if free
        else min(n / share for n, share in zip(counts, shares, strict=True) if share)
    )
    wanted = [
        n if share is None else round(share * total)
        for n, share in zip(counts, shares, strict=True)
    ]
    for source, n, want in zip(data_sources, counts, wanted, strict=True):
        if want > n:
            raise DataError(
                f"{source} has {n:,} rows, but its share of {source.share:g} beside {free:,} other"
                f" rows is {want:,}",
                "lower the share, or limit the others to"
                f" {int(n / source.share * (1 - shares_total)) if source.share else n:,} rows",
            )
    return wanted


def _thinned(source: DataSource, read: RowsRead, count: int) -> RowsRead:
    """`count` of the rows, evenly spread."""
    whole = len(read.rows)
    if count >= whole:
        return read
    rows = [read.rows[(2 * i + 1) * whole // (2 * count)] for i in range(count)]
    line = f"{source}: {count:,} of {whole:,} rows, for its share of {source.share:g}"
    return RowsRead(rows, read.dropped, read.first_dropped, [*read.messages, line])


# --- one source -----------------------------------------------------------------------------------
def iter_rows(source: DataSource, notes: Notes, bounds: Bounds = LOCAL) -> Iterator[NumberedRow]:
    """Row by row, at most `limit`; nothing is read ahead but what the container keeps together
    (.json: all of it).

    Columns are called by our names where the source says how. Raises as `read_rows`.
    """
    rows = islice(_sound(_found(source, notes, bounds), notes, bounds), source.limit)
    return tidied(_renamed(rows, source.columns) if source.columns else rows, notes)


def read_stream(
    name: str,
    stream: bytes | BinaryIO,
    notes: Notes,
    bounds: Bounds = LOCAL,
    encoding: str | None = None,
) -> Iterator[NumberedRow]:
    """Rows of a file at hand as bytes or as an open stream (Parquet and Arrow: one that can seek);
    the kind is told by the ending of `name`, which messages call it."""
    opened = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    return tidied(_sound(_from_stream(name, opened, notes, bounds, encoding), notes, bounds), notes)


def _sound(rows: Iterator[NumberedRow], notes: Notes, bounds: Bounds) -> Iterator[NumberedRow]:
    for number, (where, row) in enumerate(rows, 1):
        if number > bounds.rows:
            from accord.feedback.formats.containers.texts import too_many

            raise too_many(where.rsplit(" ", 2)[0], bounds.rows, "rows")
        if (reason := fault(row, bounds.depth)) is None:
            yield where, row
        else:
            notes.drop(where, reason)


def _renamed(rows: Iterator[NumberedRow], columns: Mapping[str, str]) -> Iterator[NumberedRow]:
    """Rows with our names for columns; once all are read, raises ConfigError for a column that no
    row had."""
    seen: dict[str, None] = {}
    for where, row in rows:
        seen.update(dict.fromkeys(row))
        yield where, renamed(row, columns, where)
    if seen:
        check_columns(columns, seen, KNOWN)


def _found(source: DataSource, notes: Notes, bounds: Bounds) -> Iterator[NumberedRow]:
    if (files := located(source, notes)) is not None:
        for name, path in files:
            yield from _file(path, name, source, notes, bounds)
        return
    from accord.feedback.formats.containers.hub import hub_rows

    yield from hub_rows(source, notes)


def _file(
    path: Path, name: str, source: DataSource, notes: Notes, bounds: Bounds
) -> Iterator[NumberedRow]:
    from accord.feedback.formats.containers.texts import unpacking

    kind_of(name)
    if not path.is_file():
        raise DataError(
            f"{name} is not a file", "give a file that can be read from its start to its end"
        )
    with unpacking(name):
        handle = open(path, "rb")  # noqa: SIM115 (closed below, after the last row)
    with handle:
        yield from _from_stream(name, handle, notes, bounds, source.encoding)


def _from_stream(
    name: str, stream: BinaryIO, notes: Notes, bounds: Bounds, encoding: str | None
) -> Iterator[NumberedRow]:
    suffix = kind_of(name)
    if suffix in COLUMNAR:
        from accord.feedback.formats.containers.columnar import arrow_rows, parquet_rows

        if encoding is not None:
            raise DataError(
                f"{name} is not a text file: it has no encoding to choose", "leave out encoding"
            )
        yield from (parquet_rows if suffix == ".parquet" else arrow_rows)(
            name, stream, notes, bounds
        )
        return
    from accord.feedback.formats.containers import delimited, jsons
    from accord.feedback.formats.containers.texts import Decoded

    text = Decoded(stream, name, bounds, encoding)
    if suffix == ".jsonl":
        yield from jsons.json_lines(name, text, notes, bounds)
    elif suffix == ".json":
        yield from jsons.json_rows(name, text, notes, bounds)
    else:
        yield from delimited.table_rows(name, text, notes, bounds, tabs=suffix == ".tsv")
