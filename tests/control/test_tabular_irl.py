"""Inverse reinforcement learning against likelihoods by brute force; every kind of feedback is a
choice whose options mean what they say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tabular import SEEDS, drawn

from accord.control.tabular import choices, goals, irl, mdp
from accord.control.tabular.gridworld import grid_world, open_grid
from accord.errors import DataError
from accord.statistics.intervals import Array

STEPS = 3


def shown(seed: int, certain: bool = False) -> tuple[mdp.FiniteMdp, Array, irl.Demonstrations]:
    """A small world, features of its actions, and five episodes by chance."""
    world, _ = drawn(seed)
    if certain:
        moved = np.eye(3)[world.transition_SAS.argmax(2)]
        world = mdp.FiniteMdp(moved, world.start_S, world.discount)
    rng = np.random.default_rng(seed)
    features_SAF = rng.normal(size=(3, 2, 2))
    return world, features_SAF, mdp.sample(world, np.full((3, 2), 0.5), STEPS, 5, rng)


def log_z(world: mdp.FiniteMdp, reward_SA: Array, start: int) -> float:
    """Log of the sum of exp(return) P(moves) over all episodes."""
    total = 0.0
    for actions in product(range(2), repeat=STEPS):
        for after in product(range(3), repeat=STEPS):
            at, weight = start, 1.0
            for action, to in zip(actions, after, strict=True):
                weight *= np.exp(reward_SA[at, action]) * world.transition_SAS[at, action, to]
                at = to
            total += weight
    return float(np.log(total))


@settings(max_examples=10)
@given(SEEDS, st.booleans(), st.sampled_from([irl.causal_log_p, irl.entropy_log_p]))
def test_gradients_are_those_of_the_likelihoods(seed: int, certain: bool, log_p_of: object) -> None:
    world, features_SAF, seen = shown(seed, certain)
    weights_F = np.random.default_rng(seed + 1).normal(size=2)
    _, gradient_F = log_p_of(world, features_SAF, weights_F, seen)
    for feature in range(2):
        step = 1e-5 * np.eye(2)[feature]
        up, down = (log_p_of(world, features_SAF, weights_F + s * step, seen)[0] for s in (1, -1))
        assert gradient_F[feature] == pytest.approx((up - down) / 2e-5, abs=1e-5)


@settings(max_examples=10)
@given(SEEDS)
def test_likelihoods_are_those_of_all_episodes(seed: int) -> None:
    """Maximum entropy over all episodes; where moves are certain the causal one is the same."""
    weights_F = np.random.default_rng(seed + 1).normal(size=2)
    for certain in (True, False):
        world, features_SAF, (states_NT, actions_NT) = shown(seed, certain)
        reward_SA = features_SAF @ weights_F
        wanted = sum(
            reward_SA[states[:STEPS], actions].sum() - log_z(world, reward_SA, states[0])
            for states, actions in zip(states_NT, actions_NT, strict=True)
        )
        seen = states_NT, actions_NT
        found, _ = irl.entropy_log_p(world, features_SAF, weights_F, seen)
        assert found == pytest.approx(wanted)
        causal, _ = irl.causal_log_p(world, features_SAF, weights_F, seen)
        assert (causal == pytest.approx(wanted)) == certain


def test_the_causal_fit_matches_features_and_finds_the_weights() -> None:
    """Demonstrations of a person who is as the model says, in a world of chance."""
    world, features_SAF, _ = shown(3)
    true_F = np.array([1.0, -0.7])
    undiscounted = mdp.FiniteMdp(world.transition_SAS, world.start_S, 1.0)
    q_TSA = mdp.finite_q(undiscounted, features_SAF @ true_F, 5, mdp.soft())
    policy_TSA = np.exp(mdp.boltzmann(q_TSA, 1.0))
    rng, at_N = np.random.default_rng(0), np.zeros(4000, dtype=np.int64)
    states, actions = [], []
    for policy_SA in policy_TSA:
        states.append(at_N)
        actions.append(mdp.draw(policy_SA[at_N], rng))
        at_N = mdp.draw(world.transition_SAS[at_N, actions[-1]], rng)
    seen = np.stack(states, 1), np.stack(actions, 1)
    causal = irl.fit_reward(world, features_SAF, seen, deviation=100)
    np.testing.assert_allclose(causal.weights_F, true_F, atol=0.1)
    entropy = irl.fit_reward(world, features_SAF, seen, causal=False, deviation=100)
    assert np.abs(entropy.weights_F - true_F).max() > 0.1
    few = irl.fit_reward(world, features_SAF, (seen[0][:3], seen[1][:3]), deviation=0.1)
    assert np.abs(few.weights_F).max() < 0.3


def test_cloning_follows_what_was_seen_and_dagger_asks_where_it_goes() -> None:
    grid = grid_world(["...."], 0.9, start=(0, 0)).mdp
    right_SA = mdp.one_hot(np.full(4, 1), 5)
    seen = np.array([[0, 1]]), np.array([[1, 1]])
    cloned_SA = irl.clone(grid, seen)
    assert cloned_SA[:2].argmax(1).tolist() == [1, 1]
    np.testing.assert_allclose(cloned_SA[2:], 0.2)
    rng = np.random.default_rng(0)
    asked_SA = irl.dagger(grid, right_SA, (np.array([[0, 1, 2]]), np.array([[1, 1, 1]])), 3, rng)
    assert asked_SA[:3].argmax(1).tolist() == [1, 1, 1]
    drifted = np.array([[0, 0, 0]]), np.array([[4, 4, 4]])  # stays, and then asks there
    assert irl.dagger(grid, right_SA, drifted, 2, rng)[0].argmax() == 1


def test_nothing_shown_and_features_of_other_worlds_are_refused() -> None:
    world, features_SAF, seen = shown(1)
    with pytest.raises(DataError, match="nothing was demonstrated"):
        irl.fit_reward(world, features_SAF, (seen[0][:0], seen[1][:0]))
    with pytest.raises(DataError, match=r"\(2, 2\) states"):
        irl.fit_reward(world, features_SAF[:2], seen)


# --- kinds of feedback ----------------------------------------------------------------------------
def feedback_grid(slip: float = 0.0) -> choices.FeedbackGrid:
    grid = grid_world(open_grid(3), 0.9, slip)
    features_SF = np.random.default_rng(0).normal(size=(9, 2))
    regions_S = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    return choices.FeedbackGrid(grid.mdp, features_SF, STEPS, grid.state(1, 1), regions_S)


WEIGHTS = choices.every_weights([-1.0, 0.0, 1.0], 2)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(choices.KINDS)), SEEDS, st.floats(0, 5), st.sampled_from([0.0, 0.2]))
def test_every_kind_is_a_choice_and_tells_what_it_narrows(
    kind: str, seed: int, rationality: float, lapse: float
) -> None:
    options_CF = choices.KINDS[kind](feedback_grid(), WEIGHTS, np.random.default_rng(seed))
    log_p_KC = choices.choice_log_p(options_CF, WEIGHTS, rationality, lapse)
    np.testing.assert_allclose(np.exp(log_p_KC).sum(1), 1)
    odds = rationality * WEIGHTS[0] @ (options_CF[0] - options_CF[-1])
    if not lapse:
        assert log_p_KC[0, 0] - log_p_KC[0, -1] == pytest.approx(odds)
    prior_K = np.full(len(WEIGHTS), 1 / len(WEIGHTS))
    joint_KC = prior_K[:, None] * np.exp(log_p_KC)
    after = sum(
        said * choices.entropy(joint_K / said)
        for said, joint_K in zip(joint_KC.sum(0), joint_KC.T, strict=True)
    )
    told = choices.information(log_p_KC, prior_K)
    assert told == pytest.approx(choices.entropy(prior_K) - after, abs=1e-9)


def test_options_mean_what_their_kind_says() -> None:
    grid, rng = feedback_grid(), np.random.default_rng(1)
    every = np.array(list(product(range(5), repeat=STEPS)))
    cells_NT = grid.walk(every)
    all_NF = grid.counted(cells_NT)

    def of(kind: str) -> Array:
        return choices.KINDS[kind](grid, WEIGHTS, rng)

    assert {tuple(np.round(f, 9)) for f in of("demonstration")} == {
        tuple(np.round(f, 9)) for f in all_NF
    }
    np.testing.assert_allclose(of("thumb")[1], all_NF.mean(0))
    ends_N = grid.regions_S[cells_NT[:, -1]]
    wanted = [all_NF[ends_N == region].mean(0) for region in (0, 1)]
    np.testing.assert_allclose(of("language"), wanted)
    np.testing.assert_allclose(of("stop")[0], STEPS * grid.features_SF[grid.start])
    assert of("stop").shape == (STEPS + 1, 2)
    assert of("correction").shape == (1 + STEPS * 4, 2)
    assert of("credit").shape == (STEPS, 2)
    pasts_SF = np.zeros((9, 2))
    counts_S = np.zeros(9)
    for start in range(9):
        cells = choices.FeedbackGrid(grid.mdp, grid.features_SF, STEPS, start, grid.regions_S).walk(
            every
        )
        np.add.at(pasts_SF, cells[:, -1], grid.counted(cells))
        np.add.at(counts_S, cells[:, -1], 1)
    np.testing.assert_allclose(of("initial_state"), pasts_SF / counts_S[:, None])


def test_what_follows_a_proxy_is_best_where_it_was_written_and_blind_elsewhere() -> None:
    grid = feedback_grid()
    followed_KF = choices.KINDS["proxy"](grid, WEIGHTS, np.random.default_rng(0))
    hidden = (followed_KF == 0).all(0)
    assert hidden.sum() == 1
    every = np.array(list(product(range(5), repeat=STEPS)))
    seen_NF = np.where(hidden, 0, grid.counted(grid.walk(every)))
    best_K = (seen_NF @ WEIGHTS.T).max(0)
    np.testing.assert_allclose((followed_KF * WEIGHTS).sum(1), best_K)


@pytest.mark.parametrize("kind", sorted(choices.KINDS))
def test_the_weights_are_found_from_every_kind_as_far_as_it_tells_them_apart(kind: str) -> None:
    """Words for two parts of a grid tell but one difference of features, and little of it."""
    grid, rng, true = feedback_grid(), np.random.default_rng(2), 5
    log_p_K, apart_K = np.zeros(len(WEIGHTS)), np.zeros(len(WEIGHTS), dtype=bool)
    for _ in range(300):
        options_CF = choices.KINDS[kind](grid, WEIGHTS, rng)
        log_p_KC = choices.choice_log_p(options_CF, WEIGHTS, 3.0, 0.05)
        log_p_K += log_p_KC[:, mdp.draw(np.exp(log_p_KC[true : true + 1]), rng)[0]]
        apart_K |= np.abs(log_p_KC - log_p_KC[true]).max(1) > 1e-9
    p_K = goals.posterior(log_p_K[:, None], np.full(len(WEIGHTS), 1 / len(WEIGHTS)))[:, 0]
    assert p_K[~apart_K].sum() > (0.5 if kind == "language" else 0.95)
    np.testing.assert_allclose(p_K[~apart_K], p_K[true])


def test_chance_moves_are_refused() -> None:
    with pytest.raises(DataError, match="moves are by chance"):
        feedback_grid(slip=0.1)
