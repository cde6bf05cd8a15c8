"""People who compare episodes of a world by what they see, and rewards learned from that.

Suffixes: N episodes, E events, M comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from accord.control.gallery.policies import best_for, ends
from accord.control.gallery.world import GalleryWorld
from accord.control.tabular.mdp import Mask, sample
from accord.feedback.choice_model import decided_p
from accord.learning.judgements import JudgedGroup
from accord.learning.linear_reward import fit_linear_reward, soft_pair
from accord.statistics.intervals import Array, Index

POOL = 60
"""Episodes of each policy that comparisons are drawn from."""
RIDGE = 0.1
"""Precision of the prior on the worth of an event, in deviations of how often it happens."""


@dataclass(frozen=True)
class LearnedWorth:
    """A reward learned from comparisons: what each event is worth [E], and a policy that is best
    for it [S, A]."""

    weight_E: Array
    policy_SA: Array


@dataclass(frozen=True)
class Spectator:
    """Prefers the episode that looks better with probability sigmoid(rationality u), u the
    difference of what is seen over that between acting by chance and the best; and in a share
    `lapse` of the comparisons any."""

    rationality: float = 10.0
    lapse: float = 0.05

    def first_better(self, world: GalleryWorld, first_ME: Array, second_ME: Array) -> Array:
        """P(the first is preferred) of episodes with these events: [M]."""
        found, seen_E = world.unrolled, world.unrolled.weights(world.seen)
        low, high = ends(found, found.reward(world.seen))
        gap_M = self.rationality * (first_ME - second_ME) @ seen_E / max(high - low, 1e-9)
        p_M: Array = (1 - self.lapse) * decided_p(gap_M) + self.lapse / 2
        return p_M


@dataclass(frozen=True)
class CountedEpisodes:
    """count_NE: how often each event happened in each, what is later counting less by the world's
    discount; begin_N: the state that it began in."""

    count_NE: Array
    begin_N: Index


def episodes(
    world: GalleryWorld, policy_SA: Array, count: int, rng: np.random.Generator
) -> CountedEpisodes:
    """So many episodes of a policy; where they begin is drawn first, so that two policies with the
    same random numbers begin alike."""
    found = world.unrolled
    states_NT, actions_NT = sample(found.mdp, policy_SA, world.steps, count, rng)
    counted_NTE = found.count_SAE[states_NT[:, :-1], actions_NT]
    later_T = world.discount ** np.arange(world.steps)
    return CountedEpisodes(np.einsum("nte,t->ne", counted_NTE, later_T), states_NT[:, 0])


def learned(
    world: GalleryWorld,
    policies: Sequence[Array],
    counts: Sequence[int],
    spectator: Spectator,
    rng: np.random.Generator,
) -> dict[int, LearnedWorth]:
    """The reward after each of so many comparisons, and the policy that is best for it.

    Pairs are drawn from episodes of `policies`, and later ones also of the policies learned so far
    (Christiano et al. 2017). The reward is a weight per event, by the likelihood of all reward
    models here.
    """
    pool_NE = np.concatenate([episodes(world, one, POOL, rng).count_NE for one in policies])
    first_ME = second_ME = np.empty((0, pool_NE.shape[1]))
    better_M: Mask = np.empty(0, dtype=bool)
    found = dict[int, LearnedWorth]()
    for count in sorted(counts):
        more = count - len(better_M)
        pairs_2M = np.stack([rng.integers(len(pool_NE), size=more) for _ in range(2)])
        one_ME, other_ME = pool_NE[pairs_2M]
        said_M = rng.random(more) < spectator.first_better(world, one_ME, other_ME)
        first_ME, second_ME = (
            np.concatenate([first_ME, one_ME]),
            np.concatenate([second_ME, other_ME]),
        )
        better_M = np.concatenate([better_M, said_M])
        weight_E = fitted(first_ME, second_ME, better_M)
        policy_SA = best_for(world.unrolled, world.unrolled.count_SAE @ weight_E)
        found[count] = LearnedWorth(weight_E, policy_SA)
        own_NE = episodes(world, policy_SA, POOL, rng).count_NE
        pool_NE = np.concatenate([pool_NE, own_NE])
    return found


def fitted(first_ME: Array, second_ME: Array, better_M: Mask) -> Array:
    """Worth of each event from comparisons: [E]."""
    both_RE = np.stack([first_ME, second_ME], 1).reshape(-1, first_ME.shape[1])
    spread_E = both_RE.std(0)
    scale_E = np.where(spread_E > 0, spread_E, 1.0)
    centred_RE = (both_RE - both_RE.mean(0)) / scale_E
    groups: list[JudgedGroup] = [soft_pair(float(better), soft=False) for better in better_M]
    weight_E = fit_linear_reward(torch.tensor(centred_RE), groups, RIDGE / len(groups))
    worth: Array = np.where(spread_E > 0, weight_E.numpy() / scale_E, 0.0)
    return worth
