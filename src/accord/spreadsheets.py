"""CSV for people: what a spreadsheet opens shows texts as texts, and accord reads back what was
written, to the letter.

A spreadsheet runs a cell that begins with one of `FORMULA` (OWASP, "CSV injection"), whoever wrote
it. Such texts get an apostrophe in front. Which ones did stands in a last column, `GUARDED`, as a
JSON list of columns; without it nobody could tell that apostrophe from one of the text's own.
Numbers stay numbers. A byte order mark says UTF-8 to Excel, lines end as in RFC 4180.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from accord.errors import ConfigError

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
GUARD = "'"
GUARDED = "apostrophe_added"
MARK = "\ufeff"


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; None is an empty cell, columns without any value are left out.
    Raises ConfigError for a column whose name is a formula or `GUARDED`."""
    columns = [
        c
        for c in dict.fromkeys(c for row in rows for c in row)
        if any(row.get(c) is not None for row in rows)
    ]
    for name in columns:
        if name.startswith(FORMULA) or name == GUARDED:
            raise ConfigError(
                f"a CSV cannot have a column {name!r}", "rename it, or write another format"
            )
    guarded = [_guarded(row, columns) for row in rows]
    if any(GUARDED in row for row in guarded):
        columns.append(GUARDED)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(guarded)
    return MARK + text.getvalue()


def _guarded(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    cells = {name: row[name] for name in columns if name in row}
    risky = [n for n, cell in cells.items() if isinstance(cell, str) and cell.startswith(FORMULA)]
    if not risky:
        return cells
    more = {name: GUARD + cells[name] for name in risky}
    return {**cells, **more, GUARDED: json.dumps(risky, ensure_ascii=False)}


def unguarded(row: Mapping[str, str]) -> dict[str, str]:
    """A row as it was before `csv_text`; others are returned as they are. Raises ValueError when
    its column `GUARDED` holds anything else than a list of the row's columns."""
    if GUARDED not in row:
        return dict(row)
    cells = dict(row)
    said = cells.pop(GUARDED)
    names = json.loads(said) if said else []
    if not isinstance(names, list) or not all(isinstance(n, str) and n in cells for n in names):
        raise ValueError("no list of columns")
    for name in names:
        cells[name] = cells[name].removeprefix(GUARD)  # somebody may have taken it away by hand
    return cells
