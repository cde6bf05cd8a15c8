"""What learns a policy from the steps it walked, by whichever settings it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, Protocol

import numpy as np

from accord.control.environments import ActionForm
from accord.control.ppo import VectorPpo, VectorPpoSettings
from accord.control.replay import Worth
from accord.control.rollouts import Act, Steps
from accord.control.sac import Sac, SacSettings
from accord.statistics.intervals import Array

LearnerName = Literal["ppo", "sac"]


class PolicyLearner(Protocol):
    """Acts, and learns from what its actions brought."""

    def actor(self, greedy: bool = False) -> Act:
        """How the policy acts as it is now."""

    def behaviour(self) -> Act:
        """How it acts to learn."""

    def remember(self, steps: Steps) -> None:
        """Steps whose reward is not told yet, where it learns from more than the last ones."""

    def inherit(self, before: object) -> None:
        """Remember the steps that a learner before it did, and nothing that it learned of them."""

    def relabel(self, worth: Worth) -> None:
        """Tell the reward of all it remembers anew."""

    def explore(self, steps: Steps) -> dict[str, float]:
        """Learn to see what it has not seen, before there is any reward; returns metrics."""

    def learn(self, steps: Steps, reward_TN: Array) -> dict[str, float]:
        """The updates that follow steps; returns metrics, none where there are none."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What acts."""

    def take(self, arrays: Mapping[str, Array]) -> None:
        """Act by `arrays()` of another."""

    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""


AS_IT_IS = frozenset({"learning_rate", "optimizer_steps", "temperature"})
"""Metrics of a learner's state, not of what it learned from."""


def told_of(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of a rollout that a learner learned from in parts, of those that led to updates:
    means, and of its state the last."""
    names = dict.fromkeys(name for part in parts for name in part)
    of = {name: [part[name] for part in parts if name in part] for name in names}
    return {name: told[-1] if name in AS_IT_IS else fmean(told) for name, told in of.items()}


def policy_learner(
    settings: VectorPpoSettings | SacSettings,
    observation: int,
    form: ActionForm,
    rollouts: int,
    seed: int,
) -> PolicyLearner:
    """The learner that these settings are of. Raises ConfigError for actions that it does not
    take."""
    if isinstance(settings, SacSettings):
        return Sac(settings, observation, form, rollouts, seed)
    return VectorPpo(settings, observation, form, rollouts, seed)


def read_settings(name: str, text: str) -> VectorPpoSettings | SacSettings:
    """Of a saved policy."""
    kind = SacSettings if name == "sac" else VectorPpoSettings
    return kind.model_validate_json(text)
