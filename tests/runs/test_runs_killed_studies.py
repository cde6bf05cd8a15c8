"""Studies of small worlds, killed in a stage and resumed: their tables are those of a run that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forked import Accord, accord

SMALL: dict[str, tuple[str, tuple[str, ...]]] = {
    "gallery": ("worlds", ("people=1", "worlds.only=[cleaning]")),
    "goal-inference": ("rooms", ("episodes=60",)),
    "procedure-cloning": (
        "mazes",
        ("mazes.side=7", "mazes.mazes=4", "mazes.goals=2", "mazes.unseen=6", "mazes.updates=60", "mazes.channels=8"),
    ),
    "assistance-game": ("game", ("game.games=1", "game.side=3", "game.horizon=5", "teaching.grids=2")),
}  # fmt: skip
"""Recipe -> its stage that is killed, and settings by which it is small."""


def values(folder: Path, stage: str) -> list[Any]:
    """What the stage measured with each seed."""
    found = sorted(folder.glob(f"seed-*/stages/*-{stage}/result.json"))
    return [json.loads(path.read_text())["values"] for path in found]


@pytest.mark.parametrize("name", SMALL)
def test_a_study_killed_in_a_stage_ends_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    """By SIGKILL while the second seed is under way; the first one is not done again."""
    stage, small = SMALL[name]
    command = ("run", name, "threads=1", "seeds=[1,2]", *small)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    accord(*command, "--out", str(whole))
    Accord(*command, "--out", str(killed)).kill_when(
        lambda: any(killed.glob(f"seed-2/stages/*-{stage}/inputs.json"))
    )
    assert len(values(killed, stage)) == 1, "killed too late"
    (first,) = killed.glob(f"seed-1/stages/*-{stage}/result.json")
    stamp = first.stat().st_mtime_ns
    accord("run", "--resume", str(killed))
    assert first.stat().st_mtime_ns == stamp
    assert values(killed, stage) == values(whole, stage)
    tables = [json.loads((folder / "study.json").read_text()) for folder in (whole, killed)]
    assert tables[0] == tables[1]
