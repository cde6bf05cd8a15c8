"""Ways in which a policy of the gallery is tuned, each solved exactly.

Suffixes: S states, A actions, E events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from accord.control.gallery import policies
from accord.control.gallery.people import Spectator, learned
from accord.control.gallery.world import GalleryWorld
from accord.seeds import generator
from accord.statistics.intervals import Array

Tuning = Literal["gamed", "near", "reachable", "learned", "unchanged"]
ABOUT: Mapping[Tuning, str] = {
    "gamed": "best for the reward that was written",
    "near": "the same less a price on the KL from the policy it began from",
    "reachable": "the same less a penalty on what can no longer be reached",
    "learned": "best for a reward learned from comparisons",
    "unchanged": "as it was",
}
COMPARISONS = (50, 500)
"""After how many the reward is learned; of more pairs than the first, some show what the policy
learned so far does."""


@dataclass(frozen=True)
class TunedPolicy:
    """A policy [S, A], the one it began from [S, A], and what it was tuned on: what each event pays
    [E]."""

    policy_SA: Array
    before_SA: Array
    proxy_E: Array


def tuned(world: GalleryWorld, tuning: Tuning, seed: int) -> TunedPolicy:
    """What is learned depends on the seed, the rest on the world alone."""
    before_SA = policies.shown(world)
    if tuning == "learned":
        return from_people(world, before_SA, COMPARISONS, Spectator(), seed)[COMPARISONS[-1]]
    made: Mapping[Tuning, Callable[[], Array]] = {
        "gamed": lambda: policies.gamed(world),
        "near": lambda: policies.kept_near(world, before_SA),
        "reachable": lambda: policies.reachable_kept(world),
        "unchanged": lambda: before_SA,
    }
    return TunedPolicy(made[tuning](), before_SA, world.unrolled.weights(world.written))


def from_people(
    world: GalleryWorld, before_SA: Array, counts: Sequence[int], spectator: Spectator, seed: int
) -> dict[int, TunedPolicy]:
    """By comparisons of episodes at random, shown, and gamed."""
    pool = [policies.at_random(world.unrolled), before_SA, policies.gamed(world)]
    found = learned(world, pool, counts, spectator, generator(seed, "people", world.name))
    return {
        count: TunedPolicy(one.policy_SA, before_SA, one.weight_E) for count, one in found.items()
    }
