"""Assistance and off-switch games against all policies there are; teaching does what it says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm
from test_tabular import SEEDS, drawn
from test_tabular_irl import feedback_grid

from accord.control.tabular import assistance, mdp, off_switch, teaching
from accord.errors import DataError

INFINITE = float("inf")


def game_of(seed: int) -> assistance.AssistanceGame:
    """Two states, two actions, of which the second asks, two goals and two words."""
    world, _ = drawn(seed, states=2)
    rng = np.random.default_rng(seed)
    return assistance.AssistanceGame(
        world,
        rng.normal(size=(2, 2, 2)),
        rng.dirichlet(np.ones(2)),
        (np.ones((2, 1)), rng.dirichlet(np.ones(2), size=2)),
        np.array([0, 1]),
    )


def worth(game: assistance.AssistanceGame, begin: int, plan: dict[tuple[int, ...], int]) -> float:
    """Of a plan over two steps, summed over goals, words and moves one by one: first action by (),
    second by (state, word), the word of who was not asked being 0."""
    total, first = 0.0, plan[()]
    said_GO = game.channels[game.channel_A[first]]
    for goal, word, to in product(range(2), range(said_GO.shape[1]), range(2)):
        p = game.prior_G[goal] * said_GO[goal, word] * game.mdp.transition_SAS[begin, first, to]
        later = game.reward_GXA[goal, to, plan[to, word]]
        total += p * (game.reward_GXA[goal, begin, first] + game.mdp.discount * later)
    return total


@settings(max_examples=20)
@given(SEEDS)
def test_planning_is_the_best_of_all_plans(seed: int) -> None:
    game = game_of(seed)
    later = list(product(range(2), range(2)))
    plans = [
        {(): first} | dict(zip(later, rest, strict=True))
        for first in range(2)
        for rest in product(range(2), repeat=4)
    ]
    found = assistance.play(game, 2, assistance.planning)
    for begin in range(2):
        assert found[begin] == pytest.approx(max(worth(game, begin, plan) for plan in plans))


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 5))
def test_no_way_to_act_is_better_than_planning_or_than_being_told(seed: int, horizon: int) -> None:
    game = game_of(seed)
    best_X = assistance.play(game, horizon, assistance.planning)
    told_X = np.tensordot(game.prior_G, assistance.told(game, horizon)[:, 0].max(2), 1)
    assert (best_X <= told_X + 1e-9).all()
    for choose in (
        assistance.myopic(game),
        *(assistance.learn_then_act(game, horizon, steps, 1) for steps in range(3)),
    ):
        assert (assistance.play(game, horizon, choose) <= best_X + 1e-9).all()
    deaf = assistance.AssistanceGame(
        game.mdp, game.reward_GXA, game.prior_G, (np.ones((2, 1)),), np.array([0, 0])
    )
    mean_SA = np.tensordot(game.prior_G, game.reward_GXA, 1)
    np.testing.assert_allclose(
        assistance.play(deaf, horizon, assistance.planning),
        mdp.finite_q(game.mdp, mean_SA, horizon)[0].max(1),
    )


def test_beliefs_are_bayes_rule() -> None:
    game = game_of(1)
    said_GO = game.channels[1]
    weight_G = game.prior_G * said_GO[:, 0] ** 2 * said_GO[:, 1]
    np.testing.assert_allclose(game.belief(((0,), (2, 1))), weight_G / weight_G.sum())


# --- off switch -----------------------------------------------------------------------------------
@settings(max_examples=10)
@given(st.floats(-3, 3), st.floats(0.1, 4), st.floats(0.1, 10))
def test_deferring_is_the_mean_over_what_the_act_is_worth(
    mean: float, deviation: float, rationality: float
) -> None:
    def found(allowed: object) -> float:
        reach = 10 * deviation
        return quad(
            lambda u: u * allowed(u) * norm.pdf(u, mean, deviation),
            mean - reach, mean + reach, points=[0.0, mean], limit=200,
        )[0]  # fmt: skip

    assert off_switch.deferring(mean, deviation, rationality) == pytest.approx(
        found(lambda u: expit(rationality * u)), abs=1e-5
    )
    perfect = off_switch.deferring(mean, deviation, INFINITE)
    assert perfect == pytest.approx(found(lambda u: u > 0), abs=1e-5)
    assert off_switch.incentive(mean, deviation, INFINITE) >= 0  # the theorem of the paper
    assert perfect >= off_switch.deferring(mean, deviation, rationality) - 1e-9


def test_a_repeated_act_is_the_game_again_and_again() -> None:
    game = off_switch.repeated(0.2, 1.0, 2.0, 0.1, 1.0, 400)
    once = assistance.play(game, 1, assistance.planning)[0]
    assert once == pytest.approx(max(0.2, off_switch.deferring(0.2, 1.0, 2.0, 0.1)), abs=0.01)
    perfect = off_switch.repeated(0.0, 1.0, INFINITE, 0.1, 1.0, 400)
    asked = assistance.play(perfect, 5, assistance.planning)[0]  # asks once, and then knows
    assert asked == pytest.approx(5 * off_switch.deferring(0.0, 1.0, INFINITE) - 0.1, abs=0.02)


# --- teaching -------------------------------------------------------------------------------------
def test_who_minds_what_the_robot_infers_shows_its_features_and_the_expert_the_best() -> None:
    grid, true_F = feedback_grid(), np.array([1.0, -0.5])
    every_NT = grid.every_actions()
    features_NF = grid.counted(grid.walk(every_NT))
    worth_N = features_NF @ true_F
    mean_F = np.exp(worth_N) @ features_NF / np.exp(worth_N).sum()

    def shown(pull: float) -> np.ndarray:
        actions_T = teaching.demonstration(grid, true_F, pull, every_NT)
        return grid.counted(grid.walk(actions_T[None]))[0]

    assert shown(0) @ true_F == pytest.approx(worth_N.max())
    nearest = ((features_NF - mean_F) ** 2).sum(1).min()
    assert ((shown(1e6) - mean_F) ** 2).sum() == pytest.approx(nearest)
    expert_T = teaching.demonstration(grid, true_F, 0, every_NT)
    weights_F = teaching.learned(grid, expert_T)
    p_N = np.exp(features_NF @ weights_F)
    matched_F = p_N @ features_NF / p_N.sum()  # the fit: seen - matched = weights / deviation^2
    np.testing.assert_allclose(shown(0) - matched_F, weights_F, atol=1e-3)


def test_regret_of_weights_is_that_of_all_episodes() -> None:
    grid, true_F = feedback_grid(), np.array([1.0, -0.5])
    assert teaching.regret_of_weights(grid, true_F, 3 * true_F) == pytest.approx(0)
    every_NT = grid.every_actions()
    lost = []
    for start in range(grid.mdp.states):
        here = type(grid)(grid.mdp, grid.features_SF, grid.steps, start, grid.regions_S)
        worth_N = here.counted(here.walk(every_NT)) @ true_F
        lost.append(worth_N.max() - worth_N.min())
    found = teaching.regret_of_weights(grid, true_F, -true_F)
    assert found == pytest.approx(np.mean(lost))


def test_impossible_games_are_refused() -> None:
    game = game_of(1)
    for make, told in (
        (lambda: off_switch.deferring(0, 0, 1), "deviation = 0"),
        (lambda: off_switch.deferring(0, 1, -1), "rationality = -1"),
        (
            lambda: assistance.AssistanceGame(
                game.mdp, game.reward_GXA[:1], game.prior_G, game.channels, game.channel_A
            ),
            "rewards",
        ),
        (
            lambda: assistance.AssistanceGame(
                game.mdp, game.reward_GXA, game.prior_G, (2 * game.channels[0],), game.channel_A
            ),
            "channel 0, goal 0",
        ),
    ):
        with pytest.raises(DataError, match=told):
            make()
