"""What an off-policy learner remembers, and how new what it saw was.

Suffixes: T steps, N environments, S remembered steps, B drawn ones, O numbers of an observation, A
of an action.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from accord.control.networks import aligned
from accord.control.rollouts import Steps
from accord.errors import ConfigError
from accord.statistics.intervals import Array

Worth = Callable[[Array, Array, Array, Array], Array]
"""(observations [S, O], actions [S, A], observations after [S, O], 1 where the task ended the
episode there [S]) -> rewards [S]."""


@dataclass(frozen=True)
class Remembered:
    """Steps: over is 1 where the task ended the episode, and 0 where its time did, since then it
    would have gone on."""

    seen_SO: Tensor
    action_SA: Tensor
    next_SO: Tensor
    reward_S: Tensor
    over_S: Tensor


class ReplayBuffer:
    """The latest `capacity` steps, in a ring: the oldest are forgotten first."""

    def __init__(self, capacity: int, observation: int, action: int) -> None:
        self.capacity, self.added = capacity, 0
        self._widths = [observation, action, observation, 1, 1]
        self._rows = torch.zeros(capacity, sum(self._widths))

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, steps: Steps, reward_TN: Array) -> None:
        """Remember a rollout, step by step. Raises ConfigError for one that does not fit."""
        if steps.size > self.capacity:
            raise ConfigError(
                f"a rollout of {steps.size:,} steps does not fit into {self.capacity:,}",
                "remember more steps (buffer), or walk fewer between updates",
            )
        columns = (steps.observation_TNO, steps.action_TNA, steps.next_TNO, reward_TN,
                   steps.terminated_TN)  # fmt: skip
        rows = np.concatenate([column.reshape(steps.size, -1) for column in columns], 1)
        self._rows[(self.added + torch.arange(steps.size)) % self.capacity] = aligned(rows)
        self.added += steps.size

    def _split(self, rows: Tensor) -> Remembered:
        seen_SO, action_SA, next_SO, reward_S1, over_S1 = rows.split(self._widths, 1)
        return Remembered(seen_SO, action_SA, next_SO, reward_S1[:, 0], over_S1[:, 0])

    def all(self) -> Remembered:
        """Everything that is remembered, not copied."""
        return self._split(self._rows[: len(self)])

    def draw(self, count: int, rng: np.random.Generator) -> Remembered:
        """Steps drawn with replacement, all alike."""
        drawn = torch.from_numpy(rng.integers(len(self), size=count))
        return self._split(self._rows[drawn])

    def relabel(self, worth: Worth) -> None:
        """Tell the reward of everything that is remembered anew, in one call (Lee et al. 2021,
        section 4.2): what was told by an earlier reward would be learned for ever."""
        if not len(self):
            return
        now = self.all()
        parts = (now.seen_SO, now.action_SA, now.next_SO, now.over_S)
        now.reward_S.copy_(aligned(worth(*(part.numpy().astype(np.float64) for part in parts))))

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """What is remembered, and where the next step goes."""
        return {"rows": self._rows[: len(self)].clone(), "added": self.added}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.added = int(state["added"])
        self._rows[: len(self)] = state["rows"]


def novelty(seen_SO: Array, neighbours: int) -> Array:
    """How far each state is from the `neighbours`-th nearest of the others, over the deviation of
    these distances: [S]. What it rewards is the entropy of the states that were seen (Lee et al.
    2021, section 4.1, which writes the distance's logarithm; their program takes the distance over
    a running deviation, as here). 0 where there are too few states."""
    if len(seen_SO) <= neighbours:
        return np.zeros(len(seen_SO))
    distances_SK, _ = cKDTree(seen_SO).query(seen_SO, k=neighbours + 1)  # itself is the nearest
    far_S: Array = distances_SK[:, -1]
    return far_S / max(float(far_S.std()), 1e-8)
