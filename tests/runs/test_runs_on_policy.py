"""What plan, summary and result of an on-policy stage say about how it was run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from accord.errors import ConfigError, DataError
from accord.learning.on_policy_settings import (
    GrpoSettings,
    OnPolicySettings,
    ReinforceSettings,
    RlooSettings,
)
from accord.learning.order import EpochOrder, smaller_steps
from accord.learning.settings import (
    PreferenceSettings,
    PretrainingSettings,
    RewardSettings,
    SupervisedSettings,
    UnpairedSettings,
)
from accord.models.loading import LoraSettings, add_lora, load_causal_lm, save_causal_lm
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from accord.runs.plan import Plan
from accord.runs.registry import find
from accord.validation import Settings
from tiny import tiny_llama

NANO = "model: 'accord:nano-base', "
SMALL = "learning_rate: 1.0e-4, max_new_tokens: 4, whiten_advantages: false"
REWARD = "functions: {'on_policy_rewards:length': 1.0}"


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five prompts, in a directory with a reward function."""
    (tmp_path / "on_policy_rewards.py").write_text(
        "def length(prompts, responses):\n    return [len(r) for r in responses]\n"
    )
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "prompts.jsonl"
    path.write_text(
        "".join(
            json.dumps({"prompt": f"This {word} film"}) + "\n" for word in ("a", "b", "c", "d", "e")
        )
    )
    return path


def recipe(prompts: Path, settings: str, kind: str = "grpo") -> recipes.Recipe:
    path = prompts.parent / "toy.yaml"
    settings = settings if "model:" in settings else NANO + settings
    path.write_text(
        f"name: toy\nthreads: 1\nstages:\n  rl: {{kind: {kind}, {SMALL}, {REWARD}, prompts: {prompts}, {settings}}}\n"
    )
    return recipes.load(str(path))


def planned(prompts: Path, settings: str, kind: str = "grpo") -> Plan:
    return check(recipe(prompts, settings, kind), prompts.parent / "run")["rl"]


def ran(
    prompts: Path, settings: str, place: str = "run"
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(result.json, metrics.jsonl) of the stage."""
    folder = prompts.parent / place
    runner.execute(recipe(prompts, settings), folder, False, StageProgress(), {})
    stage = folder / "stages" / "01-rl"
    metrics = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    return json.loads((stage / "result.json").read_text()), metrics


def test_without_a_reference_the_stage_says_so(prompts: Path) -> None:
    settings = "steps: 2, prompts_per_step: 5, samples_per_prompt: 2, kl_coefficient: 0.0, measure_kl: false"
    plan, usual = (planned(prompts, s) for s in (settings, settings.replace("false", "true")))
    assert any("KL to the reference not measured" in note for note in plan.notes)
    assert not any("KL" in note for note in usual.notes)
    assert (plan.tokens or 0) < (usual.tokens or 0)
    assert (plan.memory_mib or 0) < (usual.memory_mib or 0)
    result, metrics = ran(prompts, settings)
    assert "KL to the reference not measured (measure_kl: false)" in result["summary"]
    assert "kl_seq" not in result["values"]
    assert not any(name.startswith(("kl_seq", "kl_tok")) for row in metrics for name in row)


def test_the_kl_is_measured_from_a_model_that_is_named(prompts: Path) -> None:
    """A stage goes on where another ended: from the base its KL is not 0 at first, from the model
    that it tunes it is."""
    policy = prompts.parent / "moved"
    model = load_causal_lm("accord:nano-base")
    with torch.no_grad():
        for parameter in model.hf.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.manual_seed(1))
    save_causal_lm(model, policy)
    settings = f"model: {policy}, steps: 1, prompts_per_step: 5, samples_per_prompt: 2"
    at_first = {}
    for name, reference in (("itself", "null"), ("base", "'accord:nano-base'")):
        _, (row,) = ran(prompts, f"{settings}, reference: {reference}", name)
        at_first[name] = row["kl_seq"]
    assert at_first["itself"] == pytest.approx(0, abs=1e-4)
    assert at_first["base"] > 0.1


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere/at/all", "nowhere/at/all"),
        ("OTHER", "the reference has another vocabulary"),
        ("ADAPTER", "is an adapter, and a reference is a plain model"),
    ],
)
def test_a_reference_that_measures_nothing_is_refused(
    prompts: Path, reference: str, said: str
) -> None:
    place = prompts.parent / "reference"
    if reference == "OTHER":
        save_causal_lm(tiny_llama(), place)
    if reference == "ADAPTER":
        base = load_causal_lm("accord:nano-base")
        save_causal_lm(add_lora(base, LoraSettings(), 1), place)
    named = reference if reference.islower() else place
    settings = f"steps: 1, prompts_per_step: 5, samples_per_prompt: 2, reference: {named}"
    with pytest.raises(ConfigError, match=said) as caught:
        ran(prompts, settings)
    assert "reference" in str(caught.value)
    with pytest.raises(ConfigError, match="measure_kl is false"):
        planned(prompts, f"{settings}, kl_coefficient: 0.0, measure_kl: false")


@pytest.mark.parametrize(
    ("per_step", "said", "sampled"),
    [
        (5, None, 30),  # three steps of five prompts with two samples each
        (9, "every step has all 5 prompts, not 9", 30),
        (2, "1 of 3 steps end a pass over 5 prompts with 1, not 2", 10),
    ],
)
def test_steps_smaller_than_asked_for_are_said_and_counted(
    prompts: Path, per_step: int, said: str | None, sampled: int
) -> None:
    settings = f"steps: 3, prompts_per_step: {per_step}, samples_per_prompt: 2, epochs: 1"
    plan = planned(prompts, settings)
    assert plan.rows == sampled
    assert [note for note in plan.notes if "prompts" in note] == ([said] if said else [])
    result, metrics = ran(prompts, settings)
    assert (said in result["summary"]) if said else ("prompts" not in result["summary"])
    assert result["values"]["responses"] == sampled
    assert len(metrics) == 3


def test_the_words_for_smaller_steps() -> None:
    """They say what the order of prompts does."""
    for rows, batch, steps in ((5, 5, 3), (5, 9, 3), (5, 2, 3), (5, 2, 2), (7, 3, 10), (64, 64, 4)):
        order = EpochOrder(rows, batch, steps / -(-rows // batch), seed=0)
        sizes = [len(order.rows(step)) for step in range(steps)]
        assert order.visited(steps) == sum(sizes)
        said, small = smaller_steps(rows, batch, steps), [n for n in sizes if n < batch]
        assert bool(said) == bool(small)
        if small and rows > batch:
            assert (
                said
                == f"{len(small)} of {steps} steps end a pass over {rows} prompts with {small[0]}, not {batch}"
            )


def test_minibatches_that_the_last_step_cannot_fill_are_refused_before_anything_is_loaded(
    prompts: Path,
) -> None:
    with pytest.raises(ConfigError, match="5 prompts has 1 of them, for 2 minibatches"):
        planned(prompts, "steps: 3, prompts_per_step: 2, samples_per_prompt: 2, minibatches: 2")


def test_the_published_optimiser_can_be_chosen(prompts: Path) -> None:
    """Huang et al. 2024: beta2 0.999, eps 1e-5, no warm-up, linear decay."""
    config: Any = recipe(prompts, "adam_beta2: 0.999, warmup: 0", "ppo").stages["rl"][1]
    named = (config.adam_beta2, config.warmup, config.adam_eps, config.schedule, config.final_share)
    assert named == (0.999, 0.0, 1e-5, "linear", 0.0)


@pytest.mark.parametrize(
    ("kind", "trainer"),
    [
        ("pretrain", PretrainingSettings),
        ("sft", SupervisedSettings),
        ("reward", RewardSettings),
        ("dpo", PreferenceSettings),
        ("kto", UnpairedSettings),
        ("ppo", OnPolicySettings),
        ("rloo", RlooSettings),
        ("grpo", GrpoSettings),
        ("reinforce", ReinforceSettings),
    ],
)
def test_a_stage_and_python_have_the_same_settings(kind: str, trainer: type[Settings]) -> None:
    of_stage = find(kind).Config.model_fields
    for name, field in trainer.model_fields.items():
        assert repr(of_stage[name]) == repr(field), name
    assert trainer.model_fields["learning_rate"].is_required()
    assert (of_stage["adam_beta2"].default, of_stage["warmup"].default) == (0.95, 0.05)


@pytest.mark.parametrize("evaluation", ["2", "0.4", "own.jsonl"])
def test_prompts_kept_aside_are_measured_and_never_trained_on(
    prompts: Path, monkeypatch: pytest.MonkeyPatch, evaluation: str
) -> None:
    monkeypatch.chdir(prompts.parent)
    lines = prompts.read_text().splitlines(keepends=True)
    (prompts.parent / "own.jsonl").write_text("".join(lines[:2]))
    settings = (
        "steps: 3, prompts_per_step: 3, samples_per_prompt: 2, evaluate_every: 1, keep_best: true, "
        f"evaluation: {evaluation}"
    )
    left = 5 if evaluation == "own.jsonl" else 3
    plan, plain = planned(prompts, settings), planned(prompts, settings.split(", evaluate")[0])
    assert (plan.tokens or 0) > 0 < (plain.tokens or 0)
    assert any(note.startswith("kept aside: ") and "nothing" not in note for note in plan.notes)
    result, metrics = ran(prompts, settings)
    values = result["values"]
    assert values["heldout"] == 2
    assert values["heldout_score"] == max(row["heldout_score"] for row in metrics)
    assert f"the best, of step {values['best_step']}, kept" in result["summary"]
    assert values["responses"] == 2 * EpochOrder(left, 3, 1, 0).visited(3)


def test_what_a_stage_keeps_by_held_out_measures_needs_them(prompts: Path) -> None:
    with pytest.raises(ConfigError, match="keep_best goes by what is kept aside"):
        recipe(prompts, "steps: 3, evaluate_every: 1, keep_best: true")
    with pytest.raises(DataError, match="5 prompts, but 5 are to be kept aside"):
        planned(prompts, "steps: 3, samples_per_prompt: 2, evaluation: 5")
