"""How a policy does: episodes from the task's own starts, each to its end or to a fixed time.

Suffixes: T steps, N episodes, Q coordinates, I numbers of a reward's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accord.control.environments import Mask
from accord.control.gym_batch import PATIENCE
from accord.control.making import make
from accord.control.mujoco_batch import MujocoBatch
from accord.control.rollouts import Act, Steps, Walker
from accord.seeds import generator
from accord.statistics.intervals import Array


@dataclass(frozen=True)
class WatchedEpisodes:
    """N episodes of at most T steps. alive_TN: the steps that belong to them; gold_N: what they
    were paid by the environment, which is what was wanted; measured: what the task counts, by
    name; positions_TNQ: coordinates before each step, of robots that can be drawn."""

    steps: Steps
    alive_TN: Mask
    gold_N: Array
    measured: dict[str, Array]
    positions_TNQ: Array | None


def watch(
    name: str,
    act: Act,
    episodes: int,
    steps: int,
    seed: int,
    elsewhere: float = 0.0,
    endless: bool = False,
    absorb: bool = False,
    patience: float = PATIENCE,
) -> WatchedEpisodes:
    """Let a policy act. The starts depend on the seed alone, so that two policies are compared from
    the same ones. endless, absorb, patience: as `make` has them."""
    environments = make(name, episodes, steps, endless, patience, absorb=absorb)
    walker = Walker(environments)
    walker.begin(generator(seed, "starts"), elsewhere)
    walked = walker.walk(act, steps, generator(seed, "acting"))
    ended_TN = walked.ended_TN
    alive_TN: Mask = np.cumsum(ended_TN, 0) - ended_TN == 0
    measured: dict[str, Array] = {"lasted": alive_TN.sum(0).astype(np.float64)}
    positions = None
    if isinstance(environments, MujocoBatch) and walked.state_TNS is not None:
        positions = walked.state_TNS[..., environments.positions]
        measured |= environments.task.count(positions, alive_TN)
    gold_N = (walked.reward_TN * alive_TN).sum(0)
    return WatchedEpisodes(walked, alive_TN, gold_N, measured, positions)
