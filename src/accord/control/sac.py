"""Soft actor-critic (Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications",
arXiv 1812.05905), for rewards that are learned meanwhile (PEBBLE, Lee et al. 2021, arXiv
2106.05091).

It learns from everything it remembers, so that it needs far fewer steps of the environment than
`ppo`, and more arithmetic for each. Two values and their slow copies, a normal policy squashed into
the bounds of actions, and a temperature that keeps its entropy near -A nats. Observations enter as
they are, as in the paper. Suffixes: B drawn steps, E values (two), N environments, O numbers of an
observation, A of an action.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from accord.control.environments import ActionForm
from accord.control.networks import (
    SmallNet,
    SmallNetOptimizer,
    StackedNet,
    aligned,
    without_denormals,
)
from accord.control.replay import Remembered, ReplayBuffer, Worth, novelty
from accord.control.rollouts import Act, Steps, at_random
from accord.errors import ConfigError
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.settings import Share
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.validation import Unit

LOG_DEVIATION = (-20.0, 2.0)
"""Bounds of the policy's log-deviation, as in the authors' program."""
VALUE_VARIANCE = 1 / 3
"""Weights of the values are as spread as torch's own layers begin: the values then begin near 0.
With six times as much, what Pendulum had learned fell back again and again."""


class SacSettings(SmallNetOptimizer):
    """Soft actor-critic on vectors."""

    learning_rate: float = Field(3e-4, gt=0, le=1, description="Step size of Adam.")
    max_grad_norm: float = Field(0.0, ge=0, description="Gradient clipping bound; 0: off.")
    environments: Annotated[int, Unit("environments")] = Field(
        4, ge=1, description="Environments side by side."
    )
    rollout: StepCount = Field(
        64,
        ge=1,
        description="Steps of each environment after which questions are asked and heard.",
    )
    update_every: StepCount = Field(
        1,
        ge=1,
        description="Steps of each environment between two rounds of updates, within a rollout.",
    )
    updates_per_step: Annotated[float, Unit("updates")] = Field(
        1.0,
        gt=0,
        description="Updates for each step of an environment; parts of one are done later.",
    )
    minibatch: StepCount = Field(256, ge=2, description="Remembered steps per update.")
    buffer: StepCount = Field(
        100_000, ge=2, le=1_000_000, description="Latest steps that are remembered."
    )
    random_steps: StepCount = Field(
        1000, ge=0, description="Steps by chance, before it acts by its policy and learns."
    )
    explore: StepCount = Field(
        0,
        ge=0,
        description=(
            "Steps in which it seeks states unlike those it saw, before anything is asked (PEBBLE);"
            " those by chance among them."
        ),
    )
    neighbours: Annotated[int, Unit("states")] = Field(
        5, ge=1, description="A state is as new as its distance to this nearest of the others."
    )
    recent: Annotated[int, Unit("rollouts")] = Field(
        16,
        ge=1,
        description="Latest rollouts that clips are cut from, of those since the last question.",
    )
    gamma: float = Field(0.99, ge=0, lt=1, description="Discount per step.")
    target_rate: Share = Field(
        0.005, gt=0, le=1, description="How far the slow copies go towards the values, per update."
    )
    temperature: float = Field(1.0, gt=0, description="Weight of the entropy at the start.")
    hidden: Annotated[int, Unit("units")] = Field(256, ge=1, description="Units of both layers.")

    @model_validator(mode="after")
    def _fits(self) -> SacSettings:
        if self.rollout * self.environments > self.buffer:
            raise ValueError(
                f"rollouts of {self.rollout * self.environments:,} steps do not fit into a buffer"
                f" of {self.buffer:,}"
            )
        if self.update_every > self.rollout:
            raise ValueError(
                f"update_every {self.update_every} is more than a rollout of {self.rollout}:"
                " updates end with it at the latest"
            )
        return self


# --- the published formulas -----------------------------------------------------------------------
def squashed_log_p(u_BA: Tensor, mean_BA: Tensor, log_deviation_BA: Tensor) -> Tensor:
    """log-density of tanh(u) where u is normal: [B] (appendix C, eq. 26).

    log N(u) - sum log(1 - tanh(u)^2), the latter as 2 (log 2 - u - softplus(-2 u)), which is exact
    where tanh(u) rounds to 1.
    """
    z_BA = (u_BA - mean_BA) * torch.exp(-log_deviation_BA)
    normal_BA = -0.5 * z_BA.square() - log_deviation_BA - 0.5 * math.log(2 * math.pi)
    slope_BA = 2 * (math.log(2) - u_BA - F.softplus(-2 * u_BA))
    return (normal_BA - slope_BA).sum(-1)


def soft_target(
    reward_B: Tensor, over_B: Tensor, next_EB: Tensor, log_p_B: Tensor, alpha: Tensor, gamma: float
) -> Tensor:
    """What a value should be: r + gamma (1 - over) (min_e Q'_e(s', a') - alpha log pi(a'|s')): [B]
    (eqs. 2, 3 and 5, of two values the smaller)."""
    return reward_B + gamma * (1 - over_B) * (next_EB.amin(0) - alpha * log_p_B)


def value_loss(value_EB: Tensor, target_B: Tensor) -> Tensor:
    """sum_e mean_b (Q_e - y)^2 / 2 (eq. 5)."""
    return 0.5 * (value_EB - target_B).square().mean(1).sum()


def policy_loss(value_EB: Tensor, log_p_B: Tensor, alpha: Tensor) -> Tensor:
    """mean_b alpha log pi(a|s) - min_e Q_e(s, a) (eq. 9)."""
    return (alpha * log_p_B - value_EB.amin(0)).mean()


def temperature_loss(log_alpha: Tensor, log_p_B: Tensor, entropy: float) -> Tensor:
    """mean_b -alpha (log pi + H), H the entropy that is kept to (eq. 18)."""
    return -(log_alpha.exp() * (log_p_B + entropy)).mean()


def squashed(answer_BX: Tensor, noise_BA: Tensor) -> tuple[Tensor, Tensor]:
    """(actions in [-1, 1], [B, A], their log-densities [B]) of a policy's means and log-deviations
    side by side, [B, 2 A], by given standard normal numbers."""
    mean_BA, log_deviation_BA = answer_BX.chunk(2, -1)
    log_deviation_BA = log_deviation_BA.clamp(*LOG_DEVIATION)
    u_BA = mean_BA + log_deviation_BA.exp() * noise_BA
    return torch.tanh(u_BA), squashed_log_p(u_BA, mean_BA, log_deviation_BA)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, rate: float) -> None:
    """Move weights a share `rate` of the way: slow <- (1 - rate) slow + rate fast."""
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), rate)


# --- networks -------------------------------------------------------------------------------------
class SquashedPolicy(nn.Module):
    """Means and log-deviations of the normal numbers whose tanh is the action, in [-1, 1]."""

    def __init__(self, observation: int, size: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.policy = SmallNet([observation, hidden, hidden, 2 * size], 0.01, seed, "relu")

    def forward(self, seen_BO: Tensor, noise_BA: Tensor) -> tuple[Tensor, Tensor]:
        """See `squashed`."""
        return squashed(self.policy(seen_BO), noise_BA)


class Sac:
    """The learner: acts, remembers, and learns from all it remembers."""

    def __init__(
        self,
        settings: SacSettings,
        observation: int,
        form: ActionForm,
        rollouts: int,
        seed: int,
    ) -> None:
        """rollouts: that it will learn from, for the schedule of the step size. Raises ConfigError
        for discrete actions."""
        if form.kind == "discrete":
            raise ConfigError(
                f"sac needs actions that are numbers, and here they are one of {form.size}",
                "use learner: ppo, which takes both",
            )
        self.settings, self.seed, self.form = settings, seed, form
        self.middle_A = (form.high_A + form.low_A) / 2
        self.half_A = (form.high_A - form.low_A) / 2
        per_rollout = settings.rollout * settings.environments
        self._total = max(1, round(rollouts * per_rollout * settings.updates_per_step))
        self.model = SquashedPolicy(
            observation, form.size, settings.hidden, derive_seed(seed, "policy")
        )
        self.log_alpha = nn.Parameter(torch.tensor(math.log(settings.temperature)))
        self.buffer = ReplayBuffer(settings.buffer, observation, form.size)
        self.rounds, self.begun, self.explored, self.owed = 0, 0, False, 0.0
        self._optimizer = Optimizer(
            [*self.model.parameters(), self.log_alpha], settings, self._total
        )
        self._middle_A, self._half_A = aligned(self.middle_A), aligned(self.half_A)
        self._size = observation + form.size
        self._new_values()

    def _new_values(self) -> None:
        own = derive_seed(self.seed, "values", self.begun)
        self.values = StackedNet(self._size, self.settings.hidden, 2, 2, own, VALUE_VARIANCE, 0.0)
        self.slow = copy.deepcopy(self.values).requires_grad_(False)
        self._values = Optimizer(self.values.parameters(), self.settings, self._total)

    # --- acting -----------------------------------------------------------------------------------
    def actor(self, greedy: bool = False) -> Act:
        """How the policy acts as it is now; greedy: the middle of its distribution."""
        forward = self.model.policy.in_numpy()

        def act(seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
            answer = aligned(forward(seen_NO.astype(np.float32)))
            noise_NA = aligned(rng.standard_normal((len(seen_NO), self.form.size)))
            inside_NA, log_p_N = squashed(answer, noise_NA * (not greedy))
            action_NA = self.middle_A + self.half_A * inside_NA.double().numpy()
            return action_NA, log_p_N.double().numpy() - np.log(self.half_A).sum()

        return act

    def behaviour(self) -> Act:
        """How it acts to learn: by chance at first."""
        if self.buffer.added >= self.settings.random_steps:
            return self.actor()
        return at_random(self.form)

    # --- learning ---------------------------------------------------------------------------------
    def remember(self, steps: Steps) -> None:
        """Steps whose reward is told by the next `relabel`."""
        self.buffer.add(steps, np.zeros(steps.reward_TN.shape))

    def inherit(self, before: object) -> None:
        """Remember the steps that another of its kind did."""
        if isinstance(before, Sac):
            self.buffer = before.buffer

    def relabel(self, worth: Worth) -> None:
        """See `ReplayBuffer.relabel`."""
        self.buffer.relabel(worth)

    def explore(self, steps: Steps) -> dict[str, float]:
        """Learn to seek what is unlike all it saw; returns metrics."""
        self.remember(steps)
        self.relabel(lambda seen_SO, *_: novelty(seen_SO, self.settings.neighbours))
        self.explored = True
        return self._updates(steps.size) | {"reward_step": self.buffer.all().reward_S.mean().item()}

    def learn(self, steps: Steps, reward_TN: Array) -> dict[str, float]:
        """Remember steps by rewards that need not be the environment's own, and update; returns
        metrics. Raises RunError for a gradient that is not finite. The values begin anew when it
        has explored: they are of another reward (Lee et al. 2021, algorithm 2)."""
        self.buffer.add(steps, reward_TN)
        if self.explored:
            self.explored, self.begun = False, self.begun + 1
            self._new_values()
        return self._updates(steps.size)

    @without_denormals()
    def _updates(self, steps: int) -> dict[str, float]:
        settings = self.settings
        self.rounds += 1
        if self.buffer.added <= settings.random_steps:
            return {}
        count = int(self.owed + steps * settings.updates_per_step)
        self.owed += steps * settings.updates_per_step - count
        if not count:
            return {}
        rng = generator(self.seed, "updates", self.rounds)
        told_M = torch.zeros(4)
        for _ in range(count):
            drawn = self.buffer.draw(settings.minibatch, rng)
            noise_2BA = rng.standard_normal((2, settings.minibatch, self.form.size))
            told_M += self._update(drawn, aligned(noise_2BA))
        names = ("q_loss", "q_mean", "soft_policy_loss", "action_entropy")
        return {
            **dict(zip(names, (told_M / count).tolist(), strict=True)),
            "temperature": self.log_alpha.exp().item(),
            "learning_rate": self._optimizer.learning_rate,
            "optimizer_steps": float(self._optimizer.steps),
        }

    def _update(self, drawn: Remembered, noise_2BA: Tensor) -> Tensor:
        settings, alpha = self.settings, self.log_alpha.detach().exp()
        where = f"update {self._optimizer.steps + 1}"
        action_BA = (drawn.action_SA - self._middle_A) / self._half_A
        with torch.no_grad():
            then_BA, then_log_p_B = self.model(drawn.next_SO, noise_2BA[0])
            next_EB = self.slow(torch.cat([drawn.next_SO, then_BA], -1))
            target_B = soft_target(
                drawn.reward_S, drawn.over_S, next_EB, then_log_p_B, alpha, settings.gamma
            )
        value_EB = self.values(torch.cat([drawn.seen_SO, action_BA], -1))
        q_loss = value_loss(value_EB, target_B)
        q_loss.backward()
        self._values.step(where)
        now_BA, log_p_B = self.model(drawn.seen_SO, noise_2BA[1])
        loss = policy_loss(self.values(torch.cat([drawn.seen_SO, now_BA], -1)), log_p_B, alpha)
        log_p_B = log_p_B.detach()
        warm = temperature_loss(self.log_alpha, log_p_B, -float(self.form.size))
        (loss + warm).backward(inputs=self._optimizer.parameters)  # of other weights each
        self._optimizer.step(where)
        follow(self.slow, self.values, settings.target_rate)
        return torch.stack([q_loss.detach(), target_B.mean(), loss.detach(), -log_p_B.mean()])

    def arrays(self) -> dict[str, Array]:
        """What acts."""
        return {name: p.detach().numpy() for name, p in self.model.named_parameters()}

    def take(self, arrays: Mapping[str, Array]) -> None:
        """Act by `arrays()` of another."""
        load_trainable(self.model, {name: aligned(array) for name, array in arrays.items()})

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs: what it remembers is of it."""
        return {
            "model": trainable_state(self.model),
            "values": trainable_state(self.values),
            "slow": {name: p.clone() for name, p in self.slow.named_parameters()},
            "log_alpha": self.log_alpha.detach().clone(),
            "optimizers": [self._optimizer.state(), self._values.state()],
            "buffer": self.buffer.state(),
            "rounds": self.rounds,
            "begun": self.begun,
            "explored": self.explored,
            "owed": self.owed,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.rounds, self.begun = int(state["rounds"]), int(state["begun"])
        self.explored, self.owed = bool(state["explored"]), float(state["owed"])
        load_trainable(self.model, state["model"])
        load_trainable(self.values, state["values"])
        self.slow.load_state_dict(state["slow"])
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        own, values = state["optimizers"]
        self._optimizer.load(own)
        self._values.load(values)
        self.buffer.load(state["buffer"])
