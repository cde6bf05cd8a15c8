"""The choice model: probabilities sum to one, equal the torch form, and slopes are slopes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp

from accord.feedback import choice_model as model
from accord.feedback.simulate import SimulatedAnnotator
from accord.learning import likelihoods
from accord.statistics.intervals import Array

UTILITIES = st.integers(2, 6).flatmap(
    lambda k: arrays(np.float64, (k, 3), elements=st.floats(-6, 6, width=32))
)
GAPS = arrays(np.float64, 5, elements=st.floats(-40, 40, width=32))
LEVELS = np.array([-2.0, -0.5, 0.1, 3.0])


def slopes(f: Callable[[Array], Array], x: Array, step: float = 1e-5) -> Array:
    """Central differences in each entry of the first axis: [K, ...]."""
    found = []
    for k in range(len(x)):
        moved = np.zeros_like(x)
        moved[k] = step
        found.append((f(x + moved) - f(x - moved)) / (2 * step))
    return np.array(found)


@settings(deadline=None, max_examples=50)
@given(GAPS, st.floats(-8, 4))
def test_comparisons(gap: Array, log_nu: float) -> None:
    found = model.comparison(gap, model.OUTCOMES, log_nu)
    np.testing.assert_allclose(np.exp(found.log_p).sum(0), 1)
    np.testing.assert_allclose(np.exp(found.log_p), found.p)
    alone = model.comparison_log_p(gap, model.OUTCOMES, log_nu)
    np.testing.assert_array_equal(alone, found.log_p)
    for outcome in range(3):
        theirs = likelihoods.davidson(
            torch.tensor(gap),
            torch.zeros(5).double(),
            torch.full((5,), outcome),
            torch.tensor(log_nu),
        )
        np.testing.assert_allclose(found.log_p[outcome], theirs.numpy(), rtol=1e-6, atol=1e-6)

    def log_p(x: Array) -> Array:
        return model.comparison(x[0], model.OUTCOMES, float(x[1, 0])).log_p

    def slope(x: Array) -> Array:
        here = model.comparison(x[0], model.OUTCOMES, float(x[1, 0]))
        return np.stack([here.slope, here.slope_nu])

    x = np.stack([gap, np.full(5, log_nu)])
    np.testing.assert_allclose(slope(x), slopes(log_p, x), atol=1e-6)
    bends = slopes(slope, x)  # [2, 2, 3, 5]
    for of, at in zip(found.curvature, ((0, 0), (0, 1), (1, 1)), strict=True):
        np.testing.assert_allclose(np.broadcast_to(of, (3, 5)), bends[at], atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(GAPS)
def test_comparisons_without_ties(gap: Array) -> None:
    found = model.comparison(gap, model.OUTCOMES[:2], -np.inf)
    theirs = likelihoods.bradley_terry(torch.tensor(gap), torch.zeros(5).double()).numpy()
    np.testing.assert_allclose(found.log_p[0], theirs, atol=1e-12)
    np.testing.assert_allclose(model.decided_log_p(gap), theirs, atol=1e-12)
    p = model.decided_p(gap)
    np.testing.assert_allclose(np.log(p[p > 0]), theirs[p > 0], atol=1e-12)
    np.testing.assert_allclose(found.slope[0], 1 - p, atol=1e-12)
    np.testing.assert_allclose(found.curvature[0], -p * (1 - p), atol=1e-12)
    assert not np.any(found.curvature[1:])


@settings(deadline=None, max_examples=50)
@given(UTILITIES)
@pytest.mark.parametrize("kind", ["ranking", "best_worst"])
def test_rankings_and_best_worst_choices(kind: str, u: Array) -> None:
    choose: Callable[[Array], tuple[Array, Array]] = getattr(model, kind)
    log_p, slope = choose(u)
    ordered = torch.tensor(u.T)
    theirs = (
        likelihoods.plackett_luce(ordered)
        if kind == "ranking"
        else likelihoods.best_worst(
            ordered, torch.zeros(3, dtype=torch.long), torch.full((3,), len(u) - 1)
        )
    )
    np.testing.assert_allclose(log_p, theirs.numpy(), atol=1e-10)
    np.testing.assert_allclose(getattr(model, f"{kind}_log_p")(u), log_p, atol=1e-12)
    np.testing.assert_allclose(slope, slopes(lambda x: choose(x)[0], u), atol=1e-6)
    np.testing.assert_allclose(slope.sum(0), 0, atol=1e-10)  # only differences count


def test_choices_among_four_sum_to_one() -> None:
    u = np.array([0.3, -1.2, 2.0, 0.0])
    orders = [np.array(order) for order in permutations(range(4))]
    assert sum(np.exp(model.ranking(u[order])[0]) for order in orders) == pytest.approx(1)
    ends = {(order[0], order[-1]): order for order in orders}.values()
    assert sum(np.exp(model.best_worst(u[order])[0]) for order in ends) == pytest.approx(1)


def _term(number: int, level: Array, thresholds: Array, u: Array) -> Array:
    return model.rating(u[0], level, thresholds)[number]


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, 5, elements=st.floats(-30, 30, width=32)))
def test_ratings_and_thumbs(u: Array) -> None:
    for thresholds in (LEVELS, np.array([0.7])):
        total = np.zeros(5)
        for level in range(len(thresholds) + 1):
            at = np.full(5, level)
            log_p, slope, bend = model.rating(u, at, thresholds)
            theirs = likelihoods.graded(torch.tensor(u), torch.tensor(at), torch.tensor(thresholds))
            np.testing.assert_allclose(log_p, theirs.numpy(), atol=1e-10)
            total += np.exp(log_p)
            row = u[None]
            for term, below in ((slope, 0), (bend, 1)):
                rate = partial(_term, below, at, thresholds)
                np.testing.assert_allclose(term, slopes(rate, row)[0], atol=1e-6)
        np.testing.assert_allclose(total, 1)


def test_utilities_equal_those_of_training() -> None:
    reward, shown_at = np.array([0.2, -1.0, 3.0]), np.array([2, 0, 1])
    ours = model.utility(reward, model.place_of(shown_at, 3), np.array(1.5), np.array(0.8))
    theirs = likelihoods.shown_utility(
        torch.tensor(reward),
        torch.tensor(shown_at),
        torch.tensor(3),
        torch.tensor(1.5).double(),
        torch.tensor(0.8).double(),
    )
    np.testing.assert_allclose(ours, theirs.numpy())
    assert model.place_of(0, 1) == 0.5


def test_what_is_simulated_follows_the_model() -> None:
    rng, person = np.random.default_rng(0), SimulatedAnnotator("a", 1.2, 0.7, tie=0.5, offset=0.4)
    u = person.utilities(np.array([0.3, -0.4]), np.array([1, 0]))
    p = np.exp(model.comparison(u[:1] - u[1:], model.OUTCOMES, np.log(0.5)).log_p)[:, 0]
    drawn = [person.compare([0.3, -0.4], [1, 0], rng) for _ in range(4000)]
    shares = [np.mean([d == outcome for d in drawn]) for outcome in (0, 1, None)]
    np.testing.assert_allclose(shares, p, atol=0.03)
    rated = [person.rate(0.5, LEVELS.tolist(), rng) for _ in range(4000)]
    expected = np.exp(model.rating(np.full(5, 0.9), np.arange(5), LEVELS)[0])
    np.testing.assert_allclose(np.bincount(rated, minlength=5) / 4000, expected, atol=0.03)


@settings(max_examples=60)
@given(
    u=st.lists(st.floats(-3000, 3000), min_size=2, max_size=5),
    near=st.floats(-2, 2),
)
def test_rankings_of_utilities_far_apart_stay_finite_and_right(u: list[float], near: float) -> None:
    given_ = np.array(u)[:, None]
    log_p, slope = model.ranking(given_)
    right = sum(float(given_[s, 0] - logsumexp(given_[s:, 0])) for s in range(len(u) - 1))
    assert log_p[0] == pytest.approx(right, abs=1e-6)
    assert model.ranking_log_p(given_)[0] == pytest.approx(right, abs=1e-6)
    assert np.isfinite(slope).all()
    assert slope.sum() == pytest.approx(0, abs=1e-9)
    one, other = np.linspace(-1, 1, len(u))[:, None], np.full((len(u), 1), near)
    bends = model.ranking_bend(given_, one, other)
    assert np.isfinite(bends).all()
    assert bends[0][0] >= -1e-9
    close = given_ / 3000 * 5  # here both ways of computing it can be had
    for fast, careful in zip(
        (*model.ranking(close), *model.ranking_bend(close, one, other)),
        (*model._far_ranking(close), *model._far_ranking_bend(close, one, other)),
        strict=True,
    ):
        np.testing.assert_allclose(fast, careful, atol=1e-9)
