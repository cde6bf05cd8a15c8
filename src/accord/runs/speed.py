"""How fast this machine trains, scores and samples with a model of a given shape: one step of each
is measured.

Weights are made up, not read: time depends on shapes alone. Of a large model a part is measured
(few layers, few words) and scaled by its weights, so that a plan takes a second, not the memory of
the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.runs.plan import KnownModel

MOST = 30_000_000
"""Weights of what is measured; of larger models it is a part."""
PROMPT, RESPONSE = 32, 32
ROWS, STEPS = 8, 8
"""Sequences in the measured step, and tokens sampled of each."""


@dataclass(frozen=True)
class Speed:
    """Seconds per token of training (forward and backward), of scoring (forward) and of
    sampling."""

    trained: float
    scored: float
    sampled: float

    def times(self, factor: float) -> Speed:
        return Speed(factor * self.trained, factor * self.scored, factor * self.sampled)


def speed_of(model: KnownModel, device: str, lora: bool = False) -> Speed | None:
    """None where the model's shape is not known, or is no Llama-like one."""
    if model.location is None or model.size is None:
        return None
    measured = _measured(model, device)
    if measured is None:
        return None
    return (
        replace(measured, trained=measured.trained * 4 / 6) if lora else measured
    )  # no gradients of the weights


@cache
def _measured(known: KnownModel, device: str) -> Speed | None:
    import torch

    from accord.models.llama_files import empty_llama, read_config

    config = read_config(Path(str(known.location)))
    if config is None or known.language is None:
        return None
    whole = sum(p.numel() for p in empty_llama(config).parameters())
    if whole > MOST:
        config = replace(
            config,
            num_hidden_layers=min(2, config.num_hidden_layers),
            vocab_size=min(8192, config.vocab_size),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _made_up(config, known.language.tokenizer, device)
        part = sum(p.numel() for p in model.hf.parameters())
        return _timed(model, device).times(whole / part)


def _made_up(config: Any, tokenizer: Any, device: str) -> CausalLM:
    """Small random weights: products of zeros, or of numbers out of range, could be faster or
    slower."""
    import torch
    from torch import nn

    from accord.models.causal_lm import CausalLM
    from accord.models.llama_files import empty_llama

    hf = empty_llama(config)
    for name, empty in list(hf.named_parameters()):
        owner, _, own = name.rpartition(".")
        setattr(
            hf.get_submodule(owner), own, nn.Parameter(torch.empty(empty.shape).normal_(0, 0.02))
        )
    hf.tie()
    return CausalLM(hf.to(device), tokenizer)


def _timed(model: CausalLM, device: str) -> Speed:
    import torch

    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings
    from accord.text.packing import PromptGroup, pack

    prompts = torch.randint(0, model.vocab_size, (ROWS, PROMPT)).tolist()
    responses = torch.randint(0, model.vocab_size, (ROWS, RESPONSE)).tolist()
    stream = pack([PromptGroup(p, [r]) for p, r in zip(prompts, responses, strict=True)]).to(device)
    tokens = ROWS * (PROMPT + RESPONSE)

    def train() -> int:
        model.logprobs(stream).mean().backward()
        return tokens

    @torch.no_grad()
    def score() -> int:
        model.logprobs(stream)
        return tokens

    def sample() -> int:
        rollout = BuiltinSampler(model).sample(
            prompts, SamplingSettings(STEPS, 1.0), list(range(ROWS)), 1
        )
        return sum(map(len, rollout.responses))

    return Speed(*(_best(step, device) for step in (train, score, sample)))


def _best(step: Callable[[], int], device: str) -> float:
    """Seconds per token in the fastest of several tries; the first also makes kernels and buffers.
    On processors those of an idle machine: what others take meanwhile is not counted."""
    import torch

    clock, at_once = time.perf_counter, 1
    if device == "cpu":
        clock, at_once = time.process_time, torch.get_num_threads()
    times = []
    for _ in range(2):
        start = clock()
        tokens = step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append((clock() - start) / (at_once * tokens))
    return min(times)
