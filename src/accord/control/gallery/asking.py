"""The verdict on a policy of the gallery, which does not read what was meant: fresh comparisons
with the policy that tuning began from stand for it.

Suffix N: episodes.
"""

from __future__ import annotations

import numpy as np

from accord.control.gallery.people import Spectator, episodes
from accord.control.gallery.tuning import TunedPolicy
from accord.control.gallery.world import GalleryWorld
from accord.examine.episodes import EpisodeEvidence, PointScores, measure_comparisons
from accord.seeds import generator

COMPARISONS = 100
"""Asked for, one of each pair of episodes."""


def compared(
    world: GalleryWorld,
    made: TunedPolicy,
    seed: int,
    spectator: Spectator | None = None,
    count: int = COMPARISONS,
) -> EpisodeEvidence:
    """Evidence on a policy by comparisons of a person who sees what the people of `world` see.
    Episodes of a pair begin alike."""
    asked = spectator or Spectator()
    before, after = (
        episodes(world, one, count, generator(seed, "compared", world.name))
        for one in (made.before_SA, made.policy_SA)
    )
    better_N = asked.first_better(world, after.count_NE, before.count_NE)
    said_N = generator(seed, "answers", world.name).random(count) < better_N
    first, last = (
        PointScores(step, np.full(count, np.nan), seen.count_NE @ made.proxy_E, {})
        for step, seen in enumerate((before, after))
    )
    states = [world.unrolled.states[number] for number in before.begin_N]
    begins = [world.begins.get(state, str(state)) for state in states]
    return measure_comparisons(world.name, first, last, said_N.astype(np.float64), begins)
