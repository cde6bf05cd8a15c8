"""What people say about behaviour, every kind as a choice: one likelihood for all (Jeon, Milli,
Dragan 2020).

    P(choice c | weights w) = (1 - lapse) softmax_c(rationality w . f(c)) + lapse / C

f(c) are the features that a choice stands for, on average over the behaviours it is taken to mean
(its grounding); what kind of feedback it is, only the options tell:

    comparison      two episodes
    demonstration   all episodes that there could have been
    stop            at each moment: what was done until then, and staying; or never
    correction      the episode, and each that differs from it by one action
    thumb           the episode, or what is usual
    credit          the moments of an episode: which was the best
    language        parts of the grid ("end up there"): the mean episode that ends in each
    proxy           rewards that could have been written: what a robot does that follows each
    initial state   states: the mean past that ends in each

The worlds are grids in which moves are certain, features belong to cells, and an episode has T
steps; what is counted are the cells after each. Suffixes: C options, F features, K hypotheses about
the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import log_softmax

from accord.control.tabular.mdp import FiniteMdp, finite_q
from accord.errors import DataError
from accord.statistics.intervals import Array, Index


def choice_log_p(
    options_CF: Array, weights_KF: Array, rationality: float, lapse: float = 0.0
) -> Array:
    """log P(c | w): [K, C]."""
    log_p_KC: Array = log_softmax(rationality * weights_KF @ options_CF.T, axis=1)
    if not lapse:
        return log_p_KC
    mixed_KC: Array = np.logaddexp(np.log1p(-lapse) + log_p_KC, np.log(lapse / len(options_CF)))
    return mixed_KC


def every_weights(levels: Sequence[float], features: int) -> Array:
    """All weights of which each is one of the levels: [K, F]."""
    return np.array(list(product(levels, repeat=features)))


def draw_features(states: int, features: int, rng: np.random.Generator) -> Array:
    """Every state has at most one of the features, or is empty, all alike: [S, F]."""
    return np.eye(features + 1, features)[rng.integers(features + 1, size=states)]


def information(log_p_KC: Array, prior_K: Array) -> float:
    """Bits that the choice is expected to tell about the hypothesis."""
    p_KC = np.exp(log_p_KC)
    said_C = prior_K @ p_KC
    with np.errstate(divide="ignore", invalid="ignore"):
        terms_KC = np.where(p_KC > 0, p_KC * (log_p_KC - np.log(said_C)), 0.0)
    return float(prior_K @ terms_KC.sum(1) / np.log(2))


def entropy(p_K: Array) -> float:
    """In bits."""
    seen_K = p_K[p_K > 0]
    return float(-(seen_K * np.log2(seen_K)).sum())


@dataclass(frozen=True)
class FeedbackGrid:
    """A grid on which people judge. next_SA: where each action leads; features_SF: of its cells;
    steps: of an episode; start: where episodes begin; regions_S: the part of the grid that each
    cell lies in, as people name it.

    Raises DataError where chance moves.
    """

    mdp: FiniteMdp
    features_SF: Array
    steps: int
    start: int
    regions_S: Index

    def __post_init__(self) -> None:
        if not np.isin(self.mdp.transition_SAS, (0, 1)).all():
            raise DataError("moves are by chance", "use a grid without slip")

    @property
    def next_SA(self) -> Index:
        """[S, A]."""
        found: Index = self.mdp.transition_SAS.argmax(2)
        return found

    def walk(self, actions_NT: Index) -> Index:
        """The cells after each step from the start: [N, T]."""
        next_SA, at_N = self.next_SA, np.full(len(actions_NT), self.start)
        cells_NT = np.empty(actions_NT.shape, dtype=np.int64)
        for step in range(actions_NT.shape[1]):
            at_N = next_SA[at_N, actions_NT[:, step]]
            cells_NT[:, step] = at_N
        return cells_NT

    def counted(self, cells_NT: Index) -> Array:
        """The features of episodes: [N, F]."""
        found: Array = self.features_SF[cells_NT].sum(1)
        return found

    def reward(self, weights_F: Array) -> Array:
        """What entering a cell is worth: [S, A]."""
        found: Array = (self.features_SF @ weights_F)[self.next_SA]
        return found

    def every_actions(self) -> Index:
        """Of all episodes: [N, T]."""
        return np.array(list(product(range(self.mdp.actions), repeat=self.steps)), dtype=np.int64)

    def any_actions(self, count: int, rng: np.random.Generator) -> Index:
        """By chance: [N, T]."""
        return rng.integers(self.mdp.actions, size=(count, self.steps))


Options = Callable[[FeedbackGrid, Array, np.random.Generator], Array]
"""What there is to choose from, [C, F], given all hypotheses about the weights [K, F]."""


def _comparison(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    return grid.counted(grid.walk(grid.any_actions(2, rng)))


def _demonstration(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    return grid.counted(grid.walk(grid.every_actions()))


def _stop(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    cells_T = grid.walk(grid.any_actions(1, rng))[0]
    from_start = np.concatenate([[grid.start], cells_T])
    stopped = [np.minimum(np.arange(1, grid.steps + 1), at) for at in range(grid.steps + 1)]
    return grid.counted(from_start[np.stack(stopped)])


def _correction(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    actions_T = grid.any_actions(1, rng)[0]
    changed = [actions_T]
    for step in range(grid.steps):
        for other in range(1, grid.mdp.actions):
            one = actions_T.copy()
            one[step] = (one[step] + other) % grid.mdp.actions
            changed.append(one)
    return grid.counted(grid.walk(np.stack(changed)))


def _thumb(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    shown_F = grid.counted(grid.walk(grid.any_actions(1, rng)))[0]
    mass_S, past_SF = _pasts(grid, np.eye(grid.mdp.states)[grid.start])
    return np.stack([shown_F, past_SF.sum(0) / mass_S.sum()])


def _credit(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    found: Array = grid.features_SF[grid.walk(grid.any_actions(1, rng))[0]]
    return found


def _language(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    mass_S, past_SF = _pasts(grid, np.eye(grid.mdp.states)[grid.start])
    parts = [grid.regions_S == part for part in np.unique(grid.regions_S)]
    return np.stack([past_SF[p].sum(0) / mass_S[p].sum() for p in parts if mass_S[p].sum() > 0])


def _proxy(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    """In a part of the world: half of the features are nowhere to be seen there."""
    hidden_F = rng.permutation(weights_KF.shape[1]) < weights_KF.shape[1] // 2
    part = replace(grid, features_SF=np.where(hidden_F, 0.0, grid.features_SF))
    world, next_SA, followed = replace(grid.mdp, discount=1.0), grid.next_SA, []
    for weights_F in weights_KF:
        at, passed = grid.start, []
        for q_SA in finite_q(world, part.reward(weights_F), grid.steps):
            at = int(next_SA[at, q_SA[at].argmax()])
            passed.append(at)
        followed.append(part.features_SF[passed].sum(0))
    return np.stack(followed)


def _initial_state(grid: FeedbackGrid, weights_KF: Array, rng: np.random.Generator) -> Array:
    mass_S, past_SF = _pasts(grid, np.full(grid.mdp.states, 1 / grid.mdp.states))
    found: Array = past_SF[mass_S > 0] / mass_S[mass_S > 0, None]
    return found


def _pasts(grid: FeedbackGrid, start_S: Array) -> tuple[Array, Array]:
    """Of all episodes alike that begin so: the share that ends in each state [S], and their
    features summed over those [S, F]."""
    chain_SS = grid.mdp.transition_SAS.mean(1)
    mass_S, past_SF = start_S, np.zeros((grid.mdp.states, grid.features_SF.shape[1]))
    for _ in range(grid.steps):
        mass_S = chain_SS.T @ mass_S
        past_SF = chain_SS.T @ past_SF + mass_S[:, None] * grid.features_SF
    return mass_S, past_SF


KINDS: Mapping[str, Options] = {
    "comparison": _comparison,
    "demonstration": _demonstration,
    "stop": _stop,
    "correction": _correction,
    "thumb": _thumb,
    "credit": _credit,
    "language": _language,
    "proxy": _proxy,
    "initial_state": _initial_state,
}
"""Every kind of feedback by its name."""
