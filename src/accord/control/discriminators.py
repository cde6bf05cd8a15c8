"""What GAIL and AIRL tell the expert's steps from the learner's by: the formulas, the networks, and
the reward that AIRL leaves. What they are is said in `adversarial`.

Suffixes: S steps, I numbers of an input, O of an observation, A of an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from accord.control.environments import ActionForm
from accord.control.networks import SmallNet, SmallNetOptimizer, aligned
from accord.control.running import RunningScale
from accord.learning.optimizer import load_trainable
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed
from accord.statistics.intervals import Array
from accord.validation import Unit

ImitationReward = Literal["positive", "negative", "log_odds"]
Adversary = Literal["gail", "airl"]


class DiscriminatorSettings(SmallNetOptimizer):
    """What tells the expert's steps from the learner's."""

    weight_decay: float = Field(0.1, ge=0, description="Decay of weights, per unit of step size.")
    hidden: Annotated[int, Unit("units")] = Field(64, ge=1, description="Units of both layers.")
    updates: Annotated[int, Unit("updates")] = Field(
        30,
        ge=1,
        description=(
            "Updates after each rollout; too few, and the policy learns from what told its first"
            " steps apart."
        ),
    )
    minibatch: StepCount = Field(
        256, ge=1, description="Steps of the expert per update, and as many of the learner."
    )
    gradient_penalty: float = Field(
        1.0,
        ge=0,
        description=(
            "Weight of (|slope| - 1)² of the logit between steps of the expert and of the learner"
            " (Gulrajani et al. 2017); 0: none."
        ),
    )
    reward: ImitationReward = Field(
        "positive",
        description=(
            "What GAIL pays; positive: -log(1 - D), as published; negative: log D; log_odds: their"
            " sum. AIRL's is log_odds."
        ),
    )
    state_only: bool = Field(
        False, description="AIRL's g sees the state alone, and not what is done there."
    )


# --- the formulas ---------------------------------------------------------------------------------
def shaped_f(g_S: Tensor, h_S: Tensor, next_h_S: Tensor, gamma: float) -> Tensor:
    """AIRL's f = g + gamma h(s') - h(s): [S]. next_h_S: 0 where the task ended the episode."""
    return g_S + gamma * next_h_S - h_S


def told_apart(expert_S: Tensor, learner_S: Tensor) -> Tensor:
    """The discriminator's loss, -E_expert log D - E_learner log(1 - D), of its logits."""
    return -logsigmoid(expert_S).mean() - logsigmoid(-learner_S).mean()


def imitation_reward(logit: Array, kind: ImitationReward) -> Array:
    """What a step pays, by its logit."""
    if kind == "positive":
        return np.logaddexp(0.0, logit)
    if kind == "negative":
        return -np.logaddexp(0.0, -logit)
    return logit


# --- discriminators -------------------------------------------------------------------------------
class GailNet(nn.Module):
    """A logit of (s, a)."""

    def __init__(self, observation: int, actions: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.logit = SmallNet([observation + actions, hidden, hidden, 1], 1.0, seed)

    def forward(self, seen_SO: Tensor, done_SA: Tensor, next_SO: Tensor, on_S: Tensor) -> Tensor:
        out: Tensor = self.logit(torch.cat([seen_SO, done_SA], -1))[:, 0]
        return out


def _reward_net(observation: int, actions: int, hidden: int, alone: bool, seed: int) -> SmallNet:
    size = observation if alone else observation + actions
    return SmallNet([size, hidden, hidden, 1], 1.0, seed)


class AirlNet(nn.Module):
    """f of (s, a, s'); on_S: 0 where the task ended the episode after the step."""

    def __init__(
        self, observation: int, actions: int, hidden: int, gamma: float, alone: bool, seed: int
    ) -> None:
        """alone: g sees the state alone."""
        super().__init__()
        self.gamma, self.alone = gamma, alone
        self.g = _reward_net(observation, actions, hidden, alone, derive_seed(seed, "g"))
        self.h = SmallNet([observation, hidden, hidden, 1], 1.0, derive_seed(seed, "h"))

    def forward(self, seen_SO: Tensor, done_SA: Tensor, next_SO: Tensor, on_S: Tensor) -> Tensor:
        read_SI = seen_SO if self.alone else torch.cat([seen_SO, done_SA], -1)
        next_S = self.h(next_SO)[:, 0] * on_S
        return shaped_f(self.g(read_SI)[:, 0], self.h(seen_SO)[:, 0], next_S, self.gamma)


class AirlReward:
    """g(s, a), or g(s): the reward that AIRL learned, as a function of steps. It has no zero of its
    own, and is meant for episodes that all last equally long."""

    def __init__(self, g: SmallNet, scale: RunningScale, form: ActionForm, alone: bool) -> None:
        """alone: g sees the state alone."""
        self.g, self.scale, self.form, self.alone = g, scale, form, alone

    @classmethod
    def of(
        cls, settings: DiscriminatorSettings, arrays: Mapping[str, Array], form: ActionForm
    ) -> AirlReward:
        """One that was saved as `arrays()`."""
        scale = RunningScale(len(arrays["seen.mean"]))
        scale.take(arrays["seen.mean"], arrays["seen.deviation"])
        g = _reward_net(len(scale.mean), form.size, settings.hidden, settings.state_only, 0)
        load_trainable(g, {name: aligned(arrays[name]) for name, _ in g.named_parameters()})
        return cls(g, scale, form, settings.state_only)

    def inputs(self, seen: Array, action: Array, then: Array) -> Array:
        """What it reads of (s, a, s'): [..., I]."""
        return seen if self.alone else np.concatenate([seen, self.form.read(action)], -1)

    def rewards(self, inputs: Array) -> Array:
        """[..., I] -> [...]."""
        size = len(self.scale.mean)
        read = [self.scale.scaled(inputs[..., :size]), inputs[..., size:]]
        with torch.no_grad():
            paid: Array = self.g(aligned(np.concatenate(read, -1)))[..., 0].double().numpy()
        return paid

    def arrays(self) -> dict[str, Array]:
        """What pays: the network and the scale of what is seen."""
        found = {name: p.detach().numpy() for name, p in self.g.named_parameters()}
        return found | {"seen.mean": self.scale.mean, "seen.deviation": self.scale.deviation}
