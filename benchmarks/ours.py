"""Our side of a comparison: what a user of accord's Python functions gets, with their default
settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from accord.learning.optimizer import Optimizer
from accord.learning.settings import OptimizerSettings
from accord.models.loading import LoraSettings, add_lora, freeze, load_causal_lm
from accord.models.tuning import tune
from accord.text.packing import PromptGroup
from benchmarks.peers import JUDGES
from benchmarks.workloads import (
    ANSWERS,
    Row,
    Turn,
    forward_gflop,
    judge_questions,
    make_rows,
    score,
    tokens_of,
    vocabulary_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from accord.learning.on_policy_settings import OnPolicySettings
    from accord.models.causal_lm import CausalLM
    from accord.sampling.rollout import Rollout

Epoch = Callable[[], Turn]
"""Trains once over the rows."""
Step = Callable[[int], float]
"""Adds the gradient of the batch that starts at this row; returns its loss."""
RATE = 1e-5
CONSTANT = OptimizerSettings(
    learning_rate=RATE, adam_beta2=0.999, warmup=0.0, schedule="constant", max_grad_norm=1.0
)
SLOW = CONSTANT.changed(learning_rate=1e-6)
FOREVER = 10**6


def epoch_of(options: argparse.Namespace) -> Epoch:
    """Everything ready for the trainer's first step."""
    tune(options.threads)
    model = load_causal_lm(options.model)
    rows = make_rows(
        options.rows, vocabulary_of(options.model), int(model.tokenizer.eos_token_id or 0)
    )
    if options.trainer in ("grpo", "rloo", "ppo-vs-rloo"):
        return _on_policy(options, model, rows)
    if options.trainer == "online-dpo":
        return _online_dpo(options, model, rows)
    if options.trainer == "sample":
        return _sample(options, model, rows)
    if options.trainer in JUDGES:
        return _judge(options, model, rows)
    makers = {"sft": _sft, "import": _sft, "reward": _reward}
    step, optimizer = makers.get(options.trainer, _dpo)(options, model, rows)
    tokens = tokens_of(rows, options.trainer)
    gflop = _gflop(rows, options.trainer, model)

    def epoch() -> Turn:
        losses = []
        for at in range(0, len(rows), options.batch):
            optimizer.ready()
            losses.append(step(at))
            optimizer.step("benchmark")
        return Turn(tokens, loss=losses[0], gflop=gflop)

    return epoch


def _sft(
    options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]
) -> tuple[Step, Optimizer]:
    from accord.learning.supervised import supervised_step

    groups, budget = [PromptGroup(r.prompt, [r.chosen]) for r in rows], options.micro_batch_tokens
    return (
        lambda at: supervised_step(model, groups[at : at + options.batch], budget)[0],
        Optimizer(model.parameters(), CONSTANT, FOREVER),
    )


def _reward(
    options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]
) -> tuple[Step, Optimizer]:
    from accord.learning.judged_batch import JudgedBatch
    from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
    from accord.learning.reward import reward_step
    from accord.learning.settings import RewardSettings
    from accord.models.scalar import ScalarModel

    member = ScalarModel.from_causal_lm(model, 0)
    judged = JudgedBatch.of(
        [
            JudgedGroup(PromptGroup(r.prompt, [r.chosen, r.rejected]), (Judgement((0, 1), None),))
            for r in rows
        ]
    )
    settings, effects = (
        RewardSettings(micro_batch_tokens=options.micro_batch_tokens, learning_rate=3e-4),
        AnnotatorEffects.none(),
    )

    def step(at: int) -> float:
        batch = judged.select(range(at, min(at + options.batch, len(rows))))
        return reward_step(member, batch, settings, effects)[0]

    return step, Optimizer(member.parameters(), CONSTANT, FOREVER)


def _dpo(
    options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]
) -> tuple[Step, Optimizer]:
    from accord.learning.preference import (
        Pair,
        PreferenceSettings,
        preference_step,
        reference_logprobs,
    )

    lora, settings = (
        options.trainer == "dpo-lora",
        PreferenceSettings(micro_batch_tokens=options.micro_batch_tokens, learning_rate=1e-5),
    )
    policy = add_lora(model, LoraSettings(16, 32.0), 0) if lora else model
    pairs, budget = (
        [Pair(r.prompt, r.chosen, r.rejected) for r in rows],
        settings.micro_batch_tokens,
    )
    reference = None if lora else freeze(load_causal_lm(options.model, verify=False))
    cached = (
        None if options.trainer == "dpo" else reference_logprobs(policy, reference, pairs, budget)
    )
    if cached is not None:
        reference = None

    def step(at: int) -> float:
        part = pairs[at : at + options.batch]
        known = (
            reference_logprobs(policy, reference, part, budget)
            if cached is None
            else cached[at : at + len(part)]
        )
        return preference_step(policy, part, known, settings)[0]["loss"]

    return step, Optimizer(policy.parameters(), CONSTANT, FOREVER)


def _gflop(rows: Sequence[Row], trainer: str, model: CausalLM) -> float:
    """GFLOP of the matrix products of one epoch: shared prompts once, adapters without weight
    gradients."""
    tokens = sum(
        len(r.prompt) + len(r.chosen) + (len(r.rejected) if trainer != "sft" else 0) for r in rows
    )
    passes = {"dpo": 8, "dpo-lora": 4}.get(trainer, 6)
    return passes * sum(p.numel() for p in model.hf.parameters()) * tokens / 1e9


# --- responses are sampled ------------------------------------------------------------------------
def _scores(rollout: Rollout) -> Tensor:
    import torch

    return torch.tensor([[score(response) for response in rollout.responses]])


def _counts(prompts: Sequence[Sequence[int]], rollout: Rollout) -> tuple[int, int]:
    """(real tokens, sampled tokens) of a rollout."""
    sampled = sum(map(len, rollout.responses))
    return sampled + sum(len(prompts[index]) for index in rollout.prompt_index), sampled


def _policy_settings(options: argparse.Namespace) -> OnPolicySettings:
    from accord.learning.on_policy_settings import OnPolicySettings

    each = 8 if options.trainer == "grpo" else 2
    common = OnPolicySettings(
        steps=FOREVER,
        prompts_per_step=options.rollouts // each,
        samples_per_prompt=each,
        max_new_tokens=options.longest,
        epochs=1,
        unfinished_score=None,
        micro_batch_tokens=options.micro_batch_tokens,
        kl_coefficient=0.05,
        **SLOW.model_dump(),
    )
    if options.trainer == "grpo":
        return common.changed(  # as TRL at its beta of 0: no reference, no KL
            estimator="grpo",
            whiten_advantages=False,
            kl_in="loss",
            kl_coefficient=0.0,
            measure_kl=False,
        )
    if options.side == "ours" and options.trainer == "ppo-vs-rloo":
        return common
    return common.changed(estimator="rloo", ratio="response", whiten_advantages=False)


def _on_policy(options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]) -> Epoch:
    from accord.learning.on_policy import OnPolicyTrainer
    from accord.models.scalar import ScalarModel
    from accord.sampling.builtin import BuiltinSampler

    settings, counted = _policy_settings(options), [0, 0]
    prompts = [row.prompt for row in rows]
    value = ScalarModel.from_causal_lm(model, 0) if settings.estimator == "gae" else None
    reference = freeze(load_causal_lm(options.model, verify=False)) if settings.measure_kl else None

    def score_and_count(rollout: Rollout) -> Tensor:
        for index, count in enumerate(_counts(rollout.prompts, rollout)):
            counted[index] += count
        return _scores(rollout)

    trainer = OnPolicyTrainer(
        model, reference, value, BuiltinSampler(model), score_and_count, prompts, settings
    )
    steps = len(rows) // settings.prompts_per_step

    def epoch() -> Turn:
        counted[:] = [0, 0]
        trainer.settings = settings.changed(steps=trainer.done + steps)
        trainer.train()
        return Turn(*counted)

    return epoch


def _online_dpo(options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]) -> Epoch:
    from accord.learning.preference import (
        Pair,
        PreferenceSettings,
        preference_step,
        reference_logprobs,
    )
    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings

    reference = freeze(load_causal_lm(options.model, verify=False))
    settings = PreferenceSettings(micro_batch_tokens=options.micro_batch_tokens, learning_rate=1e-5)
    optimizer, sampler, drawn = (
        Optimizer(model.parameters(), SLOW, FOREVER),
        BuiltinSampler(model),
        [0],
    )

    def step(at: int) -> tuple[int, int]:
        prompts = [row.prompt for row in rows[at : at + options.batch]]
        seeds = range(drawn[0], drawn[0] + 2 * len(prompts))
        drawn[0] = seeds.stop
        rollout = sampler.sample(prompts, SamplingSettings(options.longest), seeds, 2)
        pairs = []
        for prompt, a, b in zip(
            prompts, rollout.responses[::2], rollout.responses[1::2], strict=True
        ):
            pairs.append(Pair(prompt, a, b) if score(a) >= score(b) else Pair(prompt, b, a))
        known = reference_logprobs(model, reference, pairs, settings.micro_batch_tokens)
        optimizer.ready()
        preference_step(model, pairs, known, settings)
        optimizer.step("benchmark")
        return _counts(prompts, rollout)

    def epoch() -> Turn:
        tokens, sampled = zip(*(step(at) for at in range(0, len(rows), options.batch)), strict=True)
        return Turn(sum(tokens), sum(sampled))

    return epoch


def _judge(options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]) -> Epoch:
    from accord.models.next_tokens import next_token_logps, sharing_starts

    questions, judge = judge_questions(list(rows), options.trainer), freeze(model)
    groups, size = sharing_starts(sorted(questions)), model.hf.config
    computed = sum(len(one.prompt) + sum(map(len, one.responses)) for one in groups)
    gflop = forward_gflop(
        sum(p.numel() for p in model.hf.parameters()),
        size.vocab_size * size.hidden_size,
        computed,
        len(questions),
    )

    def epoch() -> Turn:
        found = next_token_logps(judge, questions, [ANSWERS] * len(questions))
        mean = sum(float(logp_K[0]) for logp_K in found) / len(found)
        return Turn(sum(map(len, questions)), loss=mean, gflop=gflop)

    return epoch


def _sample(options: argparse.Namespace, model: CausalLM, rows: Sequence[Row]) -> Epoch:
    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings

    prompts, sampler, drawn = [row.prompt for row in rows], BuiltinSampler(model), [0]

    def epoch() -> Turn:
        drawn[0] += len(prompts)
        rollout = sampler.sample(
            prompts, SamplingSettings(options.longest), range(drawn[0], drawn[0] + len(prompts))
        )
        _, sampled = _counts(prompts, rollout)
        return Turn(sampled, sampled)

    return epoch
