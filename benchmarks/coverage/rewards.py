"""Cells of how far two rewards lie apart, over episodes that dwell each about a place of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from accord.control.reward_distance import (
    Ask,
    Measure,
    StoredSteps,
    epic,
    interval,
    ordered_alike,
    potential_features,
    starc,
)
from accord.seeds import generator
from accord.statistics.intervals import Array, Interval
from benchmarks.coverage.registry import Cell, Drawn, add

Rng = np.random.Generator

GAMMA, LENGTH, CLIP, PAIRS = 0.9, 30, 10, 64
MOST = 600
"""Steps that distances are told by."""
FEW = "of few episodes the distance itself is told too large"
Walked = tuple[StoredSteps, Rng]
Told = tuple[Measure, int]
"""A measure, and how many episodes it is over."""


def walked(rng: Rng, episodes: int) -> Walked:
    """Three numbers that return to the episode's own place, pushed by the action."""
    place_EO = 0.7 * rng.normal(size=(episodes, 3))
    seen = np.zeros((episodes, LENGTH + 1, 3))
    seen[:, 0] = place_EO + rng.normal(size=(episodes, 3))
    action = rng.normal(size=(episodes, LENGTH, 1))
    for t in range(LENGTH):
        noise_EO = 0.3 * rng.normal(size=(episodes, 3))
        seen[:, t + 1] = 0.8 * seen[:, t] + 0.2 * place_EO + 0.4 * action[:, t] + noise_EO
    whose = np.repeat(np.arange(episodes), LENGTH)
    parts = seen[:, :-1].reshape(-1, 3), action.reshape(-1, 1), seen[:, 1:].reshape(-1, 3)
    return StoredSteps(*parts, whose), rng


def liked(seen: Array, action: Array, then: Array) -> Array:
    """What is meant."""
    found: Array = then[..., 0] + 0.5 * np.tanh(then[..., 1]) - 0.1 * action[..., 0] ** 2
    return found


def off(by: float) -> Ask:
    """What was learned instead."""
    return lambda seen, action, then: (
        liked(seen, action, then) + by * np.sin(2 * then[..., 2] + seen[..., 0])
    )


def some(steps: StoredSteps, rng: Rng, most: int) -> StoredSteps:
    """As many of all steps, by chance."""
    at = np.sort(rng.permutation(len(steps))[:most])
    rows = steps.seen_NO[at], steps.action_NA[at], steps.next_NO[at]
    return StoredSteps(*rows, np.unique(steps.episode_N[at], return_inverse=True)[1])


def by_epic(walk: Walked, other: Ask, most: int = MOST, pairs: int = PAIRS) -> Told:
    steps = some(*walk, most)
    drawn = walk[1].integers(len(steps), size=(pairs, 2))
    return epic(liked, other, steps, drawn, GAMMA), int(steps.episode_N[-1]) + 1


def by_starc(walk: Walked, other: Ask, most: int = MOST) -> Told:
    steps = some(*walk, most)
    rows = steps.seen_NO, steps.action_NA, steps.next_NO
    features = potential_features(steps.seen_NO, steps.next_NO, GAMMA)
    measure = starc(liked(*rows), other(*rows), features, steps.episode_N)
    return measure, int(steps.episode_N[-1]) + 1


def by_clips(walk: Walked, other: Ask, most: int = 2000) -> Interval:
    steps, rng = walk
    rows = steps.seen_NO, steps.action_NA, steps.next_NO
    score_2C = np.stack([liked(*rows), other(*rows)]).reshape(2, -1, CLIP).sum(2)
    whose_C = steps.episode_N[::CLIP]
    drawn = rng.integers(len(whose_C), size=(most, 2))
    return ordered_alike(score_2C, whose_C, drawn[whose_C[drawn[:, 0]] != whose_C[drawn[:, 1]]])


CLIPS = "clips ordered alike"
KINDS: dict[str, Callable[[Walked, Ask, int], Told]] = {
    "EPIC of rewards": by_epic,
    "STARC of rewards": by_starc,
}


def found(name: str, walk: Walked, by: float) -> Interval:
    """As the command has it."""
    if name == CLIPS:
        return by_clips(walk, off(by))
    return interval(*KINDS[name](walk, off(by), MOST))


@cache
def truth(name: str, by: float) -> float:
    """From 2,000 episodes."""
    walk = walked(generator(0, "rewards", name), 2000)
    if name == CLIPS:
        return by_clips(walk, off(by), 40_000).value
    measure, episodes = KINDS[name](walk, off(by), 20_000)
    return measure(np.ones(episodes))


def simulated(name: str, episodes: int, by: float) -> Callable[[Rng], Drawn]:
    """Episodes, and the truth of these two rewards."""
    return lambda rng: (walked(rng, episodes), truth(name, by))


for name in (*KINDS, CLIPS):
    for episodes in (8, 20, 60):
        for by in (0.3, 1.5):
            add(
                Cell(
                    name,
                    f"{episodes} episodes, a reward that is off by {by:g}",
                    episodes,
                    simulated(name, episodes, by),
                    lambda walk, name=name, by=by: found(name, walk, by),
                    FEW if episodes == 8 and name in KINDS else "",
                    slow=True,
                )
            )
