"""Counting backflips: whole turns backwards, and those in which nothing but the foot touched the
floor."""

from __future__ import annotations

import numpy as np

from accord.control.environments import Mask
from accord.statistics.intervals import Array, Index

TURN = 2 * np.pi


def count_flips(pitch_TN: Array, down_TN: Mask, alive_TN: Mask) -> tuple[Index, Index]:
    """(whole turns backwards, the clean ones) of N robots from their first pitch on: [N] each.

    pitch_TN: radians, not wrapped, falling in a turn backwards; down_TN: a limb other than the foot
    touches the floor; alive_TN: whether the episode still goes on. A turn is counted once, where
    the furthest that was turned so far reaches the next whole number; it is clean where no limb was
    down since the one before it. Turning on and back again counts once.
    """
    turns_N = np.zeros(pitch_TN.shape[1], dtype=np.int64)
    clean_N = turns_N.copy()
    touched_N = np.zeros(pitch_TN.shape[1], dtype=bool)
    for pitch_N, down_N, alive_N in zip(pitch_TN, down_TN, alive_TN, strict=True):
        touched_N |= down_N & alive_N
        reached_N = np.floor((pitch_TN[0] - pitch_N) / TURN).astype(np.int64)
        new_N = np.where(alive_N, np.maximum(reached_N - turns_N, 0), 0)
        turns_N += new_N
        clean_N += np.where(touched_N, 0, new_N)
        touched_N &= new_N == 0
    return turns_N, clean_N
