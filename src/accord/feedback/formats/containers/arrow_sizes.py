"""What an Arrow stream says its compressed buffers unpack to, read before anything is unpacked.

A record batch's message is a FlatBuffers table that lists where its buffers lie in the body; a
compressed buffer begins with its unpacked length, which the decompressor is held to (Arrow columnar
format, "Serialization and Interprocess Communication").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

_HEADER_TYPE, _HEADER = 1, 2
"""Fields of Message: the kind of its header, and the header."""
_DICTIONARY, _BATCH = 2, 3
"""Kinds of header: a DictionaryBatch (its field 1 is a RecordBatch), a RecordBatch."""
_BUFFERS, _COMPRESSION = 2, 3
"""Fields of RecordBatch: a vector of (offset, length) in the body, and how they are packed."""


def unpacked_bytes(message: pa.ipc.Message) -> int:
    """Bytes that the message's body comes to: the length of one that is not compressed. Raises
    ValueError, struct.error or IndexError where the message is not what it should be."""
    if message.body is None:
        return 0
    body = memoryview(message.body)
    sizes = _declared(memoryview(message.metadata), body)
    return len(body) if sizes is None else sum(sizes)


def _declared(metadata: memoryview, body: memoryview) -> Iterator[int] | None:
    """Unpacked lengths of the buffers; None where nothing is compressed."""
    table = struct.unpack_from("<I", metadata, 0)[0]
    kind = _field(metadata, table, _HEADER_TYPE)
    header = _field(metadata, table, _HEADER)
    if kind is None or header is None or metadata[kind] not in (_DICTIONARY, _BATCH):
        return None
    batch = _target(metadata, header)
    if metadata[kind] == _DICTIONARY:
        data = _field(metadata, batch, 1)
        if data is None:
            raise ValueError("a dictionary without data")
        batch = _target(metadata, data)
    buffers = _field(metadata, batch, _BUFFERS)
    if buffers is None or _field(metadata, batch, _COMPRESSION) is None:
        return None
    return _lengths(metadata, _target(metadata, buffers), body)


def _lengths(metadata: memoryview, vector: int, body: memoryview) -> Iterator[int]:
    count = struct.unpack_from("<I", metadata, vector)[0]
    for offset, length in struct.iter_unpack("<qq", metadata[vector + 4 : vector + 4 + 16 * count]):
        if length:
            size = struct.unpack_from("<q", body, offset)[0]
            if size < -1:
                raise ValueError("a buffer of a negative length")
            yield length if size == -1 else size  # -1: this one is not compressed


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Where a table's field lies; None if it is not there."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    at = 4 + 2 * number
    if at >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset: int = struct.unpack_from("<H", data, vtable + at)[0]
    return table + offset if offset else None


def _target(data: memoryview, at: int) -> int:
    """Where the reference at `at` points."""
    offset: int = struct.unpack_from("<I", data, at)[0]
    return at + offset
