"""Every interval of the benchmark's registry covers what it says, at small size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import benchmarks.coverage.cells  # noqa: F401  (adds the cells)
import pytest
from benchmarks.coverage import __main__ as command
from benchmarks.coverage import registry
from benchmarks.coverage.registry import CELLS, EXCEPTION, REQUIRED, Cell, measure

from accord.statistics.intervals import Interval

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("key", [key for key, cell in CELLS.items() if not cell.slow])
def test_intervals_hold_the_truth(key: str) -> None:
    found = measure(CELLS[key], CELLS[key].tested)
    assert not found.failed, found.row()
    assert found.none < 0.5, "few simulations gave an interval: choose another setting"


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key, cell in CELLS.items() if cell.slow])
def test_intervals_that_take_longer_hold_the_truth(key: str) -> None:
    """One or two simulations can never fail by their number alone, but many an interval comes out of
    one: of those that hold the truth with 93 %, two thirds do."""
    found = measure(CELLS[key], min(CELLS[key].tested, 30))
    assert not found.failed, found.row()
    assert found.coverage > 2 / 3, found.row()


def test_few_cells_are_excused_and_each_says_why() -> None:
    excused = [cell for cell in CELLS.values() if cell.seldom]
    assert 10 * len(excused) <= len(CELLS)
    assert (REQUIRED, EXCEPTION) == (0.93, 0.90)


def cell(ends: tuple[float, float], seldom: str = "") -> Cell:
    """Standard normal numbers and an interval around each."""
    return Cell(
        "test",
        repr(ends),
        1,
        lambda rng: (float(rng.normal()), [0.0, 0.0]),
        lambda x: [Interval(x, x - ends[0], x + ends[1]), None],
        seldom,
    )


def test_coverage_is_counted_by_side_and_refused_when_too_small() -> None:
    found = measure(cell((1.96, 1.96)), 1000)
    assert found.coverage == pytest.approx(0.95, abs=0.025)
    assert found.above == pytest.approx(0.025, abs=0.015)
    assert found.none == 0.5
    assert found.width == pytest.approx(3.92)
    assert not found.failed
    lopsided = measure(cell((0.0, 9.0)), 400)
    assert (lopsided.below, lopsided.failed) == (0, True)
    assert lopsided.above > 0.4
    assert measure(cell((1.6, 1.6)), 1000).failed  # 89 %
    assert not measure(cell((1.75, 1.75), "why"), 1000).failed  # 92 %, excused
    assert measure(cell((1.96, 1.96)), 50).coverage == measure(cell((1.96, 1.96)), 50).coverage


def test_a_cell_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CELLS", {})
    registry.add(cell((1, 1)))
    with pytest.raises(ValueError, match="two cells 'test"):
        registry.add(cell((1, 1)))


def test_the_command_writes_json_and_the_pages_table(tmp_path: Path) -> None:
    page, out = tmp_path / "page.md", tmp_path / "out.json"
    page.write_text(f"before\n{command.BEGIN}\nold\n{command.END}\nafter\n")
    options = ["--sims", "20", "--only", "win rate: 10 prompts, 80%", "--out", out, "--docs", page]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.coverage", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())
    kept = row | {"setting": "20 prompts, 80%", "coverage": 0.5}
    gone = row | {"setting": "of a cell that is no more"}
    out.write_text(json.dumps([kept, gone, row | {"coverage": 0.4}]))
    again = command.merged(out, [registry.Measured(**row)])
    assert [one.coverage for one in again] == [row["coverage"], 0.5]
    assert (row["name"], row["units"], row["simulations"]) == ("win rate", 10, 20)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| win rate | 10 prompts, 80% |" in text
    with pytest.raises(ValueError, match="has no <!-- coverage"):
        command.write_docs(out, [])
