"""The examination: every arm against the baseline, the evidence, and the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.files import read_jsonl, write_json, write_jsonl
from accord.runs.context import StageContext
from accord.runs.inputs import (
    REFERENCE,
    CardName,
    EstimatesName,
    Judgements,
    PointsName,
    PolicyName,
    SamplesName,
    stage_of,
)
from accord.runs.known import known_model
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.settings import EvaluationConfig

if TYPE_CHECKING:
    from accord.examine.evidence import AgreementRow, AnnotatorEvidence, ArmEvidence, PolicyPoint
    from accord.examine.probes import Probes
    from accord.examine.reward_card import RewardCard
    from accord.feedback.judge_card import JudgeCard
    from accord.runs.sample_rows import SampleRow


class ExamineConfig(StageConfig):
    """Settings of an examine stage."""

    kind: Literal["examine"]
    baseline: PolicyName = Field(description="The model before tuning.")
    arms: dict[str, PointsName] = Field(description="Name of the arm -> its points.", min_length=1)
    best_of_n: SamplesName | None = Field(None, description="Rows of a best_of_n stage.")
    card: CardName | None = Field(None, description="Card of a reward stage.")
    annotators: EstimatesName | None = Field(
        None, description="Annotator estimates of a collect stage."
    )
    probes: dict[str, SamplesName] = Field(
        default_factory=dict, description="Name of an arm -> what a probe stage found of it."
    )
    judge_card: SamplesName | None = Field(
        None,
        description="Card of the judge whose verdicts were trained on (accord judge audit --out).",
    )
    at_kl: list[float] = Field(
        default_factory=list,
        description="Also give every arm's gold gain at these distances, nats per sequence.",
    )
    trained_on: Judgements | None = Field(
        None,
        description="What the arms were trained on: prompts of the evaluation found in it are"
        " counted.",
    )
    evaluate: EvaluationConfig = Field(description="Prompts, reward and gold.")

    @model_validator(mode="after")
    def _probes_are_of_arms(self) -> ExamineConfig:
        if unknown := sorted(set(self.probes) - set(self.arms)):
            raise ValueError(f"probes names no arm: {unknown[0]}; arms: {', '.join(self.arms)}")
        return self


class Examine(Stage):
    """Measures what happened to each policy and decides: worked, gamed, collapsed or
    inconclusive."""

    kind = "examine"
    Config = ExamineConfig
    provides: ClassVar = {"evidence": None, "verdict": None}
    about = "evidence and verdict on all arms"

    def plan(self, config: ExamineConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import SHORTEST, TokenWork, span
        from accord.runs.stages import planning

        with context.about("baseline"):
            model = known_model(config.baseline, "policy", context)
        planning.check_evaluation(config.evaluate, model, context)
        work = TokenWork(sampled=config.evaluate.count * config.evaluate.max_new_tokens)
        return Plan(
            rows=config.evaluate.count,
            tokens=work.tokens,
            seconds=span(work.times(SHORTEST), work, context.speed(model)),
            notes=[f"arms: {', '.join(config.arms)}"],
        )

    def run(self, config: ExamineConfig, context: StageContext) -> StageResult:
        from accord.examine.error_rates import with_rates
        from accord.examine.evidence import ArmRows, measure
        from accord.examine.verdict import decide
        from accord.runs.sample_rows import read_points
        from accord.runs.stages.scorers import read_scorers

        baseline = self._baseline(config, context)
        context.checkpoint(1, 3, "measuring")
        arms = {}
        for name, reference in config.arms.items():
            points = read_points(context.path(reference))
            arms[name] = ArmRows(
                str(_record(reference, context).get("kind", "unknown")),
                [(0, baseline), *points],
                read_scorers(_folder(reference, context)),
                _probes(config.probes.get(name), context),
            )
        annotators, agreement = _judges(config, context)
        evidence = measure(
            baseline,
            arms,
            read_jsonl(context.path(config.best_of_n)) if config.best_of_n else (),
            reward_card=_card(config, context),
            annotators=annotators,
            agreement=agreement,
            contamination=_contamination(config, context),
            judge_card=_judge_card(config, context),
        )
        verdict = with_rates(decide(evidence, _guard(config, context)))
        write_json(context.folder / "evidence.json", evidence.model_dump(mode="json"))
        write_json(context.folder / "verdict.json", verdict.model_dump(mode="json"))
        write_json(context.run_dir / "verdict.json", verdict.model_dump(mode="json"))
        context.checkpoint(3, 3)
        values: dict[str, Value] = {"verdict": verdict.outcome}
        for arm in evidence.arms:
            values |= _numbers(arm.name, arm.last) | _gold_at(arm, config.at_kl)
        for point in evidence.best_of:
            if point.win_rate is not None:
                values[f"best_of_{point.n}.win_rate"] = point.win_rate.value
        artefacts = {
            "evidence": context.folder / "evidence.json",
            "verdict": context.folder / "verdict.json",
        }
        return StageResult(f"verdict: {verdict.outcome} ({verdict.reason})", values, artefacts)

    def _baseline(self, config: ExamineConfig, context: StageContext) -> list[SampleRow]:
        """One sample of the untuned model per evaluation prompt."""
        from accord.models.loading import freeze, load_causal_lm
        from accord.runs.stages.evaluation import Examiner

        model = freeze(load_causal_lm(context.resolve(config.baseline), context.device))
        rows = Examiner.load(config.evaluate, context, model).rows(
            model, "baseline", against="itself"
        )
        write_jsonl(context.folder / "baseline.jsonl", rows)
        return rows


def _contamination(config: ExamineConfig, context: StageContext) -> tuple[int, int] | None:
    """Prompts of the evaluation that were trained on; said before anything else."""
    if config.trained_on is None:
        return None
    from accord.runs.behaviour.overlaps import last_said, seen, texts_of
    from accord.runs.reading import read_prompts

    prompts = read_prompts(config.evaluate.prompts, context, config.evaluate.count)
    found = seen(
        [last_said(prompt) for prompt in prompts],
        texts_of(context.data(config.trained_on), context.say),
    )
    if any(found):
        context.say(
            f"of {len(prompts):,} prompts {found[0]:,} were trained on word by word,"
            f" {found[1]:,} share a run of 13 words with what was"
        )
    return found


def _numbers(name: str, point: PolicyPoint) -> dict[str, float]:
    numbers = {f"{name}.kl": point.kl.exact.value, f"{name}.proxy_gain": point.proxy_gain.value}
    if point.win_rate is not None and point.gold_gain is not None:
        numbers |= {
            f"{name}.win_rate": point.win_rate.value,
            f"{name}.gold_gain": point.gold_gain.value,
        }
    return numbers


def _gold_at(arm: ArmEvidence, distances: list[float]) -> dict[str, float]:
    """Gold gain at each distance the arm reached, between its points."""
    from accord.examine.comparison import at_distance

    curve = [(p.kl.exact.value, p.gold_gain.value) for p in arm.points if p.gold_gain is not None]
    gains = {kl: at_distance(curve, kl) for kl in distances} if curve else {}
    return {f"{arm.name}.gold_at_{kl:g}": gain for kl, gain in gains.items() if gain is not None}


def _record(reference: str, context: StageContext) -> dict[str, Any]:
    """What the stage that made an arm left behind; empty for samples from elsewhere."""
    result = _folder(reference, context) / "result.json"
    return dict(json.loads(result.read_text())) if result.is_file() else {}


def _folder(reference: str, context: StageContext) -> Path:
    """Of the stage that made an arm; nothing's where its samples come from elsewhere."""
    if not reference.startswith(REFERENCE):
        return Path("nowhere")
    return context.earlier[stage_of(reference)[0]]


def _probes(name: str | None, context: StageContext) -> Probes:
    from accord.examine.probes import Probes, probes

    return Probes() if name is None else probes(json.loads(context.path(name).read_text()))


def _judge_card(config: ExamineConfig, context: StageContext) -> JudgeCard | None:
    if config.judge_card is None:
        return None
    from accord.feedback.judge_card import JudgeCard

    return JudgeCard.model_validate_json(context.path(config.judge_card).read_text())


def _guard(config: ExamineConfig, context: StageContext) -> str | None:
    """Which arms were stopped by a guard, and why."""
    guards = {
        name: _record(reference, context).get("guard") for name, reference in config.arms.items()
    }
    return "; ".join(f"{name}: {guard}" for name, guard in guards.items() if guard) or None


def _card(config: ExamineConfig, context: StageContext) -> RewardCard | None:
    from accord.examine.reward_card import RewardCard

    return (
        RewardCard.model_validate_json(context.path(config.card).read_text())
        if config.card
        else None
    )


def _judges(
    config: ExamineConfig, context: StageContext
) -> tuple[list[AnnotatorEvidence], AgreementRow | None]:
    from accord.examine.evidence import AgreementRow, AnnotatorEvidence

    if config.annotators is None:
        return [], None
    path = context.path(config.annotators)
    rows = [
        AnnotatorEvidence.model_validate(row) for row in json.loads(path.read_text())["annotators"]
    ]
    agreed = json.loads((path.parent / "agreement.json").read_text())
    return rows, AgreementRow.model_validate(agreed)
