"""Run directories survive `kill -9`, Ctrl-C, damage, a full disk and confusion with other runs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import toy as toys
from accord import files
from accord.errors import ConfigError, RunError
from accord.feedback.formats import export_rows
from accord.feedback.records import Feedback
from accord.feedback.store import FeedbackStore
from accord.files import AppendLog, write_json
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.session import InterruptFlag, RunSession
from accord.text.packing import PromptGroup
from forked import Command


def toy(run_dir: Path, *arguments: str) -> Command:
    """The toy run in a process of its own, ended; see `toy.main`."""
    command = Command(toys.main, str(run_dir), *arguments)
    command.ended()
    return command


def content(run_dir: Path) -> dict[str, bytes]:
    """Everything a run left, without times."""
    kept = {}
    for path in sorted(run_dir.rglob("*")):
        if path.name in ("end.pt", "chunks.jsonl", "config.yaml", "recipe.yaml"):
            kept[str(path.relative_to(run_dir))] = path.read_bytes()
        elif path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            kept[str(path.relative_to(run_dir))] = repr(
                [{k: v for k, v in r.items() if k != "time"} for r in rows]
            ).encode()
    return kept


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run_dir = tmp_path_factory.mktemp("straight") / "run"
    assert toy(run_dir).returncode == 0
    return content(run_dir)


@pytest.mark.parametrize("at", [1, 7, 12, 17])
def test_kill_9_and_resume_is_bit_identical(
    tmp_path: Path, straight: dict[str, bytes], at: int
) -> None:
    run_dir = tmp_path / "run"
    assert toy(run_dir, "--kill-at", str(at)).returncode == -signal.SIGKILL
    # The second stage dies at the same place.
    assert toy(run_dir, "--resume", "--kill-at", str(at)).returncode in (0, -signal.SIGKILL)
    for _ in range(3):
        if toy(run_dir, "--resume").returncode == 0:
            break
    assert content(run_dir) == straight


@pytest.mark.parametrize("how", ["--interrupt-at", "--terminate-at"])
def test_ctrl_c_and_sigterm_end_cleanly_and_resume(
    tmp_path: Path, straight: dict[str, bytes], how: str
) -> None:
    run_dir = tmp_path / "run"
    stopped = toy(run_dir, how, "5")
    assert stopped.returncode == 130
    assert "the work so far is kept" in stopped.ended()
    assert (run_dir / "stages/01-one/checkpoints/step-00000005").is_dir()
    assert toy(run_dir, "--resume").returncode == 0
    assert content(run_dir) == straight


def test_an_impossible_metric_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    stopped = toy(run_dir, "--nan-at", "8")
    assert stopped.returncode == 1
    assert "grad_norm is nan at step 8 (rows 8)" in stopped.ended()
    checkpoints = sorted(p.name for p in (run_dir / "stages/01-one/checkpoints").iterdir())
    assert checkpoints[-1] == "step-00000006"
    assert "nan" in json.loads((run_dir / "stages/01-one/failed.json").read_text())["error"]


def test_a_guard_ends_the_run_with_its_own_code_after_the_later_stages(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    for again in ((), ("--resume",)):
        assert toy(run_dir, "one.guard=KL above the budget", *again).returncode == 3
    records = [
        json.loads((run_dir / f"stages/{name}/result.json").read_text())
        for name in ("01-one", "02-two")
    ]
    assert [record["guard"] for record in records] == ["KL above the budget", None]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, straight: dict[str, bytes]
) -> None:
    run_dir = tmp_path / "run"
    toy(run_dir, "--kill-at", "10")
    last = run_dir / "stages/01-one/checkpoints/step-00000009/state.pt"
    last.write_bytes(last.read_bytes()[:-50])
    assert toy(run_dir, "--resume").returncode == 0
    assert content(run_dir) == straight


def test_directories_of_other_runs_are_refused(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert toy(run_dir).returncode == 0
    again = toy(run_dir)
    assert again.returncode == 2
    assert "already holds a run" in again.ended()
    other = toy(run_dir, "--resume", "seed=4", "two.steps=5")
    assert other.returncode == 2
    assert "seed (3 there, 4 now)" in other.ended()
    assert "stages.two.steps (12 there, 5 now)" in other.ended()
    assert toy(tmp_path / "none", "--resume").returncode == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    assert "not a run of accord" in toy(tmp_path / "mine").ended()


def test_two_processes_cannot_share_a_run(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    path = tmp_path / "toy.yaml"
    path.write_text(toys.RECIPE)
    with runner.locked(run_dir), pytest.raises(ConfigError, match="another process"):
        runner.execute(recipes.load(str(path)), run_dir, False, StageProgress(), {})


def test_a_full_disk_is_said_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "x.json", {"old": 1})
    log = AppendLog(tmp_path / "log.jsonl")
    log.append([{"row": 1}])
    session = RunSession(tmp_path / "stage", InterruptFlag())
    session.save(1, {"weights": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for action in (
        lambda: write_json(tmp_path / "x.json", {"new": 2}),
        lambda: log.append([{"row": 2}]),
        lambda: session.save(2, {"weights": 2}),
    ):
        with pytest.raises(RunError, match="no space left while writing") as error:
            action()
        assert error.value.fix == "free some space"
    monkeypatch.undo()
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert RunSession(tmp_path / "stage", InterruptFlag()).restore() == {"weights": 1}
    assert not list(tmp_path.glob(".x.json.*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], check=False
        ).returncode
    ):
        pytest.skip("a small file system can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    session = RunSession(small_disk / "stage", InterruptFlag())
    session.save(1, {"weights": torch.ones(1000)})
    write_json(small_disk / "x.json", {"old": 1})
    lm = load_causal_lm("accord:nano-base")
    head = ScalarModel.from_causal_lm(lm, 0)
    reward = RewardModel.untrained([head])
    store = small_disk / "feedback.sqlite"
    record = export_rows(_records(), "accord")[0][0]
    for action in (
        lambda: session.save(2, {"weights": torch.ones(4_000_000)}),
        lambda: write_json(small_disk / "x.json", {"new": "x" * 4_000_000}),
        lambda: save_causal_lm(lm, small_disk / "model"),
        lambda: reward.save(small_disk / "reward", [PromptGroup([0, 5], [[6, 1]])]),
        lambda: AppendLog(small_disk / "log.jsonl").append([{"row": "x" * 4_000_000}]),
        lambda: _fill(store, record),
    ):
        with pytest.raises(RunError, match="no space left while writing") as error:
            action()
        assert error.value.fix == "free some space"
    assert torch.equal(
        RunSession(small_disk / "stage", InterruptFlag()).restore()["weights"], torch.ones(1000)
    )
    assert json.loads((small_disk / "x.json").read_text()) == {"old": 1}
    assert not (small_disk / "model").exists()
    assert not (small_disk / "reward").exists()
    assert not list(small_disk.rglob(f"{files.TEMPORARY}*"))


def _records() -> list[Feedback]:
    option = {"id": "a", "content": "yes", "shown_at": 0}
    thumb = {
        "id": "r",
        "kind": "thumb",
        "prompt": "p",
        "options": [option],
        "choice": {"up": True},
        "annotator": "ann",
    }
    return [Feedback.model_validate(thumb)]


def _fill(path: Path, record: dict) -> None:
    with FeedbackStore(path) as store:
        for i in range(60):
            store.add([Feedback.model_validate(record | {"id": f"r{i}", "prompt": "x" * 100_000})])


def test_digest_sees_content_and_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = files.digest(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert files.digest(tmp_path / "a") != first
