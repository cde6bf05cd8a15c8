"""The packaged study of a limit on real text, at a small size."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from accord.files import read_jsonl
from accord.runs import recipe as recipes
from accord.runs import runner, study
from accord.runs.context import StageProgress
from accord.runs.recipe import Recipe

DATA = [
    "threads=1", "data.sft=24", "data.prompts=24", "data.evaluation=10", "data.gold_reviews=600", "sft.batch=8",
    "evaluation=8", "sft.evaluation=4",
]  # fmt: skip


def ran(recipe: Recipe, folder: Path) -> dict[str, dict[str, Any]]:
    """Values of each stage of the study's seed 1, whose table is written."""
    runner.execute(
        recipe.with_seed(1), study.seed_folder(folder, 1), False, StageProgress(), {}, True
    )
    (folder / runner.RECIPE).write_text(recipe.dump())
    assert recipe.header.study is not None
    study.write_results(recipe.header.study, folder)
    found = [json.loads(path.read_text()) for path in folder.glob("seed-1/stages/*/result.json")]
    return {one["stage"]: one["values"] for one in found}


@pytest.mark.slow
def test_a_limit_on_what_real_text_may_say(tmp_path: Path, pico: str) -> None:
    """Every arm is measured by the same critic on the same openings; the price rises by what
    exceeds the limit, and stays where it is fixed."""
    pytest.importorskip("sklearn")
    arms = ("helpful", "price_1", "price_3", "limited")
    recipe = recipes.load(
        "limit-reviews",
        [
            *DATA, f"model={pico}", "seeds=[1]", "steps=2", "limit=0", "collect.count=8",
            "reward.epochs=1", "reward.centre_samples=8", *(f"{arm}.prompts_per_step=4" for arm in arms),
        ],
    )  # fmt: skip
    values = ran(recipe, tmp_path)
    metrics = {
        arm: read_jsonl(next(tmp_path.glob(f"seed-1/stages/*-{arm}")) / "metrics.jsonl")
        for arm in arms
    }
    assert "cost_multiplier" not in metrics["helpful"][0]
    for arm, price in (("price_1", 1.0), ("price_3", 3.0)):
        assert [row["cost_multiplier"] for row in metrics[arm]] == [price] * 2
    moved = metrics["limited"]
    for before, after in pairwise(moved):
        rises = before["cost_bound"] > 0
        assert (after["cost_multiplier"] > before["cost_multiplier"]) == rises
    for arm in ("sft", *arms):
        assert 0 <= values["violations"][f"{arm}.no-first-person"] <= 1
    assert "gold gain" in (tmp_path / study.TABLE).read_text()
