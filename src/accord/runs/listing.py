"""The runs in a directory: what they are, how far they came, and how to get rid of one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from accord.errors import ConfigError
from accord.files import read_json_if_whole
from accord.runs.context import RESULT
from accord.runs.runner import FAILED, LOCK, RECIPE, locked
from accord.validation import read_yaml, suggest

State = Literal["running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class RunSummary:
    """A run in its directory. begun: when its recipe was written; done, stages: how many stages of
    all are done (of a study: of all seeds); outcome: the verdict, or the error of a failed one."""

    folder: Path
    name: str
    begun: datetime
    state: State
    done: int
    stages: int
    size_mib: float
    outcome: str = ""


def runs_in(root: Path) -> Iterator[RunSummary]:
    """The runs directly below `root`, the latest first."""
    folders = [path.parent for path in root.glob(f"*/{RECIPE}")] if root.is_dir() else []
    yield from sorted(map(summary, folders), key=lambda run: run.begun, reverse=True)


def summary(folder: Path) -> RunSummary:
    """Of the run in `folder`. Raises ConfigError where there is none, or its recipe cannot be
    read."""
    path = folder / RECIPE
    if not path.is_file():
        near = [str(one.parent) for one in folder.parent.glob(f"*/{RECIPE}")]
        raise ConfigError(
            f"there is no run in {folder}: it has no {RECIPE}",
            f"{suggest(str(folder), near)}accord runs list shows them",
        )
    raw = read_yaml(path.read_text(encoding="utf-8"), str(path), "it is written by accord run")
    seeds = len((raw.get("study") or {}).get("seeds", [0]))
    done, stages = len(list(folder.rglob(f"stages/*/{RESULT}"))), seeds * len(raw["stages"])
    state, outcome = _state(folder, done, stages)
    size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    begun = datetime.fromtimestamp(path.stat().st_mtime)
    return RunSummary(folder, str(raw["name"]), begun, state, done, stages, size / 2**20, outcome)


def _state(folder: Path, done: int, stages: int) -> tuple[State, str]:
    if at_work(folder):
        return "running", ""
    if done >= stages:
        return "done", str((read_json_if_whole(folder / "verdict.json") or {}).get("outcome") or "")
    failed = next(folder.rglob(f"stages/*/{FAILED}"), None)
    error = read_json_if_whole(failed) if failed is not None else None
    return ("failed", str(error["error"]).splitlines()[0]) if error else ("stopped", "")


def at_work(folder: Path) -> bool:
    """Whether a process holds the run's lock."""
    lock = folder / LOCK
    if not lock.is_file():
        return False
    handle = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def remove(folder: Path) -> None:
    """Delete a run with everything in its directory. Raises ConfigError where there is none, or a
    process is at work in it."""
    summary(folder)
    with locked(folder):
        shutil.rmtree(folder)
