"""Rows out of files: JSONL, JSON, CSV, Parquet, gzip of them, a directory, or a Hub id; errors name the place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

from accord.errors import DataError

Row = tuple[str, dict[str, Any]]
"""Where it stands ("file.jsonl line 3"), and the row."""

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
DELIMITERS = ",;\t|"
"""Of tables: the one that occurs most often in the header."""
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


def read_rows(source: str | Path) -> list[Row]:
    """All rows of a file, of every data file of a directory, or of a Hub dataset's train split.

    Raises DataError for a missing or empty source, invalid JSON (with its line), text that is not UTF-8 (with
    the byte), or a kind of file that is not known.
    """
    path = Path(source)
    if path.is_dir():
        files = [f for f in sorted(path.rglob("*")) if f.is_file() and _suffix(f) in SUFFIXES and not _hidden(f, path)]
        if not files:
            raise DataError(f"{path} holds no data file", f"known endings: {', '.join(SUFFIXES)}, also with .gz")
        return [row for file in files for row in read_rows(file)]
    if not path.exists():
        if _HUB_ID.match(str(source)):
            return _from_hub(str(source))
        raise DataError(f"there is no file {source}", "check the path; a Hub id looks like owner/name")
    suffix = _suffix(path)
    if suffix == ".parquet":
        rows = _parquet(path)
    elif suffix in SUFFIXES:
        rows = _TEXT[suffix](path.name, _text(path))
    else:
        raise DataError(
            f"{path.name}: the ending {suffix or '(none)'} is not known", f"use {', '.join(SUFFIXES)}, also with .gz"
        )
    if not rows:
        raise DataError(f"{path.name} is empty", "it must hold at least one row")
    return rows


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _suffix(path: Path) -> str:
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def _text(path: Path) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}", "check the file; is it complete?") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path.name} is not UTF-8: byte {error.start} (line {line}) is 0x{raw[error.start]:02x}",
            f"convert it, for example: iconv -f latin1 -t utf-8 {path.name}",
        ) from error


def _jsonl(name: str, text: str) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{name} line {number}"
            try:
                rows.append((where, _mapping(json.loads(line), where)))
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{where} is not valid JSON: {error.msg} at column {error.colno}", "repair or remove it"
                ) from None
    return rows


def _json(name: str, text: str) -> list[Row]:
    if not text.strip():
        return []
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if "\n" in text.strip() and text.lstrip().startswith("{"):
            return _jsonl(name, text)
        raise DataError(f"{name} is not valid JSON: {error.msg} at line {error.lineno}", "repair the file") from None
    found = value if isinstance(value, list) else [value]
    return [(f"{name} row {i}", _mapping(row, f"{name} row {i}")) for i, row in enumerate(found, 1)]


def _csv(name: str, text: str) -> list[Row]:
    csv.field_size_limit(10**8)
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = []
    try:
        for row in reader:
            where = f"{name} line {reader.line_num}"
            missing = [column for column, value in row.items() if value is None]
            if None in row or missing:
                what = f"none for {', '.join(missing)}" if missing else f"{len(row[None])} too many"
                raise DataError(
                    f"{where} has another number of fields than the header: {what}",
                    f"quote fields that hold {delimiter!r} or line breaks",
                )
            rows.append((where, dict(row)))
    except csv.Error as error:
        raise DataError(f"{name} line {reader.line_num} is not CSV: {error}", "check the quotes") from None
    return rows


def _parquet(path: Path) -> list[Row]:
    try:
        from pyarrow.parquet import read_table
    except ImportError:
        raise DataError("reading Parquet needs pyarrow", 'pip install "accord[hub]"') from None
    return [(f"{path.name} row {i}", row) for i, row in enumerate(read_table(path).to_pylist(), 1)]


def _from_hub(name: str) -> list[Row]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise DataError(
            f"{name} is no local file, and reading from the Hub needs datasets", 'pip install "accord[hub]"'
        ) from None
    try:
        data = load_dataset(name, split="train")
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"cannot load {name!r} from the Hub: {first}", "check the name and the network, or give a local file"
        ) from error
    return [(f"{name} row {i}", dict(row)) for i, row in enumerate(data, 1)]


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where} is {type(value).__name__}, not an object with named fields", "write {...} per row")
    return value


_TEXT = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv}
