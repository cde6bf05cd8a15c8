"""Tables of text: CSV, with tabs, semicolons or bars as well, as spreadsheets write them.

Every value is a text. A row of another width than the header is dropped and counted, as is one with
a stray quote. The whole file is refused where nobody can know where its rows begin: a quoted value
that never ends, or that ends within a later line and goes on there. Apostrophes that our own tables
have before formulas are taken away.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from accord.errors import DataError
from accord.feedback.formats.containers.notes import Bounds, Notes, NumberedRow, shortened
from accord.feedback.formats.containers.texts import Decoded, too_many
from accord.spreadsheets import GUARDED, unguarded

DELIMITERS = ",;\t|"
"""The one that occurs most often in the header, outside of quotes; the first of these where none
does."""
_SEP = re.compile(r"^\"?sep=(.)\"?\r?\n?$", re.IGNORECASE)
_HEADER = 1 << 20
_QUOTED = re.compile(r'"[^"]*"?')


def table_rows(
    name: str, text: Decoded, notes: Notes, bounds: Bounds, tabs: bool = False
) -> Iterator[NumberedRow]:
    """Rows by the names in the first line; `tabs`: the delimiter is a tab, whatever the header
    looks like."""
    return _Table(name, text, notes, bounds, tabs).rows()


class _Table:
    def __init__(self, name: str, text: Decoded, notes: Notes, bounds: Bounds, tabs: bool) -> None:
        self.name, self.notes, self.bounds, self.tabs = name, notes, bounds, tabs
        self.lines = self._short_enough(text.lines())
        self.before = self.empty = self.held = 0
        csv.field_size_limit(max(csv.field_size_limit(), bounds.row))

    def _short_enough(self, lines: Iterator[str | None]) -> Iterator[str]:
        """The lines, as long as those of one row are not more than a row may be."""
        for number, line in enumerate(lines, 1):
            self.held += len(line or "")
            if line is None or self.held > self.bounds.row:
                raise DataError(
                    f"{self.name} line {number} is of a row of more than {self.bounds.row:,}"
                    " characters",
                    "check the quotes",
                )
            yield line

    def rows(self) -> Iterator[NumberedRow]:
        """Row by row."""
        header = self._header()
        if header is None:
            return
        names, reader = header
        count, held = len(names), 0
        while True:
            first, self.held = self.before + reader.line_num + 1, 0
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                self._stray_quote(first, self.before + reader.line_num, error)
                continue
            where = f"{self.name} line {first}"
            held += len(row)
            if held > self.bounds.values:
                raise too_many(self.name, self.bounds.values, "cells")
            if not any(row):
                self.empty += bool(row)
            elif len(row) < count:
                self.notes.drop(
                    where, f"fewer fields than the header: none for {_some(names[len(row) :])}"
                )
            elif any(row[count:]):
                self.notes.drop(
                    where, "more fields than the header (are all quoted that hold a delimiter?)"
                )
            elif (cells := self._unguarded(where, self._named(names, row))) is not None:
                yield where, cells
        if self.empty:
            self.notes.say(f"{self.name}: {self.empty:,} empty rows passed over")

    def _named(self, names: Sequence[str], row: Sequence[str]) -> dict[str, str]:
        named = dict(zip(names, row, strict=False))
        if "" not in named:
            return named
        named = {}
        for i, (name, value) in enumerate(zip(names, row, strict=False), 1):
            if name:
                named[name] = value
            elif value:
                self.notes.say(f"{self.name}: column {i} has no name; it is called column_{i}")
                named[f"column_{i}"] = value
        return named

    def _unguarded(self, where: str, cells: dict[str, str]) -> dict[str, str] | None:
        try:
            return unguarded(cells)
        except (ValueError, RecursionError):
            self.notes.drop(where, f"the column {GUARDED!r} is not a list of other columns")
            return None

    def _stray_quote(self, first: int, last: int, error: csv.Error) -> None:
        where = f"{self.name} line {first}"
        if first < last or "end of data" in str(error) or "field limit" in str(error):
            raise DataError(
                f"{where} opens a quote that does not end where a value ends ({error}, line"
                f" {last})",
                "close it, and double the quotes within values",
            )
        self.notes.drop(where, f"a stray quote ({error})")

    def _header(self) -> tuple[list[str], Any] | None:
        """Names of the columns and the reader of the rows below; None where there are only empty
        lines."""
        first = self._next_line()
        delimiter = "\t" if self.tabs else None
        if first and (declared := _SEP.match(first)):
            self.before += 1
            delimiter, first = declared.group(1), self._next_line()
        if not first:
            return None
        head = [first]
        while (
            "".join(head).count('"') % 2
            and sum(map(len, head)) < _HEADER
            and (more := next(self.lines, ""))
        ):
            head.append(more)
        delimiter = delimiter or _delimiter("".join(head))
        try:
            head_names = [name for row in csv.reader(head, delimiter=delimiter) for name in row]
            spaced = len(head_names) > 1 and all(name.startswith(" ") for name in head_names[1:])
            reader = csv.reader(
                itertools.chain(head, self.lines),
                delimiter=delimiter,
                skipinitialspace=spaced,
                strict=True,
            )
            names = [name if name.strip() else "" for name in next(reader)]
        except (csv.Error, StopIteration, TypeError, ValueError) as error:
            raise DataError(
                f"{self.name}: the header cannot be read ({error})", "check its quotes"
            ) from None
        if spaced:
            self.notes.say(
                f"{self.name}: blanks after the delimiter {delimiter!r} are not part of the values"
            )
        _check_names(self.name, names)
        return names, reader

    def _next_line(self) -> str:
        """The next line that holds something, or nothing."""
        for line in self.lines:
            if line.strip("\r\n"):
                return line
            self.before, self.held = self.before + 1, 0
        return ""


def _delimiter(header: str) -> str:
    bare = _QUOTED.sub("", header)
    return max(DELIMITERS, key=bare.count)


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(name[:60] for name in names[:most]) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )


def _check_names(name: str, names: Sequence[str]) -> None:
    twice = next((n for n, count in Counter(names).items() if n and count > 1), None)
    if twice is not None:
        raise DataError(
            f"{name}: the column {shortened(twice)} stands twice in the header",
            "rename one of them",
        )
