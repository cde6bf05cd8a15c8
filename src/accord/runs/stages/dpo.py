"""Direct preference optimisation and its relatives on feedback records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import DataError
from accord.feedback.formats.source import name_of
from accord.learning.settings import PreferenceSettings
from accord.runs.context import StageContext
from accord.runs.inputs import EstimatesName, Judgements, PolicyName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult
from accord.runs.stages.policy import examine_along, load_policy, save_policy
from accord.runs.stages.settings import EvaluationConfig, LengthConfig, ReadsData, TrainingConfig
from accord.seeds import derive_seed


class DpoConfig(ReadsData, TrainingConfig, PreferenceSettings):
    """Settings of a dpo stage."""

    kind: Literal["dpo"]
    model: PolicyName = Field(description="The model to tune; also the reference.")
    feedback: Judgements = Field(
        description="Comparisons or rankings: a stage, or a file, directory or Hub id in any known format."
    )
    annotators: EstimatesName | None = Field(
        None,
        description="Annotator estimates: pairs are decided by all votes, weighted by reliability.",
    )
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    limit: int | None = Field(None, ge=1, description="Use only that many pairs, drawn at random.")
    evaluate: EvaluationConfig | None = Field(None, description="Examine the policy along its way.")

    @model_validator(mode="after")
    def _possible(self) -> DpoConfig:
        if self.label_smoothing == 0 and self.loss == "robust" and self.annotators is None:
            raise ValueError(
                "robust without label_smoothing or annotators is sigmoid: say how often labels are wrong"
            )
        return self


class Dpo(Stage):
    """Tunes a policy on pairs, without a reward model."""

    kind = "dpo"
    Config = DpoConfig
    provides: ClassVar = {"model": "policy", "points": "points of a policy"}
    about = "direct preference optimisation and its relatives"

    def plan(self, config: DpoConfig, context: StageContext) -> Plan:
        from accord.learning.judged_pairs import preference_pairs
        from accord.runs.estimate import TokenWork, examination, updates
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning
        from accord.runs.stages.judged import read_judged

        model = planning.look_at_policy(config.model, context, config.lora, trains=True)
        planning.check_evaluation(config.evaluate, model, context)
        judged = planning.rehearse(
            lambda lm: read_judged(config.feedback, lm, config.lengths, context), model
        )
        rows, tokens = planned_rows(config.feedback, context), 0
        if judged is not None:
            pairs = preference_pairs(judged.groups)
            _check_pairs(len(pairs), config)
            rows = planning.whole(len(pairs), context)
            each = sum(len(p.prompt) + len(p.chosen) + len(p.rejected) for p in pairs) / len(pairs)
        elif rows:
            each = config.lengths.most + config.lengths.max_response_tokens
        if rows:
            rows = min(rows, config.limit or rows)
            tokens = round(each * rows)
        work = TokenWork(trained=round(tokens * config.epochs), scored=tokens)
        return planning.training_plan(
            config,
            model,
            context,
            work + examination(config.evaluate),
            planning.least(work, judged),
            frozen=1,
            rows=rows,
            models=planning.tuned(config, model, context),
            steps=updates(rows, config.batch, config.epochs),
            notes=[
                f"{config.loss}, beta {config.strength:g}, {config.epochs:g} epochs in batches of {config.batch} pairs"
            ],
        )

    def run(self, config: DpoConfig, context: StageContext) -> StageResult:
        import torch

        from accord.learning.judged_pairs import (
            decided_pairs,
            equal_pairs,
            preference_pairs,
            without_pair,
        )
        from accord.learning.preference import describe, train_preference
        from accord.runs.stages.judged import annotator_effects, read_judged

        policy, reference = load_policy(config.model, config.lora, context)
        judged = read_judged(config.feedback, policy, config.lengths, context)
        ties, undecided = without_pair(judged.groups), 0
        if config.annotators is None:
            pairs = preference_pairs(judged.groups)
        else:
            effects = annotator_effects(context.path(config.annotators), judged.annotators)
            pairs, undecided = decided_pairs(judged.groups, effects)
        equal = equal_pairs(judged.groups)
        pair_count, beyond = len(pairs), max(0, len(pairs) - (config.limit or len(pairs)))
        context.say(
            f"{pair_count:,} pairs; left out: {ties:,} judgements without a better one (ties), {undecided:,} pairs that the "
            f"annotators together leave undecided, {equal:,} pairs of equal responses, {beyond:,} beyond the limit"
        )
        _check_pairs(pair_count, config)
        order = torch.randperm(
            len(pairs), generator=torch.Generator().manual_seed(derive_seed(context.seed, "pairs"))
        ).tolist()
        pairs = [pairs[i] for i in order[: config.limit]]
        on_step = examine_along(config.evaluate, policy, context)
        result = train_preference(
            policy, reference, pairs, config, context.session(_note), on_step, seed=context.seed
        )
        artefacts = save_policy(policy, config.evaluate is not None, context)
        summary = f"{len(pairs):,} pairs, {result.steps} steps; loss {result.loss:.3f}, agreement {result.agreement:.1%}"
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


def _check_pairs(pair_count: int, config: DpoConfig) -> None:
    if not pair_count:
        raise DataError(
            f"{name_of(config.feedback)} says of no two responses which is better",
            "give comparisons with a preferred response, or rankings",
        )


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, agreement {values['preference_agreement']:.0%}"
