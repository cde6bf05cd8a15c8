"""People who act on a goal, and not at their best: planners with bounded rationality.

A planner turns a reward into a policy. From the values Q of the actions, as it reckons them,

    pi(a | s, last) = (1 - lapse - habit) softmax(rationality (Q(s, .) + leaning(s, .)))(a)
                      + lapse / A + habit [a = last]

It may reckon with another discount than the world's (myopic), with another world (a false belief),
or want the opposite of what it does. Suffix B: what was done last, one of A actions or (the last of
B) nothing yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from accord.control.tabular.mdp import FiniteMdp, boltzmann, optimal_q, rollout
from accord.errors import DataError
from accord.statistics.intervals import Array, Index


@dataclass(frozen=True)
class Planner:
    """rationality: of its choices, per unit of value; foresight: the discount that it reckons with,
    the world's if None; lapse, habit: shares of actions by chance and by repetition; believes: the
    world that it reckons with, the true one if None; leaning_SA: added to the values; perverse: it
    takes what is worst for its reward, and reckons with doing so.

    Raises DataError for shares outside [0, 1] and a rationality that is not above 0.
    """

    rationality: float
    foresight: float | None = None
    lapse: float = 0.0
    habit: float = 0.0
    believes: FiniteMdp | None = None
    leaning_SA: Array | float = 0.0
    perverse: bool = False

    def __post_init__(self) -> None:
        if min(self.lapse, self.habit) < 0 or self.lapse + self.habit > 1:
            raise DataError(
                f"lapse = {self.lapse:g}, habit = {self.habit:g}", "both from 0, together at most 1"
            )
        if not 0 <= self.rationality < np.inf:
            raise DataError(f"rationality = {self.rationality:g}", "give a number from 0")

    def values(self, mdp: FiniteMdp, reward_SA: Array) -> Array:
        """Q as the planner reckons it: [S, A]."""
        believed = self.believes or mdp
        if self.foresight is not None:
            believed = replace(believed, discount=self.foresight)
        sign = -1 if self.perverse else 1
        return sign * optimal_q(believed, sign * reward_SA)

    def log_policy(self, mdp: FiniteMdp, reward_SA: Array) -> Array:
        """log pi(a | last, s): [B, S, A]."""
        sign = -1 if self.perverse else 1
        chosen_SA = np.exp(
            boltzmann(sign * self.values(mdp, reward_SA) + self.leaning_SA, self.rationality)
        )
        repeated_BA = np.eye(mdp.actions + 1, mdp.actions)
        habit_B = self.habit * repeated_BA.sum(1)  # none where nothing was done yet
        policy_BSA = (
            (1 - self.lapse - habit_B)[:, None, None] * chosen_SA
            + self.lapse / mdp.actions
            + habit_B[:, None, None] * repeated_BA[:, None, :]
        )
        with np.errstate(divide="ignore"):
            found: Array = np.log(policy_BSA)
        return found


def episodes(
    mdp: FiniteMdp, log_policy_BSA: Array, steps: int, count: int, rng: np.random.Generator
) -> tuple[Index, Index]:
    """(states [N, T + 1], actions [N, T]) of somebody who acts so."""
    policy_BSA = np.exp(log_policy_BSA)
    return rollout(mdp, lambda at_N, last_N: policy_BSA[last_N, at_N], steps, count, rng)
