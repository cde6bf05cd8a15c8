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
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from accord.control.demonstrations import ShownSteps, walked_steps
from accord.control.discriminators import (
    Adversary,
    AirlNet,
    AirlReward,
    DiscriminatorSettings,
    GailNet,
    imitation_reward,
    told_apart,
)
from accord.control.environments import ActionForm, EnvironmentBatch
from accord.control.networks import aligned, without_denormals
from accord.control.ppo import VectorPpo, VectorPpoSettings
from accord.control.rollouts import Steps, Walker
from accord.control.running import RunningScale
from accord.errors import ConfigError, RunError
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.session import Session, State
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array


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
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """steps: of all environments together, in whole rollouts. environments: as many as the
        policy's settings say; may_end: an episode of theirs may end before its time."""
        self.kind, self.environments, self.shown = kind, environments, shown
        self.settings, self.seed, self.environment_steps = settings, seed, 0
        self.form: ActionForm = environments.actions
        self._may_end, self._say = may_end, say
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

    def run(self, session: Session) -> None:
        """From where the session's last checkpoint was to the last rollout. Raises RunError for
        what is not finite, and for an episode that ended before its time."""
        state = session.restore()
        done = 0 if state is None else self._load(state)
        if state is None:
            self._walker.begin(generator(self.seed, "begin"))
        for number in range(done, self.rollouts):
            rng = generator(self.seed, "rollout", number)
            if self._between_episodes():
                self._walker.begin(rng)
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
            told |= {"environment_steps": float(self.environment_steps)}
            session.end_step(number + 1, self.rollouts, told, partial(self._state, number + 1))

    def _between_episodes(self) -> bool:
        """Whether everything begins again, in environments whose state cannot be set: it then
        begins as it would after a checkpoint."""
        return not self._walker.elapsed_N.any() and self.environments.memory() is None

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

    # --- checkpoints ------------------------------------------------------------------------------
    def _state(self, done: int) -> State:
        return {
            "done": done,
            "learner": self.learner.state(),
            "net": trainable_state(self.net),
            "optimizer": self.optimizer.state(),
            "scale": self._scale.state(),
            "walker": self._walker.state(),
            "environment_steps": self.environment_steps,
        }

    def _load(self, state: State) -> int:
        done = int(state["done"])
        self.learner.load(state["learner"])
        load_trainable(self.net, state["net"])
        self.optimizer.load(state["optimizer"])
        self._scale.load(state["scale"])
        self.environment_steps = int(state["environment_steps"])
        if not self._walker.load(state["walker"]):
            if any(state["walker"]["elapsed"]):
                self._say(
                    f"the state of {self.environments.name} cannot be set: new episodes begin"
                )
            self._walker.begin(generator(self.seed, "begin again", done))
        return done

    def learned_reward(self) -> AirlReward:
        """What AIRL learned to be paid: g, without the potential. Raises ConfigError for GAIL."""
        if not isinstance(self.net, AirlNet):
            raise ConfigError(
                "gail learns no reward: what it pays tells the present policy from the expert's",
                "use airl",
            )
        return AirlReward(self.net.g, self._scale, self.form, self.settings.state_only)
