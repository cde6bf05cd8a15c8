"""Generative adversarial imitation learning (GAIL, Ho and Ermon 2016) and adversarial inverse
reinforcement learning (AIRL, Fu, Luo and Levine 2018): a discriminator learns to tell the expert's
steps from the learner's, and the policy learns from what it says, by PPO.

D is the probability that a step is the expert's, sigmoid(l) of the discriminator's logit l.

    GAIL   l(s, a) is a network's             (Ho and Ermon's D is the learner's probability, 1 - D)
    AIRL   l(s, a, s') = f(s, a, s') - log pi(a|s),   f = g(s, a) + gamma h(s') - h(s)
                                              (their equation 4; D = exp f / (exp f + pi))
    loss   -E_expert log D - E_learner log(1 - D)

The policy's reward is one of three, each of which has its optimum where D = 1/2 everywhere:

    positive   -log(1 - D), always above 0: to last pays by itself (survival bias)
    negative   log D, always below 0: to end pays by itself
    log_odds   log D - log(1 - D) = l, of either sign; AIRL's, where it is f - log pi

Suffixes: S steps, I numbers of an input, O of an observation, T, N as in rollouts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from accord.control.demonstrations import ShownSteps, walked_steps
from accord.control.environments import ActionForm, EnvironmentBatch
from accord.control.networks import SmallNet, SmallNetOptimizer, aligned, without_denormals
from accord.control.ppo import VectorPpo, VectorPpoSettings
from accord.control.rollouts import Steps, Walker
from accord.control.running import RunningScale
from accord.errors import RunError
from accord.learning.optimizer import Optimizer
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.validation import Unit

ImitationReward = Literal["positive", "negative", "log_odds"]
Adversary = Literal["gail", "airl"]


class DiscriminatorSettings(SmallNetOptimizer):
    """What tells the expert's steps from the learner's."""

    weight_decay: float = Field(0.1, ge=0, description="Decay of weights, per unit of step size.")
    hidden: Annotated[int, Unit("units")] = Field(64, ge=1, description="Units of both layers.")
    updates: Annotated[int, Unit("updates")] = Field(
        10, ge=1, description="Updates after each rollout."
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


class AirlNet(nn.Module):
    """f of (s, a, s'); on_S: 0 where the task ended the episode after the step."""

    def __init__(
        self, observation: int, actions: int, hidden: int, gamma: float, alone: bool, seed: int
    ) -> None:
        """alone: g sees the state alone."""
        super().__init__()
        self.gamma, self.alone = gamma, alone
        size = observation if alone else observation + actions
        self.g = SmallNet([size, hidden, hidden, 1], 1.0, derive_seed(seed, "g"))
        self.h = SmallNet([observation, hidden, hidden, 1], 1.0, derive_seed(seed, "h"))

    def forward(self, seen_SO: Tensor, done_SA: Tensor, next_SO: Tensor, on_S: Tensor) -> Tensor:
        read_SI = seen_SO if self.alone else torch.cat([seen_SO, done_SA], -1)
        next_S = self.h(next_SO)[:, 0] * on_S
        return shaped_f(self.g(read_SI)[:, 0], self.h(seen_SO)[:, 0], next_S, self.gamma)


class AdversarialLearning:
    """The loop: walk, tell apart, learn from what is said. `environment_steps`, `learner` and what
    the last rollout told are there to be read."""

    def __init__(
        self,
        kind: Adversary,
        environments: EnvironmentBatch,
        shown: ShownSteps,
        settings: DiscriminatorSettings,
        policy: VectorPpoSettings,
        steps: int,
        seed: int,
        may_end: bool = False,
    ) -> None:
        """steps: of all environments together, in whole rollouts. environments: as many as the
        policy's settings say; may_end: an episode of theirs may end before its time."""
        self.kind, self.environments, self.shown = kind, environments, shown
        self.settings, self.seed, self.environment_steps = settings, seed, 0
        self.form: ActionForm = environments.actions
        self._may_end = may_end
        size = environments.observation_size
        self.rollouts = max(1, steps // (policy.rollout * policy.environments))
        self.learner = VectorPpo(
            policy, size, self.form, self.rollouts, derive_seed(seed, "policy")
        )
        own = derive_seed(seed, "discriminator")
        self.net: nn.Module = (
            GailNet(size, self.form.size, settings.hidden, own)
            if kind == "gail"
            else AirlNet(
                size, self.form.size, settings.hidden, policy.gamma, settings.state_only, own
            )
        )
        self.optimizer = Optimizer(
            self.net.parameters(), settings, self.rollouts * settings.updates
        )
        self._scale = RunningScale(size)
        self._walker = Walker(environments)

    def run(self, note: Callable[[int, int, dict[str, float]], None] = lambda *_: None) -> None:
        """From the first rollout to the last. note: called after each with its number, how many
        there are, and what was measured. Raises RunError for what is not finite, and for an episode
        that ended before its time."""
        self._walker.begin(generator(self.seed, "begin"))
        for number in range(self.rollouts):
            rng = generator(self.seed, "rollout", number)
            steps = self._walker.walk(self.learner.actor(), self.learner.settings.rollout, rng)
            self.environment_steps += steps.size
            if steps.terminated_TN.any() and not self._may_end:
                raise RunError(
                    f"{self.environments.name} ended an episode before its time",
                    "set horizon: absorb, or horizon: variable if you mean it: a learned reward"
                    " would pay for lasting, or for ending",
                )
            if number == 0:  # once and for all: a scale that moved would move what was learned
                self._scale.add(self.shown.seen_SO)
                self._scale.add(steps.observation_TNO.reshape(-1, self._scale.mean.size))
            told = self._tell_apart(number, steps)
            reward_TN = self.rewards(steps)
            if not np.isfinite(reward_TN).all():
                raise RunError(
                    f"the discriminator's reward is not finite after rollout {number + 1}",
                    "lower its learning rate",
                )
            told |= self.learner.learn(steps, reward_TN)
            told |= {"reward_step": float(reward_TN.mean()), "gold_step": steps.reward_TN.mean()}
            note(number + 1, self.rollouts, told)

    def rewards(self, steps: Steps) -> Array:
        """What the policy learns from: [T, N]."""
        flat = walked_steps(steps)
        with torch.no_grad():
            logit_S = self._logits(self._read(flat), aligned(steps.log_p_TN.ravel()))
        kind = self.settings.reward if self.kind == "gail" else "log_odds"
        return imitation_reward(logit_S.double().numpy(), kind).reshape(steps.reward_TN.shape)

    @without_denormals()
    def _tell_apart(self, number: int, steps: Steps) -> dict[str, float]:
        expert, learner = self._read(self.shown), self._read(walked_steps(steps))
        expert_p_S = self._log_p(self.shown)
        learner_p_S = aligned(steps.log_p_TN.ravel())
        total, right = 0.0, 0.0
        for update in range(self.settings.updates):
            rng = generator(self.seed, "told apart", number, update)
            one, other = (
                torch.from_numpy(rng.integers(len(rows), size=self.settings.minibatch))
                for rows in (expert_p_S, learner_p_S)
            )
            batch = [part[one] for part in expert], [part[other] for part in learner]
            expert_S = self._logits(batch[0], expert_p_S[one])
            learner_S = self._logits(batch[1], learner_p_S[other])
            loss = told_apart(expert_S, learner_S)
            total += loss.item()
            right += ((expert_S > 0).float().mean() + (learner_S < 0).float().mean()).item() / 2
            if self.settings.gradient_penalty:
                share = torch.from_numpy(rng.random(self.settings.minibatch)).float()
                loss = loss + self.settings.gradient_penalty * self._penalty(*batch, share)
            loss.backward()
            self.optimizer.step(f"update {update + 1} of the discriminator, rollout {number + 1}")
        count = self.settings.updates
        return {"discriminator_loss": total / count, "told_apart": right / count}

    def _logits(self, parts: list[Tensor], log_p_S: Tensor) -> Tensor:
        out: Tensor = self.net(*parts)
        return out if self.kind == "gail" else out - log_p_S

    def _penalty(self, expert: list[Tensor], learner: list[Tensor], share_S: Tensor) -> Tensor:
        """Mean of (|slope| - 1)² of the network in its inputs, between the two."""
        between = []
        for one, other in zip(expert[:3], learner[:3], strict=True):
            mixed = share_S[:, None] * one + (1 - share_S)[:, None] * other
            between.append(mixed.requires_grad_())
        slopes = torch.autograd.grad(
            self.net(*between, expert[3]).sum(), between, create_graph=True, materialize_grads=True
        )
        size_S = torch.cat(slopes, -1).square().sum(-1).add(1e-12).sqrt()
        return (size_S - 1).square().mean()

    def _read(self, steps: ShownSteps) -> list[Tensor]:
        """Inputs of the network."""
        return [
            aligned(self._scale.scaled(steps.seen_SO)),
            aligned(self.form.read(steps.action_SA)),
            aligned(self._scale.scaled(steps.next_SO)),
            aligned((~steps.terminated_S).astype(np.float64)),
        ]

    def _log_p(self, steps: ShownSteps) -> Tensor:
        """log pi(a|s) of the policy as it is now: [S]."""
        with torch.no_grad():
            seen_SO = aligned(self.learner.seen.scaled(steps.seen_SO))
            return self.learner.model.log_p(seen_SO, aligned(steps.action_SA))[0]
