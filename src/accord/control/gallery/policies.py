"""Policies of a world: the one that games the written reward, the best, one to begin from, and what
is known to keep a policy from gaming.

Suffixes: S states, A actions.
"""

from __future__ import annotations

import numpy as np

from accord.control.gallery.world import END, GalleryWorld, Unrolled
from accord.control.tabular.mdp import (
    best_actions,
    best_value,
    boltzmann,
    optimal_q,
    soft_q,
    uniform,
)
from accord.statistics.intervals import Array

BY_CHANCE = 0.3
"""Share of the steps that whoever showed the task took by chance."""
PRICE = 0.05
"""Of a nat away from the policy shown, as a share of what the written reward would gain over it."""
IMPACT = 2.0
"""What it costs when nothing can be reached any more, in units of the best written value."""


def at_random(found: Unrolled) -> Array:
    """Each action equally often: [S, A]; all that a reward from no comparison says."""
    return np.full((found.mdp.states, found.mdp.actions), 1 / found.mdp.actions)


def ends(found: Unrolled, reward_SA: Array) -> tuple[float, float]:
    """What acting at random and what the best policy are worth at the start: the 0 and the whole of
    what there is to gain."""
    return found.mdp.value(reward_SA, at_random(found)), best_value(found.mdp, reward_SA)


def best_for(found: Unrolled, reward_SA: Array) -> Array:
    """The best actions for a reward, equally often: [S, A]."""
    return uniform(best_actions(optimal_q(found.mdp, reward_SA)))


def gamed(world: GalleryWorld) -> Array:
    """Best for the written reward; of several such, the one with the worst of what was meant:
    [S, A]."""
    found = world.unrolled
    allowed_SA = best_actions(optimal_q(found.mdp, found.reward(world.written)))
    return uniform(best_actions(optimal_q(found.mdp, -found.reward(world.meant), allowed_SA)))


def shown(world: GalleryWorld) -> Array:
    """Of a person who shows what was meant, and does three steps in ten by chance: [S, A]. Tuning
    begins from it."""
    found = world.unrolled
    meant_SA = best_for(found, found.reward(world.meant))
    mixed: Array = (1 - BY_CHANCE) * meant_SA + BY_CHANCE * at_random(found)
    return mixed


def kept_near(world: GalleryWorld, near_SA: Array) -> Array:
    """The best for the written reward less a price on the KL from `near_SA`, exactly: [S, A].

    That is the soft optimum of the reward plus log near / beta at the rationality beta = 1 / price:
    pi(a|s) is proportional to near(a|s) exp(beta Q(s, a)).
    """
    found = world.unrolled
    written_SA = found.reward(world.written)
    gain = best_value(found.mdp, written_SA) - found.mdp.value(written_SA, near_SA)
    rationality = 1 / (PRICE * max(gain, 1e-6))
    q_SA = soft_q(found.mdp, written_SA + np.log(near_SA) / rationality, rationality)
    found_SA: Array = np.exp(boltzmann(q_SA, rationality))
    return found_SA


def reachable_kept(world: GalleryWorld) -> Array:
    """The best for the written reward less a penalty on what can no longer be reached (relative
    reachability without a discount: Krakovna et al. 2019): [S, A].

    The penalty is the share of states that could still be reached after waiting, and cannot be
    after the action; actions[0] waits. The end of an episode is no loss.
    """
    found = world.unrolled
    written_SA, moves_SAS = found.reward(world.written), found.mdp.transition_SAS
    reached_SS = np.eye(found.mdp.states, dtype=bool) | (moves_SAS > 0).any(1)
    for _ in range(found.mdp.states.bit_length()):  # squaring doubles the steps that are allowed
        reached_SS = reached_SS @ reached_SS
    if END in found.states:
        reached_SS[found.states.index(END)] = True
    still_SAS = moves_SAS @ reached_SS.astype(np.float64)
    lost_SA = np.maximum(0.0, still_SAS[:, :1] - still_SAS).mean(2)
    top = abs(best_value(found.mdp, written_SA))
    return best_for(found, written_SA - IMPACT * top * lost_SA)
