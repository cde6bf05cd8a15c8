"""Question sets put to models of a run, each compared with the first: what tuning did besides, such
as refusing what is harmless."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.inputs import PolicyName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.asking import AskingConfig, check_askable
from accord.sampling.addresses import is_remote

if TYPE_CHECKING:
    from accord.examine.behaviour.table import Line
    from accord.runs.behaviour.answering import EndpointPolicy, LocalPolicy
    from accord.runs.behaviour.question_set import QuestionSet

FILE = "behaviour.json"


class QuestionsConfig(StageConfig):
    """Settings of a questions stage."""

    kind: Literal["questions"]
    models: dict[str, PolicyName] = Field(
        min_length=1,
        description="Name in the table -> a model; the first is what others are compared with.",
    )
    endpoints: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "Name in the table -> a model behind an endpoint, https://host/v1#model, which answers"
            " in text alone: what needs log-probabilities is not measurable of it."
        ),
    )
    sets: dict[str, str | None] = Field(
        description=(
            "Kind of a set -> its file, such as {xstest: xstest_prompts.csv} (accord examine --set"
            " lists them); null: not asked, and said."
        ),
    )
    items: int = Field(200, ge=1, description="Items of a set, drawn by seed where there are more.")
    max_new_tokens: int = Field(64, ge=1, description="Longest answer, in tokens.")
    asking: AskingConfig = Field(AskingConfig(), description="What endpoints may cost.")

    @model_validator(mode="after")
    def _names_are_of_one(self) -> QuestionsConfig:
        if both := sorted(set(self.models) & set(self.endpoints)):
            raise ValueError(f"{both[0]!r} names a model and an endpoint: give each its own name")
        for name, address in self.endpoints.items():
            if not is_remote(address):
                raise ValueError(
                    f"endpoints.{name}: {address!r} is no address: write https://host/v1#model"
                )
        return self

    @property
    def asked(self) -> dict[str, str]:
        """All of them, by name."""
        return {**self.models, **self.endpoints}


class Questions(Stage):
    """Measures what `accord examine --set` measures."""

    kind = "questions"
    Config = QuestionsConfig
    provides: ClassVar = {"behaviour": None}
    about = "question sets put to models of the run, such as XSTest for over-refusal"

    def plan(self, config: QuestionsConfig, context: StageContext) -> Plan:
        for setting in ("models", "endpoints"):
            for name, reference in getattr(config, setting).items():
                with context.about(f"{setting}.{name}"):
                    check_askable([reference], context)
        rows = sum(len(one.rows) for one in _sets(config, context))
        notes = [
            f"not asked, no file is named: {name}"
            for name, file in config.sets.items()
            if file is None
        ]
        notes += [
            f"{name} answers from {reference}: about {rows:,} questions"
            for name, reference in config.endpoints.items()
            if rows
        ]
        return Plan(rows=rows * len(config.asked), notes=notes)

    def run(self, config: QuestionsConfig, context: StageContext) -> StageResult:
        from accord.runs.behaviour.comparing import compare

        for name, file in config.sets.items():
            if file is None:
                context.say(f"not asked: {name}, for which no file is named")
        sets = _sets(config, context)
        if not sets:
            return StageResult("no set is named, nothing was asked")
        found = compare(sets, _policies(config, context), names=config.asked)
        values: dict[str, Value] = {}
        for line in found.lines:
            for arm, estimate in line.arms.items():
                values[f"{arm}.{line.set}.{line.measure}"] = estimate.value
                if change := line.changes.get(arm):
                    values[f"{arm}.{line.set}.{line.measure}_change"] = change.change.value
                context.say(f"{arm}: {told(line, arm)} ({line.meaning})")
        for name, reason in found.not_measurable.items():
            context.say(f"{name}: not measurable: {reason}")
        write_json(context.folder / FILE, found.model_dump(mode="json"))
        summary = f"{len(found.lines)} measures of {len(config.asked)} models"
        if changed := [
            f"{arm}: {line.set} {line.measure} {change.told}"
            for line in found.lines
            for arm, change in line.changes.items()
            if change.believed
        ]:
            summary += f"; {'; '.join(changed)}"
        if found.not_measurable:
            summary += f"; not measurable: {', '.join(found.not_measurable)}"
        return StageResult(summary, values, {"behaviour": context.folder / FILE})


def told(line: Line, arm: str) -> str:
    """A measure of one model, and how it differs from the first one's, in words."""
    said = f"{line.set} {line.measure} {line.arms[arm]}"
    if change := line.changes.get(arm):
        first = next(iter(line.arms))
        said += f", {change.change} against {first} ({change.told})"
    return said


def _policies(
    config: QuestionsConfig, context: StageContext
) -> dict[str, LocalPolicy | EndpointPolicy]:
    """What is asked: models of this machine, and endpoints, which share a budget and whose answers
    are kept in the stage's folder."""
    from accord.runs.behaviour.answering import EndpointPolicy, LocalPolicy
    from accord.sampling.answer_cache import AnswerCache

    kept = AnswerCache(config.asking.kept(context) if config.endpoints else None)
    asking = config.asking.settings(context)
    here = {
        name: LocalPolicy(context.resolve(reference), context.device)
        for name, reference in config.models.items()
    }
    return here | {
        name: EndpointPolicy(address, kept, asking) for name, address in config.endpoints.items()
    }


def _sets(config: QuestionsConfig, context: StageContext) -> list[QuestionSet]:
    """Those that a file is named for. Raises ConfigError and DataError, naming the setting."""
    from accord.runs.behaviour import sets

    found = []
    for name, file in config.sets.items():
        if file is not None:
            with context.about(f"sets.{name}"):
                found.append(
                    sets.load(name, Path(file), config.items, context.seed, config.max_new_tokens)
                )
    return found
