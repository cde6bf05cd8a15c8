"""Demonstrations that teach: a person who knows how the robot will learn from what it is shown does
better than an expert who acts at best (cooperative inverse reinforcement learning: Hadfield-Menell
et al. 2016).

The robot infers weights from one episode by maximum entropy, which matches the features that it
saw. The best response is approximated as in the paper: of all episodes the one with the greatest

    w . f(episode) - pull || f(episode) - E f ||^2

E f the mean features of episodes in proportion to exp(w . f): what the robot would have to see in
order to infer w. A pull of 0 is the expert.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import softmax

from accord.control.tabular.choices import FeedbackGrid
from accord.control.tabular.irl import fit_reward
from accord.control.tabular.mdp import evaluate_finite, finite_q, one_hot
from accord.statistics.intervals import Array, Index


def demonstration(grid: FeedbackGrid, weights_F: Array, pull: float, every_NT: Index) -> Index:
    """The actions shown by who wants these weights known: [T]."""
    features_NF = grid.counted(grid.walk(every_NT))
    worth_N = features_NF @ weights_F
    mean_F = softmax(worth_N) @ features_NF
    away_N = ((features_NF - mean_F) ** 2).sum(1)
    found: Index = every_NT[(worth_N - pull * away_N).argmax()]
    return found


def learned(grid: FeedbackGrid, actions_T: Index) -> Array:
    """The weights that the robot infers, each normal around 0 with deviation 1: [F]."""
    cells_T = grid.walk(actions_T[None])[0]
    states_1T = np.concatenate([[grid.start], cells_T[:-1]])[None]
    features_SAF = grid.features_SF[grid.next_SA]
    shown = states_1T, actions_T[None]
    return fit_reward(grid.mdp, features_SAF, shown, deviation=1.0).weights_F


def regret_of_weights(grid: FeedbackGrid, true_F: Array, weights_F: Array) -> float:
    """What acting on weights loses over an episode, on average over where it begins, in units of
    reward."""
    mdp = replace(grid.mdp, discount=1.0)
    true_SA, other_SA = grid.reward(true_F), grid.reward(weights_F)
    best_S = finite_q(mdp, true_SA, grid.steps)[0].max(1)
    chosen_HS = finite_q(mdp, other_SA, grid.steps).argmax(2)
    policy_HSA = np.stack([one_hot(chosen_S, mdp.actions) for chosen_S in chosen_HS])
    return float((best_S - evaluate_finite(mdp, true_SA, policy_HSA)).mean())
