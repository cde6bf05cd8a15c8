"""Question sets put to models of a run, each compared with the first: what tuning did besides, such
as refusing what is harmless."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.inputs import PolicyName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value

if TYPE_CHECKING:
    from accord.runs.behaviour.question_set import QuestionSet

FILE = "behaviour.json"


class QuestionsConfig(StageConfig):
    """Settings of a questions stage."""

    kind: Literal["questions"]
    models: dict[str, PolicyName] = Field(
        min_length=1, description="Name in the table -> a model; the first is what others are"
        " compared with.",
    )  # fmt: skip
    sets: dict[str, str | None] = Field(
        description=(
            "Kind of a set -> its file, such as {xstest: xstest_prompts.csv} (accord examine --set"
            " lists them); null: not asked, and said."
        ),
    )
    items: int = Field(200, ge=1, description="Items of a set, drawn by seed where there are more.")
    max_new_tokens: int = Field(64, ge=1, description="Longest answer, in tokens.")


class Questions(Stage):
    """Measures what `accord examine --set` measures."""

    kind = "questions"
    Config = QuestionsConfig
    provides: ClassVar = {"behaviour": None}
    about = "question sets put to models of the run, such as XSTest for over-refusal"

    def plan(self, config: QuestionsConfig, context: StageContext) -> Plan:
        from accord.runs.known import known_model

        for name, reference in config.models.items():
            with context.about(f"models.{name}"):
                known_model(reference, "policy", context)
        rows = sum(len(one.rows) for one in _sets(config, context))
        unasked = [name for name, file in config.sets.items() if file is None]
        return Plan(
            rows=rows * len(config.models),
            notes=[f"not asked, no file is named: {name}" for name in unasked],
        )

    def run(self, config: QuestionsConfig, context: StageContext) -> StageResult:
        from accord.runs.behaviour.answering import LocalPolicy
        from accord.runs.behaviour.comparing import compare

        for name, file in config.sets.items():
            if file is None:
                context.say(f"not asked: {name}, for which no file is named")
        sets = _sets(config, context)
        if not sets:
            return StageResult("no set is named, nothing was asked")
        policies = {
            name: LocalPolicy(context.resolve(reference), context.device)
            for name, reference in config.models.items()
        }
        found = compare(sets, policies, names=config.models)
        values: dict[str, Value] = {}
        for line in found.lines:
            for arm, estimate in line.arms.items():
                values[f"{arm}.{line.set}.{line.measure}"] = estimate.value
                context.say(f"{arm}: {line.set} {line.measure} {estimate} ({line.meaning})")
        for name, reason in found.not_measurable.items():
            context.say(f"{name}: not measurable: {reason}")
        write_json(context.folder / FILE, found.model_dump(mode="json"))
        return StageResult(
            f"{len(found.lines)} measures of {len(policies)} models",
            values,
            {"behaviour": context.folder / FILE},
        )


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
