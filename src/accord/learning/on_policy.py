"""On-policy learning: PPO for language as one loop.

    for each step:  sample responses  ->  score them  ->  log-probabilities of policy and reference, values
                    ->  reward per token = -kl_coefficient * k1, plus the score at the last token
                    ->  advantages (GAE, or leave-one-out)  ->  epochs x minibatches of clipped updates

Details follow Ziegler et al. 2019, Stiennon et al. 2020 and Huang et al. 2024; each is a field of
`OnPolicySettings` with its paper's default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from accord.errors import DataError, RunError
from accord.learning import advantages as adv
from accord.learning import losses
from accord.learning.kl_control import KLController
from accord.learning.on_policy_batch import (
    Experience,
    check_sampler,
    kl_metrics,
    minibatches,
    rollout_metrics,
)
from accord.learning.optimizer import Optimizer, OptimizerSettings, load_trainable, trainable_state
from accord.learning.order import EpochOrder
from accord.learning.session import LocalSession, Session, State
from accord.learning.supervised import supervised_step
from accord.models import precision
from accord.models.causal_lm import CausalLM
from accord.models.scalar import ScalarModel
from accord.sampling.rollout import Rollout, Sampler, SamplingSettings
from accord.text.packing import Group, micro_batches, pack

Score = Callable[[Rollout], Tensor]
"""Scores a rollout: [E, B], one row per reward-model member (or a single row)."""


def _ppo_optimizer(learning_rate: float) -> OptimizerSettings:
    return OptimizerSettings(learning_rate, betas=(0.9, 0.999), eps=1e-5, schedule="linear", max_grad_norm=1.0)


@dataclass(frozen=True)
class OnPolicySettings:
    """steps: rollout batches; prompts_per_step x samples_per_prompt responses each; kl_target steers the
    coefficient (None: fixed); kl_in: k1 in the reward (PPO, RLOO) or k3 in the loss (GRPO); kl_unbiased: weight that k3
    by the ratio, so that its gradient is that of the reverse KL (DeepSeek-V3.2 2025); unfinished_score
    replaces the score of responses without EOS (None: keep); estimator: see `advantages.estimate`; aggregation: see
    `losses.token_weights`; ratio: see `losses.whole_ratio`; kl_budget and min_unique are guards (0: off)."""

    steps: int
    prompts_per_step: int = 64
    samples_per_prompt: int = 1
    max_new_tokens: int = 48
    temperature: float = 1.0
    epochs: int = 4
    minibatches: int = 1
    micro_batch_tokens: int = 8192
    estimator: adv.Estimator = "gae"
    aggregation: losses.Aggregation = "token"
    ratio: losses.Ratio = "token"
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    clip_high: float | None = None
    value_clip: float = 0.2
    whiten_advantages: bool = True
    kl_coefficient: float = 0.05
    kl_in: Literal["reward", "loss"] = "reward"
    kl_unbiased: bool = True
    kl_target: float | None = None
    kl_horizon: int = 10_000
    score_clip: float = 0.0
    unfinished_score: float | None = -1.0
    ensemble: str = "mean"
    ptx_weight: float = 0.0
    ptx_batch: int = 32
    kl_budget: float = 0.0
    min_unique: float = 0.0
    sampler_bound: float = 0.02
    seed: int = 0
    policy_optimizer: OptimizerSettings = field(default_factory=lambda: _ppo_optimizer(1e-5))
    value_optimizer: OptimizerSettings = field(default_factory=lambda: _ppo_optimizer(1e-5))

    @property
    def responses(self) -> int:
        """Responses per step."""
        return self.prompts_per_step * self.samples_per_prompt


@dataclass(frozen=True)
class OnPolicyResult:
    """Counts, the last step's mean score and KL (nats per sequence), and the guard that stopped it, if one did."""

    steps: int
    optimizer_steps: int
    tokens: int
    score: float
    kl_seq: float
    kl_coefficient: float
    guard: str | None = None


class OnPolicyTrainer:
    """Holds policy, reference and value model; `train` runs the loop.

    `reference` None means the policy's adapter is switched off for the reference. `value` is needed for the
    estimator "gae" only; it starts as a copy of the reward model. `ptx` are supervised examples mixed in.
    """

    def __init__(
        self, policy: CausalLM, reference: CausalLM | None, value: ScalarModel | None, sampler: Sampler, score: Score,
        prompts: Sequence[Sequence[int]], settings: OnPolicySettings, ptx: Sequence[Group] = (),
    ) -> None:  # fmt: skip
        if not prompts:
            raise DataError("there is nothing to sample from: 0 prompts")
        if settings.estimator == "gae" and value is None:
            raise ValueError("the estimator 'gae' needs a value model")
        self.policy, self.reference, self.value = policy, reference, value
        self.sampler, self.score, self.prompts, self.settings, self.ptx = (
            sampler,
            score,
            prompts,
            settings,
            ptx,
        )
        self.kl = KLController(settings.kl_coefficient, settings.kl_target, settings.kl_horizon)
        updates = settings.steps * settings.epochs * settings.minibatches
        self.policy_optimizer = Optimizer(policy.parameters(), settings.policy_optimizer, updates)
        self.value_optimizer = Optimizer(value.parameters(), settings.value_optimizer, updates) if value else None
        per_epoch = -(-len(prompts) // settings.prompts_per_step)
        self.order = EpochOrder(len(prompts), settings.prompts_per_step, settings.steps / per_epoch, settings.seed)
        self.done = self.tokens = 0
        self.last = {"score": float("nan"), "kl_seq": float("nan")}
        self.stopped: str | None = None

    # --- the algorithm ------------------------------------------------------------------------------------
    def train(
        self, session: Session | None = None, on_step: Callable[[int, int], None] | None = None
    ) -> OnPolicyResult:
        """Run all steps, or until a guard stops the training (see the result's `guard`).

        `on_step(step, total)` is called after each update; a guard's last call has step = total.
        """
        session, s = session or LocalSession(), self.settings
        if (saved := session.restore()) is not None:
            self.load(saved)
        for step in range(self.done, s.steps):
            if self.stopped:
                break
            rollout = self.rollout(step)
            batch = self.experience(rollout)
            if step == 0:
                check_sampler(rollout, batch, s.sampler_bound, s.temperature)
            metrics = rollout_metrics(rollout, batch) | kl_metrics(batch) | {"kl_coefficient": self.kl.coefficient}
            metrics |= self.update(batch, step)
            self.kl.update(metrics["kl_seq"], s.responses)
            self.done, self.tokens = step + 1, self.tokens + int(metrics["tokens"])
            self.last = {"score": metrics["score"], "kl_seq": metrics["kl_seq"]}
            self.stopped = self.guard(metrics, step + 1)
            if on_step is not None:  # before the checkpoint: a kill in between repeats it
                on_step(step + 1, step + 1 if self.stopped else s.steps)
            session.end_step(step + 1, s.steps, metrics, self.state)
        steps = self.policy_optimizer.steps
        return OnPolicyResult(
            self.done, steps, self.tokens, self.last["score"], self.last["kl_seq"], self.kl.coefficient, self.stopped
        )

    def rollout(self, step: int) -> Rollout:
        """Sample this step's responses; seeds derive from (seed, step), so a resumed run repeats them."""
        s = self.settings
        rows = self.order.rows(step)
        first = (s.seed * 1_000_003 + step) * 100_003
        seeds = range(first, first + len(rows) * s.samples_per_prompt)
        settings = SamplingSettings(s.max_new_tokens, s.temperature)
        return self.sampler.sample([self.prompts[row] for row in rows], settings, seeds, s.samples_per_prompt)

    @torch.no_grad()
    def experience(self, rollout: Rollout) -> Experience:
        """Score the rollout and compute everything the update needs, once, with the weights that sampled it."""
        s, groups = self.settings, rollout.groups()
        scores_EB = self.score(rollout)
        logp_S = self._per_token(groups, lambda stream: self.policy.logprobs(stream, s.temperature))
        model = self.reference or self.policy
        with model.reference():
            ref_S = self._per_token(groups, lambda stream: model.logprobs(stream, s.temperature))
        values_S = self._per_token(groups, self.value.values) if self.value else torch.zeros_like(logp_S)
        lengths_B = torch.tensor([len(r) for r in rollout.responses], device=logp_S.device)
        score_B = self.final_score(scores_EB, rollout).to(logp_S)
        paid = self.kl.coefficient if s.kl_in == "reward" else 0.0
        rewards_S = adv.token_rewards(losses.kl_k1(logp_S, ref_S), score_B, lengths_B, paid)
        advantages_S, returns_S = self.advantages(rewards_S, values_S, lengths_B)
        return Experience(
            groups, lengths_B, logp_S, ref_S, values_S, advantages_S, returns_S, score_B, scores_EB
        )  # fmt: skip

    def final_score(self, scores_EB: Tensor, rollout: Rollout) -> Tensor:
        """One score per response: ensemble aggregate, clipped, with the fixed score where EOS is missing: [B]."""
        from accord.learning.reward import aggregate

        s = self.settings
        score_B = aggregate(scores_EB, s.ensemble)
        if s.score_clip:
            score_B = score_B.clamp(-s.score_clip, s.score_clip)
        if s.unfinished_score is not None:
            finished = torch.tensor(rollout.finished, device=score_B.device)
            score_B = torch.where(finished, score_B, score_B.new_tensor(s.unfinished_score))
        return score_B

    def advantages(self, rewards_S: Tensor, values_S: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(advantages, returns) per token, advantages whitened over the whole batch."""
        s = self.settings
        advantages_S, returns_S = adv.estimate(
            s.estimator, rewards_S, values_S, lengths_B, s.samples_per_prompt, s.gamma, s.lam
        )
        return (adv.whiten(advantages_S) if s.whiten_advantages else advantages_S), returns_S

    def update(self, batch: Experience, step: int) -> dict[str, float]:
        """epochs x minibatches clipped updates; returns the mean of their metrics."""
        s = self.settings
        before, rows = self.policy_optimizer.steps, list[dict[str, float]]()
        for epoch in range(s.epochs):
            for part in minibatches(batch, s.minibatches, seed=(s.seed * 1_000_003 + step) * 101 + epoch):
                rows.append(self.minibatch(part, step, first=not rows))
        if self.policy_optimizer.steps - before != s.epochs * s.minibatches:
            raise RunError(
                f"step {step + 1} made {self.policy_optimizer.steps - before} updates instead of "
                f"{s.epochs} epochs x {s.minibatches} minibatches",
                f"use at least {s.minibatches} prompts per step",
            )
        metrics = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        return metrics | {name: rows[-1][name] for name in ("learning_rate", "optimizer_steps")} | {
            "tokens": float(sum(row["tokens"] for row in rows))
        }  # fmt: skip

    def minibatch(self, part: Experience, step: int, first: bool) -> dict[str, float]:
        """One update of policy and value model, accumulated over micro-batches with the minibatch's token count."""
        s, total = self.settings, part.logp_S.numel()
        names = (
            "policy_loss",
            "value_loss",
            "clip_share",
            "value_clip_share",
            "ratio_mean",
            "update_kl_tok",
            "tokens",
        )
        sums = dict.fromkeys(names, 0.0)
        for start, end in micro_batches(part.groups, s.micro_batch_tokens):
            micro = part.slice(start, end)
            stream = pack(micro.groups).to(self.policy.device)
            logp_S = self.policy.logprobs(stream, s.temperature)
            policy_loss = self.policy_loss(logp_S, micro, total, part.lengths_B.numel())
            policy_loss.backward()
            log_ratio = (logp_S - micro.logp_S).detach()
            if first:
                _check_ratio(log_ratio, step)
            sums["policy_loss"] += policy_loss.item()
            change, high = log_ratio.exp() - 1, s.clip if s.clip_high is None else s.clip_high
            sums["clip_share"] += float(((change > high) | (change < -s.clip)).sum()) / total
            sums["ratio_mean"] += float(log_ratio.exp().sum()) / total
            sums["update_kl_tok"] += float((torch.expm1(log_ratio) - log_ratio).sum()) / total
            sums["tokens"] += stream.tokens
            if self.value is not None:
                values_S = self.value.values(stream)
                value_loss = losses.ppo_value(values_S, micro.values_S, micro.returns_S, s.value_clip).sum() / total
                value_loss.backward()
                moved = (values_S.detach() - micro.values_S).abs() > s.value_clip
                sums["value_loss"] += value_loss.item()
                sums["value_clip_share"] += float(moved.sum()) / total
        if s.ptx_weight and self.ptx:
            sums["ptx_loss_tok"] = self._ptx()
        where = f"step {step + 1}"
        sums |= self.policy_optimizer.step(where)
        if self.value_optimizer is not None:
            sums["value_grad_norm"] = self.value_optimizer.step(f"{where} (value model)")["grad_norm"]
        return sums

    def policy_loss(self, logp_S: Tensor, micro: Experience, tokens: int, responses: int) -> Tensor:
        """The micro-batch's share of the loss of a minibatch with `responses` of `tokens` in all."""
        s = self.settings
        log_ratio_S = logp_S - micro.logp_S
        if s.ratio != "token":
            log_ratio_S = losses.whole_ratio(log_ratio_S, micro.lengths_B, mean=s.ratio == "sequence")
        loss_S = losses.ppo_policy(log_ratio_S, micro.advantages_S, s.clip, s.clip_high)
        if s.kl_in == "loss":
            kl_S = losses.kl_k3(logp_S, micro.ref_S)
            if s.kl_unbiased:
                kl_S = kl_S * torch.exp(logp_S - micro.logp_S)
            loss_S = loss_S + self.kl.coefficient * kl_S
        if s.aggregation == "token":
            return loss_S.sum() / tokens
        weight_S = losses.token_weights(micro.lengths_B, s.aggregation, responses, s.max_new_tokens)
        return (weight_S * loss_S).sum()

    def guard(self, metrics: dict[str, float], step: int) -> str | None:
        """Why training must stop: the policy left the KL budget or its answers became the same. None: go on."""
        s = self.settings
        if s.kl_budget and metrics["kl_seq"] > s.kl_budget:
            return (
                f"KL is {metrics['kl_seq']:.1f} nats per sequence at step {step}, above the budget of {s.kl_budget:g}"
            )
        if s.min_unique and metrics["unique_share"] < s.min_unique:
            return (
                f"{metrics['unique_share']:.0%} of the responses of step {step} are distinct, below {s.min_unique:.0%}"
            )
        return None

    # --- helpers -----------------------------------------------------------------------------------------
    def _per_token(self, groups: Sequence[Group], function: Callable[[Any], Tensor]) -> Tensor:
        parts = [
            function(pack(groups[start:end]).to(self.policy.device))
            for start, end in micro_batches(groups, self.settings.micro_batch_tokens)
        ]
        return torch.cat(parts)

    def _ptx(self) -> float:
        """Add the gradient of the pretraining mix (InstructGPT eq. 2), scaled by its weight."""
        s = self.settings
        generator = torch.Generator().manual_seed(s.seed * 1_000_003 + self.policy_optimizer.steps)
        rows = torch.randint(len(self.ptx), (s.ptx_batch,), generator=generator).tolist()
        held = [p.grad.clone() if p.grad is not None else None for p in self.policy_optimizer.parameters]
        self.policy_optimizer.clear()
        loss, _ = supervised_step(self.policy, [self.ptx[r] for r in rows], s.micro_batch_tokens)
        for p, grad in zip(self.policy_optimizer.parameters, held, strict=True):
            if p.grad is not None:
                p.grad.mul_(s.ptx_weight)
                if grad is not None:
                    p.grad.add_(grad)
            else:
                p.grad = grad
        return loss

    def state(self) -> State:
        """Everything a bit-identical continuation needs."""
        return {
            "policy": trainable_state(self.policy.hf), "policy_optimizer": self.policy_optimizer.state(),
            "value": self.value.state() if self.value else None,
            "value_optimizer": self.value_optimizer.state() if self.value_optimizer else None,
            "kl": self.kl.state(), "done": self.done, "tokens": self.tokens, "last": self.last, "stopped": self.stopped,
        }  # fmt: skip

    def load(self, state: State) -> None:
        """Continue from `state()`."""
        load_trainable(self.policy.hf, state["policy"])
        self.policy_optimizer.load(state["policy_optimizer"])
        if self.value is not None and self.value_optimizer is not None:
            self.value.load(state["value"])
            self.value_optimizer.load(state["value_optimizer"])
        self.kl.load(state["kl"])
        self.done, self.tokens, self.last = state["done"], state["tokens"], state["last"]
        self.stopped = state["stopped"]


def _check_ratio(log_ratio_S: Tensor, step: int) -> None:
    worst = float(log_ratio_S.abs().max())
    if not worst < precision.LOG_RATIO_BOUND[precision.current()]:
        raise RunError(
            f"the first minibatch of step {step + 1} has a probability ratio of exp({worst:.3g}) instead of 1",
            "old and new log-probabilities come from different arithmetic (dropout, temperature or packing)",
        )
