"""The whole loop at toy size through the command line, killed in every stage and resumed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from forked import Accord

pytest.importorskip("sklearn")
SMALL = [
    "threads=1", "data.sft=160", "data.prompts=120", "data.evaluation=16", "data.gold_reviews=1000", "sft.evaluation=20", "sft.batch=16", "collect.count=70",
    "reward.members=2", "reward.epochs=1", "reward.centre_samples=32", "ppo.steps=4", "ppo.prompts_per_step=16", "ppo.evaluate.count=12",
    "ppo.evaluate.points=2", "dpo.limit=96", "dpo.evaluate.count=12", "dpo.evaluate.points=2", "best_of_n.pool=4",
    "best_of_n.evaluate.count=12", "examine.evaluate.count=12",
]  # fmt: skip
STAGES = ("data", "sft", "collect", "reward", "best_of_n", "ppo", "dpo", "examine")


def start(run_dir: Path, model: str, resume: bool = False) -> Accord:
    new = ["quickstart", *SMALL, f"model={model}", "--out", str(run_dir)]
    return Accord("run", *(["--resume", str(run_dir)] if resume else new))


def kill_in(run_dir: Path, stage: str, process: Accord) -> bool:
    """SIGKILL once `stage` has begun and left something; False when it was quicker than us."""
    folder = run_dir / "stages" / f"{STAGES.index(stage) + 1:02d}-{stage}"
    while process.poll() is None:
        if (folder / "result.json").exists():
            return False
        if (folder / "config.yaml").exists():
            time.sleep(0.3)
            process.kill()
            return True
        time.sleep(0.01)
    return False


def lineage(run_dir: Path) -> dict:
    return json.loads((run_dir / "lineage.json").read_text())["stages"]


@pytest.mark.slow
def test_killed_in_every_stage_and_resumed_the_run_is_bit_identical(
    tmp_path: Path, pico: str
) -> None:
    straight = start(tmp_path / "straight", pico)
    output = straight.ended()
    assert straight.returncode == 0, output
    assert "what came out" in output
    report = (tmp_path / "straight" / "report.html").read_text(encoding="utf-8")
    assert "Reward against distance" in report

    broken, killed = tmp_path / "broken", []
    for stage in STAGES:
        process = start(broken, pico, resume=broken.exists())
        if kill_in(broken, stage, process):
            killed.append(stage)
        else:
            process.kill()
    assert len(killed) >= 5, killed
    final = start(broken, pico, resume=True)
    output = final.ended()
    assert final.returncode == 0, output
    assert lineage(broken) == lineage(tmp_path / "straight")
    first, second = ((d / "verdict.json").read_text() for d in (broken, tmp_path / "straight"))
    assert first == second
