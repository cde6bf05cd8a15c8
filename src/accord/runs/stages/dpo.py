"""Direct preference optimisation and its relatives on feedback records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageResult
from accord.runs.stages.policy import examine_along, load_policy, save_policy
from accord.runs.stages.settings import EvaluationConfig, LengthConfig, TrainingConfig, training_plan


class DpoConfig(TrainingConfig):
    """Settings of a dpo stage."""

    kind: Literal["dpo"]
    model: str = Field(description="The model to tune; also the reference.")
    feedback: str = Field(
        description="Comparisons or rankings: a stage, or a file, directory or Hub id in any known format."
    )
    annotators: str | None = Field(
        None, description="Annotator estimates: pairs are decided by all votes, weighted by reliability."
    )
    loss: Literal["sigmoid", "sigmoid_norm", "ipo", "hinge", "robust", "simpo", "orpo"] = Field(
        "sigmoid", description="The objective: sigmoid is DPO; simpo and orpo have no reference."
    )
    beta: float | None = Field(
        None,
        gt=0,
        description="Strength of the pull towards the reference (orpo: weight of the odds ratio); null: the objective's own.",
    )
    gamma: float = Field(0.0, ge=0, description="Margin asked for (simpo only).")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Least probability of a wrong label (cDPO, robust DPO)."
    )
    nll_weight: float = Field(0.0, ge=0, description="Weight of the chosen responses' likelihood (RPO).")
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    limit: int | None = Field(None, ge=1, description="Use only that many pairs, drawn at random.")
    epochs: float = Field(1.0, gt=0, description="Passes over the pairs.")
    batch: int = Field(32, ge=1, description="Pairs per optimiser step.")
    evaluate: EvaluationConfig | None = Field(None, description="Examine the policy along its way.")

    @model_validator(mode="after")
    def _possible(self) -> DpoConfig:
        if self.gamma and self.loss != "simpo":
            raise ValueError(f"gamma is a margin of simpo, the loss is {self.loss}")
        if self.label_smoothing == 0 and self.loss == "robust" and self.annotators is None:
            raise ValueError("robust without label_smoothing or annotators is sigmoid: say how often labels are wrong")
        return self

    @property
    def strength(self) -> float:
        """beta, or the objective's own."""
        from accord.learning.losses import BETAS

        return self.beta if self.beta is not None else BETAS[self.loss]


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
            notes=[f"{config.loss}, beta {config.strength:g}, {config.epochs:g} epochs in batches of {config.batch} pairs"],
        )  # fmt: skip

    def run(self, config: DpoConfig, context: StageContext) -> StageResult:
        import torch

        from accord.learning.preference import PreferenceSettings, describe, train_preference
        from accord.runs.stages.judged import (
            annotator_effects,
            decided_pairs,
            equal_pairs,
            preference_pairs,
            read_judged,
            without_pair,
        )  # fmt: skip

        policy, reference = load_policy(config.model, config.lora, context)
        judged = read_judged(config.feedback, policy, config.lengths, context)
        ties, undecided = without_pair(judged.groups), 0
        if config.annotators is None:
            pairs = preference_pairs(judged.groups)
        else:
            effects = annotator_effects(context.path(config.annotators), judged.annotators)
            pairs, undecided = decided_pairs(judged.groups, effects)
        equal = equal_pairs(judged.groups)
        found, beyond = len(pairs), max(0, len(pairs) - (config.limit or len(pairs)))
        context.say(
            f"{found:,} pairs; left out: {ties:,} judgements without a better one (ties), {undecided:,} pairs that the "
            f"annotators together leave undecided, {equal:,} pairs of equal responses, {beyond:,} beyond the limit"
        )
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(context.seed)).tolist()
        pairs = [pairs[i] for i in order[: config.limit]]
        settings = PreferenceSettings(
            loss=config.loss, beta=config.strength, gamma=config.gamma, label_smoothing=config.label_smoothing, nll_weight=config.nll_weight,
            epochs=config.epochs, batch=config.batch, micro_batch_tokens=config.micro_batch_tokens, seed=context.seed,
            optimizer=config.optimizer(),
        )  # fmt: skip
        on_step = examine_along(config.evaluate, policy, context)
        result = train_preference(policy, reference, pairs, settings, context.session(_note), on_step)
        artefacts = save_policy(policy, config.evaluate is not None, context)
        summary = (
            f"{len(pairs):,} pairs, {result.steps} steps; loss {result.loss:.3f}, agreement {result.agreement:.1%}"
        )
        return StageResult(
            summary,
            describe(result)
            | {
                "pairs": len(pairs),
                "ties": ties,
                "undecided": undecided,
                "equal": equal,
                "beyond_limit": beyond,
                "left_out": judged.left_out,
            },
            artefacts,
        )


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, agreement {values['preference_agreement']:.0%}"
