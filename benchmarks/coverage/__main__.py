"""`python -m benchmarks.coverage`: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import benchmarks.coverage.cells  # noqa: F401  (adds the cells)
from accord.files import write_text
from benchmarks.coverage.registry import CELLS, Measured, measure, table

BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"


def main() -> None:
    """Measure, print, and write where asked; exit status 1 where a cell covers less than required."""
    options = _options()
    chosen = [cell for key, cell in CELLS.items() if key.startswith(options.only)]
    if not chosen:
        sys.exit(f"no cell begins with {options.only!r}")
    rows: list[Measured] = []
    for cell in chosen:
        rows.append(measure(cell, options.sims, options.seed))
        print(table(rows[-1:])[-1], flush=True)
    failed = [row for row in rows if row.failed]
    print(
        f"{len(rows)} cells, {options.sims} simulations each; "
        f"{sum(row.seconds for row in rows) / 60:.1f} CPU minutes; {len(failed)} cover too little"
    )
    if options.out:
        write_text(options.out, json.dumps([row.row() for row in rows], indent=1))
    if options.docs:
        write_docs(options.docs, rows, options.sims)
    sys.exit(1 if failed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage")
    parser.add_argument("--sims", type=int, default=1000, help="simulations of each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cells whose name begins so")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument(
        "--docs", type=Path, help="write the table into this page, between its marks"
    )
    return parser.parse_args()


def write_docs(page: Path, rows: list[Measured], simulations: int) -> None:
    """Put the table between the page's marks. Raises ValueError where it has none."""
    before, found, rest = page.read_text("utf-8").partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"{page} has no {BEGIN} ... {END}")
    whys = [f"- {row.name}, {row.setting}: {row.seldom}" for row in rows if row.seldom]
    text = [f"{len(rows)} cells, {simulations:,} simulations each.", "", *table(rows)]
    text += ["", "¹ at least 90 % is required of:", "", *whys] if whys else []
    write_text(page, before + BEGIN + "\n\n" + "\n".join(text) + "\n\n" + END + after)


if __name__ == "__main__":
    main()
