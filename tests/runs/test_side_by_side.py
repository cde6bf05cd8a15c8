"""Several runs on one page, and what it says where something is broken."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_compared_runs import make_run

from accord.cli.main import main
from accord.files import AppendLog
from report_pages import inner


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [make_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]


def report(*arguments: Any) -> str:
    told = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert told.exit_code == 0, told.output
    return inner(Path(told.output.strip()))


def refused(*arguments: Any) -> str:
    told = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert told.exit_code == 2, told.output
    return " ".join(told.output.split())


def test_runs_stand_side_by_side_with_paired_differences(two: list[Path], tmp_path: Path) -> None:
    page = report(*two, "--out", tmp_path / "both.html")
    for text in ("2 runs side by side", "a: worked", "b: worked", "less a", "CPU time",
                 "scored by different reward models", "ppo.gold_gain"):  # fmt: skip
        assert text in page
    compared = json.loads(CliRunner().invoke(main, ["compare", *map(str, two), "--json"]).output)
    gold = next(one for one in compared["paired"] if one["quantity"] == "gold")
    assert f"{gold['difference']['value']:.3f} [" in page


def test_runs_without_a_common_prompt_are_told_so(two: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "c", 3, prompts="other ")
    page = report(two[0], other, "--out", tmp_path / "both.html")
    assert page.count("no prompt in common") == 4
    assert "c: worked" in page


def test_a_run_of_another_version_is_named_and_the_others_are_shown(
    two: list[Path], tmp_path: Path
) -> None:
    path = two[1] / "stages/02-examine/evidence.json"
    path.write_text(path.read_text().replace('"prompts"', '"promptz"', 1))
    page = report(*two, "--out", tmp_path / "both.html")
    assert "was written by another version: prompts" in page
    assert "ppo.gold_gain" in page
    told = CliRunner().invoke(main, ["report", str(two[1])])
    assert told.exit_code != 0
    assert "was written by another version" in told.output


def test_broken_lines_are_counted_and_the_rest_is_drawn(two: list[Path], tmp_path: Path) -> None:
    for folder in two:
        path = folder / "stages/01-ppo/metrics.jsonl"
        AppendLog(path).append([{"step": n, "time": 0.0, "score": 0.1 * n} for n in range(1, 5)])
    with open(path, "a") as handle:
        handle.write('{"step": 5, "sco\n')
    assert "1 line of its metrics.jsonl could not be read" in report(*two, "--out", tmp_path / "x")
    with open(path, "a") as handle:
        handle.write('{"step": 6, "sc')
    page = report(two[1])
    assert "The last line of metrics.jsonl of ppo is not whole" in page
    assert "1 line of metrics.jsonl could not be read and is left out" in page
    assert "Score" in page


def test_a_run_at_work_is_shown_as_it_is(two: list[Path], tmp_path: Path) -> None:
    with open(two[1] / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "Still being written" in report(*two, "--out", tmp_path / "both.html")
        assert "still being written" in report(two[1])
    assert "still being written" not in report(two[1])


def test_places_that_are_no_runs_are_refused(two: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "there is no run in" in refused(tmp_path / "empty")
    assert "there is no run in" in refused(two[0], tmp_path / "empty")
    said = refused(tmp_path)
    assert "is no run: it holds 2" in said
    assert str(two[0]) in said
    assert "each once" in refused(two[0], two[0])
    assert "--out is of several runs" in refused(two[0], "--out", tmp_path / "one.html")


def test_a_file_that_is_no_json_is_named(two: list[Path]) -> None:
    (two[0] / "verdict.json").write_text('{"outcome": "wor')
    told = CliRunner().invoke(main, ["report", str(two[0])])
    assert told.exit_code != 0
    assert "verdict.json is not JSON" in told.output
