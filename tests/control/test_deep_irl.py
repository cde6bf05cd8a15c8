"""Deep maximum entropy against sums over all episodes, and where a sum of features cannot follow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control.tabular import mdp
from accord.control.tabular.deep_irl import NetTraining, fit_reward_net, soft_likelihood
from accord.control.tabular.gridworld import grid_world, open_grid
from accord.control.tabular.irl import Demonstrations
from accord.errors import DataError
from accord.statistics.intervals import Array

STEPS = 3
SEEDS = st.integers(0, 10_000)


def world(seed: int, slip: float) -> tuple[mdp.FiniteMdp, Array, Demonstrations]:
    """A grid of two by two, rewards of its cells and four episodes."""
    grid = grid_world(open_grid(2), 0.9, slip).mdp
    rng = np.random.default_rng(seed)
    return grid, rng.normal(size=4), mdp.sample(grid, np.full((4, 5), 0.2), STEPS, 4, rng)


def by_all_episodes(
    grid: mdp.FiniteMdp, reward_S: Array, shown: Demonstrations
) -> tuple[float, Array]:
    """Mean log-likelihood of what was shown among all episodes from its start, and the visits that
    all episodes make, by their probabilities, where moves are certain."""
    states, actions = shown
    moved = grid.transition_SAS.argmax(2)
    value, visits = 0.0, np.zeros(4)
    for row in range(len(actions)):
        sums, entered = [], []
        for every in product(range(5), repeat=STEPS):
            at, path = states[row, 0], []
            for action in every:
                at = moved[at, action]
                path.append(at)
            sums.append(reward_S[path].sum())
            entered.append(np.bincount(path, minlength=4))
        weights = np.exp(np.array(sums))
        value += reward_S[states[row, 1:]].sum() - np.log(weights.sum())
        visits += weights @ np.array(entered) / weights.sum()
    return value / len(actions), visits / len(actions)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_it_is_the_likelihood_and_its_slope_the_difference_of_visits(seed: int) -> None:
    grid, reward_S, shown = world(seed, 0.0)
    found, slope_S = soft_likelihood(grid, reward_S, shown)
    wanted, visits_S = by_all_episodes(grid, reward_S, shown)
    seen_S = np.bincount(shown[0][:, 1:].ravel(), minlength=4) / len(shown[0])
    assert found == pytest.approx(wanted)
    np.testing.assert_allclose(slope_S, seen_S - visits_S, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(0, 0.5))
def test_the_slope_is_that_of_the_objective(seed: int, slip: float) -> None:
    grid, reward_S, shown = world(seed, slip)
    _, slope_S = soft_likelihood(grid, reward_S, shown)
    for state in range(4):
        step = 1e-5 * np.eye(4)[state]
        up, down = (soft_likelihood(grid, reward_S + s * step, shown)[0] for s in (1, -1))
        assert slope_S[state] == pytest.approx((up - down) / 2e-5, abs=1e-6)
    assert slope_S.sum() == pytest.approx(0, abs=1e-9)  # as many steps shown as expected


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_visits_of_a_horizon_are_all_steps_and_worth_its_value(seed: int) -> None:
    grid, reward_S, _ = world(seed, 0.3)
    rng = np.random.default_rng(seed)
    policy_HSA = rng.dirichlet(np.ones(5), size=(STEPS, 4))
    found_SA = mdp.occupancy_finite(grid, policy_HSA, grid.start_S)
    assert found_SA.sum() == pytest.approx(STEPS)
    reward_SA = grid.transition_SAS @ reward_S
    undiscounted = mdp.FiniteMdp(grid.transition_SAS, grid.start_S, 1.0)
    worth = grid.start_S @ mdp.evaluate_finite(undiscounted, reward_SA, policy_HSA)
    assert (found_SA * reward_SA).sum() == pytest.approx(worth)


def test_other_worlds_and_nothing_shown_are_refused() -> None:
    grid, _, (states, actions) = world(0, 0.1)
    with pytest.raises(DataError, match="nothing was demonstrated"):
        fit_reward_net(grid, np.zeros((4, 2)), (states[:0], actions[:0]), 0)
    with pytest.raises(DataError, match="features of 3 states"):
        fit_reward_net(grid, np.zeros((3, 2)), (states, actions), 0)


def test_a_network_learns_what_a_step_up_the_objective_is() -> None:
    grid, _, shown = world(1, 0.1)
    features_SF = np.random.default_rng(0).normal(size=(4, 2))
    before, after = (
        soft_likelihood(
            grid,
            fit_reward_net(grid, features_SF, shown, 3, NetTraining(updates=n)).of(features_SF),
            shown,
        )[0]
        for n in (1, 60)
    )
    assert after > before + 0.05
