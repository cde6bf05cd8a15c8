"""Which clips to have judged: at random, where the members of a reward disagree, or where an
answer is expected to tell most of which member is right; always beside a random arm.

A question is a set of clips: one of them is rated, two are compared, several ranked. Suffixes: Q
questions, K clips of one, A its possible answers, E members.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from accord.feedback.selection import check_random_share
from accord.statistics.intervals import Array, Index

Acquisition = Literal["random", "variance", "information"]
Arm = Literal["random", "active"]


def value(kind: Acquisition, p_EQA: Array) -> Array:
    """What each question is worth asking, by each member's probabilities of its answers: [Q].

    - variance:    of the members' probabilities (Christiano et al. 2017 section 2.2.4), half their
                   sum over the answers, which is that of either of two
    - information: nats between the answer and the member, H(mean p) - mean H(p) (BALD, Houlsby et
                   al. 2011)
    - random:      0
    """
    if kind == "variance":
        spread: Array = p_EQA.var(0).sum(-1) / 2 if p_EQA.shape[-1] > 2 else p_EQA[..., 0].var(0)
        return spread
    if kind == "information":
        told: Array = np.maximum(_entropy(p_EQA.mean(0)) - _entropy(p_EQA).mean(0), 0.0)
        return told
    return np.zeros(p_EQA.shape[1])


def _entropy(p: Array) -> Array:
    """Of one answer, in nats: [...] of [..., A]."""
    bounded = np.clip(p, 1e-12, 1 - 1e-12)
    entropy: Array = -(bounded * np.log(bounded)).sum(-1)
    return entropy


def sets_of(clips: int, count: int, size: int, rng: np.random.Generator) -> Index:
    """`count` ordered sets of `size` different clips, each as likely as any other: [Q, K]."""
    first = rng.integers(clips, size=count)[:, None]
    if size == 1:
        return first
    others = sets_of(clips - 1, count, size - 1, rng)  # how far after the first, less one
    return np.concatenate([first, (first + 1 + others) % clips], -1)


def distinct(sets_QK: Index) -> Index:
    """Each set once, in whatever order its clips stand, in the order they came."""
    _, first = np.unique(np.sort(sets_QK, 1), axis=0, return_index=True)
    kept: Index = sets_QK[np.sort(first)]
    return kept


def far_apart(place_CF: Array, taken_TF: Array, count: int) -> Index:
    """`count` of the places C, one after the other each the one furthest from the nearest of those
    before it, `taken` (at least one) among them: the greedy 2-approximation of k centres (Gonzalez
    1985; core sets, Sener and Savarese 2018)."""
    gap_C = cdist(place_CF, taken_TF, "sqeuclidean").min(1)
    found: list[int] = []
    for _ in range(min(count, len(place_CF))):
        found.append(int(gap_C.argmax()))
        gap_C = np.minimum(gap_C, ((place_CF - place_CF[found[-1]]) ** 2).sum(-1))
        gap_C[found] = -np.inf
    return np.array(found, dtype=np.int64)


def choose(
    kind: Acquisition,
    p_EQA: Array,
    count: int,
    random_share: float,
    rng: np.random.Generator,
    place_QF: Array | None = None,
    diversity: int = 1,
) -> tuple[Index, list[Arm]]:
    """(`count` of the questions, the arm of each): the random arm first, then the best of the
    others. With places and a diversity above 1 the others are, of so many times as many of the
    best, those that lie furthest apart and from the random arm (B-Pref's hybrid sampling, Lee et
    al. 2021). Raises ConfigError for a random arm below a fifth."""
    check_random_share(random_share)
    total = p_EQA.shape[1]
    at_random = count if kind == "random" else int(np.ceil(random_share * count))
    by_chance = rng.permutation(total)[:at_random]
    worth = value(kind, p_EQA)
    worth[by_chance] = -np.inf
    others = min(count, total) - len(by_chance)
    best = np.argsort(-worth, kind="stable")[: min(diversity * others, total - len(by_chance))]
    if place_QF is not None and len(best) > others > 0:
        best = best[far_apart(place_QF[best], place_QF[by_chance], others)]
    best = best[:others]
    arms: list[Arm] = [*["random"] * len(by_chance), *["active"] * len(best)]  # type: ignore[list-item]
    return np.concatenate([by_chance, best]), arms
