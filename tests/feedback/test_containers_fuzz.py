"""Thousands of broken files of every kind: each gives rows or a clear error, and nothing else."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accord.errors import AccordError
from accord.feedback.formats import read_feedback
from accord.feedback.formats.reading import Bounds, Notes, read_stream
from feedback.test_containers import EVERY, TABLES

ROWS: list[dict[str, Any]] = [
    {"prompt": f"Größe {i}?", "chosen": 'An "apple", red\nand round', "rejected": "x" * i, "weight": i / 2, "finished": i % 2 == 0}
    for i in range(6)
]  # fmt: skip
TOKENS = [
    b"\xff", b"\0", b"\r", b'"', b'""', b",", b";", b"\t", b"[" * 2000, b"{", b"}", b'{"a":', b"\\ud800", b"\\ufdd0", b"9" * 5000,
    b"1e999", b"NaN", b"-Infinity", b"null", b"true", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"PAR1", b"ARROW1", b"\n" * 50,
    b"prompt", b"\xed\xa0\x80", b"\xf4\x8f\xbf\xbf", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80",
]  # fmt: skip
BOUNDS = Bounds(unpacked=1 << 20, whole=1 << 20, row=1 << 16, depth=50)


def broken(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut, repeated, moved, or a hostile token put in."""
    made = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(made) + 1)
        end = min(len(made), at + rng.choice([1, 1, 4, 30]))
        match rng.randrange(6):
            case 0:
                made[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
            case 1:
                del made[at:end]
            case 2:
                made[at:at] = made[at:end] * rng.choice([1, 3])
            case 3:
                made[at:at] = rng.choice(TOKENS)
            case 4:
                made[at : at + 4] = rng.choice([0, 1, 127, 255, 2**31 - 1, 2**32 - 1]).to_bytes(
                    4, "little"
                )
            case _:
                del made[at:]
    return bytes(made)


def broken_within(name: str, write: Callable[..., bytes], rng: random.Random) -> bytes:
    """Of a compressed file, broken before or after it was packed."""
    content = write(ROWS)
    if name.endswith(".gz") and rng.random() < 0.5:
        return gzip.compress(broken(gzip.decompress(content), rng), compresslevel=1)
    return broken(content, rng)


@pytest.mark.parametrize(
    ("name", "write"), [*EVERY.items(), *TABLES.items()], ids=[*EVERY, *TABLES]
)
def test_a_broken_file_gives_rows_or_a_clear_error(name: str, write: Callable[..., bytes]) -> None:
    rng, said = random.Random(name), AccordError(name)
    read = refused = 0
    for _ in range(250):
        try:
            for where, row in read_stream(name, broken_within(name, write, rng), Notes(), BOUNDS):
                assert where
                assert isinstance(row, dict)
                assert all(isinstance(column, str) for column in row)
            read += 1
        except AccordError as error:
            refused += 1
            said = error
    assert name in said.message
    assert len(str(said)) < 1000
    assert min(read, refused) > 5 or name.endswith((".gz", ".jsonl")), (read, refused)


@pytest.mark.parametrize("name", ["a.jsonl", "b.json", "c.parquet", "d.arrow", "a.csv"])
def test_what_was_read_from_a_broken_file_becomes_records_or_a_clear_error(
    tmp_path: Path, name: str
) -> None:
    write, rng = (
        {**EVERY, **TABLES, "a.jsonl": EVERY["a.jsonl"]}[name],
        random.Random(f"records {name}"),
    )
    path = tmp_path / name
    for _ in range(120):
        path.write_bytes(broken_within(name, write, rng))
        try:
            read = read_feedback(path)
        except AccordError:
            continue
        assert len(read.records) + sum(read.dropped.values()) >= 1
