"""Proximal policy optimisation for vectors (Schulman et al. 2017), by the details that matter
(Huang et al. 2022, "The 37 implementation details of PPO").

Rollouts run in NumPy; advantages and losses are those of every other loop here. Where an episode's
time is over, its return goes on with the value of what was seen last; where the task ended it, it
does not. Suffixes: T steps, N environments, S all steps, A numbers of an action, B pieces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from accord.control.environments import ActionForm
from accord.control.networks import SmallNet, SmallNetOptimizer, aligned
from accord.control.replay import Worth
from accord.control.rollouts import Act, Steps
from accord.control.running import RunningScale
from accord.errors import ConfigError, RunError
from accord.learning.advantages import gae, whiten
from accord.learning.losses import ppo_policy, ppo_value
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed
from accord.statistics.intervals import Array
from accord.validation import Unit

RATIO_TOLERANCE = 1e-3
"""Nats by which log-probabilities of NumPy, which acted, and torch, which learns, may differ."""


class VectorPpoSettings(SmallNetOptimizer):
    """Proximal policy optimisation on vectors."""

    adam_eps: float = Field(1e-5, gt=0, description="Adam's epsilon (Huang et al. 2022).")
    max_grad_norm: float = Field(0.5, ge=0, description="Gradient clipping bound; 0: off.")
    environments: Annotated[int, Unit("environments")] = Field(
        64, ge=1, description="Environments side by side."
    )
    rollout: StepCount = Field(
        128, ge=2, description="Steps of each environment between two updates of the policy."
    )
    epochs: Annotated[int, Unit("epochs")] = Field(5, ge=1, description="Passes over a rollout.")
    minibatch: StepCount = Field(512, ge=2, description="Steps per update.")
    gamma: float = Field(0.99, ge=0, le=1, description="Discount per step.")
    lam: float = Field(0.95, ge=0, le=1, description="Lambda of the advantages (GAE).")
    clip: float = Field(0.2, gt=0, lt=1, description="Bound on the probability ratio's change.")
    entropy: float = Field(0.0, ge=0, description="Weight of the entropy.")
    value_weight: float = Field(0.5, ge=0, description="Weight of the value's squared error.")
    hidden: Annotated[int, Unit("units")] = Field(64, ge=1, description="Units of both layers.")
    noise: float = Field(
        1.0, gt=0, description="Deviation of actions at the start, as a share of half their range."
    )


class ActorCritic(nn.Module):
    """Policy and value, each a network of two layers. A box's action is normal around the policy's
    answer, with a deviation of its own per number; a discrete one is drawn by logits."""

    def __init__(
        self, observation: int, form: ActionForm, hidden: int, noise: float, seed: int
    ) -> None:
        super().__init__()
        self.kind = form.kind
        layers = [observation, hidden, hidden]
        self.policy = SmallNet([*layers, form.size], 0.01, derive_seed(seed, "policy"))
        self.value = SmallNet([*layers, 1], 1.0, derive_seed(seed, "value"))
        start = torch.tensor(noise * (form.high_A - form.low_A) / 2, dtype=torch.float32).log()
        self.log_deviation_A = nn.Parameter(start, requires_grad=form.kind == "box")

    def log_p(self, seen_SO: Tensor, action_SA: Tensor) -> tuple[Tensor, Tensor]:
        """(log-probabilities of actions, entropies): [S] each, nats."""
        answer_SA = self.policy(seen_SO)
        if self.kind == "discrete":
            logits_SA = torch.log_softmax(answer_SA, -1)
            entropy_S = -(logits_SA.exp() * logits_SA).sum(-1)
            return logits_SA.gather(-1, action_SA.long())[:, 0], entropy_S
        log_sd_A = self.log_deviation_A
        z_SA = (action_SA - answer_SA) * torch.exp(-log_sd_A)
        log_p_S = (-0.5 * z_SA.square() - log_sd_A - 0.5 * math.log(2 * math.pi)).sum(-1)
        entropy = (log_sd_A + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return log_p_S, entropy.expand_as(log_p_S)


class VectorPpo:
    """The learner: acts, and learns from what its actions brought."""

    def __init__(
        self,
        settings: VectorPpoSettings,
        observation: int,
        form: ActionForm,
        updates: int,
        seed: int,
    ) -> None:
        """updates: rollouts that it will learn from, for the schedule of the step size."""
        self.settings, self.seed, self.form = settings, seed, form
        self.model = ActorCritic(observation, form, settings.hidden, settings.noise, seed)
        per_rollout = settings.rollout * settings.environments
        self.minibatches = max(1, per_rollout // settings.minibatch)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        total = updates * settings.epochs * self.minibatches
        self.optimizer = Optimizer(trained, settings, total)
        self.seen = RunningScale(observation)
        self.returned = RunningScale(1)
        self._running_N = np.zeros(settings.environments)
        self.updates = 0

    # --- acting -----------------------------------------------------------------------------------
    def actor(self, greedy: bool = False) -> Act:
        """How the policy acts as it is now; greedy: its likeliest action."""
        forward, deviation_A = self.model.policy.in_numpy(), self._deviation()
        seen, kind = self.seen, self.form.kind

        def act(seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
            answer_NA = forward(seen.scaled(seen_NO).astype(np.float32)).astype(np.float64)
            if kind == "discrete":
                return _drawn(answer_NA, rng, greedy)
            z_NA = np.zeros_like(answer_NA) if greedy else rng.standard_normal(answer_NA.shape)
            # as torch will read it: a float of 32 bits
            action_NA = (answer_NA + deviation_A * z_NA).astype(np.float32).astype(np.float64)
            normal = -0.5 * z_NA**2 - np.log(deviation_A) - 0.5 * math.log(2 * math.pi)
            return action_NA, normal.sum(1)

        return act

    def behaviour(self) -> Act:
        """How it acts to learn: as it is."""
        return self.actor()

    def _deviation(self) -> Array:
        logs: Array = self.model.log_deviation_A.detach().numpy().astype(np.float64)
        return np.exp(logs)

    # --- learning ---------------------------------------------------------------------------------
    def remember(self, steps: Steps) -> None:
        """It learns from the rollout that its policy has just walked, and from no other."""

    def inherit(self, before: object) -> None:
        """Nothing: no learner of its kind remembers steps."""

    def relabel(self, worth: Worth) -> None:
        """It remembers nothing whose reward could be told anew."""

    def explore(self, steps: Steps) -> dict[str, float]:
        """Raises ConfigError: it knows no states but the last ones."""
        raise ConfigError("ppo does not explore by itself", "use learner: sac")

    def learn(self, steps: Steps, reward_TN: Array) -> dict[str, float]:
        """One rollout's updates, by rewards that need not be the environment's own; returns
        metrics. Raises RunError for a loss that is not finite, or where acting and learning
        disagree about a probability."""
        settings, self.updates = self.settings, self.updates + 1
        scaled_TN = reward_TN / self._return_deviation(steps, reward_TN)
        # environment by environment, so that the steps of an episode follow each other
        seen_SO, next_SO = (_packed(self.seen.scaled(one)) for one in
                            (steps.observation_TNO, steps.next_TNO))  # fmt: skip
        action_SA, reward_S = _packed(steps.action_TNA), _packed(scaled_TN[..., None])[:, 0]
        with torch.no_grad():
            value_S, next_S = (self.model.value(one)[:, 0] for one in (seen_SO, next_SO))
            old_S, _ = self.model.log_p(seen_SO, action_SA)
        self._check(old_S, _packed(steps.log_p_TN[..., None])[:, 0])
        lengths, after = cut(steps, next_S)
        advantage_S, return_S = gae(reward_S, value_S, lengths, settings.gamma, settings.lam, after)
        batch = (seen_SO, action_SA, old_S, value_S, advantage_S, return_S)
        metrics = self._epochs(batch)
        self.seen.add(steps.observation_TNO.reshape(-1, steps.observation_TNO.shape[-1]))
        left = (return_S - value_S).var() / return_S.var().clamp_min(1e-8)
        return metrics | {"value_explained": 1 - left.item()}

    def _epochs(self, batch: tuple[Tensor, ...]) -> dict[str, float]:
        settings, sums = self.settings, dict[str, float]()
        size, steps = len(batch[0]), 0
        for epoch in range(settings.epochs):
            shuffled = torch.Generator().manual_seed(
                derive_seed(self.seed, "minibatches", self.updates, epoch)
            )
            order = torch.randperm(size, generator=shuffled)
            for rows in order.tensor_split(self.minibatches):
                loss, found = self._loss(*(column[rows] for column in batch))
                if not torch.isfinite(loss):
                    raise RunError(
                        f"the loss is {loss.item()} in update {self.updates}",
                        "lower the learning rate; the last good checkpoint is kept",
                    )
                loss.backward()
                found |= self.optimizer.step(f"update {self.updates}")
                steps += 1
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + value
        means = {name: total / steps for name, total in sums.items()}
        return means | {"optimizer_steps": float(self.optimizer.steps)}

    def _loss(
        self,
        seen_SO: Tensor,
        action_SA: Tensor,
        old_S: Tensor,
        value_S: Tensor,
        advantage_S: Tensor,
        return_S: Tensor,
    ) -> tuple[Tensor, dict[str, float]]:
        settings = self.settings
        log_p_S, entropy_S = self.model.log_p(seen_SO, action_SA)
        ratio_S = log_p_S - old_S
        policy = ppo_policy(ratio_S, whiten(advantage_S), settings.clip).mean()
        now_S = self.model.value(seen_SO)[:, 0]
        value = ppo_value(now_S, value_S, return_S, math.inf).mean()
        loss = policy + 2 * settings.value_weight * value - settings.entropy * entropy_S.mean()
        with torch.no_grad():
            k3 = (torch.exp(ratio_S) - 1 - ratio_S).mean().item()
            outside = ((ratio_S.exp() - 1).abs() > settings.clip).float().mean().item()
        return loss, {
            "loss": loss.item(),
            "policy_loss": policy.item(),
            "value_loss": value.item(),
            "update_kl_tok": max(0.0, k3),
            "clip_share": outside,
        }

    def _check(self, learned_S: Tensor, acted_S: Tensor) -> None:
        gap = (learned_S - acted_S).abs().max().item()
        if not gap <= RATIO_TOLERANCE * (1 + acted_S.abs().max().item()):
            raise RunError(
                f"the policy's log-probabilities in rollout and update differ by {gap:.2g} nats"
            )

    def _return_deviation(self, steps: Steps, reward_TN: Array) -> float:
        """Deviation of the discounted returns so far (Huang et al. 2022, detail 9)."""
        rows = []
        for reward_N, ended_N in zip(reward_TN, steps.ended_TN, strict=True):
            self._running_N = self.settings.gamma * self._running_N + reward_N
            rows.append(self._running_N.copy())
            self._running_N[ended_N] = 0
        self.returned.add(np.concatenate(rows)[:, None])
        return float(self.returned.deviation[0])

    def arrays(self) -> dict[str, Array]:
        """What acts: the networks and the scale of what is seen."""
        found = {name: p.detach().numpy() for name, p in self.model.named_parameters()}
        return found | {"seen.mean": self.seen.mean, "seen.deviation": self.seen.deviation}

    def take(self, arrays: Mapping[str, Array]) -> None:
        """Act by `arrays()` of another."""
        own = {name: aligned(arrays[name]) for name, p in self.model.named_parameters()}
        self.model.load_state_dict(own)
        self.seen.take(arrays["seen.mean"], arrays["seen.deviation"])

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {
            "model": trainable_state(self.model),
            "optimizer": self.optimizer.state(),
            "seen": self.seen.state(),
            "returned": self.returned.state(),
            "running": self._running_N.tolist(),
            "updates": self.updates,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        load_trainable(self.model, state["model"])
        self.optimizer.load(state["optimizer"])
        self.seen.load(state["seen"])
        self.returned.load(state["returned"])
        self._running_N = np.array(state["running"])
        self.updates = int(state["updates"])


def _drawn(logits_NA: Array, rng: np.random.Generator, greedy: bool) -> tuple[Array, Array]:
    """Actions by logits, [N, 1], and their log-probabilities."""
    log_p_NA = logits_NA - logits_NA.max(1, keepdims=True)
    log_p_NA = log_p_NA - np.log(np.exp(log_p_NA).sum(1, keepdims=True))
    noise = 0.0 if greedy else rng.gumbel(size=logits_NA.shape)
    chosen_N = (log_p_NA + noise).argmax(1)
    return chosen_N[:, None].astype(np.float64), log_p_NA[np.arange(len(chosen_N)), chosen_N]


def _packed(array_TNX: Array) -> Tensor:
    """[T, N, X] -> [N T, X]."""
    swapped = np.swapaxes(array_TNX, 0, 1).reshape(-1, array_TNX.shape[-1])
    return aligned(swapped)


def cut(steps: Steps, next_S: Tensor) -> tuple[Tensor, Tensor]:
    """(lengths, value after the last step) of the pieces of episodes, as they lie packed: [B]
    each."""
    pieces = steps.pieces()
    lengths = torch.tensor([end - start for _, start, end in pieces])
    last = torch.cumsum(lengths, 0) - 1
    over = torch.tensor([bool(steps.terminated_TN[end - 1, n]) for n, _, end in pieces])
    return lengths, torch.where(over, 0.0, next_S[last])
