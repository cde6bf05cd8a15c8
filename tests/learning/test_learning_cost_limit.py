"""A limit on cost while a policy is tuned: what is paid, the multiplier, the threshold of the worst
costs, resume, several processes, and a cost model's sign as a choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from on_policy_toys import PROMPTS, count_sevens, make
from test_learning_loops import assert_resume_is_exact
from test_learning_rule_heads import FORM, SCALES

from accord.errors import ConfigError, DataError, RunError
from accord.learning import losses
from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.constrained import ConstraintSettings, penalties, tail_mean
from accord.learning.cost_limit import CostLimit, TailThreshold
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
from accord.learning.parallel import World
from accord.models.heads import HeadOutput
from accord.sampling.rollout import Rollout
from accord.seeds import generator
from accord.text.packing import PromptGroup

COSTS = st.lists(st.floats(-3, 3), min_size=2, max_size=12)


def rollout(size: int) -> Rollout:
    return Rollout([[0]], [0] * size, [[4]] * size, [torch.zeros(1)] * size, [True] * size)


def limit_on(cost: Any, **changes: Any) -> CostLimit:
    def given_costs(asked: Rollout) -> torch.Tensor:
        return torch.tensor(cost, dtype=torch.float64)

    return CostLimit(ConstraintSettings(**changes), given_costs)


@given(COSTS, st.sampled_from(["mean", "rate", "tail"]), st.floats(0.1, 4), st.floats(-1, 0.9))
def test_what_is_paid_is_the_score_less_the_penalty(
    cost: list[float], bound: str, start: float, most: float
) -> None:
    """(score - m penalty) / (1 + m), and m rises exactly where the bound exceeds the limit."""
    limit = limit_on(cost, bound=bound, start=start, limit=most)
    score_B, cost_B = torch.linspace(-1, 1, len(cost)), limit.costs(rollout(len(cost)))
    paid_B = limit.paid(score_B, cost_B)
    told = limit.settings
    at = min(most, tail_mean(np.array(cost), told.tail)[1])
    penalty_B = penalties(told, np.array(cost), at)
    assert paid_B.tolist() == pytest.approx(
        ((score_B.numpy() - start * penalty_B) / (1 + start)).tolist(), abs=1e-5
    )
    found = limit.update(cost_B)
    assert found["cost_multiplier"] == start
    assert found["cost_bound"] == pytest.approx(penalty_B.mean())
    assert found["harmful_share"] == (np.array(cost) > 0).mean()
    excess = penalty_B.mean() - most
    if abs(excess) > 1e-9:
        assert (limit.multiplier.value > start) == (excess > 0)
    if bound == "tail":  # at its least threshold the bound is the mean of the worst
        assert found["cost_bound"] >= tail_mean(np.array(cost), told.tail)[0] - 1e-9


def test_a_fixed_weight_never_moves() -> None:
    limit = limit_on([5.0, 5.0], form="fixed", start=0.0)
    for _ in range(3):
        limit.update(limit.costs(rollout(2)))
    assert limit.multiplier.value == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_settles_where_the_tail_begins(seed: int) -> None:
    """Of costs few of which lie above their quantile and many just below, whose own quantile errs
    upwards: a policy that keeps the limit."""
    rng = generator(seed, "worst")
    threshold = TailThreshold(ConstraintSettings(bound="tail", tail=0.1, limit=9.0))
    quantiles = []
    for _ in range(600):
        worst = rng.random(64) < 0.1
        cost = np.where(worst, rng.exponential(size=64) * 0.5, -0.2 * rng.exponential(size=64))
        threshold.update(cost)
        quantiles.append(tail_mean(cost, 0.1)[1])
    assert threshold.value == pytest.approx(0.0, abs=0.04)
    assert np.mean(quantiles) > 0.05
    low = TailThreshold(ConstraintSettings(bound="tail", limit=-1.0))
    for _ in range(50):
        low.update(rng.normal(size=64))
        assert low.at(np.zeros(1)) <= -1.0


def sevens_cost(asked: Rollout) -> torch.Tensor:
    """Harmful with a token 7 or more of them."""
    return count_sevens(asked)[0].double() - 0.5


def trainer(**changes: Any) -> Any:
    told = {"bound": "tail", "limit": -0.2, "start": 1.0, "step": 0.1} | changes
    return make(steps=4, limit=CostLimit(ConstraintSettings(**told), sevens_cost))


def test_resume_under_a_limit_is_exact() -> None:
    def state(one: Any) -> list[torch.Tensor]:
        kept = one.limit.state()
        numbers = torch.tensor([kept["multiplier"], kept["threshold"], kept["batches"]])
        return [*one.policy.parameters(), numbers]

    assert_resume_is_exact(trainer, lambda one, session: one.train(session), state)


def test_a_limit_holds_back_what_the_score_pays_for() -> None:
    """The score pays for sevens, and more than some are harm."""
    fast: dict[str, Any] = {"steps": 12, "estimator": "rloo", "samples_per_prompt": 4}
    fast |= {"kl_coefficient": 0.0, "learning_rate": 1e-2, "epochs": 1, "minibatches": 1}
    told = ConstraintSettings(bound="rate", limit=0.02, start=3.0, step=0.1)
    free = make(**fast).train()
    held = make(**fast, limit=CostLimit(told, sevens_cost)).train()
    assert free.cost_multiplier is None
    assert free.score > 1.0
    assert 0 <= held.harmful_share < 0.15  # type: ignore[operator]
    assert held.cost_bound == held.harmful_share
    with pytest.raises(ConfigError, match="keep_best and patience go by the score"):
        make(limit=limit_on([1.0]), patience=1, evaluate_every=1, heldout=PROMPTS[:2])


@given(COSTS, st.integers(1, 11), st.sampled_from(["mean", "rate", "tail"]))
@settings(max_examples=30, deadline=None)
def test_two_processes_move_the_multiplier_alike(cost: list[float], cut: int, bound: str) -> None:
    """Each has a part of the responses; what the other has comes by the one hook."""
    cut = min(cut, len(cost) - 1)
    parts = [cost[:cut], cost[cut:]]
    whole = limit_on(cost, bound=bound)
    alone = whole.update(whole.costs(rollout(len(cost))))
    for rank, mine in enumerate(parts):
        limit = limit_on(mine, bound=bound)
        cost_B = limit.costs(rollout(len(mine)))

        def add_up(x: torch.Tensor, rank: int = rank) -> torch.Tensor:
            if x.dtype == torch.long:
                return torch.tensor([len(part) for part in parts])
            other, start = torch.tensor(parts[1 - rank], dtype=x.dtype), (1 - rank) * cut
            x = x.clone()
            x[start : start + len(other)] += other
            return x

        found = limit.update(cost_B, World(rank, 2, add_up))
        assert found == pytest.approx(alone, abs=1e-12)
        assert limit.state() == pytest.approx(whole.state(), abs=1e-12)


def test_what_is_no_cost_is_refused() -> None:
    with pytest.raises(RunError, match=r"cost of response 1 is nan \(1 of 2"):
        limit_on([0.0, float("nan")]).costs(rollout(2))
    with pytest.raises(RunError, match=r"cost of 2 responses has shape \[3\]"):
        limit_on([0.0, 1.0, 2.0]).costs(rollout(2))
    with pytest.raises(DataError, match="nothing to sample from"):
        make(prompts=[], limit=limit_on([0.0]))


@given(st.floats(-4, 4), st.floats(-4, 4), st.booleans(), st.booleans(), st.sampled_from([0, 1]))
def test_a_rule_learned_from_signs_and_comparisons_has_the_cost_models_loss(
    worse: float, better: float, harmful_worse: bool, harmful_better: bool, rule: int
) -> None:
    """Dai et al. 2024: -log s(C_w - C_b) - log s(s_w C_w) - log s(s_b C_b), where the cost is minus
    the rule's output."""
    outputs = torch.zeros(2, 3, dtype=torch.float64)
    outputs[:, 1 + rule] = -torch.tensor([worse, better], dtype=torch.float64)
    said = tuple(
        Judgement((r,), None, 0, "rating", level=int(not harm), scale=rule, facet=1 + rule)
        for r, harm in enumerate((harmful_worse, harmful_better))
    )
    pair = Judgement((1, 0), None, 0, facet=1 + rule)
    batch = JudgedBatch.of([JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), (*said, pair))])
    effects = replace(
        JudgementParameters(AnnotatorEffects.none(), SCALES).effects(),
        sharpness_A=torch.ones(1, dtype=torch.float64),
        offset_A=torch.zeros(1, dtype=torch.float64),
    )
    reading = HeadOutput(FORM.score(outputs), outputs_RO=outputs, form=FORM)
    costs = [torch.tensor([c], dtype=torch.float64) for c in (worse, better)]
    signs = [torch.tensor([h]) for h in (harmful_worse, harmful_better)]
    wanted = float(losses.cost_model(costs[0], costs[1], signs[0], signs[1]))
    found = -log_likelihood(reading, batch, effects).sum.item()
    assert found == pytest.approx(wanted, abs=1e-6)


def test_what_was_kept_aside_is_measured_by_cost_too() -> None:
    one = make(limit=limit_on([0.5, -1.5, 0.25]), heldout=PROMPTS[:3])
    found = one.evaluate()
    assert found["heldout_cost"] == pytest.approx(-0.25)
    assert found["heldout_harmful_share"] == pytest.approx(2 / 3)
