"""Weights of rules by a hinge on ranked answers: the optimum itself, its scale, what is planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.learning.rule_weights import fit_rule_weights
from accord.seeds import generator

PLANTED = np.array([2.0, -1.0, 0.5])


def ranked(seed: int, pairs: int = 200, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Differences of helpfulness and of three rules, better less worse."""
    rng = generator(seed, "ranked answers")
    helpful = rng.normal(size=(pairs, 2))
    phi = (rng.random((pairs, 2, 3)) < 0.5).astype(float)
    worth = helpful + phi @ PLANTED + noise * rng.gumbel(size=(pairs, 2))
    best, row = worth.argmax(1), np.arange(pairs)
    return helpful[row, best] - helpful[row, 1 - best], phi[row, best] - phi[row, 1 - best]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(("fitted", "fixed")), st.sampled_from((0.5, 1.0)))
def test_no_other_coefficients_have_a_lower_loss(seed: int, scale: str, margin: float) -> None:
    helpful, phi = ranked(seed, 60)
    weight = 0.5 + generator(seed, "weights").random(60)
    omega, ridge = weight / weight.sum(), 1e-2
    found = fit_rule_weights(helpful, phi, weight, margin, ridge, scale)  # type: ignore[arg-type]
    unit = np.sqrt(omega @ helpful**2)

    def loss(theta: np.ndarray) -> float:
        """theta: coefficients of helpfulness (in its deviation) and of the rules."""
        gap = theta[0] * helpful / unit + phi @ theta[1:]
        kept = theta if scale == "fitted" else theta[1:]
        return float(omega @ np.maximum(0, margin - gap) + ridge / 2 * kept @ kept)

    best = np.array([found.helpful * unit, *(found.weight_J * found.helpful)])
    rng = generator(seed, "elsewhere")
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            step = size * rng.normal(size=4)
            step[0] *= scale == "fitted"
            assert loss(best) <= loss(best + step) + 1e-5


def test_planted_weights_are_found_over_seeds() -> None:
    found = np.stack(
        [fit_rule_weights(*ranked(seed, 600), np.ones(600)).weight_J for seed in range(8)]
    )
    half = 2.36 * found.std(0, ddof=1) / np.sqrt(len(found))  # Student's t, 7 degrees of freedom
    assert (np.abs(found.mean(0) - PLANTED) < half + 0.03).all()  # the ridge pulls by 1 to 2 %
    assert (half < 0.15).all()


def test_weights_are_in_helpfulness_s_unit_and_rows_count_as_often_as_they_weigh() -> None:
    helpful, phi = ranked(3)
    one = fit_rule_weights(helpful, phi, np.ones(200)).weight_J
    tenfold = fit_rule_weights(10 * helpful, phi, np.ones(200)).weight_J
    assert tenfold == pytest.approx(10 * one, rel=0.02)
    twice = np.r_[np.arange(200), np.arange(50)]
    weight = np.ones(200)
    weight[:50] = 2
    again = fit_rule_weights(helpful[twice], phi[twice], np.ones(250)).weight_J
    assert again == pytest.approx(fit_rule_weights(helpful, phi, weight).weight_J, abs=0.02)


def test_ranks_that_contradict_helpfulness_are_refused() -> None:
    helpful, phi = ranked(0)
    with pytest.raises(DataError, match="the ranks contradict the helpful reward"):
        fit_rule_weights(-helpful, phi, np.ones(200))
    fixed = fit_rule_weights(-helpful, phi, np.ones(200), scale="fixed")
    assert np.isfinite(fixed.weight_J).all()
