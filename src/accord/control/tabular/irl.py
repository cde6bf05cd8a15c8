"""Rewards, and policies, from demonstrations in finite worlds.

With N episodes of T steps, a reward that is linear in features, r(s, a) = phi(s, a) . w, and the
horizon T undiscounted:

    maximum causal entropy (Ziebart, Bagnell, Dey 2010)
        Q_t(s, a) = r(s, a) + E V_{t+1}(s'),  V_t = log sum_a exp Q_t,  log P = sum log pi_t(a|s)
    maximum entropy (Ziebart et al. 2008)
        Q_t(s, a) = r(s, a) + log E exp V_{t+1}(s'),  log P = sum r - V_0(s_0) + what chance does

The second lets the demonstrator choose chance as well: it is the same where moves are certain, and
optimistic where they are not. Suffix F: features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from accord.control.tabular.mdp import FiniteMdp, draw, one_hot, sample
from accord.errors import DataError, RunError
from accord.statistics.intervals import Array, Index

Demonstrations = tuple[Index, Index]
"""States [N, T], or with the one after the last step [N, T + 1], and actions [N, T]."""


def causal_log_p(
    mdp: FiniteMdp, features_SAF: Array, weights_F: Array, shown: Demonstrations
) -> tuple[float, Array]:
    """Log-likelihood of the actions by maximum causal entropy, and its gradient [F]."""
    states_NT, actions_NT = shown
    reward_SA = features_SAF @ weights_F
    value_S, slope_SF = np.zeros(mdp.states), np.zeros((mdp.states, len(weights_F)))
    log_p, gradient_F = 0.0, np.zeros(len(weights_F))
    for step in reversed(range(actions_NT.shape[1])):
        q_SA = reward_SA + mdp.transition_SAS @ value_S
        q_slope_SAF = features_SAF + mdp.transition_SAS @ slope_SF
        log_pi_SA = log_softmax(q_SA, axis=1)
        value_S = logsumexp(q_SA, axis=1)
        slope_SF = np.einsum("sa,saf->sf", np.exp(log_pi_SA), q_slope_SAF)
        at_N, taken_N = states_NT[:, step], actions_NT[:, step]
        log_p += float(log_pi_SA[at_N, taken_N].sum())
        gradient_F += (q_slope_SAF[at_N, taken_N] - slope_SF[at_N]).sum(0)
    return log_p, gradient_F


def entropy_log_p(
    mdp: FiniteMdp, features_SAF: Array, weights_F: Array, shown: Demonstrations
) -> tuple[float, Array]:
    """Log-likelihood of the episodes by maximum entropy, less what chance does whatever the reward,
    and its gradient [F]."""
    states_NT, actions_NT = shown
    steps = actions_NT.shape[1]
    reward_SA = features_SAF @ weights_F
    value_S, slope_SF = np.zeros(mdp.states), np.zeros((mdp.states, len(weights_F)))
    with np.errstate(divide="ignore"):
        log_t_SAS = np.log(mdp.transition_SAS)
    for _ in range(steps):
        q_SA = reward_SA + logsumexp(log_t_SAS + value_S, axis=2)
        q_slope_SAF = features_SAF + softmax(log_t_SAS + value_S, axis=2) @ slope_SF
        value_S = logsumexp(q_SA, axis=1)
        slope_SF = np.einsum("sa,saf->sf", softmax(q_SA, axis=1), q_slope_SAF)
    seen_F = features_SAF[states_NT[:, :steps], actions_NT].sum((0, 1))
    begun_N = states_NT[:, 0]
    return (
        float(seen_F @ weights_F - value_S[begun_N].sum()),
        np.asarray(seen_F - slope_SF[begun_N].sum(0)),
    )


@dataclass(frozen=True)
class FittedReward:
    """weights_F: of the features; log_p: of what was shown, at them."""

    weights_F: Array
    log_p: float


def fit_reward(
    mdp: FiniteMdp,
    features_SAF: Array,
    shown: Demonstrations,
    causal: bool = True,
    deviation: float = 3.0,
) -> FittedReward:
    """The most probable weights where each is normal around 0 with this deviation, by L-BFGS on the
    exact gradient. Raises DataError without a step shown, and for features of other worlds, and
    RunError where the search ends before the gradient is 0."""
    if not shown[1].size:
        raise DataError("nothing was demonstrated", "give an episode of one step or more")
    if features_SAF.shape[:2] != (mdp.states, mdp.actions):
        raise DataError(
            f"features for {features_SAF.shape[:2]} states and actions",
            f"give them for ({mdp.states}, {mdp.actions})",
        )
    log_p_of = causal_log_p if causal else entropy_log_p

    def loss(weights_F: Array) -> tuple[float, Array]:
        log_p, gradient_F = log_p_of(mdp, features_SAF, weights_F, shown)
        return (
            float(weights_F @ weights_F) / (2 * deviation**2) - log_p,
            weights_F / deviation**2 - gradient_F,
        )

    found = minimize(loss, np.zeros(features_SAF.shape[2]), jac=True, method="L-BFGS-B")
    if np.abs(found.jac).max() > 1e-3 * (1 + shown[1].size):
        raise RunError(f"the fit stopped early: {found.message}")
    return FittedReward(found.x, log_p_of(mdp, features_SAF, found.x, shown)[0])


# --- policies without a reward --------------------------------------------------------------------
def clone(mdp: FiniteMdp, shown: Demonstrations) -> Array:
    """Behavioural cloning: the action seen most often in each state, any where none was seen:
    [S, A]."""
    states_NT, actions_NT = shown
    counts_SA = np.zeros((mdp.states, mdp.actions))
    np.add.at(counts_SA, (states_NT[:, : actions_NT.shape[1]], actions_NT), 1)
    found = one_hot(counts_SA.argmax(1), mdp.actions)
    found[counts_SA.sum(1) == 0] = 1 / mdp.actions
    return found


def dagger(
    mdp: FiniteMdp, expert_SA: Array, first: Demonstrations, rounds: int, rng: np.random.Generator
) -> Array:
    """DAgger (Ross, Gordon, Bagnell 2011): after the first demonstrations the learner moves and the
    expert says what it would have done, in `rounds` rounds of as many episodes: [S, A]."""
    states_NT, actions_NT = first
    count, steps = actions_NT.shape
    states_NT = states_NT[:, :steps]
    for _ in range(rounds):
        visited_NT, _ = sample(mdp, clone(mdp, (states_NT, actions_NT)), steps, count, rng)
        visited_NT = visited_NT[:, :steps]
        p_NTA = expert_SA[visited_NT].reshape(-1, mdp.actions)
        said_NT = draw(p_NTA, rng).reshape(count, steps)
        states_NT = np.vstack([states_NT, visited_NT])
        actions_NT = np.vstack([actions_NT, said_NT])
    return clone(mdp, (states_NT, actions_NT))
