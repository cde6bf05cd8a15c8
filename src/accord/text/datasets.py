"""Data by name: a file, a directory or a Hub id becomes rows; splits follow from the rows' content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from accord.errors import DataError
from accord.text.rows import SUFFIXES, Row, is_data_file, read_rows

T = TypeVar("T")
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_BITS = 2.0**64


def load_rows(name: str | Path, split: str = "train", subset: str | None = None) -> list[Row]:
    """The rows of `name`: a local file, a directory of data files, or a Hub id (`owner/dataset`).

    `split` picks a Hub split or, in a directory, the files whose name contains it (all files when none does);
    `subset` is a Hub configuration, or a sub-directory. A local path wins over a Hub id. Raises DataError that
    says what was looked for.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return read_rows(path)
    if path.is_dir():
        return _read_folder(path / subset if subset else path, split)
    if _HUB_ID.match(str(name)) and path.suffix.lower() not in (*SUFFIXES, ".gz"):
        return _read_hub(str(name), split, subset)
    raise DataError(f"there is no file or directory {name}", "check the path; a Hub id has the form owner/dataset")


def _read_folder(folder: Path, split: str) -> list[Row]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a directory", "check the subset")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and is_data_file(p) and not _hidden(p, folder))
    if not files:
        raise DataError(f"{folder} holds no data files", f"known formats: {', '.join(SUFFIXES)} (also .gz)")
    chosen = [f for f in files if split in f.name] or files
    kinds = {_format(f) for f in chosen}
    if len(kinds) > 1:
        raise DataError(
            f"{folder} mixes formats: {', '.join(sorted(kinds))}", "name one file, or a directory of one format"
        )
    return [row for file in chosen for row in read_rows(file)]


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _format(path: Path) -> str:
    suffixes = [s for s in path.suffixes if s.lower() != ".gz"]
    return suffixes[-1].lower() if suffixes else ""


def _read_hub(name: str, split: str, subset: str | None) -> list[Row]:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{name} is not a local path; loading it from the Hub needs the package datasets",
            'pip install "accord[hub]", or name a local file',
        ) from error
    try:
        rows = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # the Hub client raises its own and its transports' errors
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"cannot load {name!r} (subset {subset or 'default'}, split {split}) from the Hub: {first}",
            "no such local path; check the id, the split and the network, or download the data and name the file",
        ) from error
    return [dict(row) for row in rows]


def content_hash(row: Any, salt: str = "") -> str:
    """SHA-256 (hex) of a row's content; equal rows have equal hashes whatever the order of their keys."""
    text = row if isinstance(row, str) else json.dumps(row, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(f"{salt}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def split_by_hash(
    rows: Sequence[T], shares: Mapping[str, float], salt: str = "", key: Callable[[T], Any] | None = None
) -> dict[str, list[T]]:
    """Split rows by the hash of their content (or of `key(row)`), so a row's part never depends on the others.

    `shares` are positive and add up to 1; sizes follow them in expectation. Rows with the same key (say, the
    same prompt) fall into the same part. Order within a part is the order given. Raises DataError on bad shares.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise DataError(f"shares {dict(shares)} do not split anything", "give positive shares that add up to 1")
    parts: dict[str, list[T]] = {name: [] for name in shares}
    names = list(shares)
    for row in rows:
        place = int(content_hash(key(row) if key else row, salt)[:16], 16) / _BITS
        edge = 0.0
        for name in names:
            edge += shares[name]
            if place < edge or name == names[-1]:
                parts[name].append(row)
                break
    return parts


def deduplicate(rows: Sequence[T], key: Callable[[T], Any] | None = None) -> tuple[list[T], int]:
    """The first row of each content (or `key`), in order, and the number of rows removed."""
    first: dict[str, T] = {}
    for row in rows:
        first.setdefault(content_hash(key(row) if key else row), row)
    return list(first.values()), len(rows) - len(first)
