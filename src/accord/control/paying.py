"""What steps are worth to the policy: what was learned of them, above a zero that is told, or what
the environment pays.

Suffixes: T steps, N environments, B steps of several, I numbers of a reward's input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from accord.control.clip_reward import ClipReward
from accord.control.environments import Mask
from accord.control.making import make
from accord.control.rollouts import Steps
from accord.control.settings import ClipLearningSettings
from accord.seeds import generator
from accord.statistics.intervals import Array

ENDS = 1024
"""Latest steps that ended an episode, of which the floor is the mean."""
STARTS = 32
"""Starts of which the mean is what staying there is worth."""


class Pay:
    """Rewards of a rollout, by its number: the zero of learned ones moves (`zero_first`).

    starts_BI: inputs of steps that stay where episodes begin; none where the zero is the floor
    throughout.
    """

    def __init__(self, settings: ClipLearningSettings, reward: ClipReward, seed: int) -> None:
        self.settings, self.reward = settings, reward
        self._ends_BI = np.zeros((0, len(reward.centre_I)))
        self.starts_BI = self._ends_BI if settings.zero_first == 1 else self._starts(seed)

    def saw(self, steps: Steps) -> None:
        """A rollout, which may have ended episodes."""
        ended_BI = self.reward.of_steps(steps, steps.terminated_TN)
        self._ends_BI = np.concatenate([self._ends_BI, ended_BI])[-ENDS:]

    def settle(self) -> None:
        """The reward learned: its floor is another."""
        self.reward.settle(self._ends_BI)

    def moves(self, number: int) -> bool:
        """Whether the zero of learned rewards is another than in the rollout before."""
        if self.settings.learn_from == "reward":
            return False
        return self.settings.floor_share(number) != self.settings.floor_share(number - 1)

    def of(self, number: int, steps: Steps) -> Array:
        """What the policy learns from in this rollout: [T, N]."""
        if self.settings.learn_from == "reward":
            return steps.reward_TN - self.settings.ending_costs * steps.terminated_TN
        return self.worth(number, self.reward.of_steps(steps), steps.terminated_TN)

    def worth(self, number: int, inputs: Array, over: Array | Mask) -> Array:
        """What steps are worth by what was learned; over: whether the task ended the episode there:
        [...]."""
        rewards = self.reward.rewards(inputs) - self.settings.ending_costs * over
        left = 1 - self.settings.floor_share(number)
        return rewards - left * self._start() if left else rewards

    def _start(self) -> float:
        """What it is worth to stay as an episode begins: above the floor."""
        return float(self.reward.rewards(self.starts_BI).mean())

    def _starts(self, seed: int) -> Array:
        settings = self.settings
        fixed = settings.horizon == "fixed"
        begun = make(settings.environment, STARTS, settings.episode_steps, fixed, settings.patience)
        begun.reset(np.arange(STARTS), generator(seed, "starts"))
        return self.reward.staying(begun.observe())

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {"ends": torch.from_numpy(self._ends_BI)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self._ends_BI = state["ends"].numpy()
