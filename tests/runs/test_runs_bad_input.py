"""Stages given the wrong data or settings say what they found and what would do, and a guard has
its own exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accord.errors import GUARD_EXIT, ConfigError, DataError
from accord.feedback.records import Feedback
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

BASE = "model: 'accord:nano-base', learning_rate: 1.0e-3"


def execute(tmp_path: Path, stages: str) -> runner.Outcome:
    path = tmp_path / "toy.yaml"
    path.write_text(f"name: toy\nthreads: 1\nstages:\n{stages}")
    return runner.execute(recipes.load(str(path), []), tmp_path / "run", False, StageProgress(), {})


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rankings(tmp_path: Path) -> Path:
    options = [
        {"id": name, "content": f" is {name}.", "shown_at": i} for i, name in enumerate("abc")
    ]
    made = {
        "kind": "ranking",
        "prompt": "It",
        "annotator": "one",
        "options": options,
        "choice": {"order": [["b"], ["a"], ["c"]]},
    }
    rows = [
        Feedback.model_validate({"id": str(i), **made}).model_dump(mode="json") for i in range(4)
    ]
    return write(tmp_path / "rankings.jsonl", rows)


def test_kto_from_rankings_alone(tmp_path: Path) -> None:
    """A ranking says which is better, not which is good."""
    with pytest.raises(
        DataError, match=r"no thumbs and no comparisons: 4 ranking: says no good and bad"
    ) as error:
        execute(tmp_path, f"  kto: {{kind: kto, {BASE}, feedback: {rankings(tmp_path)}}}\n")
    assert "marked good or bad" in (error.value.fix or "")


def test_dpo_from_thumbs(tmp_path: Path) -> None:
    thumbs = write(
        tmp_path / "t.jsonl",
        [{"prompt": "It", "completion": f" is {i}.", "label": i % 2 == 0} for i in range(4)],
    )
    with pytest.raises(
        DataError, match=r"nothing here compares responses: 4 thumb compares nothing"
    ) as error:
        execute(tmp_path, f"  dpo: {{kind: dpo, {BASE}, feedback: {thumbs}}}\n")
    assert "kto" in (error.value.fix or "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "nothing gives a score: name a reward model"),
        ("reward: r, estimator: grpo", "samples_per_prompt of 2 or more"),
        ("reward: r, value_warmup: 60", "leaves none of 60 steps for the policy"),
        ("reward: r, value_warmup: 1, estimator: reinforce", "has no value model"),
        (
            "reward: r, prompts_per_step: 4, whiten_advantages: false, whiten_rewards: true",
            "at least 8 responses",
        ),
        ("functions: {'a:b': 1.0}, max_spread: 1.0", "max_spread compares the members"),
        ("reward: r, stop_when_gold_turns: true", "set evaluate with gold"),
        ("reward: r, temperature: 0", "temperature"),
    ],
)
def test_ppo_that_cannot_work_is_refused_before_anything_loads(
    tmp_path: Path, settings: str, message: str
) -> None:
    more = f", {settings}" if settings else ""
    with pytest.raises(ConfigError, match=message):
        execute(
            tmp_path,
            f"  ppo: {{kind: ppo, model: nowhere, learning_rate: 1.0e-3, prompts: nowhere{more}}}\n",
        )


@pytest.mark.slow
def test_a_guard_of_the_ppo_stage_ends_with_its_own_code_and_keeps_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guarded_rewards.py").write_text(
        "def length(prompts, responses):\n    return [len(r) for r in responses]\n"
    )
    monkeypatch.chdir(tmp_path)
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": f"This {i} film"} for i in range(8)])
    stage = (
        f"  rl: {{kind: reinforce, {BASE}, prompts: {prompts}, functions: {{'guarded_rewards:length': 1.0}}, steps: 9, "
        "prompts_per_step: 8, max_new_tokens: 4, min_entropy: 5.0}\n"
    )
    outcome = execute(tmp_path, stage)
    assert outcome.exit_code == GUARD_EXIT
    assert "rl: the policy's entropy is" in (outcome.guard or "")
    rows = [
        json.loads(line)
        for line in (tmp_path / "run/stages/01-rl/metrics.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in rows] == [1]
    assert rows[0]["entropy_tok"] < 5
