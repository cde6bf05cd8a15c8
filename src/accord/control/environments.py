"""A batch of environments with one interface, whatever steps them.

Suffixes: N environments, O numbers of an observation, A of an action, S of a physics state.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from accord.errors import RunError
from accord.statistics.intervals import Array, Index

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ActionForm:
    """box: `size` numbers between low_A and high_A; discrete: one of `size` actions. names: of each
    number what it drives, where the physics says so."""

    kind: Literal["box", "discrete"]
    size: int
    low_A: Array
    high_A: Array
    names: Sequence[str] = ()

    def bounded(self, action_NA: Array) -> Array:
        """Numbers brought within their bounds; discrete actions as they are."""
        return np.clip(action_NA, self.low_A, self.high_A) if self.kind == "box" else action_NA

    @property
    def numbers(self) -> int:
        """How many an action has as it is stored and done."""
        return self.size if self.kind == "box" else 1

    def read(self, action: Array) -> Array:
        """Actions as a network reads them, `size` numbers each: within their bounds, or a one at
        the place of a discrete one."""
        if self.kind == "box":
            return self.bounded(action)
        one_hot: Array = np.eye(self.size)[action[..., 0].astype(np.int64)]
        return one_hot


@dataclass(frozen=True)
class Stepped:
    """What a step of all environments gave: before any reset, so that the last observation of an
    episode is its own. terminated: the task ended it; truncated: its time was over."""

    observation_NO: Array
    reward_N: Array
    terminated_N: Mask
    truncated_N: Mask

    @property
    def ended_N(self) -> Mask:
        """Either way."""
        return self.terminated_N | self.truncated_N


class EnvironmentBatch(Protocol):
    """N environments side by side.

    name: the environment's id; physics: what computes it and which version, since states of another
    are not its own; settable: whether its state can be read and set; ends: whether it may end an
    episode before its time, None where nobody knows; starts: kinds of starts beside its own.
    """

    name: str
    physics: str
    count: int
    observation_size: int
    actions: ActionForm
    settable: bool
    ends: bool | None
    starts: Sequence[str]

    def reset(self, rows_R: Index, rng: np.random.Generator, elsewhere: float = 0.0) -> None:
        """Begin new episodes in these rows; `elsewhere`: the share that begins at one of
        `starts`."""

    def observe(self) -> Array:
        """What is seen now: [N, O]."""

    def states(self) -> Array | None:
        """Full physics states [N, S]; None where they cannot be read."""

    def step(self, action_NA: Array) -> Stepped:
        """One step of all. Raises RunError, which names the environment, where one raises or
        observes what is not finite."""

    def memory(self) -> dict[str, Any] | None:
        """All that `recall` needs to continue to the bit; None where its state cannot be set."""

    def recall(self, memory: dict[str, Any]) -> None:
        """Continue from `memory()`."""


def check_actions(name: str, form: ActionForm, count: int, action_NA: Array) -> None:
    """Raise RunError for actions of another shape than `count` environments take, and for numbers
    that are not finite: MuJoCo would take all of them for 0."""
    shape = np.shape(action_NA)
    if shape != (count, form.numbers):
        raise RunError(
            f"actions of shape {shape} in {name}, which takes {(count, form.numbers)}",
            "give each environment the numbers of one action",
        )
    check_finite(name, "the action", action_NA, fix="act by finite numbers")


def check_finite(
    name: str,
    what: str,
    values: Array,
    most: float = sys.float_info.max,
    fix: str = "mend the environment; nothing judged so far is lost",
) -> None:
    """Raise RunError where an environment observes, pays or is told what is not a finite number, or
    is further from 0 than `most`."""
    broken = ~(np.abs(values) <= most)
    if broken.any():
        place = np.argwhere(broken)[0].tolist()
        raise RunError(
            f"{what} of {name} is {values[tuple(place)]} (environment {place[0]}"
            f"{f', number {place[1]}' if len(place) > 1 else ''})",
            fix,
        )
