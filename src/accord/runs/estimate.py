"""What a stage would cost, known before any model is loaded: amounts from recipe and data, sizes from config.json.

Token counts are upper bounds (the limits of the recipe). Times assume that texts fill half of their limits and that
products run at a share of the speed measured on this machine; they are meant to tell minutes from hours.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.errors import AccordError
from accord.runs.recipe import REFERENCE

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.stages.settings import EvaluationConfig, LengthConfig

FILL = 0.5
TRAINING, SAMPLING = 0.35, 0.1
"""Shares of the machine's matrix-product speed reached by passes over packed text, and by sampling token by token."""
PROCESS_MIB = 450
ACTIVATIONS = 24
"""Floats kept per token, layer and hidden unit between the forward and the backward pass."""


@dataclass(frozen=True)
class ModelSize:
    """Shape of a causal LM; parameters counts tied weights once."""

    parameters: int
    layers: int
    hidden: int


@dataclass(frozen=True)
class Work:
    """Upper bounds on tokens: trained (forward and backward), scored (forward), sampled (one by one)."""

    trained: int = 0
    scored: int = 0
    sampled: int = 0

    @property
    def tokens(self) -> int:
        return self.trained + self.scored + self.sampled

    def __add__(self, other: Work) -> Work:
        return Work(self.trained + other.trained, self.scored + other.scored, self.sampled + other.sampled)

    def seconds(self, size: ModelSize, frozen: bool = False) -> float:
        """Expected time; `frozen` weights (adapters) need no gradient of their own."""
        per_trained = 4 if frozen else 6
        passes = per_trained * self.trained + 2 * self.scored
        flops = FILL * size.parameters * (passes / TRAINING + 2 * self.sampled / SAMPLING)
        return flops / (machine_gflops() * 1e9)


@cache
def machine_gflops() -> float:
    """GFLOP/s of fp32 matrix products, measured once."""
    from accord.models.tuning import product_gflops

    return product_gflops()


def memory_mib(size: ModelSize, trained: int, frozen: int, micro_batch_tokens: int, lora: bool = False) -> int:
    """Expected peak: weights of `trained` models (with gradients and Adam's moments) and `frozen` ones, activations."""
    floats = size.parameters * ((trained * (1 if lora else 4)) + frozen)
    floats += micro_batch_tokens * size.layers * size.hidden * ACTIVATIONS
    return PROCESS_MIB + round(4 * floats / 2**20)


# --- what is known of inputs -------------------------------------------------------------------------------------
def model_size(reference: str, context: StageContext) -> ModelSize | None:
    """Of a stage's model, a local directory, `accord:NAME` or a cached Hub id; None where it cannot be known yet."""
    if reference.startswith(REFERENCE):
        plan = context.planned.get(_stage(reference))
        return plan.model if plan else None
    return _size_of_files(reference)


@cache
def _size_of_files(reference: str) -> ModelSize | None:
    import torch

    from accord.models.llama_files import empty_llama, read_config

    own = read_config(Path(_located(reference)))
    if own is not None:
        parameters = sum(p.numel() for p in empty_llama(own).parameters())
        return ModelSize(parameters, own.num_hidden_layers, own.hidden_size)
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(_located(reference), local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError):
        return None
    text = config.get_text_config()
    return ModelSize(sum(p.numel() for p in model.parameters()), text.num_hidden_layers, text.hidden_size)


def _located(reference: str) -> str:
    from accord.models.loading import locate_model

    location = locate_model(reference)
    adapter = Path(location) / "adapter_config.json"
    return str(json.loads(adapter.read_text())["base_model_name_or_path"]) if adapter.is_file() else location


def base_model(reference: str, context: StageContext) -> str:
    """The model outside the recipe that `reference` descends from."""
    while reference.startswith(REFERENCE):
        plan = context.planned.get(_stage(reference))
        if plan is None or plan.base is None:
            return reference
        reference = plan.base
    return reference


def rows_of(reference: str, context: StageContext) -> int | None:
    """Rows of a planned artefact, or of a local file."""
    if reference.startswith(REFERENCE):
        plan = context.planned.get(_stage(reference))
        return plan.sizes.get(_artefact(reference)) if plan else None
    rows = _local_rows(reference)
    return len(rows) if rows else None


@cache
def _local_rows(reference: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    from accord.feedback.formats.reading import read_rows

    return tuple(read_rows(reference).rows) if Path(reference).exists() else ()


def demonstration(reference: str, context: StageContext) -> tuple[Any, str] | None:
    """(prompt, response) of the first demonstration, where it can be known."""
    from accord.feedback.formats import read_feedback
    from accord.feedback.records import Demonstration, to_json

    if reference.startswith(REFERENCE):
        plan = context.planned.get(_stage(reference))
        return plan.demonstration if plan else None
    if not Path(reference).exists():
        return None
    for record in read_feedback(reference).records:
        if isinstance(record.choice, Demonstration):
            return record.asked, to_json(record.choice.content)
    return None


def decoded_example(pair: tuple[Any, str] | None, model: str, context: StageContext) -> str | None:
    """A demonstration as the model will see it: encoded and decoded again, the trained part in ⟦ ⟧."""
    from accord.models.huggingface import load_tokenizer
    from accord.text.encoding import Encoder
    from accord.text.lengths import show_example

    base = base_model(model, context)
    if pair is None or base.startswith(REFERENCE) or model_size(base, context) is None:
        return None
    try:
        encoder = Encoder(load_tokenizer(_located(base), local_only=True))
        return show_example(encoder.example(pair[0], pair[1], row="first demonstration"), encoder)
    except (OSError, AccordError) as error:
        return f"no example: {str(error).splitlines()[0]}"


def _stage(reference: str) -> str:
    return reference.removeprefix(REFERENCE).partition("/")[0]


def _artefact(reference: str) -> str:
    return reference.partition("/")[2]


# --- shares of stages ----------------------------------------------------------------------------------------------
def updates(rows: int | None, batch: int, epochs: float) -> int | None:
    """Optimiser steps over `rows`, whose epochs end with a smaller batch (see `accord.learning.order`)."""
    return math.ceil(round(math.ceil(rows / batch) * epochs, 6)) if rows is not None else None


def text_tokens(rows: int | None, lengths: LengthConfig) -> int:
    """Most tokens of prompt and response in `rows`."""
    return (rows or 0) * (lengths.max_prompt_tokens + lengths.max_response_tokens)


def judged_prompts(reference: str, limit: int | None, lengths: LengthConfig, context: StageContext) -> tuple[int, int]:
    """(prompts, most tokens of one pass over them and their judged responses); (0, 0) where it cannot be known."""
    plan = context.planned.get(_stage(reference)) if reference.startswith(REFERENCE) else None
    rows = rows_of(reference, context) or 0
    prompts = plan.sizes.get("prompts", rows) if plan else rows
    responses = plan.sizes.get("responses", 2 * prompts) if plan else 2 * prompts
    share = min(1.0, limit / prompts) if limit and prompts else 1.0
    tokens = prompts * lengths.max_prompt_tokens + responses * lengths.max_response_tokens
    return round(prompts * share), round(tokens * share)


def examination(config: EvaluationConfig | None) -> Work:
    """Sampling at every point and scoring by policy, reference and reward model."""
    if config is None:
        return Work()
    tokens = config.points * config.count * config.max_new_tokens
    return Work(sampled=tokens, scored=3 * tokens)
