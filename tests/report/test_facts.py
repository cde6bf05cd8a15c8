"""What stands at the top of a run's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accord.files import write_json
from accord.report.facts import facts, next_step, to_fine_tuning, to_take

RECIPE: dict[str, Any] = {
    "name": "mine",
    "seed": 3,
    "stages": {
        "sft": {"kind": "sft", "model": "base", "data": {"path": "demos.jsonl"}},
        "dpo": {"kind": "dpo", "model": "stage:sft", "feedback": ["a.jsonl", "b.jsonl"]},
    },
}


def stage(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    known = {"stage": name, "kind": name, "summary": "done", "failed": None, "folder": folder}
    return known | {"seconds": 30.0, "cpu_seconds": 20.0} | more


@pytest.fixture
def stages(tmp_path: Path) -> list[dict[str, Any]]:
    (tmp_path / "recipe.yaml").write_text("name: mine\n")
    (tmp_path / "stages/02-dpo/model").mkdir(parents=True)
    return [
        stage("sft", tmp_path / "stages/01-sft"),
        stage("dpo", tmp_path / "stages/02-dpo", cpu_seconds=50.0),
    ]


def test_models_and_data_that_the_run_did_not_make_are_named(
    tmp_path: Path, stages: list[dict[str, Any]]
) -> None:
    machine = {"processor": "x86", "cores": 2, "threads": 1, "versions": {"accord": "9"}}
    write_json(tmp_path / "environment.json", machine)
    found = dict(facts(tmp_path, RECIPE, stages))
    assert found["model"] == "base"
    assert found["data"] == "demos.jsonl, a.jsonl, b.jsonl"
    assert found["took"] == "1 min 00 s, 1 min 10 s of CPU time"
    assert found["machine"] == "x86, 2 cores, 1 thread"
    assert found["accord"] == "9"
    assert found["stages done"] == "2 of 2"
    assert found["CPU time by fine-tuning's"] == "3.5 times"
    own = {"name": "q", "stages": {"data": {"kind": "reviews"}, "sft": {"data": "stage:data/sft"}}}
    assert dict(facts(tmp_path, own, []))["data"] == "reviews"


def test_costs_are_told_by_fine_tunings(stages: list[dict[str, Any]]) -> None:
    assert to_fine_tuning(stages[1], stages) == 2.5
    assert to_fine_tuning(stages[0], stages) is None
    assert to_fine_tuning(stages[1], stages[1:]) is None


def test_the_model_to_take_is_named_with_the_step_where_gold_was_highest(
    stages: list[dict[str, Any]],
) -> None:
    arm = {"name": "dpo", "best_step": 4, "points": [{"step": 4}, {"step": 9}]}
    other = arm | {"name": "elsewhere"}
    (line,) = to_take({"arms": [arm, other]}, stages)
    assert line == "dpo: stages/02-dpo/model, after step 9; gold was highest at step 4"
    (line,) = to_take({"arms": [arm | {"best_step": 9}]}, stages)
    assert line.endswith("after step 9")


def test_what_to_do_next(tmp_path: Path, stages: list[dict[str, Any]]) -> None:
    def said(outcome: str | None, found: list[dict[str, Any]]) -> str:
        return next_step(tmp_path, RECIPE, outcome and {"outcome": outcome}, found)

    broken = [stages[0], stages[1] | {"failed": "disk full", "summary": "not finished"}]
    assert said(None, broken).startswith("Mend what stage dpo says, then continue: accord run")
    assert said(None, stages[:1]).startswith("1 of 2 stages are done. Continue: accord run")
    assert said(None, stages).startswith("Add an examine stage")
    assert "--ask 100" in said("inconclusive", stages)
    acts = [stages[0] | {"kind": "learn_from_clips"}, stages[1]]
    assert "--ask 32 writes comparisons of its episodes" in said("inconclusive", acts)
    bare = [stage | {"folder": tmp_path / "elsewhere"} for stage in stages]
    assert said(None, bare) == ""  # of no language model an examine stage says anything
    assert said("worked", stages) == said("gamed", stages) == ""
