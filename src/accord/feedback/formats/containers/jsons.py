"""JSON and JSON Lines: standard, but for NaN and infinities, which stay what they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from accord.errors import DataError
from accord.feedback.formats.containers.notes import (
    MAX_DIGITS,
    Bounds,
    Notes,
    NumberedRow,
    Unreadable,
)
from accord.feedback.formats.containers.texts import Decoded, too_many

TOO_DEEP = "the row is nested too deeply"


def _object(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return Unreadable(f"holds a key twice: {twice[:60]!r}")


def _integer(digits: str) -> Any:
    if len(digits) > MAX_DIGITS:
        return Unreadable(f"holds an integer of more than {MAX_DIGITS} digits")
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def decoded(text: str) -> Any:
    """The value of a JSON text, with `Unreadable` for what cannot be read. Raises ValueError or
    RecursionError."""
    return _DECODER.decode(text.strip())


def json_lines(name: str, text: Decoded, notes: Notes, bounds: Bounds) -> Iterator[NumberedRow]:
    """A row per line. A line that is none (not JSON, no object, too long or too deep) is dropped,
    the others are read."""
    return _lines(name, text.lines(), notes, bounds)


def json_values(text: str | bytes) -> int:
    """How much the values of a JSON text take, at most: objects four times what others do."""
    raw: Any = text
    objects, lists, commas = ("{", "[", ",") if isinstance(text, str) else (b"{", b"[", b",")
    return int(4 * raw.count(objects) + raw.count(lists) + raw.count(commas))


def _lines(
    name: str, lines: Iterable[str | None], notes: Notes, bounds: Bounds
) -> Iterator[NumberedRow]:
    held = 0
    for number, line in enumerate(lines, 1):
        where = f"{name} line {number}"
        held += json_values(line or "")
        if held > bounds.values:
            raise too_many(name, bounds.values, "values")
        if line is None:
            notes.drop(where, "the line is longer than a row may be")
        elif line.strip():
            try:
                value = decoded(line)
            except json.JSONDecodeError as error:
                notes.drop(
                    f"{where} column {error.colno}", f"the line is not valid JSON: {error.msg}"
                )
            except RecursionError:
                notes.drop(where, TOO_DEEP)
            else:
                if (row := _mapping(value, where, notes)) is not None:
                    yield where, row


def json_rows(name: str, text: Decoded, notes: Notes, bounds: Bounds) -> Iterator[NumberedRow]:
    """A list of rows, one row, or in spite of the name a row per line. What is not JSON is refused
    as a whole."""
    whole = text.whole()
    if not whole.strip():
        return
    if json_values(whole) > bounds.values:
        raise too_many(name, bounds.values, "values")
    try:
        value = decoded(whole)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and whole.lstrip().startswith("{"):
            yield from _lines(
                name,
                whole.splitlines(keepends=True) if "\n" not in whole else whole.split("\n"),
                notes,
                bounds,
            )
            return
        raise DataError(
            f"{name} is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}",
            "repair the file",
        ) from None
    except RecursionError:
        raise DataError(f"{name} is nested more than {bounds.depth} deep", "flatten it") from None
    for i, row in enumerate(value if isinstance(value, list) else [value], 1):
        where = f"{name} row {i}"
        if (mapping := _mapping(row, where, notes)) is not None:
            yield where, mapping


def _mapping(value: Any, where: str, notes: Notes) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return value
    fault = (
        value.reason
        if isinstance(value, Unreadable)
        else f"is {type(value).__name__}, not an object with named fields"
    )
    notes.drop(where, f"the row {fault}")
    return None


def small_json(file: Path, most: int = 16 << 20) -> Any:
    """What a JSON file beside data holds; None where there is none, or it is none or larger than
    `most` bytes."""
    try:
        with open(file, "rb") as handle:
            return json.loads(handle.read(most))
    except (OSError, ValueError, RecursionError):
        return None
