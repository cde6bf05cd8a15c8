"""KTO: learning from thumbs, without pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from accord.errors import DataError
from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageResult
from accord.runs.stages.policy import examine_along, load_policy, save_policy
from accord.runs.stages.settings import EvaluationConfig, LengthConfig, TrainingConfig, training_plan

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.learning.unpaired import Thumb
    from accord.text.language import Language


class KtoConfig(TrainingConfig):
    """Settings of a kto stage."""

    kind: Literal["kto"]
    model: str = Field(description="The model to tune; also the reference.")
    feedback: str = Field(
        description="Thumbs (a stage, or a file, directory or Hub id in any known format); a comparison counts as a "
        "desirable and an undesirable response, a ranking called all bad as undesirable ones."
    )
    beta: float = Field(0.1, gt=0, description="Strength of the pull towards the reference.")
    desirable_weight: float = Field(1.0, gt=0, description="Weight of desirable responses.")
    undesirable_weight: float = Field(1.0, gt=0, description="Weight of undesirable responses.")
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    epochs: float = Field(1.0, gt=0, description="Passes over the responses.")
    batch: int = Field(32, ge=2, description="Responses per optimiser step.")
    evaluate: EvaluationConfig | None = Field(None, description="Examine the policy along its way.")


class Kto(Stage):
    """Tunes a policy on responses marked desirable or not."""

    kind = "kto"
    Config = KtoConfig
    provides = ("model", "points")
    about = "Kahneman-Tversky optimisation on thumbs, without pairs"

    def plan(self, config: KtoConfig, context: StageContext) -> Plan:
        from accord.runs import estimate

        size, rows = estimate.model_size(config.model, context), estimate.rows_of(config.feedback, context)
        tokens = estimate.text_tokens(rows, config.lengths)
        work = estimate.Work(trained=round(tokens * config.epochs), scored=round(tokens * (1 + 2 * config.epochs)))
        return training_plan(
            config, size, work + estimate.examination(config.evaluate), frozen=1, rows=rows, model=size,
            base=config.model, steps=estimate.updates(rows, config.batch, config.epochs),
            notes=[f"beta {config.beta:g}, {config.epochs:g} epochs in batches of {config.batch} responses"],
        )  # fmt: skip

    def run(self, config: KtoConfig, context: StageContext) -> StageResult:
        from accord.learning.unpaired import UnpairedSettings, describe, train_unpaired

        policy, reference = load_policy(config.model, config.lora, context)
        thumbs = read_thumbs(config.feedback, policy, config.lengths, context)
        settings = UnpairedSettings(
            beta=config.beta, desirable_weight=config.desirable_weight, undesirable_weight=config.undesirable_weight,
            epochs=config.epochs, batch=config.batch, micro_batch_tokens=config.micro_batch_tokens, seed=context.seed,
            optimizer=config.optimizer(),
        )  # fmt: skip
        on_step = examine_along(config.evaluate, policy, context)
        result = train_unpaired(policy, reference, thumbs, settings, context.session(_note), on_step)
        artefacts = save_policy(policy, config.evaluate is not None, context)
        good = sum(t.desirable for t in thumbs)
        summary = f"{good:,} desirable, {len(thumbs) - good:,} undesirable responses, {result.steps} steps; loss {result.loss:.3f}"
        return StageResult(summary, describe(result) | {"desirable": good, "rows": len(thumbs)}, artefacts)


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, reference point {values['reference_point']:.2f}"


def read_thumbs(reference: str, model: Language, lengths: LengthConfig, context: StageContext) -> list[Thumb]:
    """Tokenised thumbs, with what was left out counted. Raises DataError when nothing can be used."""
    from accord.feedback.records import to_json
    from accord.learning.unpaired import Thumb
    from accord.runs.stages.judged import load_records
    from accord.runs.stages.lengths import apply_lengths

    encoder, left_out = context.encoder(model), Counter[str]()
    marks, examples = {}, []
    for record in load_records(reference, context):
        found = list(_marked(record))
        if not found:
            left_out["tie" if record.kind == "comparison" else f"{record.kind}: says no good and bad"] += 1
        for option, text, desirable in found:
            if not text.strip():
                left_out["empty response"] += 1
                continue
            row = f"{record.id}/{option}"
            prompt = to_json(record.prompt)
            finished = bool(
                record.meta.get("finished", {}).get(option, True)
            )  # a policy's answer may have been cut off
            examples.append(encoder.example(prompt, text, finished, row))
            marks[row] = desirable
    if not examples:
        raise DataError(
            f"{reference} holds no thumbs and no comparisons: {dict(left_out)}",
            "KTO learns from responses marked good or bad",
        )
    kept = apply_lengths(examples, model, lengths, context, dict(left_out))
    return [Thumb(e.prompt_ids, e.response_ids, marks[e.row], e.row) for e in kept]


def _marked(record: Feedback) -> list[tuple[str, str, bool]]:
    """(option, text, desirable) said by a record; a ranking says which is better, not which is good, unless all are bad."""
    from accord.feedback.formats import plain
    from accord.feedback.records import Comparison, Thumb
    from accord.runs.stages.answers import bad

    choice = record.choice
    if isinstance(choice, Thumb):
        return [(o.id, plain(o.content), choice.up) for o in record.options]
    if isinstance(choice, Comparison) and choice.preferred is not None:
        return [(o.id, plain(o.content), o.id == choice.preferred) for o in record.options]
    if bad(record):
        return [(o.id, plain(o.content), False) for o in record.options]
    return []
