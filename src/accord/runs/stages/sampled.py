"""A policy's responses to a file of prompts, scored: sampled in chunks that survive an
interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, cast

from accord.runs.context import StageContext
from accord.runs.stages.evaluation import sequence_seeds
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.text.chats import Prompt

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM

LOG = "sampled.jsonl"
Score = Callable[[Sequence[Prompt], Rollout, Sequence[str]], Sequence[float | list[float] | None]]
"""(prompts of the chunk, as in the data; their rollout; its responses as text) -> one number per
response, or one of each member of an ensemble; None for one that is not scored."""


class SampledRow(TypedDict):
    """A prompt, as in the data, with its responses: their texts, whether they ended, their
    scores."""

    prompt: Prompt
    responses: list[str]
    finished: list[bool]
    scores: list[float]


def sample_in_chunks(
    model: CausalLM,
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    k: int,
    context: StageContext,
    chunk: int,
    score: Score,
    log_name: str = LOG,
) -> list[SampledRow]:
    """One row per prompt, with k samples of each, kept in the log of that name.

    After each `chunk` of prompts the rows are on disk: a resumed stage samples the rest, with the
    seeds it would have had.
    """
    encoder, sampler = context.encoder(model), BuiltinSampler(model)
    seeds = sequence_seeds(context.seed, "offered", len(prompts) * k)
    log = context.log(log_name)
    for start in range(len(log.rows), len(prompts), chunk):
        part = prompts[start : start + chunk]
        ids = [encoder.prompt(p, str(start + i)) for i, p in enumerate(part)]
        rollout = sampler.sample(ids, settings, seeds[start * k : (start + len(part)) * k], k)
        rollout = replace(rollout, rows=list(range(start, start + len(part))))
        texts = [encoder.text(r) for r in rollout.responses]
        scores = score(part, rollout, texts)
        places = [slice(i * k, (i + 1) * k) for i in range(len(part))]
        log.append(
            {
                "prompt": p,
                "responses": texts[at],
                "finished": rollout.finished[at],
                "scores": list(scores[at]),
            }
            for p, at in zip(part, places, strict=True)
        )
        context.checkpoint(min(start + chunk, len(prompts)), len(prompts), "sampling")
    return cast("list[SampledRow]", log.rows)
