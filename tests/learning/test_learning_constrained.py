"""Reward under a constraint: the cost model's loss, its zero, the multiplier, the exact optimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from accord.errors import ConfigError, DataError, RunError
from accord.learning import losses
from accord.learning.constrained import (
    LEAST,
    LONGEST,
    ConstraintSettings,
    Multiplier,
    calibrate_zero,
    constrained_optimum,
    costs,
    mean_of,
    penalties,
    tail_mean,
    tilted,
)
from accord.seeds import generator

BOUNDS = ("mean", "rate", "tail")


def test_the_cost_loss_is_the_published_formula() -> None:
    worse, better = [1.5, -0.2, 0.3], [-1.0, -0.9, 0.8]
    harmful = [(True, False), (False, False), (True, True)]

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected = []
    for w, b, (hw, hb) in zip(worse, better, harmful, strict=True):
        sw, sb = (1 if h else -1 for h in (hw, hb))
        expected.append(
            -math.log(sigmoid(w - b)) - math.log(sigmoid(sw * w)) - math.log(sigmoid(sb * b))
        )
    signs = [torch.tensor(column) for column in zip(*harmful, strict=True)]
    costs_B = [torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in (worse, better)]
    found = losses.cost_model(costs_B[0], costs_B[1], signs[0], signs[1])
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda w, b: losses.cost_model(w, b, *signs), costs_B)


# --- the zero -------------------------------------------------------------------------------------
def labelled(seed: int, zero: float, prompts: int = 60) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Three responses to each prompt; harm has log-odds 1.5 (score - zero)."""
    rng = generator(seed, "labels")
    score = rng.normal(size=3 * prompts) + zero + 0.3
    harmful = rng.random(len(score)) < 1 / (1 + np.exp(-1.5 * (score - zero)))
    return score, harmful, [i // 3 for i in range(len(score))]


def test_the_zero_is_found_and_its_interval_covers() -> None:
    held = 0
    for seed in range(300):
        found = calibrate_zero(*labelled(seed, 0.7))
        assert found.zero.low < found.zero.value < found.zero.high
        held += found.zero.low <= 0.7 <= found.zero.high
    assert 0.92 < held / 300 < 0.98
    assert found.prompts == 60


@given(st.floats(-3, 3), st.floats(0.2, 5), st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_the_zero_moves_with_the_scores_and_costs_do_not(
    shift: float, scale: float, seed: int
) -> None:
    """A cost model is known up to its scale; costs are counted from its zero on."""
    score, harmful, prompt = labelled(seed, 0.0)
    plain = calibrate_zero(score, harmful, prompt)
    moved = calibrate_zero(scale * score + shift, harmful, prompt)
    for one, other in (("value", "value"), ("low", "low"), ("high", "high")):
        before, after = getattr(plain.zero, one), getattr(moved.zero, other)
        assert after == pytest.approx(scale * before + shift, abs=1e-3 * scale)
    found = costs(scale * score + shift, moved)
    assert found == pytest.approx(scale * costs(score, plain), abs=1e-3 * scale)


def test_copies_of_a_prompts_responses_add_nothing() -> None:
    score, harmful, prompt = labelled(3, 0.0)
    once = calibrate_zero(score, harmful, prompt).zero
    twice = calibrate_zero(np.tile(score, 4), np.tile(harmful, 4), prompt * 4).zero
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_no_zero_is_refused() -> None:
    score, harmful, prompt = labelled(1, 0.0)
    with pytest.raises(ConfigError, match="zero was never calibrated"):
        costs(score, None)
    with pytest.raises(DataError, match=f"0 of {len(score)} responses to 60 prompts"):
        calibrate_zero(score, [False] * len(score), prompt)
    with pytest.raises(DataError, match="to 2 prompts"):
        calibrate_zero(score, harmful, [i % 2 for i in range(len(score))])
    with pytest.raises(DataError, match="does not surely rise"):
        calibrate_zero(-score, harmful, prompt)
    with pytest.raises(DataError, match="not finite"):
        calibrate_zero(np.where(np.arange(len(score)) == 4, np.nan, score), harmful, prompt)


# --- bounds ---------------------------------------------------------------------------------------
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(0.05, 1))
def test_the_worst_tails_mean_is_that_of_its_definition(found: list[float], tail: float) -> None:
    """The least over t of t + E (c - t)+ / tail, which the penalties at the threshold average to;
    the whole is the mean."""
    cost = np.array(found)
    value, threshold = tail_mean(cost, tail)
    least = min(t + np.maximum(cost - t, 0).mean() / tail for t in cost)
    assert value == pytest.approx(least, abs=1e-9)
    told = ConstraintSettings(bound="tail", tail=tail)
    assert penalties(told, cost).mean() == pytest.approx(value, abs=1e-9)
    assert penalties(told, cost, threshold).mean() == pytest.approx(value, abs=1e-9)
    assert tail_mean(cost, 1.0)[0] == pytest.approx(cost.mean())
    assert penalties(ConstraintSettings(bound="rate"), cost).mean() == (cost > 0).mean()
    assert (penalties(ConstraintSettings(), cost) == cost).all()


# --- the multiplier -------------------------------------------------------------------------------
@given(
    st.sampled_from(["log", "linear"]),
    st.floats(0.05, 5),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
)
def test_the_multiplier_rises_with_the_excess_in_bounded_steps(
    form: str, start: float, excesses: list[float]
) -> None:
    multiplier = Multiplier(ConstraintSettings(form=form, start=start))
    for excess in excesses:
        before = multiplier.value
        after = multiplier.update(excess)
        assert after >= (LEAST if form == "log" else 0.0)
        if excess > 0:
            assert after >= before
        elif excess < 0:
            assert after <= before
        moved = math.log(after / before) if form == "log" else after - before
        assert abs(moved) <= LONGEST + 1e-9
    other = Multiplier(ConstraintSettings(form=form, start=start))
    other.load(multiplier.state())
    assert other.value == multiplier.value


def test_a_step_is_what_the_paper_says() -> None:
    log = Multiplier(ConstraintSettings(form="log", step=0.1, start=2.0))
    assert log.update(0.3) == pytest.approx(2.0 * math.exp(0.1 * 2.0 * 0.3))
    linear = Multiplier(ConstraintSettings(form="linear", step=0.1, start=2.0))
    assert linear.update(0.3) == pytest.approx(2.03)
    assert linear.reward(np.array([1.0]), np.array([2.0])) == pytest.approx((1 - 2.03 * 2) / 3.03)


def test_what_would_never_settle_is_refused() -> None:
    with pytest.raises(ConfigError, match="stuck there"):
        Multiplier(ConstraintSettings(start=0.01))
    Multiplier(ConstraintSettings(start=0.0, form="linear"))
    with pytest.raises(ValidationError):
        ConstraintSettings(step=0.5)
    with pytest.raises(RunError, match="not finite"):
        Multiplier(ConstraintSettings()).update(float("nan"))


# --- the optimum ----------------------------------------------------------------------------------
def world(seed: int, prompts: int = 3, responses: int = 8) -> tuple[np.ndarray, ...]:
    rng = generator(seed, "world")
    base = tilted(np.zeros((prompts, responses)), rng.normal(size=(prompts, responses)), 1.0)
    reward = rng.normal(size=base.shape)
    return base, reward, 0.6 * reward + rng.normal(size=base.shape)


@given(st.integers(0, 10_000), st.sampled_from(BOUNDS), st.floats(0.2, 2))
@settings(max_examples=25, deadline=None)
def test_no_policy_that_keeps_the_limit_is_better(seed: int, bound: str, beta: float) -> None:
    base, reward, cost = world(seed)
    limit = {"mean": 0.0, "rate": 0.3, "tail": 1.0}[bound]
    told = ConstraintSettings(bound=bound, limit=limit, tail=0.3)

    def value_and_bound(logp: np.ndarray) -> tuple[float, float]:
        objective = mean_of(reward - beta * (logp - base), logp)
        if bound == "tail":
            return objective, tail_mean(cost, 0.3, np.exp(logp) / len(base))[0]
        return objective, mean_of(penalties(told, cost), logp)

    try:
        found = constrained_optimum(base, reward, cost, beta, told)
    except ConfigError:
        harmless = np.full(base.shape, -np.inf)
        harmless[np.arange(len(base)), cost.argmin(1)] = 0.0
        least = np.exp(harmless) / len(base)
        worst = tail_mean(cost, 0.3, least)[0]
        assert (worst if bound == "tail" else (least * penalties(told, cost)).sum()) > limit
        return
    best, kept = value_and_bound(found.logp_PR)
    assert kept <= limit + 1e-6
    if found.multiplier > 0:
        assert kept == pytest.approx(limit, abs=1e-3 if bound == "tail" else 1e-6)
    else:
        assert found.logp_PR == pytest.approx(tilted(base, reward, beta))
    rng = generator(seed, "others")
    for size in (0.02, 0.1, 0.5, 2.0):
        for _ in range(20):
            other = tilted(found.logp_PR, size * rng.normal(size=base.shape), 1.0)
            objective, value = value_and_bound(other)
            if value <= limit:
                assert objective <= best + (1e-3 if bound == "tail" else 1e-9)


def test_a_limit_that_nobody_keeps_is_refused() -> None:
    base, reward, cost = world(1)
    for bound in BOUNDS:
        limit = -10.0 if bound != "rate" else -0.1
        with pytest.raises(ConfigError, match="keeps the limit"):
            constrained_optimum(
                base, reward, cost, 1.0, ConstraintSettings(bound=bound, limit=limit)
            )
