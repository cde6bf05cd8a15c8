"""A limit on cost in on-policy stages: by a rule whose zero is calibrated, by functions; refused
where it means nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from test_runs_on_policy import planned, prompts, ran  # noqa: F401 (a fixture)
from test_runs_reward import WORDS, run, write
from test_runs_rules import RULES, judged

from accord.errors import AccordError, ConfigError, RunError
from accord.learning.constrained import CostZero
from accord.learning.judgements import JudgedGroup, Judgement
from accord.learning.rule_heads import rule_zeros
from accord.models.ensembles import build_members
from accord.models.heads import HeadForm
from accord.models.reward_model import RewardModel
from accord.runs.context import StageContext
from accord.runs.reading import PromptRow
from accord.runs.session import InterruptFlag
from accord.runs.stages.costs import CostConfig, CostScorer
from accord.sampling.rollout import Rollout
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup
from tiny import tiny_llama

pytestmark = pytest.mark.usefixtures("pico_here")

LONGER = (
    "\n\ndef some(prompts, responses):\n    return [len(r) - 12 for r in responses]\n"
    "\n\ndef unknown(prompts, responses):\n    return [None for r in responses]\n"
)
COST = (
    "cost: {functions: {'on_policy_rewards:some': 1}, bound: rate, limit: 0.1, start: 2, step: 0.1}"
)


@pytest.fixture
def asked(prompts: Path) -> Path:  # noqa: F811
    functions = prompts.parent / "on_policy_rewards.py"
    functions.write_text(functions.read_text() + LONGER)
    return prompts


def test_a_cost_by_a_function_is_paid_for_and_told(asked: Path) -> None:
    settings = f"steps: 2, prompts_per_step: 5, samples_per_prompt: 4, {COST}, evaluation: 2"
    settings = settings.replace("prompts_per_step: 5", "prompts_per_step: 3")
    assert any(
        note == "limit on cost: share of harmful responses at most 0.1, by on_policy_rewards:some"
        for note in planned(asked, settings).notes
    )
    result, metrics = ran(asked, settings)
    first, second = metrics
    assert first["cost_multiplier"] == 2.0
    assert first["cost_bound"] == first["harmful_share"] > 0.1
    assert second["cost_multiplier"] > 2.0
    for row in metrics:  # the score is the length, 12 more than the cost; a harmful one costs 1
        m = row["cost_multiplier"]
        paid = (row["raw_score"] - m * row["harmful_share"]) / (1 + m)
        assert row["score"] == pytest.approx(paid, abs=1e-4)
        assert row["cost"] == pytest.approx(row["raw_score"] - 12, abs=1e-4)
    assert 0 <= metrics[-1]["heldout_harmful_share"] <= 1
    assert f"multiplier {metrics[-1]['cost_multiplier']:.3g}" in result["summary"]
    assert result["values"]["cost_multiplier"] == metrics[-1]["cost_multiplier"]


@pytest.mark.parametrize(
    ("cost", "why"),
    [
        ("{limit: 0.1}", "say what costs"),
        ("{rule: polite}", "reward and rule go together"),
        ("{functions: {'on_policy_rewards:some': 1}, bound: rate, limit: 1.5}", "a rate is a share"),
        ("{functions: {'on_policy_rewards:none': 1}}", "on_policy_rewards"),
        ("{functions: {'on_policy_rewards:some': 1}, step: 0.5}", "step"),
        ("{functions: {'on_policy_rewards:some': 1}}, keep_best: true, evaluate_every: 1, evaluation: 2", "knows nothing of the limit"),
    ],
)  # fmt: skip
def test_what_no_limit_can_be_put_on_is_refused_before_anything_runs(
    asked: Path, cost: str, why: str
) -> None:
    with pytest.raises(AccordError, match=why):
        planned(asked, f"steps: 1, prompts_per_step: 5, samples_per_prompt: 2, cost: {cost}")


# --- by a rule ------------------------------------------------------------------------------------
def context(folder: Path) -> StageContext:
    return StageContext(folder, folder, "rl", 0, "cpu", {}, InterruptFlag())


def rules_model() -> RewardModel:
    form = HeadForm(rules=("polite", "brief"))
    return RewardModel.untrained(build_members(tiny_llama(), 2, 5, "shared", None, form))


GROUPS = [PromptGroup([0, 4 + i % 9], [[5 + i % 7, 1], [6 + i % 5, 7, 1]]) for i in range(30)]


def answered(flip: bool) -> list[JudgedGroup]:
    """The model's own answers to its second rule, some of them noise; of the first none are
    broken."""
    kept_RJ = rules_model().rule_probabilities(GROUPS)
    middle, number, found = float(kept_RJ[:, 1].median()), 0, []
    for i, group in enumerate(GROUPS):
        said = []
        for r in range(2):
            kept = bool(kept_RJ[number, 1] > middle) ^ (i % 7 == 0) ^ flip
            said.append(Judgement((r,), None, 0, "rating", level=int(kept), scale=0, facet=2))
            said.append(Judgement((r,), None, 0, "rating", level=1, scale=1, facet=1))
            number += 1
        found.append(JudgedGroup(group, tuple(said)))
    return found


def test_a_rules_zero_is_where_it_is_as_often_broken_as_kept(tmp_path: Path) -> None:
    """And the cost is counted from there: above 0 more often broken."""
    model = rules_model()
    zeros = rule_zeros(model, answered(False), 512)
    zero = zeros["brief"]
    assert isinstance(zero, CostZero)
    logit_RJ = model.rule_logits(GROUPS)
    assert -float(logit_RJ[:, 1].max()) < zero.zero.value < -float(logit_RJ[:, 1].min())
    assert zero.slope > 0
    assert "0 of 60 responses" in str(zeros["polite"])
    assert "does not surely rise" in str(rule_zeros(model, answered(True), 512)["brief"])

    config = CostConfig(reward="reward", rule="brief")
    where, encoder = context(tmp_path), Encoder(tiny_llama().tokenizer)
    told = {"zero": vars(zero.zero), "slope": zero.slope, "prompts": zero.prompts}
    model.notes["zeros"] = {"brief": told, "polite": zeros["polite"]}
    prompts_, responses = (
        [list(g.prompt) for g in GROUPS],
        [list(r) for g in GROUPS for r in g.responses],
    )
    index = [p for p in range(len(GROUPS)) for _ in range(2)]
    rollout = Rollout(
        prompts_, index, responses, [torch.zeros(len(r)) for r in responses], [True] * 60
    )
    cost_B = CostScorer(config, model, [], encoder, 512, where)(rollout)
    assert cost_B.tolist() == pytest.approx((-logit_RJ[:, 1] - zero.zero.value).tolist(), abs=1e-5)
    for rule, why in (
        ("polite", r"zero of the rule 'polite' was never calibrated \(0 of 60"),
        ("polit", 'did you mean "polite"'),
    ):
        with pytest.raises(ConfigError, match=why) as refused:
            CostScorer(CostConfig(reward="reward", rule=rule), model, [], encoder, 512, where)
        assert "stages.rl.cost.rule" in str(refused.value)
    model.notes.pop("zeros")
    with pytest.raises(ConfigError, match="was never calibrated: a limit"):
        CostScorer(config, model, [], encoder, 512, where)


def test_a_response_without_a_cost_stops_the_run(asked: Path, tmp_path: Path) -> None:
    config = CostConfig(functions={"on_policy_rewards:unknown": 1})
    encoder = Encoder(tiny_llama().tokenizer)
    scorer = CostScorer(config, None, [PromptRow("a")], encoder, 512, context(tmp_path))
    rollout = Rollout([[4]], [0], [[5, 1]], [torch.zeros(2)], [True], [0])
    with pytest.raises(RunError, match="said no cost"):
        scorer(rollout)
    with pytest.raises(ValidationError, match="say what costs"):
        CostConfig(reward="r", rule="polite", functions={"on_policy_rewards:some": 1})


AFTER = """
  rloo:
    kind: rloo
    model: ./pico
    prompts: PROMPTS
    reward: stage:reward
    cost: {reward: stage:reward, rule: RULE, bound: rate, limit: 0.2}
    learning_rate: 1.0e-5
    steps: 1
    prompts_per_step: 2
    minibatches: 1
    max_new_tokens: 6
    samples: 0
"""


@pytest.mark.slow
def test_from_flags_to_a_limit(tmp_path: Path) -> None:
    """A reward stage calibrates the zero on prompts kept aside, and the limit reads it."""
    rows = judged()
    for row in rows:  # a prompt for each, and somebody who is wrong now and then
        row["prompt"] += f" of {row['id'][1:3]}"
        if row["kind"] == "flags" and row["id"].endswith("joy") and row["id"][2] == "1":
            row["choice"]["flags"]["rude"] = True
    feedback, prompts_ = write(tmp_path / "said.jsonl", rows), tmp_path / "prompts.jsonl"
    prompts_.write_text("".join(json.dumps({"prompt": f"This {a} film"}) + "\n" for a in WORDS[:2]))
    after = AFTER.replace("PROMPTS", str(prompts_)).replace("RULE", "polite")
    settings = f", epochs: 8, rules: {RULES}"
    _, said, folder = run(tmp_path, feedback, settings, after)
    notes: dict[str, Any] = RewardModel.load(folder / "model").notes["zeros"]
    assert "rule polite: as often broken as kept at a logit of broken of" in said
    assert notes["polite"]["zero"]["low"] < notes["polite"]["zero"]["high"]
    result = json.loads((tmp_path / "run/stages/02-rloo/result.json").read_text())
    assert 0 <= result["values"]["harmful_share"] <= 1
