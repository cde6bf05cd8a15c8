"""What a format is: how its rows are recognised, which columns it reads, and what becomes of
them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accord.feedback.formats.columns import Parsed
from accord.feedback.formats.values import Scheme

Row = Mapping[str, Any]
Parse = Callable[[Row], Iterator[Parsed]]


@dataclass(frozen=True)
class Shape:
    """One known shape. `matches` looks at field names and types only; `parse` yields records or
    raises RowError.

    optional: further columns that `parse` reads; the others are kept in the record's meta. keeps:
    `parse` itself
    keeps whatever a row holds. prepare: makes the parser from all rows and their source, where one
    row is not enough (`parse` is None then). labels: columns of labels, which `parse` gets as 1, 0
    or -1 (lists of them where the column holds lists), each with what the format says of 0 and 1
    (None: nothing, the user is asked). silent: columns of labels in which most rows may say nothing
    (None then). winners: columns that name one of two responses, first or
    second, 1 or 2. counts: columns of which `parse` itself names what of their messages no record
    holds.
    means: what becomes what, and what is refused, in one line of the documentation. note: what is
    said of every such file.

    A log that may be judgements or mere traces of use (thumbs in a chat, scores of traces) is read
    as judgements: these shapes serve commands that import feedback. `feedback.deployment` reads the
    rows of a log of use whole, silence included.
    """

    name: str
    fields: tuple[str, ...]
    matches: Callable[[Row], bool]
    parse: Parse | None
    optional: tuple[str, ...] = ()
    keeps: bool = False
    prepare: Callable[[Sequence[Row], Path], Parse] | None = None
    labels: Mapping[str, Scheme | None] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    winners: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    means: str = ""
    note: str = ""

    def parser(self, rows: Sequence[Row], source: Path) -> Parse:
        """What turns one of the rows of `source` into records."""
        parse = self.parse if self.prepare is None else self.prepare(rows, source)
        assert parse is not None
        return parse


def has(*names: str) -> Callable[[Row], bool]:
    """Whether a row has all these columns."""
    return lambda row: all(name in row for name in names)
