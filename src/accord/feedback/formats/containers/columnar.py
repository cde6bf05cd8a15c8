"""Parquet, Arrow files and streams: read batch by batch, each batch checked."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet, types

from accord.errors import DataError
from accord.feedback.formats.containers.arrow_sizes import unpacked_bytes
from accord.feedback.formats.containers.notes import (
    Bounds,
    Notes,
    NumberedRow,
    Unreadable,
    fault,
    shortened,
)
from accord.feedback.formats.containers.parquet_sizes import page_sizes
from accord.feedback.formats.containers.texts import too_large, too_many


def _at_once(bounds: Bounds) -> int:
    """Rows that are unpacked at a time: few bytes may stand for many (one long text, said a
    thousand times), and what they come to is known only then."""
    return max(1, min(256, bounds.unpacked >> 28))


_WHAT_FAILS = (
    pa.ArrowException,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    IndexError,
    struct.error,
)


def parquet_rows(
    name: str, stream: BinaryIO, notes: Notes, bounds: Bounds
) -> Iterator[NumberedRow]:
    """Rows of a Parquet file, read by row groups. A broken file is refused as a whole."""
    with _readable(name):
        file = parquet.ParquetFile(pa.PythonFile(stream, mode="r"), pre_buffer=False)
        _check_pages(name, file.metadata, stream, bounds)
        yield from _rows(
            name,
            file.schema_arrow,
            file.iter_batches(batch_size=_at_once(bounds), use_threads=False),
            notes,
            bounds,
        )


def _check_pages(name: str, meta: parquet.FileMetaData, stream: BinaryIO, bounds: Bounds) -> None:
    """Raises DataError for more rows, pages or unpacked bytes than the bounds. What the footer says
    may be less than what the pages say, and those are what is allocated."""
    if meta.num_rows > bounds.rows:
        raise too_many(name, bounds.rows, "rows")
    total, most = 0, bounds.rows // 10
    for pages, size in enumerate(page_sizes(meta, stream), 1):
        total += size
        if total > bounds.unpacked:
            raise too_large(name, bounds.unpacked)
        if pages > most:
            raise too_many(name, most, "pages")


def arrow_rows(name: str, stream: BinaryIO, notes: Notes, bounds: Bounds) -> Iterator[NumberedRow]:
    """Rows of an Arrow file or stream, batch by batch. A broken file is refused as a whole, and one
    that would unpack to too much before it is unpacked.

    A file is read as the stream that it holds between its magic number and its footer.
    """
    with _readable(name):
        opened = pa.PythonFile(stream, mode="r")
        start = 8 if bytes(opened.read(6)) == b"ARROW1" else 0
        opened.seek(start)
        total = 0
        for message in pa.ipc.MessageReader.open_stream(opened):
            total += unpacked_bytes(message)
            if total > bounds.unpacked:
                raise too_large(name, bounds.unpacked)
        opened.seek(start)
        reader = pa.ipc.open_stream(opened)
        yield from _rows(name, reader.schema, iter(reader), notes, bounds)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """What pyarrow cannot read as a DataError that names the file."""
    try:
        yield
    except _WHAT_FAILS as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"cannot read {name}: {first}", "check the file; is it complete?") from None


def _rows(
    name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch], notes: Notes, bounds: Bounds
) -> Iterator[NumberedRow]:
    twice = next((column for column, n in Counter(schema.names).items() if n > 1), None)
    if twice is not None:
        raise DataError(f"{name}: the column {shortened(twice)} stands twice", "rename one of them")
    other = [field.name for field in schema if not _is_json(field.type)]
    calling = [field.name for field in schema if _may_call(field)]
    sharing = [field.name for field in schema if _may_share(field.type)]
    plain = [column for column in schema.names if column not in sharing]
    number, step, held = 0, _at_once(bounds), _Held(name, bounds)
    for batch in batches:
        batch.validate(full=True)
        for array in map(batch.column, plain):
            held.add(array.nbytes, _values(array))
        for array in map(batch.column, sharing):  # counted by rows; here what one row may hold
            held.check(0, _values(array))
        for start in range(0, batch.num_rows, step):
            for row in _listed(batch.slice(start, step)):
                number += 1
                where = f"{name} row {number}"
                if row is None:
                    notes.drop(
                        where,
                        "a value cannot be read (an unpaired surrogate, or a time out of range)",
                    )
                    continue
                for column in sharing:
                    held.add_value(row[column])
                for column in other:
                    row[column] = json_value(row[column])
                for column in calling:
                    row[column] = without_gaps({column: row[column]}).get(column)
                yield where, row


# --- by column ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Column:
    """Values of rows: `values` themselves, or, with `index`, values[index] (each stands once)."""

    values: Sequence[Any]
    index: NDArray[np.int64] | None = None

    def __getitem__(self, row: int) -> Any:
        return self.values[row if self.index is None else int(self.index[row])]

    def __len__(self) -> int:
        return len(self.values if self.index is None else self.index)


def encoded_columns(path: Path, batch: int, bounds: Bounds) -> Iterator[dict[str, Column] | None]:
    """The rows of a Parquet file, `batch` at a time, by column; None, and no more, where a column
    holds anything but texts, numbers and truth values, a value that no row may hold, or more than
    the bounds (`parquet_rows` says then what is wrong).

    Texts that the file holds once for many rows stay so: unpacked they could be of any size.
    """
    try:
        with open(path, "rb") as stream, parquet.ParquetFile(stream) as file:
            schema = file.schema_arrow
            flat = all(any(test(field.type) for test in _FLAT) for field in schema)
            if not flat or len({*schema.names}) < len(schema.names):
                yield None
                return
            _check_pages(path.name, file.metadata, stream, bounds)
            texts = [field.name for field in schema if any(t(field.type) for t in _TEXTS)]
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            for rows in file.iter_batches(batch_size=batch, use_threads=False):
                columns = {name: _encoded(rows.column(name)) for name in schema.names}
                if any(fault({name: list(c.values)}, 2) for name, c in columns.items()):
                    yield None
                    return
                yield columns
    except (DataError, *_WHAT_FAILS):
        yield None


_TEXTS = (types.is_string, types.is_large_string)
_FLAT = (types.is_boolean, types.is_integer, types.is_floating, *_TEXTS)


def _encoded(array: pa.Array) -> Column:
    """A column with each of its values once."""
    encoded = array if types.is_dictionary(array.type) else array.dictionary_encode()
    encoded.validate(full=True)
    size = len(encoded.dictionary)
    index = encoded.indices.fill_null(size).to_numpy(zero_copy_only=False).astype(np.int64)
    used, place = np.unique(index, return_inverse=True)  # a file may hold values that no row has
    values = encoded.dictionary.take(pa.array(used[used < size])).to_pylist()
    return Column(values + [None] * (len(used) - len(values)), place)


# --- how much it is -------------------------------------------------------------------------------
class _Held:
    """What the rows of a file come to; refuses more than the bounds."""

    def __init__(self, name: str, bounds: Bounds) -> None:
        self.name, self.bounds = name, bounds
        self.size = self.values = 0

    def add(self, size: int, values: int) -> None:
        """So many bytes and values more."""
        self.size += size
        self.values += values
        self.check(self.size, self.values)

    def check(self, size: int, values: int) -> None:
        """Raises DataError for more than the bounds."""
        if size > self.bounds.unpacked:
            raise too_large(self.name, self.bounds.unpacked)
        if values > self.bounds.values:
            raise too_many(self.name, self.bounds.values, "values")

    def add_value(self, value: Any) -> None:
        """A value with all that is in it, once it has been made for a row."""
        self.add(len(value) if isinstance(value, (str, bytes)) else 0, 1)
        if isinstance(value, dict):
            value = [*value.values()]
        if isinstance(value, (list, tuple)):
            for part in value:
                self.add_value(part)


def _may_share(kind: pa.DataType) -> bool:
    """Whether many rows may stand for one and the same value in the file: reading makes it anew for
    each of them, so that a few bytes can come to any number of texts and lists."""
    if isinstance(kind, pa.BaseExtensionType):
        return _may_share(kind.storage_type)
    if types.is_struct(kind):
        return any(_may_share(part.type) for part in kind)
    if _is_list(kind):
        return _may_share(kind.value_type)
    if types.is_map(kind):
        return _may_share(kind.key_type) or _may_share(kind.item_type)
    return any(test(kind) for test in _SHARING)


_SHARING = (
    types.is_dictionary, types.is_run_end_encoded, types.is_union, types.is_list_view,
    types.is_large_list_view, types.is_string_view, types.is_binary_view,
)  # fmt: skip


def _values(array: pa.Array) -> int:
    """How many values an array holds, those within lists and objects too; what rows share, once."""
    kind, count = array.type, len(array)
    if isinstance(kind, pa.BaseExtensionType):
        return _values(array.storage)
    if types.is_struct(kind):
        return count + sum(map(_values, array.flatten()))
    if _is_list(kind) or types.is_map(kind):
        return count + _values(array.flatten())
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        return count + _values(array.values)
    if types.is_union(kind):
        return count + sum(_values(array.field(i)) for i in range(kind.num_fields))
    if types.is_dictionary(kind):  # the entries themselves are no more than the rows they stand for
        return count + _values(array.dictionary) - len(array.dictionary)
    if types.is_run_end_encoded(kind):
        return count + _values(array.values) - len(array.values)
    return count


def _listed(batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    """The rows as Python values; None for one that has no such value."""
    try:
        return list(batch.to_pylist(maps_as_pydicts="strict"))
    except _WHAT_FAILS:
        if batch.num_rows == 1:
            return [None]
    half = batch.num_rows // 2
    return _listed(batch.slice(0, half)) + _listed(batch.slice(half))


# --- values JSON has no word for ------------------------------------------------------------------
_JSON_TYPES = (
    types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string, types.is_string_view,  # noqa: E501
    types.is_null,
)  # fmt: skip


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_json(kind: pa.DataType) -> bool:
    """Values of this Arrow type are, in Python, what JSON would hold."""
    if types.is_dictionary(kind):
        return _is_json(kind.value_type)
    if types.is_struct(kind):
        return all(_is_json(part.type) for part in kind)
    if _is_list(kind):
        return _is_json(kind.value_type)
    return any(test(kind) for test in _JSON_TYPES)


_CALLING = ("tools", "functions", "tool_calls", "function_call", "chat_template_kwargs")
"""Fields whose objects have names of their own, which a column of a columnar file gives to all of
them."""


def _may_call(field: pa.Field) -> bool:
    """Whether objects that differ in their names stand in a column, as tools and the arguments of
    their calls do."""
    kind = field.type
    while _is_list(kind):
        kind = kind.value_type
    return types.is_struct(kind) and (
        field.name in _CALLING or any(_may_call(part) for part in kind)
    )


def without_gaps(value: Any, calling: bool = False) -> Any:
    """A value in which tools and calls have no names that are empty: a columnar file gives every
    call the arguments of all others, as nulls."""
    if isinstance(value, list):
        return [without_gaps(part, calling) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_gaps(part, calling or name in _CALLING)
        for name, part in value.items()
        if not (calling and part is None)
    }


def json_value(value: Any) -> Any:
    """Times as ISO 8601, decimal numbers as numbers; anything else (bytes, durations) makes the row
    unreadable."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [json_value(part) for part in value]
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            return Unreadable("holds a table whose keys are not text")
        return {name: json_value(part) for name, part in value.items()}
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal) and math.isfinite(value):
        return (
            int(value)
            if value == value.to_integral_value() and abs(value) < 1 << 64
            else float(value)
        )
    fault = (
        "binary data" if isinstance(value, bytes) else f"a value of the type {type(value).__name__}"
    )
    return Unreadable(f"holds {fault}, not text")
