"""Names of columns as people type them in spreadsheets ("Prompt ", " Response A") become the names
that are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from accord.feedback.formats.columns import COMMON
from accord.feedback.formats.containers.notes import Notes, NumberedRow, shortened
from accord.feedback.formats.shapes import SHAPES

KNOWN = frozenset(name for shape in SHAPES for name in (*shape.fields, *shape.optional)) | COMMON
"""Columns that some format reads."""
_PATTERNS = re.compile(
    r"rating_.+|(option|response)_(\d+|[ab])|options|responses|gold|categories|priority|meta"
)
_BETWEEN = re.compile(r"[\s\-_]+")


def tidied(rows: Iterator[NumberedRow], notes: Notes) -> Iterator[NumberedRow]:
    """Rows with tidied names: a name that nothing knows, but would without capitals, blanks around
    it, and blanks or hyphens for underscores, is replaced, unless the row has that column as well;
    each is said."""
    names: tuple[str, ...] = ()
    changed: dict[str, str] = {}
    for where, row in rows:
        if (now := tuple(row)) != names:  # most files have the same in all rows
            names, changed = now, _changed(now)
            for name, known in changed.items():
                notes.say(f"the column {shortened(name)} is read as {known}")
        if changed:
            row = {changed.get(name, name): value for name, value in row.items()}
        yield where, row


def _changed(names: Sequence[str]) -> dict[str, str]:
    """Those of a row's names that are replaced, and by what; none where two would become one."""
    there = {*names}
    better = {name: tidy for name in names if (tidy := _tidy(name)) not in there}
    return better if len({*better.values()}) == len(better) else {}


@lru_cache(maxsize=4096)
def _tidy(name: str) -> str:
    """The known name that `name` stands for; itself where it is known, or none is."""
    plain = _BETWEEN.sub("_", name.strip()).lower()
    return plain if not is_known(name) and is_known(plain) else name


def is_known(name: str) -> bool:
    """Whether some format reads a column of this name."""
    return name in KNOWN or _PATTERNS.fullmatch(name) is not None
