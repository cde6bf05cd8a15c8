"""Planners act as they are likely to act, and what is inferred from their acts is Bayes' rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tabular import SEEDS, drawn

from accord.control.tabular import goals, mdp
from accord.control.tabular.planners import Planner, episodes
from accord.errors import DataError

SHARES = st.floats(0, 0.5)


@settings(max_examples=20)
@given(SEEDS, SHARES, SHARES, st.floats(0, 5))
def test_a_planner_lapses_repeats_and_leans(
    seed: int, lapse: float, habit: float, beta: float
) -> None:
    world, reward_SAS = drawn(seed)
    reward_SA = world.expected(reward_SAS)
    leaning_SA = np.sin(reward_SA)
    planner = Planner(beta, lapse=lapse, habit=habit, leaning_SA=leaning_SA)
    policy_BSA = np.exp(planner.log_policy(world, reward_SA))
    np.testing.assert_allclose(policy_BSA.sum(2), 1)
    weight_SA = np.exp(beta * (mdp.optimal_q(world, reward_SA) + leaning_SA))
    choice_SA = weight_SA / weight_SA.sum(1, keepdims=True)
    np.testing.assert_allclose(policy_BSA[2], (1 - lapse) * choice_SA + lapse / 2)
    repeated = (1 - lapse - habit) * choice_SA + lapse / 2 + habit * np.array([0, 1])
    np.testing.assert_allclose(policy_BSA[1], repeated)


def test_what_a_planner_believes_and_foresees_changes_its_values() -> None:
    world, reward_SAS = drawn(1)
    reward_SA, (other, _) = world.expected(reward_SAS), drawn(2)
    np.testing.assert_allclose(Planner(1, foresight=0).values(world, reward_SA), reward_SA)
    believed = mdp.FiniteMdp(other.transition_SAS, world.start_S, other.discount)
    np.testing.assert_allclose(
        Planner(1, believes=believed).values(world, reward_SA), mdp.optimal_q(believed, reward_SA)
    )


@settings(max_examples=10)
@given(SEEDS, st.floats(0.1, 5))
def test_the_easy_goal_inference_problem_has_no_solution(seed: int, beta: float) -> None:
    """Three other pairs of reward and planner act alike in every state, whatever was done last."""
    world, reward_SAS = drawn(seed)
    reward_SA = world.expected(reward_SAS)
    q_SA = mdp.optimal_q(world, reward_SA)
    pairs = (
        (Planner(beta), reward_SA),
        (Planner(beta, perverse=True), -reward_SA),
        (Planner(beta, foresight=0), q_SA),
        (Planner(beta, leaning_SA=q_SA), 0 * reward_SA),
        (Planner(beta), -reward_SA),
    )
    policies = np.stack([planner.log_policy(world, reward) for planner, reward in pairs])
    assert goals.same_behaviour(policies).tolist() == [0, 0, 0, 0, 1]


def test_the_posterior_is_bayes_rule_and_its_sets_cover() -> None:
    """Coverage over hypotheses drawn from the prior is the mean probability of the sets."""
    world, reward_SAS = drawn(4)
    reward_SA = world.expected(reward_SAS)
    planners = (Planner(2.0), Planner(2.0, habit=0.5), Planner(0.5, lapse=0.4))
    kinds = [(sign * reward_SA, planner) for sign in (1, -1) for planner in planners]
    log_policy_KBSA = np.stack([planner.log_policy(world, r) for r, planner in kinds])
    prior_K = np.array([0.3, 0.1, 0.1, 0.2, 0.2, 0.1])
    covered, held, count = 0.0, 0.0, 2000
    for true, p in enumerate(prior_K):
        rng = np.random.default_rng(true)
        states_NT, actions_NT = episodes(world, log_policy_KBSA[true], 4, count, rng)
        log_p_KN = goals.log_likelihood(log_policy_KBSA, states_NT, actions_NT)
        for n in range(3):  # by hand, a step at a time
            last, log_p = 2, 0.0
            for state, action in zip(states_NT[n], actions_NT[n], strict=False):
                log_p += log_policy_KBSA[1, last, state, action]
                last = action
            assert log_p_KN[1, n] == pytest.approx(log_p)
        p_KN = goals.posterior(log_p_KN, prior_K)
        joint = np.exp(log_p_KN) * prior_K[:, None]
        np.testing.assert_allclose(p_KN, joint / joint.sum(0))
        sets_KN = goals.credible_set(p_KN, 0.8)
        covered += p * sets_KN[true].mean()
        held += p * (p_KN * sets_KN).sum(0).mean()
    assert covered == pytest.approx(held, abs=0.02)
    assert held >= 0.8
    by_sign = goals.by_label(p_KN, np.array([0, 0, 0, 1, 1, 1]))
    np.testing.assert_allclose(by_sign[0], p_KN[:3].sum(0))


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.floats(0.05, 0.99))
def test_a_credible_set_is_the_smallest(weights: list[float], level: float) -> None:
    p_G = np.array(weights) / sum(weights)
    chosen_G = goals.credible_set(p_G[:, None], level)[:, 0]
    assert p_G[chosen_G].sum() >= level - 1e-9
    assert p_G[chosen_G].sum() - p_G[chosen_G].min() < level
    assert (~chosen_G).sum() == 0 or p_G[~chosen_G].max() <= p_G[chosen_G].min()


def test_what_no_hypothesis_allows_is_refused() -> None:
    with pytest.raises(DataError, match="episode 1 is impossible"):
        goals.posterior(np.array([[0.0, -np.inf], [-1.0, -np.inf]]), np.array([0.5, 0.5]))


def test_impossible_planners_are_refused() -> None:
    for settings_ in (
        {"rationality": -1.0},
        {"rationality": 1.0, "lapse": 0.6, "habit": 0.6},
        {"rationality": 1.0, "habit": -0.1},
    ):
        with pytest.raises(DataError, match=r"habit|rationality"):
            Planner(**settings_)
