"""A toy on-policy run: prompts, settings with a fast optimizer, and a trainer whose parts can be
exchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from accord.learning.cost_limit import CostLimit
from accord.learning.on_policy import OnPolicyTrainer
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.parallel import ALONE, World
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze
from accord.models.scalar import ScalarModel
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.text.packing import PromptGroup, pack
from tiny import tiny_llama

PROMPTS = [[0, *(4 + (7 * i + 3 * j) % 30 for j in range(2 + i % 4))] for i in range(16)]
SETTINGS = OnPolicySettings(
    steps=2, prompts_per_step=8, max_new_tokens=8, epochs=2, minibatches=2, kl_coefficient=0.05, unfinished_score=None,
    learning_rate=3e-3, adam_beta2=0.95,
 warmup=0.0)  # fmt: skip


def count_sevens(rollout: Rollout) -> torch.Tensor:
    """One member that pays for token 7: [1, B]."""
    return torch.tensor([[float(r.count(7)) for r in rollout.responses]])


def make(
    score: Callable[[Rollout], torch.Tensor] = count_sevens,
    policy: CausalLM | None = None,
    reference: CausalLM | None = None,
    prompts: list[list[int]] = PROMPTS,
    sampler: Any = None,
    ptx: Any = (),
    settings: OnPolicySettings = SETTINGS,
    world: World = ALONE,
    value: Callable[[int], CausalLM] = tiny_llama,
    seed: int = 0,
    limit: CostLimit | None = None,
    heldout: Any = (),
    **changes: Any,
) -> OnPolicyTrainer:
    """A trainer of a tiny Llama; `changes` are settings."""
    settings = settings.changed(**changes)
    policy = policy or tiny_llama()
    critic = None
    if settings.estimator == "gae":
        critic = ScalarModel.from_causal_lm(value(0), seed=5)
        critic.head.to(critic.lm.hf.dtype)
    sampler = sampler or BuiltinSampler(policy)
    return OnPolicyTrainer(
        policy,
        reference or freeze(tiny_llama()),
        critic,
        sampler,
        score,
        prompts,
        settings,
        ptx,
        world,
        seed,
        heldout=heldout,
        limit=limit,
    )


class Fixed:
    """A sampler that always answers with the same responses, their log-probabilities those of
    `model`."""

    def __init__(self, model: CausalLM, responses: list[list[int]], finished: list[bool]) -> None:
        self.model, self.responses, self.finished = model, responses, finished

    @torch.no_grad()
    def sample(
        self, prompts: Any, settings: SamplingSettings, seeds: Any, samples_per_prompt: int = 1
    ) -> Rollout:
        index = [p for p in range(len(prompts)) for _ in range(samples_per_prompt)]
        logprobs = [
            self.model.logprobs(pack([PromptGroup(prompts[p], [r])]), settings.temperature)
            for p, r in zip(index, self.responses, strict=True)
        ]
        return Rollout([list(p) for p in prompts], index, self.responses, logprobs, self.finished)


def native_logits(model: CausalLM, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of one unpadded sequence through transformers' own forward pass."""
    before = model.hf.config._attn_implementation
    model.hf.config._attn_implementation = "eager"
    try:
        return model.hf(input_ids=torch.tensor([ids])).logits[0]
    finally:
        model.hf.config._attn_implementation = before
