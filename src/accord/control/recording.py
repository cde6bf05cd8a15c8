"""Episodes recorded from a policy, and gone through again from their physics states.

Suffixes: T steps, N environments, A numbers of an action.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accord.control.asking import pieces_of
from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode, check_physics
from accord.control.making import make
from accord.control.mujoco_batch import MujocoBatch
from accord.control.rollouts import Act, Walker, joined
from accord.errors import DataError
from accord.seeds import generator
from accord.statistics.intervals import Array

SIDE_BY_SIDE, CHUNK = 16, 100
"""Environments at most; steps between two looks at what has ended."""


@dataclass(frozen=True)
class Recorded:
    """episodes: whole ones; unfinished: that had not ended after `most` steps, and are left out."""

    episodes: list[Episode]
    unfinished: int


def record(
    environments: EnvironmentBatch,
    act: Act,
    count: int,
    seed: int,
    most: int = 10_000,
    elsewhere: float = 0.0,
) -> Recorded:
    """`count` whole episodes, as many from each environment as from the others: the first ones to
    end anywhere would be the short ones. most: steps of each environment."""
    walker, rng = Walker(environments), generator(seed, "record")
    walker.begin(rng, elsewhere)
    share_N = np.full(environments.count, count // environments.count)
    share_N[: count % environments.count] += 1
    steps = walker.walk(act, min(CHUNK, most), rng, elsewhere)
    while (steps.ended_TN.sum(0) < share_N).any() and (left := most - len(steps.reward_TN)):
        steps = joined([steps, walker.walk(act, min(CHUNK, left), rng, elsewhere)])
    found: list[list[Episode]] = [[] for _ in range(environments.count)]
    for (n, _, _), episode in zip(
        steps.pieces(), pieces_of(steps, f"{seed}", seed, environments), strict=True
    ):
        ended = episode.terminated_T[-1] or episode.truncated_T[-1]
        if ended and len(found[n]) < share_N[n]:
            found[n].append(episode)
    kept = [episode for own in found for episode in own]
    return Recorded(kept, count - len(kept))


def recorded_where(environment: str, count: int, limit: int | None = None) -> EnvironmentBatch:
    """Environments for `record`. Raises ConfigError as `make` does."""
    return make(environment, min(count, SIDE_BY_SIDE), limit)


@dataclass(frozen=True)
class Replayed:
    """How far states, observations and rewards lie from what was stored, at most."""

    steps: int
    state: float
    observation: float
    reward: float

    @property
    def exact(self) -> bool:
        return self.state == self.observation == self.reward == 0


def from_states(episode: Episode, steps: slice) -> MujocoBatch:
    """Environments in the states that these steps of an episode began in. An episode that went on
    after the task was lost, as with a fixed horizon, does so again. Raises DataError for an episode
    without states, or whose physics is not the one at hand; ConfigError as `make` does."""
    if episode.state_TS is None:
        check_physics(episode, episode.environment, episode.physics)  # says so
    rows = range(episode.steps)[steps]
    batch = make(episode.environment, len(rows))
    check_physics(episode, batch.name, batch.physics)
    if not isinstance(batch, MujocoBatch) or episode.state_TS is None:
        raise DataError(
            f"the state of {episode.environment} cannot be set", "use an accord: environment"
        )
    if batch.task.lost(batch.moment(episode.state_TS[1:-1])).any():
        batch.ends = False
    batch.set_states(np.arange(len(rows)), episode.state_TS[rows.start : rows.stop])
    return batch


def replay(episode: Episode) -> Replayed:
    """Take every step of an episode again, from its stored state by its stored action. Raises as
    `from_states` does."""
    batch = from_states(episode, slice(0, episode.steps))
    stepped = batch.step(episode.action_TA)
    states = batch.states()
    assert states is not None
    assert episode.state_TS is not None  # from_states has looked
    return Replayed(
        episode.steps,
        _apart(states, episode.state_TS[1:]),
        _apart(stepped.observation_NO, episode.observation_TO[1:]),
        _apart(stepped.reward_N, episode.reward_T),
    )


def _apart(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max())
