"""Text out of bytes: unpacked within bounds, decoded by what the file says of itself or by what is
asked, never guessed."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

from accord.errors import DataError
from accord.feedback.formats.containers.notes import Bounds

_CHUNK, _START = 1 << 16, 4096
_FREE = 4 << 20
"""Bytes up to which it does not matter how few stood for them."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
)
"""Byte order marks, the family each stands for, and the codec that takes it away. Longer ones
first."""


class Counted(io.BufferedIOBase):
    """Passes bytes on, counts what has left and its line feeds, and refuses more than `most`."""

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        most: int | None,
        packed: BinaryIO | None = None,
        ratio: int = 0,
    ) -> None:
        self.stream, self.name, self.most = stream, name, most
        self.packed, self.ratio = packed, ratio
        self.bytes = self.feeds = 0
        self.start = self._take(_START)
        """The first bytes; they are still to be read."""
        self._waiting = self.start

    def readable(self) -> bool:
        """Always."""
        return True

    def read1(self, size: int = -1, /) -> bytes:
        """As io.BufferedIOBase; raises DataError beyond the bound, and for what cannot be
        unpacked."""
        data, self._waiting = (
            self._waiting or self._take(size if 0 < size < _CHUNK else _CHUNK),
            b"",
        )
        self.bytes += len(data)
        self.feeds += data.count(b"\n")
        if self.most is not None and self.bytes > self.most:
            raise too_large(self.name, self.most)
        if self.packed is not None and self.bytes > max(_FREE, self.ratio * self.packed.tell()):
            raise DataError(
                f"{self.name} unpacks to more than {self.ratio:,} times its size",
                "unpack it first if you trust where it is from",
            )
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        """All that is left, or some of at most `size` bytes."""
        return b"".join(iter(self.read1, b"")) if size is None or size < 0 else self.read1(size)

    def _take(self, size: int) -> bytes:
        with unpacking(self.name):
            return self.stream.read(size)


@contextmanager
def unpacking(name: str) -> Iterator[None]:
    """Errors of reading and unpacking as DataErrors that name the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read {name}: {error}", "check the file; is it complete?"
        ) from error


def too_large(name: str, most: int) -> DataError:
    """The error for what unpacks to more than `most` bytes."""
    return DataError(
        f"{name} unpacks to more than {most >> 20:,} MiB",
        "split it, or unpack it first if you trust where it is from",
    )


def too_many(name: str, most: int, what: str) -> DataError:
    """The error for what holds more than `most` of rows, lines or values."""
    return DataError(f"{name} holds more than {most:,} {what}", "split it into several files")


def unpacked(stream: BinaryIO, name: str, bounds: Bounds) -> Counted:
    """The bytes of a file, gzip taken off."""
    if name.lower().endswith(".gz"):
        opened = gzip.GzipFile(fileobj=stream)
        return Counted(opened, name, bounds.unpacked, stream, bounds.ratio)  # type: ignore[arg-type]
    return Counted(stream, name, None)


class Decoded:
    """The text of a file, line by line or whole; where it cannot be decoded, a DataError says where
    and as what."""

    def __init__(
        self, stream: BinaryIO, name: str, bounds: Bounds, encoding: str | None = None
    ) -> None:
        self.name, self.bounds = name, bounds
        self.source = unpacked(stream, name, bounds)
        self.encoding = _encoding(self.source.start, name, encoding)
        self.text: TextIO = io.TextIOWrapper(self.source, self.encoding, newline="")

    def lines(self) -> Iterator[str | None]:
        """Every line with its end (line feed, carriage return, or both); None for one longer than
        the bound."""
        longest, most = self.bounds.row, 5 * self.bounds.rows
        with self._decoding():
            for number in itertools.count(1):
                line = self.text.readline(longest)
                if number > most:
                    raise too_many(self.name, most, "lines")
                if not line:
                    return
                if len(line) < longest or line[-1] in "\r\n":
                    yield line
                    continue
                while len(line) == longest and line[-1] not in "\r\n":
                    line = self.text.readline(longest)
                yield None

    def whole(self) -> str:
        """All of it. Raises DataError where that is more than the bound."""
        most = self.bounds.whole
        with self._decoding():
            text = self.text.read(most + 1)
        if len(text) > most:
            raise DataError(
                f"{self.name} holds more than {most >> 20:,} MiB", "write a row per line (.jsonl)"
            )
        return text

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from None
        except UnicodeError as error:
            raise DataError(
                f"{self.name} is not {self.encoding}: {error}", "check how it was saved"
            ) from None

    def _undecodable(self, error: UnicodeDecodeError) -> DataError:
        """`error.object` ends where reading has got to."""
        part, start = bytes(error.object), error.start
        line = self.source.feeds - part[start:].count(b"\n") + 1
        place = (
            f"byte {self.source.bytes - len(part) + start:,} (line {line:,}) is 0x{part[start]:02x}"
        )
        if not self.encoding.startswith("utf-8"):
            return DataError(
                f"{self.name} is not {self.encoding}: {place}", "check how it was saved"
            )
        message = f"{self.name} is not UTF-8: {place}"
        if part[start:].translate(None, b"\x81\x8d\x8f\x90\x9d") != part[start:] or b"\0" in part:
            return DataError(
                message,
                "is it a text? If it is, say its encoding (encoding: ...) or save it as UTF-8",
            )
        return DataError(
            f"{message}; it may be cp1252 (Windows) or latin1", _conversion(self.name, "cp1252")
        )


def _conversion(name: str, encoding: str) -> str:
    return (
        f"iconv -f {encoding} -t utf-8 {name} > utf8-{name}, or say it: {{path: ..., encoding:"
        f" {encoding}}}"
    )


def _encoding(start: bytes, name: str, wanted: str | None) -> str:
    """The codec: by the file's mark, else as asked, else UTF-8. Raises DataError where these
    contradict each other."""
    for bom, family, codec in _MARKS:
        if start.startswith(bom):
            if wanted is not None and not codecs.lookup(wanted).name.startswith(family):
                raise DataError(
                    f"{name} begins with the mark of {family}, not of {wanted}",
                    "leave out encoding",
                )
            return codec
    if wanted is not None:
        return codecs.lookup(wanted).name
    even, odd = start[0::2].count(0), start[1::2].count(0)
    for codec, few, many in (("utf-16le", even, odd), ("utf-16be", odd, even)):
        if many * 5 > len(start) and few * 40 < len(
            start
        ):  # of all bytes: a fifth here, nearly none there
            raise DataError(
                f"{name} looks like UTF-16 without its mark ({codec})", _conversion(name, codec)
            )
    return "utf-8"
