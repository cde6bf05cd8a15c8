"""Reward shaping: what is added to a reward so that it is learned sooner, and what that does to the
optimum.

A potential's differences, F(s, a, s') = discount Phi(s') - Phi(s), add to every policy's value the
same -Phi(s): no policy gains on another (Ng, Harada, Russell 1999). Anything else can change what
is best, and `regret` says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accord.control.tabular.mdp import (
    FiniteMdp,
    best_actions,
    best_value,
    evaluate_finite,
    finite_q,
    optimal_q,
    uniform,
)
from accord.statistics.intervals import Array


def potential_shaping(potential_S: Array, discount: float) -> Array:
    """discount Phi(s') - Phi(s), which holds for every action: [S, 1, S]."""
    found: Array = discount * potential_S[None, None, :] - potential_S[:, None, None]
    return found


@dataclass(frozen=True)
class Regret:
    """What is lost by acting on another reward, as a share of the way from the best policy's value
    to the worst one's, at the start. least, most: where several policies are best for the other
    reward, the least and the most that one of them loses. moved: share of states in which an
    action is best for the other reward that is not best for the true one."""

    least: float
    most: float
    moved: float


def regret(mdp: FiniteMdp, true_SA: Array, other_SA: Array) -> Regret:
    """Of the policies that are optimal for `other_SA`. Zero where all policies are worth the
    same."""
    best_SA = optimal_q(mdp, true_SA)
    top, bottom = float(mdp.start_S @ best_SA.max(1)), -best_value(mdp, -true_SA)
    chosen_SA = best_actions(optimal_q(mdp, other_SA))
    reached = best_value(mdp, true_SA, chosen_SA), -best_value(mdp, -true_SA, chosen_SA)
    moved = float((chosen_SA & ~best_actions(best_SA)).any(1).mean())
    least, most = (share_lost(top, bottom, value) for value in reached)
    return Regret(least, most, moved)


def best_and_worst(mdp: FiniteMdp, true_SA: Array) -> tuple[float, float]:
    """Values at the start of the best policy and of the worst."""
    return best_value(mdp, true_SA), -best_value(mdp, -true_SA)


def share_lost(top: float, bottom: float, value: float) -> float:
    """How far `value` lies below `top`, as a share of the way to `bottom`; 0 where both are the
    same."""
    width = top - bottom
    if width <= 1e-12 * max(1.0, abs(top)):
        return 0.0
    return max(0.0, (top - value) / width)


def horizon_regret(
    mdp: FiniteMdp, true_SA: Array, other_SA: Array, horizon: int, last_S: Array | float
) -> float:
    """The same over a horizon, of the policy that takes the best actions for `other_SA` equally
    often; last_S: what the other reward pays at the end."""
    q_HSA = finite_q(mdp, other_SA, horizon, last_S=last_S)
    policy_HSA = np.stack([uniform(best_actions(q_SA)) for q_SA in q_HSA])
    top, bottom = (
        sign * float(mdp.start_S @ finite_q(mdp, sign * true_SA, horizon)[0].max(1))
        for sign in (1, -1)
    )
    reached = float(mdp.start_S @ evaluate_finite(mdp, true_SA, policy_HSA))
    return share_lost(top, bottom, reached)
