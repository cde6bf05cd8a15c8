"""Which clips to have compared: at random, where the members of a reward disagree, or where an
answer is expected to tell most of which member is right; always beside a random arm.

Suffixes: P pairs, E members.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import expit

from accord.feedback.selection import check_random_share
from accord.statistics.intervals import Array, Index

Acquisition = Literal["random", "variance", "information"]
Arm = Literal["random", "active"]


def first_preferred(gap_EP: Array, lapse: float) -> Array:
    """Each member's probability that the first clip is preferred, by scores' differences: [E,
    P]."""
    share: Array = (1 - lapse) * expit(gap_EP) + lapse / 2
    return share


def value(kind: Acquisition, gap_EP: Array, lapse: float) -> Array:
    """What each pair is worth asking: [P].

    - variance:    of the members' probabilities (Christiano et al. 2017 section 2.2.4)
    - information: nats between the answer and the member, H(mean p) - mean H(p), with the answers
                   as lapsing as the likelihood says (BALD, Houlsby et al. 2011)
    - random:      0
    """
    p_EP = first_preferred(gap_EP, lapse)
    if kind == "variance":
        spread: Array = p_EP.var(0)
        return spread
    if kind == "information":
        told: Array = np.maximum(_entropy(p_EP.mean(0)) - _entropy(p_EP).mean(0), 0.0)
        return told
    return np.zeros(p_EP.shape[1])


def _entropy(p: Array) -> Array:
    """Of one answer, in nats."""
    bounded = np.clip(p, 1e-12, 1 - 1e-12)
    return -(bounded * np.log(bounded) + (1 - bounded) * np.log(1 - bounded))


def pairs_of(clips: int, count: int, rng: np.random.Generator) -> Index:
    """`count` pairs of different clips, drawn at random: [P, 2]."""
    first = rng.integers(clips, size=count)
    second = (first + rng.integers(1, clips, size=count)) % clips
    return np.stack([first, second], -1)


def distinct(pairs_P2: Index) -> Index:
    """Each pair once, in whatever order its clips stand, in the order they came."""
    _, first = np.unique(np.sort(pairs_P2, 1), axis=0, return_index=True)
    kept: Index = pairs_P2[np.sort(first)]
    return kept


def choose(
    kind: Acquisition, gap_EP: Array, lapse: float, count: int, random_share: float,
    rng: np.random.Generator,
) -> tuple[Index, list[Arm]]:  # fmt: skip
    """(`count` of the pairs, the arm of each): the random arm first, then the best of the others.
    Raises ConfigError for a random arm below a fifth."""
    check_random_share(random_share)
    total = gap_EP.shape[1]
    at_random = count if kind == "random" else int(np.ceil(random_share * count))
    by_chance = rng.permutation(total)[:at_random]
    worth = value(kind, gap_EP, lapse)
    worth[by_chance] = -np.inf
    best = np.argsort(-worth, kind="stable")[: count - at_random]
    arms: list[Arm] = [*["random"] * len(by_chance), *["active"] * len(best)]  # type: ignore[list-item]
    return np.concatenate([by_chance, best]), arms
