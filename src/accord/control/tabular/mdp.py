"""Finite Markov decision processes, solved exactly.

Suffixes: S states, A actions, H steps of a horizon (first to last). A reward is given per state and
action, [S, A]; one per transition, [S, A, S], has the same values once it is averaged over where a
transition leads (`FiniteMdp.expected`).

Discounted problems are solved by policy iteration, hard or soft: each step is a linear system, the
last one leaves nothing to improve. Soft values are Boltzmann's, of a decision maker with the
rationality beta (Ziebart 2010):

    V(s) = 1/beta log sum_a exp(beta Q(s, a)),   pi(a|s) = exp(beta (Q(s, a) - V(s)))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from accord.errors import DataError, RunError
from accord.statistics.intervals import Array, Index

Mask = NDArray[np.bool_]
TIE = 1e-9
"""Actions whose values differ by less, measured at the largest value, are equally good."""
STEPS = 1000
"""Most steps of policy iteration; a few are needed."""


@dataclass(frozen=True)
class FiniteMdp:
    """transition_SAS: P(next | state, action); start_S: P(first state); discount: of the next
    step's reward, in [0, 1), or 1 where only finite horizons are asked for.

    Raises DataError for probabilities that do not sum to 1, and a discount outside.
    """

    transition_SAS: Array
    start_S: Array
    discount: float

    def __post_init__(self) -> None:
        shape = self.transition_SAS.shape
        if len(shape) != 3 or shape[0] != shape[2] or self.start_S.shape != shape[:1]:
            raise DataError(
                f"transitions {shape} and start {self.start_S.shape}",
                "give [S, A, S] and [S], with the same S",
            )
        check_probabilities(self.transition_SAS, "state {}, action {}: the next state")
        check_probabilities(self.start_S, "the first state")
        if not 0 <= self.discount <= 1:
            raise DataError(f"discount = {self.discount:g}", "give one from 0 to 1")

    @property
    def states(self) -> int:
        """How many there are."""
        return len(self.start_S)

    @property
    def actions(self) -> int:
        """How many there are in each state."""
        return int(self.transition_SAS.shape[1])

    def expected(self, reward_SAS: Array) -> Array:
        """A reward per transition, averaged over where it leads: [S, A]."""
        found: Array = (self.transition_SAS * reward_SAS).sum(2)
        return found

    def ahead(self, value_S: Array) -> Array:
        """The discounted value of what follows: [S, A], or [S, A, ...] of values [S, ...]."""
        found: Array = self.discount * np.tensordot(self.transition_SAS, value_S, 1)
        return found

    def value(self, reward_SA: Array, policy_SA: Array) -> float:
        """The policy's value at the start."""
        return float(self.start_S @ evaluate(self, reward_SA, policy_SA))


def check_probabilities(p: Array, whose: str) -> None:
    """Raise DataError, naming the first row, unless each row along the last axis is a distribution.
    whose: with a {} for each index before it."""
    bad = (p < 0).any(-1) | ~(np.abs(p.sum(-1) - 1) < 1e-9)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        row = p[place]
        raise DataError(
            f"{whose.format(*place)} has probabilities from {row.min():.3g} that sum to "
            f"{row.sum():.9g}",
            "none may be below 0, and they sum to 1",
        )


# --- discounted -----------------------------------------------------------------------------------
def evaluate(mdp: FiniteMdp, reward_SA: Array, policy_SA: Array) -> Array:
    """Values of a policy: [S]."""
    _needs_discount(mdp)
    chain_SS = np.einsum("sa,sat->st", policy_SA, mdp.transition_SAS)
    gained_S = (policy_SA * reward_SA).sum(1)
    found: Array = np.linalg.solve(np.eye(mdp.states) - mdp.discount * chain_SS, gained_S)
    return found


def occupancy(mdp: FiniteMdp, policy_SA: Array) -> Array:
    """Discounted number of times that each action is taken in each state: [S, A], together
    1 / (1 - discount). Its product with a reward is the policy's value."""
    _needs_discount(mdp)
    chain_SS = np.einsum("sa,sat->st", policy_SA, mdp.transition_SAS)
    visits_S = np.linalg.solve(np.eye(mdp.states) - mdp.discount * chain_SS.T, mdp.start_S)
    found: Array = visits_S[:, None] * policy_SA
    return found


def optimal_q(mdp: FiniteMdp, reward_SA: Array, allowed_SA: Mask | None = None) -> Array:
    """Values of the actions when all that follow are the best ones, by policy iteration: [S, A].

    allowed_SA: the actions there are, at least one per state; the others' values are -inf.
    """
    _needs_discount(mdp)
    off_SA = np.zeros((mdp.states, mdp.actions))
    if allowed_SA is not None:
        off_SA[~allowed_SA] = -np.inf
    chosen_S: Index = (reward_SA + off_SA).argmax(1)
    for _ in range(STEPS):
        q_SA = reward_SA + mdp.ahead(evaluate(mdp, reward_SA, one_hot(chosen_S, mdp.actions)))
        q_SA = q_SA + off_SA
        now_S = np.take_along_axis(q_SA, chosen_S[:, None], 1)[:, 0]
        better_S = q_SA.max(1) > now_S + TIE * _size(q_SA)
        if not better_S.any():
            return q_SA
        chosen_S = np.where(better_S, q_SA.argmax(1), chosen_S)
    raise RunError(f"policy iteration found no end in {STEPS} steps")


def soft_q(mdp: FiniteMdp, reward_SA: Array, rationality: float = 1.0) -> Array:
    """Values of the actions when those that follow are Boltzmann's, by soft policy iteration (which
    is Newton's method): [S, A]. Raises DataError for a rationality that is not above 0."""
    _needs_discount(mdp)
    check_rationality(rationality)
    q_SA = np.asarray(reward_SA, dtype=np.float64)
    for _ in range(STEPS):
        log_pi_SA = boltzmann(q_SA, rationality)
        policy_SA = np.exp(log_pi_SA)
        entropy_SA = -np.where(policy_SA > 0, log_pi_SA, 0.0) / rationality
        value_S = evaluate(mdp, reward_SA + entropy_SA, policy_SA)
        next_SA = reward_SA + mdp.ahead(value_S)
        if np.abs(next_SA - q_SA).max() <= 1e-10 * _size(next_SA):
            return next_SA
        q_SA = next_SA
    raise RunError(f"soft policy iteration found no end in {STEPS} steps")


# --- finite horizons ------------------------------------------------------------------------------
ValueOf = Callable[[Array], Array]
"""Values of states [S] from those of their actions [S, A]."""


def best(q_SA: Array) -> Array:
    """The values of the best actions: [S]."""
    found: Array = q_SA.max(1)
    return found


def soft(rationality: float = 1.0) -> ValueOf:
    """Boltzmann's values. Raises DataError for a rationality that is not above 0."""
    check_rationality(rationality)
    return lambda q_SA: np.asarray(logsumexp(rationality * q_SA, axis=1) / rationality)


def finite_q(
    mdp: FiniteMdp,
    reward_SA: Array,
    horizon: int,
    value_of: ValueOf = best,
    last_S: Array | float = 0.0,
) -> Array:
    """Values of the actions with `horizon` steps left, down to one: [H, S, A]. last_S: what the
    state counts in which the last step ends."""
    q_HSA = np.empty((horizon, mdp.states, mdp.actions))
    value_S = np.broadcast_to(np.asarray(last_S, dtype=np.float64), mdp.states)
    for step in reversed(range(horizon)):
        q_HSA[step] = reward_SA + mdp.ahead(value_S)
        value_S = value_of(q_HSA[step])
    return q_HSA


def evaluate_finite(
    mdp: FiniteMdp, reward_SA: Array, policy_HSA: Array, last_S: Array | float = 0.0
) -> Array:
    """Values of a policy at its first step: [S]."""
    value_S = np.broadcast_to(np.asarray(last_S, dtype=np.float64), mdp.states)
    for policy_SA in policy_HSA[::-1]:
        value_S = (policy_SA * (reward_SA + mdp.ahead(value_S))).sum(1)
    return value_S


def occupancy_finite(mdp: FiniteMdp, policy_HSA: Array, start_S: Array) -> Array:
    """Expected number of times that each action is taken in each state over the horizon, beginning
    by `start_S`: [S, A], together H."""
    found_SA, at_S = np.zeros((mdp.states, mdp.actions)), start_S
    for policy_SA in policy_HSA:
        taken_SA = at_S[:, None] * policy_SA
        found_SA += taken_SA
        at_S = np.einsum("sa,sat->t", taken_SA, mdp.transition_SAS)
    return found_SA


# --- policies -------------------------------------------------------------------------------------
def one_hot(chosen_S: Index, actions: int) -> Array:
    """The policy that takes these actions: [S, A]."""
    return np.eye(actions)[chosen_S]


def boltzmann(q_SA: Array, rationality: float) -> Array:
    """log pi(a|s), proportional to exp(rationality Q(s, a)), over the last axis; a rationality
    below 0 prefers what is worse."""
    found: Array = log_softmax(rationality * q_SA, axis=-1)
    return found


def best_value(mdp: FiniteMdp, reward_SA: Array, allowed_SA: Mask | None = None) -> float:
    """What the best policy is worth at the start; allowed_SA: as for `optimal_q`."""
    return float(mdp.start_S @ optimal_q(mdp, reward_SA, allowed_SA).max(1))


def best_actions(q_SA: Array) -> Mask:
    """Which actions are as good as any: [S, A]."""
    found: Mask = q_SA >= q_SA.max(1, keepdims=True) - TIE * _size(q_SA)
    return found


def uniform(chosen_SA: Mask) -> Array:
    """The policy that takes each of these actions equally often: [S, A]."""
    found: Array = chosen_SA / chosen_SA.sum(1, keepdims=True)
    return found


def sample(
    mdp: FiniteMdp, policy_SA: Array, steps: int, count: int, rng: np.random.Generator
) -> tuple[Index, Index]:
    """(states [N, T + 1], actions [N, T]) of `count` episodes."""
    return rollout(mdp, lambda at_N, _: policy_SA[at_N], steps, count, rng)


def rollout(
    mdp: FiniteMdp,
    choose: Callable[[Index, Index], Array],
    steps: int,
    count: int,
    rng: np.random.Generator,
) -> tuple[Index, Index]:
    """The same for a policy that looks at what was done last as well: choose(states [N], actions
    [N]) gives probabilities [N, A]; the action before the first is number A."""
    states_NT = np.empty((count, steps + 1), dtype=np.int64)
    actions_NT = np.empty((count, steps), dtype=np.int64)
    states_NT[:, 0] = draw(np.broadcast_to(mdp.start_S, (count, mdp.states)), rng)
    last_N = np.full(count, mdp.actions)
    for step in range(steps):
        at_N = states_NT[:, step]
        actions_NT[:, step] = last_N = draw(choose(at_N, last_N), rng)
        states_NT[:, step + 1] = draw(mdp.transition_SAS[at_N, last_N], rng)
    return states_NT, actions_NT


def draw(p_NK: Array, rng: np.random.Generator) -> Index:
    """One of K from each row's probabilities, by inverse CDF: [N]."""
    cdf_NK = p_NK.cumsum(1)
    uniform_N1 = rng.random((len(p_NK), 1)) * cdf_NK[:, -1:]
    found: Index = (uniform_N1 >= cdf_NK).sum(1)
    return found


def check_rationality(rationality: float) -> None:
    """Raise DataError unless it is a number above 0."""
    if not 0 < rationality < np.inf:
        raise DataError(f"rationality = {rationality:g}", "give a number above 0")


def _needs_discount(mdp: FiniteMdp) -> None:
    if mdp.discount >= 1:
        raise DataError(
            "discount = 1: values without a horizon are not finite",
            "give a discount below 1, or ask for a finite horizon",
        )


def _size(q_SA: Array) -> float:
    return max(1.0, float(np.abs(q_SA[np.isfinite(q_SA)]).max(initial=0.0)))
