"""What somebody wants and how well they plan, inferred together from what they do: exact posteriors
over pairs of a goal and a planner.

Suffixes: K hypotheses (pairs), N episodes, G labels of hypotheses, such as goals; B, S, A as in
`planners`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from accord.control.tabular.mdp import Mask
from accord.errors import DataError
from accord.statistics.intervals import Array, Index

SAME = 1e-8
"""Log-probabilities that differ by less are the same behaviour."""


def log_likelihood(log_policy_KBSA: Array, states_NT: Index, actions_NT: Index) -> Array:
    """log P(actions | states) of each episode: [K, N]. states_NT may have a state more, the last
    one, in which nothing was done."""
    nothing = log_policy_KBSA.shape[1] - 1
    steps = actions_NT.shape[1]
    last_NT = np.hstack([np.full((len(actions_NT), 1), nothing), actions_NT[:, :-1]])
    return np.stack(
        [own_BSA[last_NT, states_NT[:, :steps], actions_NT].sum(1) for own_BSA in log_policy_KBSA]
    )


def posterior(log_p_KN: Array, prior_K: Array) -> Array:
    """P(hypothesis | episode), each episode by itself: [K, N]. Raises DataError for an episode that
    no hypothesis allows."""
    with np.errstate(divide="ignore"):
        joint_KN = log_p_KN + np.log(prior_K)[:, None]
    total_N = logsumexp(joint_KN, axis=0)
    if not np.isfinite(total_N).all():
        raise DataError(
            f"episode {int(np.flatnonzero(~np.isfinite(total_N))[0])} is impossible by every "
            f"hypothesis",
            "let planners lapse",
        )
    found: Array = np.exp(joint_KN - total_N)
    return found


def by_label(p_KN: Array, label_K: Index) -> Array:
    """Probabilities of what hypotheses have in common, such as the goal: [G, N]."""
    found: Array = np.eye(label_K.max() + 1)[label_K].T @ p_KN
    return found


def credible_set(p_GN: Array, level: float = 0.95) -> Mask:
    """The most probable labels of each episode, so many that they hold `level`: [G, N]."""
    order_GN = np.argsort(-p_GN, axis=0, kind="stable")
    sorted_GN = np.take_along_axis(p_GN, order_GN, 0)
    before_GN = sorted_GN.cumsum(0) - sorted_GN
    found = np.empty(p_GN.shape, dtype=bool)
    np.put_along_axis(found, order_GN, before_GN < level - 1e-12, 0)
    return found


def same_behaviour(log_policy_KBSA: Array) -> Index:
    """The number of each hypothesis's class; what lies in one class acts alike in every state, and
    no observation of acts tells it apart: [K]."""
    class_K = np.empty(len(log_policy_KBSA), dtype=np.int64)
    known: list[Array] = []
    for number, own in enumerate(np.exp(log_policy_KBSA)):
        match = (c for c, other in enumerate(known) if np.abs(own - other).max() < SAME)
        class_K[number] = next(match, len(known))
        if class_K[number] == len(known):
            known.append(own)
    return class_K
