"""What a Parquet file's pages say they unpack to, read before anything is unpacked.

The footer tells too, but a reader allocates what each page's own header declares. A header is a
Thrift struct in the compact protocol; its fields 2 and 3 are the page's unpacked and packed sizes
(apache/parquet-format: parquet.thrift, PageHeader; apache/thrift: thrift-compact-protocol).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pyarrow import parquet

_UNPACKED, _PACKED = 2, 3
_LONGEST_HEADER = 1 << 16
"""Bytes; a header holds at most a few values of statistics."""
_DEEPEST = 8
"""Structs within structs: the format has three."""
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def page_sizes(meta: parquet.FileMetaData, stream: BinaryIO) -> Iterator[int]:
    """Unpacked bytes of every page of every column. Raises ValueError, IndexError or KeyError
    where a header is not what it should be."""
    for group in range(meta.num_row_groups):
        if not meta.row_group(group).num_rows:
            continue  # nothing of it is read
        for column in range(meta.num_columns):
            chunk = meta.row_group(group).column(column)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            yield from _pages(stream, start, start + chunk.total_compressed_size)


def _pages(stream: BinaryIO, at: int, end: int) -> Iterator[int]:
    while at < end:
        stream.seek(at)
        header = _Compact(stream.read(min(_LONGEST_HEADER, end - at)))
        numbers = header.struct(0)
        packed, unpacked = numbers[_PACKED], numbers[_UNPACKED]
        if packed < 0 or unpacked < 0:
            raise ValueError("a page of a negative size")
        yield unpacked
        at += header.at + packed


class _Compact:
    """Reads Thrift's compact protocol: the numbers of a struct's fields, passing over the rest."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int) -> dict[int, int]:
        """Field number -> value of the integers of a struct."""
        if depth > _DEEPEST:
            raise ValueError("structs within structs")
        numbers: dict[int, int] = {}
        field = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            field = field + step if step else self._signed()
            if kind in (_I16, _I32, _I64):
                numbers[field] = self._signed()
            else:
                self._skip(kind, depth)
        return numbers

    def _skip(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE):
            return
        if kind == _BYTE:
            self.at += 1
        elif kind in (_I16, _I32, _I64):
            self._number()
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self._number()  # first: reading it moves on too
            self.at += length
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:
            raise ValueError("a page's header holds a list")
        if self.at > len(self.data):
            raise ValueError("a page's header is cut off")

    def _byte(self) -> int:
        byte = self.data[self.at]
        self.at += 1
        return byte

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _signed(self) -> int:
        value = self._number()
        return (value >> 1) ^ -(value & 1)
