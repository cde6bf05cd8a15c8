"""Two rewards of steps, compared by the episodes of a store.

Suffixes: T steps of an episode, N steps in all, K pairs of an action and an outcome, C clips, P
pairs of clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from accord.control.episodes import Episode, EpisodeStore, windows
from accord.control.leaving import SavedReward, saved_reward
from accord.control.making import make
from accord.control.reward_distance import (
    Ask,
    StoredSteps,
    TooFewSteps,
    epic,
    interval,
    ordered_alike,
    potential_features,
    starc,
)
from accord.control.saving import read_saved
from accord.errors import ConfigError, DataError
from accord.seeds import generator
from accord.statistics.intervals import Array, Index, Interval

PAID = "environment"
"""What the environment paid, as it is stored, in place of a learned reward."""
MOST_EPISODES, MOST_STEPS = 1000, 200_000
"""Of a store that are compared by, the last episode whole; more are chosen from by chance."""
PAIRS = 128
"""Pairs of an action and an outcome that EPIC's means are over."""
CLIP_PAIRS = 2000


@dataclass(frozen=True)
class RewardComparison:
    """What was compared by, and what came out.

    stored: episodes that there are; clips: of `clip` steps; epic, starc: distances in [0, 1];
    alike: share of pairs of clips that both order alike; why_not: why one of them is None, by name.
    """

    environment: str
    gamma: float
    episodes: int
    stored: int
    steps: int
    clip: int
    clips: int
    epic: Interval | None
    starc: Interval | None
    alike: Interval | None
    why_not: dict[str, str]


def compare_rewards(
    first: str,
    second: str,
    store: EpisodeStore,
    gamma: float,
    clip: int,
    steps: int,
    seed: int,
) -> RewardComparison:
    """first, second: a reward.safetensors, or `environment`; steps: of all episodes, chosen by
    chance, that distances are told by; clip: steps of the clips whose order is compared.

    Raises ConfigError for a reward of another environment or another size, and where both are what
    was paid; DataError where there are no episodes, or a reward pays the same for every step.
    """
    if first == second == PAID:
        raise ConfigError("both rewards are what was paid", "name a reward that was learned")
    episodes = _chosen(store, seed)
    environment = _environment(episodes)
    rewards = [None if one == PAID else _learned(one, environment) for one in (first, second)]
    paid_2N = np.stack([_paid(episodes, reward) for reward in rewards])
    picked = np.sort(generator(seed, "steps").permutation(paid_2N.shape[1])[:steps])
    some = _steps(episodes, picked)
    count = int(some.episode_N[-1]) + 1
    why_not = {}
    epic_found = starc_found = alike = None
    asks = [_ask(reward) for reward in rewards if reward is not None]
    if len(asks) == 2:
        pairs_K2 = generator(seed, "pairs").integers(len(some), size=(PAIRS, 2))
        epic_found = interval(epic(asks[0], asks[1], some, pairs_K2, gamma), count)
    else:
        why_not["epic"] = "what the environment would pay for steps that did not happen is unknown"
    try:
        features_NF = potential_features(some.seen_NO, some.next_NO, gamma)
    except TooFewSteps as error:
        why_not["starc"] = f"{error.message}: {error.fix}"
    else:
        first_N, second_N = paid_2N[:, picked]
        starc_found = interval(starc(first_N, second_N, features_NF, some.episode_N), count)
    score_2C, episode_C = _clips(episodes, paid_2N, clip)
    if len(np.unique(episode_C)) > 1:
        pairs_P2 = _pairs(episode_C, generator(seed, "pairs of clips"))
        alike = ordered_alike(score_2C, episode_C, pairs_P2)
    else:
        why_not["alike"] = f"fewer than two episodes last {clip:,} steps: use a shorter clip"
    return RewardComparison(
        environment=environment,
        gamma=gamma,
        episodes=len(episodes),
        stored=len(store),
        steps=len(some),
        clip=clip,
        clips=len(episode_C),
        epic=epic_found,
        starc=starc_found,
        alike=alike,
        why_not=why_not,
    )


# --- what there is --------------------------------------------------------------------------------
def _chosen(store: EpisodeStore, seed: int) -> list[Episode]:
    """All episodes of a store, or as many as are read, by chance; in the store's order, so that a
    block is read once for what it holds."""
    if not len(store):
        raise DataError(f"{store.folder} holds no episodes", "record some first")
    order = generator(seed, "episodes").permutation(len(store))[:MOST_EPISODES].tolist()
    ids = store.ids
    steps = {number: store.episode(ids[number]).steps for number in sorted(order)}
    before = accumulate((steps[number] for number in order), initial=0)
    fit = [number for number, read in zip(order, before, strict=False) if read < MOST_STEPS]
    return [store.episode(ids[number]) for number in sorted(fit)]


def _environment(episodes: Sequence[Episode]) -> str:
    names = sorted({one.environment for one in episodes})
    if len(names) > 1:
        raise DataError(
            f"the episodes are of several environments: {', '.join(names)}",
            "name a store of one: rewards are compared where both apply",
        )
    return names[0]


def _learned(path: str, environment: str) -> SavedReward:
    """Raises ConfigError for a reward of another environment."""
    own = read_saved(path, "reward")[0]["environment"]
    if own != environment:
        raise ConfigError(
            f"{path} was learned in {own}, the episodes are of {environment}",
            f"name episodes of {own}",
        )
    sized = make(environment, 1)
    return saved_reward(path, sized.observation_size, sized.actions)


def _ask(reward: SavedReward) -> Ask:
    return lambda seen, action, then: reward.rewards(reward.inputs(seen, action, then))


def _paid(episodes: Sequence[Episode], reward: SavedReward | None) -> Array:
    """What a reward pays for every step, or what was paid: [N]."""
    if reward is None:
        return np.concatenate([one.reward_T for one in episodes])
    ask = _ask(reward)
    each = (ask(one.observation_TO[:-1], one.action_TA, one.observation_TO[1:]) for one in episodes)
    return np.concatenate(list(each))


def _steps(episodes: Sequence[Episode], picked_N: Index) -> StoredSteps:
    """Some steps of all. Episodes of which none is picked are not counted."""
    seen, action, then = (
        np.concatenate(rows)[picked_N]
        for rows in (
            [one.observation_TO[:-1] for one in episodes],
            [one.action_TA for one in episodes],
            [one.observation_TO[1:] for one in episodes],
        )
    )
    whose = np.repeat(np.arange(len(episodes)), [one.steps for one in episodes])[picked_N]
    return StoredSteps(seen, action, then, np.unique(whose, return_inverse=True)[1])


# --- clips ----------------------------------------------------------------------------------------
def _clips(episodes: Sequence[Episode], paid_2N: Array, clip: int) -> tuple[Array, Index]:
    """What both rewards pay over clips that follow each other, and whose they are: [2, C], [C].
    Shorter episodes have none."""
    scores, whose, begin = list[Array](), list[int](), 0
    for number, one in enumerate(episodes):
        own_2T = paid_2N[:, begin : begin + one.steps]
        begin += one.steps
        for piece in windows(one, clip) if one.steps >= clip else ():
            scores.append(own_2T[:, piece.start : piece.stop].sum(1))
            whose.append(number)
    return np.array(scores).reshape(-1, 2).T, np.array(whose, dtype=np.int64)


def _pairs(episode_C: Index, rng: np.random.Generator) -> Index:
    """Pairs of clips of different episodes: [P, 2]."""
    drawn_P2 = rng.integers(len(episode_C), size=(CLIP_PAIRS, 2))
    while (same_P := episode_C[drawn_P2[:, 0]] == episode_C[drawn_P2[:, 1]]).any():
        drawn_P2[same_P] = rng.integers(len(episode_C), size=(int(same_P.sum()), 2))
    return drawn_P2
