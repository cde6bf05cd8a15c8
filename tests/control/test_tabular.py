"""Finite worlds: solved as brute force over policies solves them; shaping and distances keep what
they say they keep."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control.tabular import distances, mdp, shaping
from accord.control.tabular.gridworld import grid_world, open_grid, random_mdp
from accord.errors import DataError
from accord.statistics.intervals import Array

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, states: int = 3, actions: int = 2) -> tuple[mdp.FiniteMdp, Array]:
    """A world of few policies, rewards per transition: [S, A, S]."""
    rng = np.random.default_rng(seed)
    world = random_mdp(states, actions, 2, rng.uniform(0.1, 0.95), rng)
    return world, rng.normal(size=(states, actions, states))


def policies(world: mdp.FiniteMdp) -> list[Array]:
    """All that are deterministic."""
    chosen = product(range(world.actions), repeat=world.states)
    return [mdp.one_hot(np.array(c), world.actions) for c in chosen]


@settings(max_examples=25)
@given(SEEDS)
def test_the_optimum_and_regret_are_those_of_all_policies(seed: int) -> None:
    world, reward_SAS = drawn(seed)
    true_SA, other_SA = (world.expected(r) for r in (reward_SAS, np.sin(5 * reward_SAS)))
    all_of = policies(world)
    values = [mdp.evaluate(world, true_SA, p) for p in all_of]
    np.testing.assert_allclose(mdp.optimal_q(world, true_SA).max(1), np.max(values, 0), atol=1e-8)
    at_start = np.array([world.start_S @ v for v in values])
    seen = np.array([world.value(other_SA, p) for p in all_of])
    best_value = at_start[seen.argmax()]
    wanted = (at_start.max() - best_value) / (at_start.max() - at_start.min())
    found = shaping.regret(world, true_SA, other_SA)
    assert found.least == pytest.approx(wanted, abs=1e-7)
    assert found.most == pytest.approx(wanted, abs=1e-7)


def test_regret_of_ties_reaches_from_the_best_to_the_worst_of_them() -> None:
    world, reward_SAS = drawn(1)
    true_SA = world.expected(reward_SAS)
    found = shaping.regret(world, true_SA, np.zeros_like(true_SA))
    assert (found.least, found.most) == (pytest.approx(0), pytest.approx(1))
    assert found.moved == 1
    assert shaping.regret(world, np.zeros_like(true_SA), true_SA).most == 0


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 3))
def test_finite_horizons_are_those_of_all_plans(seed: int, horizon: int) -> None:
    world, reward_SAS = drawn(seed, states=2)
    reward_SA, last_S = world.expected(reward_SAS), np.array([0.3, -0.2])
    found = mdp.finite_q(world, reward_SA, horizon, last_S=last_S)[0].max(1)
    plans = product(policies(world), repeat=horizon)
    values = [mdp.evaluate_finite(world, reward_SA, np.stack(plan), last_S) for plan in plans]
    np.testing.assert_allclose(found, np.max(values, 0), atol=1e-10)


@settings(max_examples=10)
@given(SEEDS, st.floats(0.1, 20))
def test_soft_values_are_the_fixed_point_and_no_policy_has_more(seed: int, beta: float) -> None:
    world, reward_SAS = drawn(seed)
    reward_SA = world.expected(reward_SAS)
    q_SA = mdp.soft_q(world, reward_SA, beta)
    np.testing.assert_allclose(q_SA, reward_SA + world.ahead(mdp.soft(beta)(q_SA)), atol=1e-8)
    long_SA = mdp.finite_q(world, reward_SA, 400, mdp.soft(beta))[0]
    np.testing.assert_allclose(q_SA, long_SA, atol=1e-6)
    other_SA = np.random.default_rng(seed).dirichlet(np.ones(2), size=3)
    paid_SA = reward_SA - np.log(other_SA) / beta
    assert (mdp.evaluate(world, paid_SA, other_SA) <= mdp.soft(beta)(q_SA) + 1e-9).all()
    policy_SA = np.exp(mdp.boltzmann(q_SA, beta))
    assert (mdp.occupancy(world, policy_SA) * reward_SA).sum() == pytest.approx(
        world.value(reward_SA, policy_SA)
    )


def test_episodes_are_drawn_as_the_world_says() -> None:
    world, _ = drawn(3)
    policy_SA = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    states_NT, actions_NT = mdp.sample(world, policy_SA, 4, 20_000, np.random.default_rng(0))
    at_S = world.start_S
    for step in range(4):
        seen = np.bincount(states_NT[:, step], minlength=3) / 20_000
        np.testing.assert_allclose(seen, at_S, atol=0.015)
        taken = np.bincount(actions_NT[:, step][states_NT[:, step] == 0], minlength=2)
        np.testing.assert_allclose(taken / taken.sum(), policy_SA[0], atol=0.03)
        at_S = np.einsum("s,sa,sat->t", at_S, policy_SA, world.transition_SAS)


# --- shaping and distances ------------------------------------------------------------------------
@settings(max_examples=25)
@given(SEEDS, st.floats(0.1, 5))
def test_equivalents_have_no_regret_and_no_distance(seed: int, size: float) -> None:
    world, reward_SAS = drawn(seed, states=4)
    potential_S = np.random.default_rng(seed + 1).normal(size=4)
    same_SAS = size * reward_SAS + shaping.potential_shaping(potential_S, world.discount)
    found = shaping.regret(world, world.expected(reward_SAS), world.expected(same_SAS))
    assert (found.most, found.moved) == (pytest.approx(0, abs=1e-9), 0)
    for away in (
        distances.epic(reward_SAS, same_SAS, world.discount),
        distances.dard(reward_SAS, same_SAS, world),
        distances.starc(reward_SAS, same_SAS, world),
        distances.sampled_epic(
            reward_SAS, same_SAS, world.discount, 50, np.random.default_rng(seed)
        ),
    ):
        assert away == pytest.approx(0, abs=1e-7)


@settings(max_examples=25)
@given(SEEDS)
def test_distances_are_distances(seed: int) -> None:
    world, first = drawn(seed, states=4)
    second, third = np.random.default_rng(seed + 1).normal(size=(2, *first.shape))
    for away in (
        lambda a, b: distances.epic(a, b, world.discount),
        lambda a, b: distances.dard(a, b, world),
        lambda a, b: distances.starc(a, b, world),
    ):
        assert away(first, -first) == pytest.approx(1)
        assert 0 < away(first, second) < 1
        assert away(first, second) == pytest.approx(away(second, first))
        assert away(first, third) <= away(first, second) + away(second, third) + 1e-12
        nothing = shaping.potential_shaping(first[0, 0], world.discount) + 0 * first
        assert away(nothing, 2 * nothing) == 0
        assert away(nothing, first) == pytest.approx(0.5)


def test_the_forms_of_epic_and_dard_are_their_means() -> None:
    world, reward_SAS = drawn(5)
    discount, t_SAS = world.discount, world.transition_SAS
    epic_form = distances.epic_form(reward_SAS, discount)
    dard_form = distances.dard_form(reward_SAS, world)
    for s, a, to in product(range(3), range(2), range(3)):
        apart, led = 0.0, 0.0
        for action, one, two in product(range(2), range(3), range(3)):
            terms = (
                discount * reward_SAS[to, action, two]
                - reward_SAS[s, action, one]
                - discount * reward_SAS[one, action, two]
            )
            apart += terms / 18
            led += terms * t_SAS[s, action, one] * t_SAS[to, action, two] / 2
        assert epic_form[s, a, to] == pytest.approx(reward_SAS[s, a, to] + apart)
        assert dard_form[s, a, to] == pytest.approx(reward_SAS[s, a, to] + led)


@settings(max_examples=15)
@given(SEEDS, st.booleans())
def test_starc_is_zero_just_where_all_policies_keep_their_order(seed: int, same: bool) -> None:
    world, reward_SAS = drawn(seed)
    other_SAS = np.random.default_rng(seed + 1).normal(size=reward_SAS.shape)
    if same:  # paid elsewhere, and the same on average
        mean_SA1 = world.expected(other_SAS)[:, :, None]
        other_SAS = 2 * reward_SAS + other_SAS - mean_SA1
    starts = [mdp.FiniteMdp(world.transition_SAS, start, world.discount) for start in np.eye(3)]
    rng = np.random.default_rng(seed + 2)
    tried = [*policies(world), *(rng.dirichlet(np.ones(2), size=3) for _ in range(20))]
    orders = []
    for reward_SA in (world.expected(r) for r in (reward_SAS, other_SAS)):
        values_NP = np.array([[s.value(reward_SA, p) for p in tried] for s in starts])
        orders.append(np.sign(np.round(values_NP[:, :, None] - values_NP[:, None, :], 9)))
    assert (distances.starc(reward_SAS, other_SAS, world) < 1e-7) == same
    assert np.array_equal(*orders) == same


# --- grids and bad input --------------------------------------------------------------------------
def test_a_grid_moves_stops_at_walls_and_stays_at_its_ends() -> None:
    grid = grid_world(["..#", "#..", "..."], 0.9, slip=0.5, ends=[(2, 2)])
    here, end = grid.state(0, 1), grid.state(2, 2)
    to = grid.mdp.transition_SAS[here]
    assert to[0, here] == pytest.approx(0.5 + 0.5 * 3 / 5)  # up: over the edge; so does right
    assert to[2, grid.state(1, 1)] == pytest.approx(0.5 + 0.5 / 5)
    assert (grid.mdp.transition_SAS[end, :, end] == 1).all()
    steps = grid.steps()
    assert steps[grid.state(0, 0), end] == 4
    assert steps[end, here] == np.inf
    assert grid.mdp.start_S.sum() == pytest.approx(1)


def test_impossible_worlds_are_refused() -> None:
    half = np.full((2, 2, 2), 0.5)
    for make, told in (
        (lambda: mdp.FiniteMdp(half * 1.1, np.full(2, 0.5), 0.9), "state 0, action 0.*1.1"),
        (lambda: mdp.FiniteMdp(half, np.array([2.0, -1.0]), 0.9), "first state.*-1"),
        (lambda: mdp.FiniteMdp(half, np.full(2, 0.5), 1.5), "discount = 1.5"),
        (lambda: mdp.FiniteMdp(half, np.full(3, 1 / 3), 0.5), r"\[S, A, S\]|start \(3,\)"),
        (lambda: mdp.optimal_q(mdp.FiniteMdp(half, np.full(2, 0.5), 1.0), half[0]), "not finite"),
        (lambda: mdp.soft_q(mdp.FiniteMdp(half, np.full(2, 0.5), 0.9), half[0], -1), "rationality"),
        (lambda: grid_world(["..", "."], 0.9), "line 2"),
        (lambda: grid_world(["x."], 0.9), "line 1"),
        (lambda: grid_world(["##"], 0.9), "no cell"),
        (lambda: grid_world(open_grid(2), 0.9, slip=2), "slip = 2"),
        (lambda: grid_world(["#."], 0.9, start=(0, 0)), "row 0, column 0"),
        (lambda: distances.epic(np.full((2, 2, 2), np.nan), half, 0.9), "finite"),
    ):
        with pytest.raises(DataError, match=told):
            make()
