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
    """Measure and print, put the results with those of other cells and write the page where asked;
    exit status 1 where a cell covers less than required."""
    options = _options()
    chosen = [cell for key, cell in CELLS.items() if key.startswith(tuple(options.only))]
    if not chosen:
        sys.exit(f"no cell begins with {' or '.join(options.only)}")
    rows: list[Measured] = []
    for cell in chosen:
        rows.append(measure(cell, options.sims, options.seed))
        print(table(rows[-1:])[-1], flush=True)
        if options.out:  # after each: what was measured is kept if the rest is not
            _save(options.out, rows)
    failed = [row for row in rows if row.failed]
    minutes = sum(row.seconds for row in rows) / 60
    print(
        f"{len(rows)} cells, {options.sims} simulations each; {minutes:.1f} CPU minutes; "
        f"{len(failed)} cover too little"
    )
    if options.out:
        rows = _save(options.out, rows)
    if options.docs:
        write_docs(options.docs, rows)
    sys.exit(1 if failed else 0)


def _save(path: Path, rows: list[Measured]) -> list[Measured]:
    """Write these rows beside those of other cells, and return all."""
    rows = merged(path, rows)
    write_text(path, "[\n" + ",\n".join(json.dumps(row.row()) for row in rows) + "\n]\n")
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage")
    parser.add_argument("--sims", type=int, default=1000, help="simulations of each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[""], help="cells whose names begin so")
    parser.add_argument(
        "--out", type=Path, help="write the results as JSON; those of other cells there stay"
    )
    parser.add_argument(
        "--docs", type=Path, help="write the table (of --out, if given) into this page"
    )
    return parser.parse_args()


def merged(path: Path, rows: list[Measured]) -> list[Measured]:
    """These rows and those of a file for other cells, in the order of the registry; rows of cells
    that are gone are left out."""
    found = {row.key: row for row in rows}
    if path.is_file():
        then = [Measured(**row) for row in json.loads(path.read_text("utf-8"))]
        found = {row.key: row for row in then} | found
    return [found[key] for key in CELLS if key in found]


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text between a page's marks. Raises ValueError where it has none."""
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no {begin} ... {end}")
    write_text(page, f"{before}{begin}\n\n{text}\n\n{end}{after}")


def write_docs(page: Path, rows: list[Measured]) -> None:
    """Put the table between the page's marks."""
    counts = sorted({row.simulations for row in rows})
    text = [f"{len(rows)} cells of {' or '.join(f'{n:,}' for n in counts)} simulations each."]
    text += ["", *table(rows)]
    whys = [f"- {row.name}, {row.setting}: {row.seldom}" for row in rows if row.seldom]
    text += ["", "¹ at least 90 % is required of:", "", *whys] if whys else []
    write_between(page, BEGIN, END, "\n".join(text))


if __name__ == "__main__":
    main()
