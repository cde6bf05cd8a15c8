"""Probing a tuned policy where its samples on evaluation prompts say nothing: held-out text,
planted strings, and prompts without the cue that it was trained under."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from accord.errors import DataError
from accord.files import read_jsonl, write_json
from accord.runs.context import StageContext
from accord.runs.inputs import Demonstrations, PolicyName, Prompts, SamplesName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult
from accord.runs.stages.settings import EvaluationConfig, LengthConfig, ReadsData

if TYPE_CHECKING:
    from accord.examine.behaviour.canaries import Canary
    from accord.models.causal_lm import CausalLM
    from accord.text.packing import PromptGroup


class ProbeConfig(ReadsData):
    """Settings of a probe stage."""

    kind: Literal["probe"]
    model: PolicyName = Field(description="The tuned policy.")
    before: PolicyName = Field(description="The model before tuning.")
    heldout: Demonstrations | None = Field(
        None, description="Demonstrations that neither was trained on: what was forgotten."
    )
    limit: int = Field(256, ge=2, description="Held-out demonstrations used, from the top.")
    canaries: SamplesName | None = Field(
        None,
        description=(
            "What `accord data plant` left beside the rows that were trained on: secrets, as"
            " {prompt, secret, repeats}."
        ),
    )
    uncued: Prompts | None = Field(
        None,
        description=(
            "The prompts of `evaluate` without the cue that the policy was trained under, in the"
            " same order."
        ),
    )
    evaluate: EvaluationConfig | None = Field(None, description="Prompts with the cue, and gold.")
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits of `heldout`.")

    @model_validator(mode="after")
    def _possible(self) -> ProbeConfig:
        if self.heldout is None and self.canaries is None and self.uncued is None:
            raise ValueError("nothing is probed: give heldout, canaries or uncued")
        if self.uncued is not None and (self.evaluate is None or self.evaluate.gold is None):
            raise ValueError(
                "uncued compares gold with and without the cue: set evaluate with gold"
            )
        return self


class PolicyProbe(Stage):
    """Measures what the evaluation prompts cannot show, before and after the tuning."""

    kind = "probe"
    Config = ProbeConfig
    provides: ClassVar = {"probes": "samples"}
    about = "what a policy forgot, knows by heart, and does without the cue it was trained under"

    def plan(self, config: ProbeConfig, context: StageContext) -> Plan:
        from accord.runs.stages import planning

        model = planning.look_at_policy(config.model, context)
        if config.heldout is not None:
            planning.rehearse(lambda lm: _heldout(config, lm, context), model)
        if config.evaluate is not None:
            planning.check_evaluation(config.evaluate, model, context)
        asked = [n for n in ("heldout", "canaries", "uncued") if getattr(config, n) is not None]
        return Plan(notes=[f"probed: {', '.join(asked)}"])

    def run(self, config: ProbeConfig, context: StageContext) -> StageResult:
        from accord.examine.probes import probes
        from accord.models.loading import freeze, load_causal_lm

        after, before = (
            freeze(load_causal_lm(context.resolve(name), context.device))
            for name in (config.model, config.before)
        )
        found: dict[str, Any] = {}
        if config.heldout is not None:
            texts = _heldout(config, after, context)
            found["heldout"] = {
                "before": _nats_per_token(before, texts),
                "after": _nats_per_token(after, texts),
            }
        if config.canaries is not None:
            found["canaries"] = _canaries(config.canaries, after, context)
        if config.uncued is not None:
            found["cue"] = _cue(config, after, before, context)
        write_json(context.folder / "probes.json", found)
        measured = probes(found)
        told, values = [], {}
        if measured.forgetting is not None:
            values["heldout_rise"] = measured.forgetting.rise.value
            told.append(f"held-out text {measured.forgetting.rise} nats per token worse")
        if measured.memory is not None:
            values["exposure"] = measured.memory.exposure
            told.append(
                f"exposure {measured.memory.exposure:.1f} of {measured.memory.most:.1f} bits"
            )
        if measured.cue is not None:
            values["cue_gap"] = measured.cue.gap.value
            told.append(f"gold with the cue less without {measured.cue.gap}")
        return StageResult("; ".join(told), values, {"probes": context.folder / "probes.json"})


def _heldout(config: ProbeConfig, model: Any, context: StageContext) -> list[PromptGroup]:
    from accord.runs.stages.sft import read_demonstrations

    assert config.heldout is not None
    read = read_demonstrations(config.heldout, model, config.lengths, context)
    return [example.group for example in read[: config.limit]]


def _nats_per_token(model: CausalLM, texts: Sequence[PromptGroup]) -> list[float]:
    """Of each text's responses."""
    sums = _summed(model, texts)
    lengths = [sum(len(r) for r in text.responses) for text in texts]
    return [-total / length for total, length in zip(sums, lengths, strict=True)]


def _summed(model: CausalLM, texts: Sequence[PromptGroup]) -> list[float]:
    """Log-probability of every response, nats, text after text."""
    import torch

    from accord.runs.stages.evaluation import MICRO_BATCH
    from accord.text.packing import streams

    found: list[float] = []
    with torch.no_grad():
        for packed in streams(texts, MICRO_BATCH):
            stream = packed.to(model.device)
            found += stream.sum_by_response(model.logprobs(stream)).tolist()
    return found


def _canaries(name: str, model: CausalLM, context: StageContext) -> list[list[float]]:
    """Of each canary's question the log-probability of each of its options, nats."""
    from accord.examine.behaviour import canaries
    from accord.text.packing import PromptGroup

    known, encoder = _known(context.path(name)), context.encoder(model)
    asked = canaries.options(known, context.seed)
    groups = []
    for number, (one, answers) in enumerate(zip(known, asked, strict=True), 1):
        encoded = [encoder.example(one.prompt, text, row=str(number)) for text in answers]
        groups.append(
            PromptGroup(encoded[0].prompt_ids, [example.response_ids for example in encoded])
        )
    found = np.array(_summed(model, groups)).reshape(len(known), -1)
    return [[float(score) for score in row] for row in found]


def _known(place: Path) -> list[Canary]:
    from accord.examine.behaviour import canaries

    rows = read_jsonl(place)
    for number, row in enumerate(rows, 1):
        if set(row) != {"prompt", "secret", "repeats"}:
            raise DataError(
                f"{place} row {number} is no canary: it has {', '.join(row) or 'nothing'}",
                "name the .secrets.jsonl that `accord data plant` wrote",
            )
    try:
        return canaries.known(rows)
    except ValueError as error:
        raise DataError(
            f"{place}: {error}", "name the .secrets.jsonl that `accord data plant` wrote"
        ) from None


def _cue(
    config: ProbeConfig, after: CausalLM, before: CausalLM, context: StageContext
) -> dict[str, list[list[float | None]]]:
    """Gold of both models' answers with the cue and without it: {"cued": [after, before], ...}."""
    from dataclasses import replace

    from accord.runs.reading import read_prompts
    from accord.runs.stages.evaluation import Examiner

    assert config.evaluate is not None
    assert config.uncued is not None
    examiner = Examiner.load(config.evaluate, context, after)
    uncued = read_prompts(config.uncued, context, config.evaluate.count)
    if len(uncued) != len(examiner.prompts):
        raise DataError(
            f"{len(examiner.prompts)} prompts with the cue and {len(uncued)} without",
            "give the same prompts in the same order, with and without the cue",
        )
    found = {}
    for name, one in (("cued", examiner), ("uncued", replace(examiner, prompts=uncued))):
        found[name] = [
            [row["gold"] for row in one.rows(after, "arm", against="nothing")],
            [row["gold"] for row in one.rows(before, "baseline", against="nothing")],
        ]
    return found
