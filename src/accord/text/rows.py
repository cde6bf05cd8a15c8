"""Rows from files: JSONL, JSON, CSV, plain text, Parquet, gzipped or not, each error with its line.

Nothing is guessed silently: a file that cannot be read as what its name says is an error that names the
line, what was found there and what to do.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accord.errors import DataError

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
WRAPPERS = ("data", "rows", "examples", "train")
"""Keys under which a JSON file commonly holds its list of rows."""


def is_data_file(path: Path) -> bool:
    """Whether `read_rows` knows the file's format by its name."""
    return _suffix(path) in SUFFIXES


def read_rows(path: Path) -> list[Row]:
    """The rows of one file, as dicts; a text file gives one row {"text": line} per non-empty line.

    Raises DataError when the file is absent, empty, of unknown format, not UTF-8, or broken at some line.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist", "check the path")
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DataError(
            f"{path}: unknown format {suffix or '(no suffix)'!r}", f"name it by its format: {known} (or with .gz)"
        )
    rows = _parquet(path) if suffix == ".parquet" else _READERS[suffix](_text(path), path)
    if not rows:
        raise DataError(f"{path} is empty: it holds no rows", "is it the right file?")
    return rows


def _suffix(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return plain.suffix.lower()


def _text(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as error:
            raise DataError(f"{path} is not a whole gzip file: {error}", "compress or download it again") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        found = " ".join(f"{byte:02x}" for byte in raw[error.start : error.start + 4])
        hint = "UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "ENCODING"
        raise DataError(
            f"{path} line {line} is not UTF-8 (byte {column} of the line: {found})",
            f"convert it: iconv -f {hint} -t UTF-8 {path.name} > utf8-{path.name}",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path} line {line} holds a NUL character: this is not a text file", "check the file")
    return text


def _jsonl(text: str, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        rows.append(_object(_parse(line, path, number), f"{path} line {number}"))
    return rows


def _parse(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        fix = "every line must be one JSON object"
        if number == 1 and line.strip() in ("[", "{"):
            fix += "; this looks like one JSON document: name the file .json"
        raise DataError(f"{path} line {number} is not JSON: {what}{where}: {line.strip()[:60]!r}", fix) from error


def _json(text: str, path: Path) -> list[Row]:
    if not text.strip():
        return []
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.split("\n")
        fix = "repair the file"
        if error.msg == "Extra data":
            fix = "several JSON documents follow each other: if there is one per line, name the file .jsonl"
        shown = lines[error.lineno - 1].strip()[:60]
        raise DataError(f"{path} line {error.lineno} is not JSON: {error.msg}: {shown!r}", fix) from error
    if isinstance(document, dict):
        document = next((document[key] for key in WRAPPERS if isinstance(document.get(key), list)), [document])
    if not isinstance(document, list):
        raise DataError(f"{path} holds a {type(document).__name__}, not a list of objects", "write [{...}, {...}]")
    return [_object(row, f"{path} row {number}") for number, row in enumerate(document, 1)]


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where} is a {type(value).__name__}, not an object", 'write {"column": value, ...}')
    return value


def _csv(text: str, path: Path) -> list[Row]:
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if _suffix(path) == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        columns = reader.fieldnames or []
        if len(set(columns)) < len(columns):
            raise DataError(
                f"{path} line 1 names a column twice: {', '.join(columns)}", "give every column its own name"
            )
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path} line {reader.line_num} has another number of fields than the header, {len(columns)}",
                    "quote fields that hold the delimiter",
                )
            rows.append(dict(row))
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num} is not valid CSV: {error}", "check the quotes") from error
    return rows


def _lines(text: str, path: Path) -> list[Row]:
    return [{"text": line} for raw in text.split("\n") if (line := raw.rstrip("\r")).strip()]


def _parquet(path: Path) -> list[Row]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs the package pyarrow", 'pip install "accord[hub]"') from error
    try:
        return list(parquet.read_table(path).to_pylist())
    except (ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}", "download it again"
        ) from error


_READERS: dict[str, Callable[[str, Path], list[Row]]] = {
    ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv, ".txt": _lines,
}  # fmt: skip
