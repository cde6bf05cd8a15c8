"""Rows of a source: files, directories of splits or shards, globs, Hub data sets, lists of these; lazily, within bounds.

What cannot be read is an error that names the place, or a counted drop where the other rows are not in doubt:

| container | a bad row | refused as a whole |
|---|---|---|
| .jsonl | a line that is no JSON object, too long or too deep | text that is not UTF-8 (or what is asked), broken gzip |
| .json | an entry that is no object | the same; what is not JSON |
| .csv, .tsv | another width than the header, a stray quote within a line | the same; quotes that leave unknown where rows begin |
| .parquet, .arrow | a value that Python cannot hold | a broken file |

In all of them a row is dropped for a lone surrogate, a code point that is no character (U+FDD0), an integer of more than
100 digits, a key given twice, too deep a nesting, binary data.
"""

from __future__ import annotations

import glob
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from accord.errors import DataError
from accord.feedback.formats.containers import splits
from accord.feedback.formats.containers.notes import LOCAL, Bounds, Notes, Row, fault
from accord.feedback.formats.hints import check_columns, renamed
from accord.feedback.formats.names import KNOWN, tidied
from accord.feedback.formats.source import AnySpec, DataSource, sources

__all__ = [
    "LOCAL",
    "SUFFIXES",
    "Bounds",
    "Notes",
    "Row",
    "RowsRead",
    "iter_rows",
    "read_rows",
    "read_sources",
    "read_stream",
]

_TEXT = (".jsonl", ".json", ".csv", ".tsv")
_COLUMNAR = (".parquet", ".arrow")
SUFFIXES = (*_TEXT, *_COLUMNAR)
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
_GLOB = re.compile(r"[*?\[]")
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "settings.json")
_ABOUT_ENDINGS = (".card.json", ".about.jsonl", ".md")
"""Files of a directory that tell about its data and are none."""
_MODEL = ("model.safetensors", "model.safetensors.index.json", "adapter_config.json", "tokenizer_config.json")
_ADVICE = {
    ".xlsx": "save it as CSV UTF-8", ".xls": "save it as CSV UTF-8", ".ods": "save it as CSV",
    ".txt": "rename it to what it is: .tsv for a spreadsheet's Unicode text, .jsonl for a row per line",
}  # fmt: skip


@dataclass(frozen=True)
class RowsRead:
    """rows in order; dropped: rows that could not be read, per reason, with the first place; said: lines for people."""

    rows: list[Row]
    dropped: Counter[str] = field(default_factory=Counter)
    first_dropped: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def read_rows(spec: AnySpec, bounds: Bounds = LOCAL) -> RowsRead:
    """All rows that `spec` names; of a list mixed evenly, by their shares.

    Raises DataError for a missing or empty source, for a split or configuration that the user must choose, and for what
    cannot be read; ConfigError for a spec that is none.
    """
    read = read_sources(spec, bounds)
    merged = RowsRead(mixed([r.rows for _, r in read]))
    for _, one in read:
        merged.dropped.update(one.dropped)
        merged.said.extend(one.said)
        for reason, where in one.first_dropped.items():
            merged.first_dropped.setdefault(reason, where)
    return merged


def read_sources(spec: AnySpec, bounds: Bounds = LOCAL) -> list[tuple[DataSource, RowsRead]]:
    """The rows of each source of `spec` on their own, with shares kept. Raises as `read_rows`."""
    found = sources(spec)
    read = [_read(source, bounds) for source in found]
    counts = _by_shares(found, [len(r.rows) for r in read])
    return [(source, _thinned(source, one, n)) for source, one, n in zip(found, read, counts, strict=True)]


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
        reasons = "; ".join(f"{n:,} × {why} (first at {notes.first[why]})" for why, n in notes.dropped.items())
        raise DataError(f"no row of {_called(source)} can be read: {reasons}", "repair or remove these rows")
    return RowsRead(rows, notes.dropped, notes.first, notes.said)


def _called(source: DataSource) -> str:
    path = Path(source.path)
    return path.name if path.is_file() else str(source)


# --- shares ----------------------------------------------------------------------------------------------------------------
def _by_shares(found: Sequence[DataSource], counts: Sequence[int]) -> list[int]:
    """How many rows to take of each, so that shares hold: all of those without one, or as many as the scarcest allows.

    Raises DataError where a source has too few rows for its share beside those that have none.
    """
    shares = [source.share for source in found]
    free = sum(n for n, share in zip(counts, shares, strict=True) if share is None)
    if not any(shares):
        return list(counts)
    told = sum(share for share in shares if share)
    total = free / (1 - told) if free else min(n / share for n, share in zip(counts, shares, strict=True) if share)
    wanted = [n if share is None else round(share * total) for n, share in zip(counts, shares, strict=True)]
    for source, n, want in zip(found, counts, wanted, strict=True):
        if want > n:
            raise DataError(
                f"{source} has {n:,} rows, but its share of {source.share:g} beside {free:,} other rows is {want:,}",
                f"lower the share, or limit the others to {int(n / source.share * (1 - told)) if source.share else n:,} rows",
            )
    return wanted


def _thinned(source: DataSource, read: RowsRead, count: int) -> RowsRead:
    """`count` of the rows, evenly spread."""
    whole = len(read.rows)
    if count >= whole:
        return read
    rows = [read.rows[(2 * i + 1) * whole // (2 * count)] for i in range(count)]
    line = f"{source}: {count:,} of {whole:,} rows, for its share of {source.share:g}"
    return RowsRead(rows, read.dropped, read.first_dropped, [*read.said, line])


# --- one source --------------------------------------------------------------------------------------------------------------
def iter_rows(source: DataSource, notes: Notes, bounds: Bounds = LOCAL) -> Iterator[Row]:
    """Row by row, at most `limit`; nothing is read ahead but what the container keeps together (.json: all of it).

    Columns are called by our names where the source says how. Raises as `read_rows`.
    """
    rows = islice(_sound(_found(source, notes, bounds), notes, bounds), source.limit)
    return tidied(_renamed(rows, source.columns) if source.columns else rows, notes)


def read_stream(
    name: str, stream: bytes | BinaryIO, notes: Notes, bounds: Bounds = LOCAL, encoding: str | None = None
) -> Iterator[Row]:
    """Rows of a file at hand as bytes or as an open stream (Parquet and Arrow: one that can seek); the kind is told by
    the ending of `name`, which messages call it."""
    opened = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    return tidied(_sound(_from_stream(name, opened, notes, bounds, encoding), notes, bounds), notes)


def _sound(rows: Iterator[Row], notes: Notes, bounds: Bounds) -> Iterator[Row]:
    for where, row in rows:
        if (reason := fault(row, bounds.depth)) is None:
            yield where, row
        else:
            notes.drop(where, reason)


def _renamed(rows: Iterator[Row], columns: Mapping[str, str]) -> Iterator[Row]:
    """Rows with our names for columns; once all are read, raises ConfigError for a column that no row had."""
    seen: dict[str, None] = {}
    for where, row in rows:
        seen.update(dict.fromkeys(row))
        yield where, renamed(row, columns, where)
    if seen:
        check_columns(columns, seen, KNOWN)


def _found(source: DataSource, notes: Notes, bounds: Bounds) -> Iterator[Row]:
    path = Path(source.path)
    if path.is_dir():
        return _directory(path, source, notes, bounds)
    if path.exists():
        if source.split is not None or source.config is not None:
            raise DataError(f"{path.name} is one file: it has no split or configuration to choose", "leave them out")
        _local_only(source)
        return _file(path, path.name, source, notes, bounds)
    if _GLOB.search(source.path):
        return _globbed(source, notes, bounds)
    if _HUB_ID.match(source.path) and _suffix(path) not in (*SUFFIXES, *_ADVICE):
        from accord.feedback.formats.containers.hub import hub_rows

        return hub_rows(source, notes)
    raise DataError(f"there is no file {source.path}", "check the path; a Hub id looks like owner/name")


def _local_only(source: DataSource) -> None:
    if source.revision is not None:
        raise DataError(f"{source.path} lies here: it has no revision to choose", "leave out revision")


def _directory(folder: Path, source: DataSource, notes: Notes, bounds: Bounds) -> Iterator[Row]:
    from accord.feedback.formats.containers.columnar import is_saved, saved_files, saved_splits

    _local_only(source)
    if is_saved(folder):
        layout = splits.Layout({"": {None: saved_files(folder)}})
    elif (saved := saved_splits(folder)) is not None:
        layout = splits.Layout({"": {name: saved_files(inner) for name, inner in saved.items()}})
    else:
        layout = splits.layout_of(folder, _data_files(folder, notes))
    return _files(folder, layout, source, notes, bounds)


def _globbed(source: DataSource, notes: Notes, bounds: Bounds) -> Iterator[Row]:
    _local_only(source)
    matches = [Path(place) for place in sorted(glob.glob(source.path, recursive=True)) if Path(place).is_file()]
    files = [file for file in matches if _suffix(file) in SUFFIXES and not _about(file)]
    if not files:
        raise DataError(
            f"no data file matches {source.path}", f"known endings: {', '.join(SUFFIXES)}, text also with .gz"
        )
    _say_others(source.path, [file.name for file in matches if file not in files and not _about(file)], notes)
    before = source.path[: match.start()] if (match := _GLOB.search(source.path)) else ""
    folder = Path(before) if before.endswith("/") else Path(before).parent
    return _files(folder, splits.by_names(folder, files), source, notes, bounds, only=True)


def _files(
    folder: Path, layout: splits.Layout, source: DataSource, notes: Notes, bounds: Bounds, only: bool = False
) -> Iterator[Row]:
    files, said = splits.chosen(layout, source.path, source.config, source.split, only)
    for line in said:
        notes.say(line)
    for file in files:
        yield from _file(file, file.relative_to(folder).as_posix(), source, notes, bounds)


def _data_files(folder: Path, notes: Notes) -> list[Path]:
    """Of a directory: what is neither hidden nor about the data, in order; other kinds of files are said."""
    if held := next((name for name in _MODEL if (folder / name).is_file()), None):
        raise DataError(
            f"{folder} is a model's directory (it holds {held}), not data", "name a file or directory of data"
        )
    seen = [f for f in sorted(folder.rglob("*")) if f.is_file() and not _hidden(f, folder) and not _about(f)]
    files = [f for f in seen if _suffix(f) in SUFFIXES]
    if not files:
        raise DataError(f"{folder} holds no data file", f"known endings: {', '.join(SUFFIXES)}, text also with .gz")
    _say_others(str(folder), [f.name for f in seen if f not in files], notes)
    return files


def _say_others(where: str, others: Sequence[str], notes: Notes) -> None:
    if others:
        more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        notes.say(f"{where}: not read, as no data: {', '.join(others[:3])}{more}")


def _about(file: Path) -> bool:
    return file.name in _ABOUT or file.name.lower().endswith(_ABOUT_ENDINGS)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _suffix(path: Path) -> str:
    return (path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix).lower()


def _file(path: Path, name: str, source: DataSource, notes: Notes, bounds: Bounds) -> Iterator[Row]:
    from accord.feedback.formats.containers.texts import unpacking

    _check_kind(name)
    if not path.is_file():
        raise DataError(f"{name} is no file", "give a file that can be read from its start to its end")
    with unpacking(name):
        handle = open(path, "rb")  # noqa: SIM115 (closed below, after the last row)
    with handle:
        yield from _from_stream(name, handle, notes, bounds, source.encoding)


def _check_kind(name: str) -> str:
    suffix = _suffix(Path(name))
    if suffix not in SUFFIXES:
        known = f"use {', '.join(SUFFIXES)}, text also with .gz"
        raise DataError(f"{name}: the ending {suffix or '(none)'} is not known", _ADVICE.get(suffix, known))
    if suffix in _COLUMNAR and name.lower().endswith(".gz"):
        raise DataError(f"{name}: {suffix} is compressed within, not by gzip", "unpack it first")
    return suffix


def _from_stream(name: str, stream: BinaryIO, notes: Notes, bounds: Bounds, encoding: str | None) -> Iterator[Row]:
    suffix = _check_kind(name)
    if suffix in _COLUMNAR:
        from accord.feedback.formats.containers.columnar import arrow_rows, parquet_rows

        if encoding is not None:
            raise DataError(f"{name} is no text: it has no encoding to choose", "leave out encoding")
        yield from (parquet_rows if suffix == ".parquet" else arrow_rows)(name, stream, notes, bounds)
        return
    from accord.feedback.formats.containers import delimited, jsons
    from accord.feedback.formats.containers.texts import Decoded

    text = Decoded(stream, name, bounds, encoding)
    if suffix == ".jsonl":
        yield from jsons.json_lines(name, text, notes)
    elif suffix == ".json":
        yield from jsons.json_rows(name, text, notes, bounds)
    else:
        yield from delimited.table_rows(name, text, notes, bounds, tabs=suffix == ".tsv")
