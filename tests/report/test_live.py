"""A run is shown as its files say, while it is at work and after."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import toy
from accord.cli.main import main
from accord.files import AppendLog
from accord.report.live import BLOCKS, KEPT, WatchedRun, sparkline
from accord.runs.progress_file import ProgressFile
from forked import Command


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(
        "name: toy\nstages: {one: {kind: sft}, two: {kind: ppo}, three: {kind: examine}}\n"
    )
    one = tmp_path / "stages/01-one"
    AppendLog(one / "metrics.jsonl").append([{"step": 1, "time": 1.0, "loss_tok": 2.0}])
    (one / "result.json").write_text('{"summary": "learned", "guard": "KL above the budget"}')
    two = tmp_path / "stages/02-two"
    rows = [
        {"step": s, "time": 1.0, "tokens": 1, "loss": 1.0, "score": s, "kl_seq": 0.5}
        for s in (1, 2)
    ]
    AppendLog(two / "metrics.jsonl").append(rows)
    (two / "config.yaml").write_text("kind: ppo\n")
    now = time.time()
    progress = {"done": 20, "total": 60, "time": now, "begun": now - 100, "from": 10}
    (two / "progress.json").write_text(json.dumps(progress))
    return tmp_path


def test_stages_say_how_far_they_are(run_dir: Path) -> None:
    run = WatchedRun(run_dir)
    run.look(at_work=True)
    one, two, three = run.stages
    assert (one.state, one.note, one.alarm) == ("done", "learned", "KL above the budget")
    assert (two.state, two.done, two.total) == ("running", 20, 60)
    assert two.left == pytest.approx(400, abs=5)  # 10 s a step
    assert two.headlines() == ["score", "kl_seq", "loss"]
    assert three.state == "waiting"
    run.look(at_work=False)
    assert (two.state, two.left) == ("stopped", None)
    (two.folder / "failed.json").write_text('{"error": "disk full\\nmore"}')
    run.look(at_work=False)
    assert (two.state, two.note) == ("failed", "disk full")


def test_curves_grow_and_stay_of_bounded_length(run_dir: Path) -> None:
    run = WatchedRun(run_dir)
    run.look(True)
    log = AppendLog(run_dir / "stages/02-two/metrics.jsonl")
    log.append([{"step": s, "time": 1.0, "score": s} for s in range(3, 2 * KEPT)])
    run.look(True)
    curve = run.stages[1].curves["score"]
    assert len(curve) <= KEPT
    assert (curve[0], curve[-1]) == ((1, 1.0), (2 * KEPT - 1, 2 * KEPT - 1))


def test_progress_is_written_at_the_end_and_not_at_every_step(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path)
    for step in range(3, 8):
        progress.update(step, 8)
    written = json.loads(progress.path.read_text())
    assert (written["done"], written["from"]) == (3, 3)
    progress.update(8, 8)
    assert json.loads(progress.path.read_text())["done"] == 8


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_sparkline_goes_up_where_values_do(values: list[float]) -> None:
    line = sparkline(sorted(values))
    assert len(line) == min(24, len(values))
    assert list(line) == sorted(line, key=BLOCKS.index)


def test_the_command_shows_runs_and_sends_them(tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "first"
    run_dir.parent.mkdir()
    done = Command(toy.main, str(run_dir))
    assert (done.ended(), done.returncode) == ("", 0)
    shown = CliRunner().invoke(main, ["watch", str(tmp_path / "runs"), "--to", "tensorboard"])
    assert shown.exit_code == 0, shown.output
    assert "2 of 2 stages done, done" in shown.output
    assert "12/12" in shown.output or "5/5" in shown.output
    assert list((run_dir / "tensorboard").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "there is no run in"),
        ([".", "--to", "wandbb"], "'wandbb' is not a tracker"),
    ],
)
def test_what_cannot_be_watched_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(main, ["watch", *arguments])
    assert told.exit_code == 2
    assert message in told.output
