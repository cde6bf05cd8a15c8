"""PPO for language written from the papers, to check accord's against: it shares no code with
accord.

Padded batches through transformers' own forward pass, Python loops over tokens, its own advantages,
whitening, losses, gradient clipping, Adam, learning-rate decay and KL controller. Sources: Ziegler
et al. 2019 (reward, adaptive coefficient), Schulman et al. 2016 eq. 16 (GAE), Schulman et al. 2017
eq. 7 (clipped objective), Kingma and Ba 2015 alg. 1 (Adam), Huang et al. 2024 (fixed score without
EOS, whitening, value clipping, linear decay).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

PAD = 2


@dataclass
class Answer:
    """A sampled response with what the reward model said."""

    prompt: list[int]
    response: list[int]
    finished: bool
    score: float


@dataclass
class Reference:
    """Policy, reference policy and value model (trunk, weight, bias) with the state of both
    optimizers.

    updates: optimizer steps of the whole run. Losses and gradient norms are noted in `log`.
    """

    policy: Any
    frozen: Any
    value: tuple[Any, Tensor, Tensor]
    updates: int
    temperature: float
    coefficient: float
    target: float
    horizon: float
    rate: float
    betas: tuple[float, float]
    score_clip: float
    unfinished: float
    clip: float = 0.2
    lam: float = 0.95
    log: list[dict[str, float]] = field(default_factory=list)
    rollouts: list[dict[str, float]] = field(default_factory=list)
    first_gradients: list[list[Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        trunk, weight, bias = self.value
        groups = (list(self.policy.parameters()), [*trunk.parameters(), weight, bias])
        self.adams = [Adam(group, self.rate, self.betas, self.updates) for group in groups]

    # --- one PPO step -----------------------------------------------------------------------------
    def step(self, answers: list[Answer], minibatches: list[list[int]]) -> None:
        """Rewards and advantages of a rollout, then one update per minibatch (rows of
        `answers`)."""
        with torch.no_grad():
            old = [[float(x) for x in row] for row in self.log_probabilities(self.policy, answers)]
            ref = [[float(x) for x in row] for row in self.log_probabilities(self.frozen, answers)]
            values = [[float(x) for x in row] for row in self.values(answers)]
        advantages, returns, kl = [], [], 0.0
        for answer, p, q, v in zip(answers, old, ref, values, strict=True):
            rewards = [-self.coefficient * (p[t] - q[t]) for t in range(len(p))]
            kl += sum(p[t] - q[t] for t in range(len(p))) / len(answers)
            score = max(-self.score_clip, min(self.score_clip, answer.score))
            rewards[-1] += score if answer.finished else self.unfinished
            own = [0.0] * len(p)
            following = value_after = 0.0
            for t in range(len(p) - 1, -1, -1):
                delta = rewards[t] + value_after - v[t]
                following = delta + self.lam * following
                own[t], value_after = following, v[t]
            advantages.append(own)
            returns.append([a + b for a, b in zip(own, v, strict=True)])
        self.rollouts.append({"kl_seq": kl, "kl_coefficient": self.coefficient})
        self.coefficient *= (
            1 + max(-0.2, min(0.2, kl / self.target - 1)) * len(answers) / self.horizon
        )
        advantages = whitened(advantages)
        for rows in minibatches:
            pick = [[x[r] for r in rows] for x in (answers, old, values, advantages, returns)]
            self.update(*pick)

    def update(self, answers: Any, old: Any, values: Any, advantages: Any, returns: Any) -> None:
        """One optimizer step of policy and value model on the mean loss per token."""
        tokens = sum(len(a.response) for a in answers)
        policy_loss = value_loss = torch.zeros(())
        for b, (logp, v) in enumerate(
            zip(self.log_probabilities(self.policy, answers), self.values(answers), strict=True)
        ):
            for t in range(len(answers[b].response)):
                ratio = torch.exp(logp[t] - old[b][t])
                bounded = min(max(float(ratio.detach()), 1 - self.clip), 1 + self.clip)
                unclipped, clipped = (
                    -advantages[b][t] * ratio,
                    torch.tensor(-advantages[b][t] * bounded),
                )
                if float(ratio.detach()) == bounded:
                    clipped = unclipped
                policy_loss = policy_loss + torch.max(unclipped, clipped) / tokens
                near = values[b][t] + (v[t] - values[b][t]).clamp(-self.clip, self.clip)
                errors = ((v[t] - returns[b][t]) ** 2, (near - returns[b][t]) ** 2)
                value_loss = value_loss + 0.5 * torch.max(*errors) / tokens
        entry = {
            "policy_loss": float(policy_loss.detach()),
            "value_loss": float(value_loss.detach()),
        }
        for name, loss, adam in zip(
            ("grad_norm", "value_grad_norm"), (policy_loss, value_loss), self.adams, strict=True
        ):
            gradients = list(torch.autograd.grad(loss, adam.parameters, retain_graph=True))
            if adam.done == 0:
                self.first_gradients.append(gradients)
            entry[name] = adam.update(gradients)
        self.log.append(entry)

    # --- padded forward passes --------------------------------------------------------------------
    def padded(self, answers: list[Answer]) -> tuple[dict[str, Tensor], int]:
        """Prompts padded on the left, responses on the right; positions count real tokens. Also the
        prompts' width."""
        left, right = max(len(a.prompt) for a in answers), max(len(a.response) for a in answers)
        ids, mask = (
            torch.full((len(answers), left + right), PAD),
            torch.zeros(len(answers), left + right, dtype=torch.long),
        )
        for b, a in enumerate(answers):
            begin, end = left - len(a.prompt), left + len(a.response)
            ids[b, begin:end] = torch.tensor(a.prompt + a.response)
            mask[b, begin:end] = 1
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        }, left

    def log_probabilities(self, model: Any, answers: list[Answer]) -> list[list[Tensor]]:
        """log p of each response token under the tempered distribution."""
        inputs, left = self.padded(answers)
        logp = torch.log_softmax(model(**inputs).logits / self.temperature, dim=-1)
        return [
            [logp[b, left - 1 + t, token] for t, token in enumerate(a.response)]
            for b, a in enumerate(answers)
        ]

    def values(self, answers: list[Answer]) -> list[list[Tensor]]:
        """Value of the state before each response token."""
        trunk, weight, bias = self.value
        inputs, left = self.padded(answers)
        hidden = trunk(**inputs).last_hidden_state
        return [
            [hidden[b, left - 1 + t] @ weight + bias[0] for t in range(len(a.response))]
            for b, a in enumerate(answers)
        ]


def whitened(rows: list[list[float]]) -> list[list[float]]:
    """Mean 0 and variance 1 over all tokens of all rows."""
    flat = [x for row in rows for x in row]
    mean = sum(flat) / len(flat)
    variance = sum((x - mean) ** 2 for x in flat) / len(flat)
    return [[(x - mean) / (variance + 1e-8) ** 0.5 for x in row] for row in rows]


class Adam:
    """Adam with gradients clipped to norm 1 and a learning rate that falls linearly to 0 over all
    updates."""

    def __init__(
        self, parameters: list[Tensor], rate: float, betas: tuple[float, float], updates: int
    ) -> None:
        self.parameters, self.rate, self.betas, self.updates, self.done = (
            parameters,
            rate,
            betas,
            updates,
            0,
        )
        self.mean = [torch.zeros_like(p) for p in parameters]
        self.square = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> float:
        """Returns the gradient's norm before clipping."""
        norm = float(sum(float((g.double() ** 2).sum()) for g in gradients)) ** 0.5
        rate, (one, two) = self.rate * (1 - self.done / self.updates), self.betas
        self.done += 1
        for p, g, m, v in zip(self.parameters, gradients, self.mean, self.square, strict=True):
            g = g * min(1.0, 1.0 / (norm + 1e-6))
            m.mul_(one).add_(g, alpha=1 - one)
            v.mul_(two).add_(g * g, alpha=1 - two)
            p.sub_(rate * (m / (1 - one**self.done)) / ((v / (1 - two**self.done)).sqrt() + 1e-5))
        return norm
