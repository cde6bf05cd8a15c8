"""What the machine cannot do is told before anything is done, with exit code 2; and runs are listed,
shown and removed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accord.errors import ConfigError
from accord.runs import environment, listing, registry, runner
from accord.runs import recipe as recipes
from accord.runs.checks import _check_disk
from accord.runs.plan import Plan

SMALL = """
name: small
stages:
  sft: {kind: sft, model: accord:nano-base, data: rows.jsonl, learning_rate: 1.0e-3, evaluation: 2}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    row = json.dumps({"prompt": "This film", "completion": " is good."})
    (tmp_path / "rows.jsonl").write_text(f"{row}\n" * 8)
    return tmp_path


def accord(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accord.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("threads", [0, -1, 1_000_000])
def test_threads_are_those_of_the_machine(here: Path, threads: int) -> None:
    with pytest.raises(ConfigError, match="threads"):
        environment.prepare(recipes.load("small.yaml", [f"threads={threads}"]).header.threads)
    cores = os.cpu_count() or 1
    assert environment.prepare(cores) == cores


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("small.yaml", "is a file"),
        ("small.yaml/below", "small.yaml is a file"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_a_place_that_cannot_hold_a_run(here: Path, out: str, message: str) -> None:
    done = accord("run", "small.yaml", "threads=1", "--out", out)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "bug" not in done.stderr


def test_a_plugin_that_fails_is_named_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        importlib.metadata.EntryPoint("broken", "nothing_of_that_name:Stage", registry.GROUP),
        importlib.metadata.EntryPoint("odd", "json:loads", registry.GROUP),
        importlib.metadata.EntryPoint("own_sft", "accord.runs.stages.sft:Sft", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(ConfigError, match=r"nothing_of_that_name:Stage .* ModuleNotFoundError"):
        registry.find("broken")
    with pytest.raises(ConfigError, match="is no stage"):
        registry.find("odd")
    assert registry.find("own_sft").kind == "sft"
    assert {"broken", "odd", "own_sft", "dpo"} <= set(registry.kinds())


def test_a_disk_that_will_not_hold_the_checkpoints(here: Path) -> None:
    free = environment.free_mib(here)
    _check_disk({"a": Plan(disk_mib=int(free) // 2), "b": Plan()}, here / "run")
    with pytest.raises(ConfigError, match=r"most of it stage b, .* are free") as error:
        _check_disk({"a": Plan(disk_mib=1), "b": Plan(disk_mib=int(free) + 10)}, here / "run")
    assert "b.checkpoints.keep=1" in (error.value.fix or "")


def test_runs_are_listed_shown_and_removed(here: Path) -> None:
    assert "there are no runs" in accord("runs", "list").stdout
    recipe = recipes.load("small.yaml")
    for name, results in (("one", 1), ("two", 0)):
        folder = here / "runs" / name
        (folder / "stages/01-sft").mkdir(parents=True)
        (folder / runner.RECIPE).write_text(recipe.dump())
        (folder / runner.LOCK).touch()
        if results:
            result = {"stage": "sft", "seconds": 1.0, "peak_mib": 1.0, "summary": "it went well"}
            (folder / "stages/01-sft/result.json").write_text(json.dumps(result))
    (here / "runs/two/stages/01-sft/failed.json").write_text(json.dumps({"error": "no luck\nmore"}))
    (here / "runs/mine").mkdir()
    states = {run.folder.name: (run.state, run.done, run.outcome) for run in listing.runs_in(here / "runs")}  # fmt: skip
    assert states == {"one": ("done", 1, ""), "two": ("failed", 0, "no luck")}
    assert "it went well" in accord("runs", "show", "runs/one").stdout
    assert "continue: accord run --resume runs/two" in accord("runs", "show", "runs/two").stdout
    with runner.locked(here / "runs/one"):
        assert listing.summary(here / "runs/one").state == "running"
        refused = accord("runs", "rm", "--yes", "runs/one")
        assert refused.returncode == 2
        assert "another process is working" in refused.stderr
    assert accord("runs", "rm", "--yes", "runs/mine").returncode == 2
    assert (here / "runs/mine").is_dir()
    assert accord("runs", "rm", "runs/one").returncode == 1  # nobody said yes
    assert accord("runs", "rm", "--yes", "runs/one", "runs/two").returncode == 0
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["mine"]


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells it apart")
def test_the_peak_of_a_process_is_its_own_not_that_of_who_started_it() -> None:
    held = bytearray(300 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])  # every page is there
    code = "from accord.runs import environment as e; a = e.peak_mib(); b = bytearray(80 << 20); print(a, e.peak_mib())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    begun, grown = map(float, said.stdout.split())
    assert begun < 150 < 300 < environment.peak_mib()
    assert grown > begun + 75
