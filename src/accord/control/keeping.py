"""Which of a run's policies it leaves: of several lives, the one whose episodes pay most by the
reward as it is at the end. By chance one of them may have settled in what pays less (Henderson et
al. 2018, "Deep Reinforcement Learning that Matters", section 4: seeds alone part runs).

Suffixes: T steps, N episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from accord.control.evaluation import watch
from accord.control.learners import PolicyLearner
from accord.control.rollouts import Steps
from accord.control.settings import ClipLearningSettings
from accord.statistics.intervals import Array

EPISODES = 32
"""Of each policy, from the same starts."""
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class KeptLife:
    """place: the policy that pays most, the later one of two alike; returns: of each, the mean over
    its episodes of what they pay in all; steps: that were walked to know it."""

    place: int
    returns: tuple[float, ...]
    steps: int


def best(
    policies: Sequence[Arrays],
    learner: PolicyLearner,
    settings: ClipLearningSettings,
    limit: int,
    rewards: Callable[[Steps], Array],
    seed: int,
) -> KeptLife:
    """Of policies, each the `arrays()` of a learner of this kind, from the same starts, by rewards
    of steps: [T, N]. limit: steps of an episode. `learner` acts by the best from then on."""
    name, horizon = settings.environment, settings.horizon
    returns, walked = [], 0
    # its own arrays change as it takes those of others
    policies = [{key: one.copy() for key, one in policy.items()} for policy in policies]
    for policy in policies:
        learner.take(policy)
        seen = watch(name, learner.actor(), EPISODES, limit, seed,
                     endless=horizon == "fixed", absorb=horizon == "absorb",
                     patience=settings.patience)  # fmt: skip
        returns.append(float((rewards(seen.steps) * seen.alive_TN).sum(0).mean()))
        walked += int(seen.alive_TN.sum())
    place = max(range(len(returns)), key=lambda one: (returns[one], one))
    learner.take(policies[place])
    return KeptLife(place, tuple(returns), walked)


def as_tensors(policies: Sequence[Arrays]) -> list[dict[str, torch.Tensor]]:
    """For a checkpoint; `as_arrays` reads it."""
    return [{name: torch.tensor(one) for name, one in policy.items()} for policy in policies]


def as_arrays(saved: Sequence[Mapping[str, torch.Tensor]]) -> list[Arrays]:
    """What `as_tensors` wrote."""
    return [{name: one.numpy() for name, one in policy.items()} for policy in saved]
