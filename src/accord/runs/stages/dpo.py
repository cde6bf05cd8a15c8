"""Direct preference optimisation on feedback records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageResult
from accord.runs.stages.policy import examine_along, load_policy, save_policy
from accord.runs.stages.settings import EvaluationConfig, LengthConfig, TrainingConfig, training_plan


class DpoConfig(TrainingConfig):
    """Settings of a dpo stage."""

    kind: Literal["dpo"]
    model: str = Field(description="The model to tune; also the reference.")
    feedback: str = Field(description="Feedback records (JSONL).")
    annotators: str | None = Field(
        None, description="Annotator estimates: pairs are decided by all votes, weighted by reliability."
    )
    loss: Literal["sigmoid", "ipo", "hinge", "robust"] = Field("sigmoid", description="The preference loss.")
    beta: float = Field(0.1, gt=0, description="Strength of the pull towards the reference.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Least probability of a wrong label (cDPO, robust DPO)."
    )
    nll_weight: float = Field(0.0, ge=0, description="Weight of the chosen responses' likelihood (RPO).")
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    limit: int | None = Field(None, ge=1, description="Use only that many pairs, drawn at random.")
    epochs: float = Field(1.0, gt=0, description="Passes over the pairs.")
    batch: int = Field(32, ge=1, description="Pairs per optimiser step.")
    evaluate: EvaluationConfig | None = Field(None, description="Examine the policy along its way.")


class Dpo(Stage):
    """Tunes a policy on pairs, without a reward model."""

    kind = "dpo"
    Config = DpoConfig
    provides = ("model", "points")
    about = "direct preference optimisation and its relatives"

    def plan(self, config: DpoConfig, context: StageContext) -> Plan:
        from accord.runs import estimate

        size = estimate.model_size(config.model, context)
        rows = min(filter(None, (estimate.rows_of(config.feedback, context), config.limit)), default=None)
        tokens = (rows or 0) * (config.lengths.max_prompt_tokens + 2 * config.lengths.max_response_tokens)
        work = estimate.Work(trained=round(tokens * config.epochs), scored=tokens)
        return training_plan(
            config, size, work + estimate.examination(config.evaluate), frozen=1, rows=rows, model=size,
            base=config.model, steps=estimate.updates(rows, config.batch, config.epochs),
            notes=[f"{config.epochs:g} epochs in batches of {config.batch} pairs, beta {config.beta:g}"],
        )  # fmt: skip

    def run(self, config: DpoConfig, context: StageContext) -> StageResult:
        import torch

        from accord.learning.preference import PreferenceSettings, describe, train_preference
        from accord.runs.stages.judged import annotator_effects, decided_pairs, preference_pairs, read_judged

        policy, reference = load_policy(config.model, config.lora, context)
        judged = read_judged(context.path(config.feedback), policy, config.lengths, context)
        if config.annotators is None:
            pairs = preference_pairs(judged.groups)
        else:
            effects = annotator_effects(context.path(config.annotators), judged.annotators)
            pairs = decided_pairs(judged.groups, effects)
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(context.seed)).tolist()
        pairs = [pairs[i] for i in order[: config.limit]]
        settings = PreferenceSettings(
            loss=config.loss, beta=config.beta, label_smoothing=config.label_smoothing, nll_weight=config.nll_weight,
            epochs=config.epochs, batch=config.batch, micro_batch_tokens=config.micro_batch_tokens, seed=context.seed,
            optimizer=config.optimizer(),
        )  # fmt: skip
        on_step = examine_along(config.evaluate, policy, context)
        result = train_preference(policy, reference, pairs, settings, context.session(_note), on_step)
        artefacts = save_policy(policy, config.evaluate is not None, context)
        summary = (
            f"{len(pairs):,} pairs, {result.steps} steps; loss {result.loss:.3f}, agreement {result.agreement:.1%}"
        )
        return StageResult(summary, describe(result) | {"pairs": len(pairs)}, artefacts)


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, agreement {values['preference_agreement']:.0%}"
