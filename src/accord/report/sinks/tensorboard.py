"""TensorBoard's event files, written without TensorBoard.

Source: tensorflow/core/util/event.proto, summary.proto and lib/io/record_writer.cc: a record is
its length (uint64) and that number's masked CRC-32C, the data and its masked CRC-32C.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Any

from accord.files import write_error
from accord.report.sinks.following import Scalars
from accord.report.sinks.sink import RunInfo

FOLDER = "tensorboard"


class TensorBoard:
    """Writes `RUN/tensorboard/`. state: the file's size after what was noted; what a kill left
    behind it is cut off when the run goes on, and written again."""

    anew = False

    def __init__(self, run: RunInfo, state: dict[str, Any]) -> None:
        self.folder = run.run_dir / FOLDER
        self.path = self.folder / f"events.out.tfevents.0000000000.{run.key}"
        self.state = state

    def open(self) -> str:
        """See `Sink.open`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        size = int(self.state.get("size", 0))
        if not self.path.exists() or self.path.stat().st_size < size or not size:
            self.path.write_bytes(_record(_number(1, 0.0) + _text(3, b"brain.Event:2")))
            size = self.path.stat().st_size
        os.truncate(self.path, size)
        self.state["size"] = size
        return f"tensorboard --logdir {self.folder.parent}"

    def send(self, rows: Sequence[Scalars]) -> None:
        """See `Sink.send`."""
        data = b"".join(map(_event, rows))
        try:
            with open(self.path, "r+b") as handle:
                handle.seek(self.state["size"])  # over what a failure left half-written
                handle.write(data)
                handle.truncate()
        except OSError as error:
            raise write_error(error, self.path) from error
        self.state["size"] += len(data)

    def close(self, finished: bool) -> None:
        """See `Sink.close`."""


def _event(row: Scalars) -> bytes:
    values = b"".join(
        _text(1, _text(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
        for tag, value in row.values.items()
    )
    return _record(_number(1, row.time) + b"\x10" + _varint(row.step) + _text(5, values))


def _number(field: int, value: float) -> bytes:
    return bytes([field << 3 | 1]) + struct.pack("<d", value)


def _text(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _table() -> list[int]:
    """Of CRC-32C (Castagnoli), by byte."""
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        found.append(byte)
    return found


_CRC = _table()


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C."""
    crc, table = 0xFFFFFFFF, _CRC
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
