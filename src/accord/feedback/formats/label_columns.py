"""The labels of a shape's columns, read by a scheme that is decided over all rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accord.feedback.formats.columns import COMMON
from accord.feedback.formats.shape import Shape
from accord.feedback.formats.values import (
    RowError,
    Scheme,
    check_counted_from_one,
    label,
    no_answer,
    scheme_of,
    unpacked,
    word,
)


@dataclass(frozen=True)
class LabelColumns:
    """known: columns that the shape reads; schemes: what the numbers of each column of labels mean;
    silent: those of them that may say nothing."""

    known: set[str]
    schemes: dict[str, Scheme]
    silent: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, shape: Shape, rows: Sequence[Mapping[str, Any]], given_scheme: Scheme | None
    ) -> LabelColumns:
        """Raises DataError for numbers whose meaning neither the format nor the user says."""
        schemes = {}
        for name, explained in shape.labels.items():
            if any(name in row for row in rows):
                cells: Iterable[Any] = (
                    cell for row in rows for cell in _cells(row.get(name), name)
                )
                if name in shape.silent:
                    cells = _numbers_alone(cells)
                schemes[name] = scheme_of(cells, name, explained, given_scheme)
        for name in shape.winners:
            check_counted_from_one((row.get(name) for row in rows), name)
        known = {*shape.fields, *shape.optional, *COMMON}
        return cls(known, schemes, frozenset(shape.silent))

    def read(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with 1, 0 and -1 in its columns of labels, None where one may say nothing and
        does. Raises RowError for a row without a label."""
        if not self.schemes:
            return row
        read: dict[str, Any] = {}
        for name, scheme in self.schemes.items():
            value = unpacked(row.get(name), name) if _is_list(row.get(name)) else row.get(name)
            if name in self.silent and no_answer(value):
                read[name] = None
            elif isinstance(value, (list, tuple)):
                read[name] = [label(one, name, scheme) for one in value]
            else:
                read[name] = label(value, name, scheme)
        return {**row, **read}


def _numbers_alone(cells: Iterable[Any]) -> Iterator[Any]:
    """Where 0 may mean bad or nothing at all, words beside it do not explain it."""
    return (cell for cell in cells if word(cell) is None and not isinstance(cell, bool))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (
        isinstance(value, str) and value.lstrip().startswith("[")
    )


def _cells(value: Any, name: str) -> Iterable[Any]:
    try:
        cells = unpacked(value, name) if _is_list(value) else [value]
    except RowError:  # its row is dropped, with the column named
        return ()
    return cells if isinstance(cells, (list, tuple)) else ()
