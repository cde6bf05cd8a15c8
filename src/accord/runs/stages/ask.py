"""Asking AI judges: responses in, feedback records out, for reward, dpo and kto stages to learn
from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from accord.runs.ai_feedback import AiFeedback, AiJudgeSettings
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import ConstitutionName, Judgements, Names, PolicyName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.asking import AskingConfig

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.oversight.ai_judge import AiJudge
    from accord.oversight.judge_records import JudgeItem

FILE = "feedback.jsonl"


class AskConfig(AiJudgeSettings, StageConfig):
    """Settings of an ask stage."""

    kind: Literal["ask"]
    data: Judgements = Field(
        description="Judgements in any known format, or rows with a prompt and responses."
    )
    judges: list[str] = Field(
        default_factory=list,
        description="Endpoints (https://host/v1#model) and functions (module:function).",
    )
    models: list[PolicyName] = Field(
        default_factory=list, description="Local models that judge, such as stage:NAME."
    )
    template: Annotated[str | None, Names("texts")] = Field(
        None, description="A text file with the question; null: ours."
    )
    constitution: ConstitutionName | None = Field(
        None, description="Principles that are asked one by one: a file, or accord:NAME."
    )
    people: Judgements | None = Field(
        None, description="Comparisons by people, by which a temperature is fitted."
    )
    limit: int | None = Field(None, ge=1, description="Items judged, from the top; null: all.")
    asking: AskingConfig = Field(
        default_factory=AskingConfig, description="What questions to endpoints may cost."
    )

    @model_validator(mode="after")
    def _somebody(self) -> AskConfig:
        from accord.runs.judges import is_function
        from accord.sampling.addresses import is_remote

        if not (self.judges or self.models):
            raise ValueError("nobody is asked: name judges, or models")
        for name in self.judges:
            if not (is_remote(name) or is_function(name)):
                raise ValueError(
                    f"judges: {name!r} is no address and no module:function; local models stand in"
                    " models"
                )
        return self

    def code(self) -> Sequence[str]:
        from accord.sampling.addresses import is_remote

        return [name for name in self.judges if not is_remote(name)]


class Ask(Stage):
    """Writes what AI judges say as feedback records; a resumed try asks nothing twice."""

    kind = "ask"
    Config = AskConfig
    provides: ClassVar = {"feedback": "judgements"}
    about = "AI judges as annotators: pairs, single responses or criteria, as feedback records"

    def plan(self, config: AskConfig, context: StageContext) -> Plan:
        from accord.runs.ai_feedback import plan_of
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        for model in config.models:
            planning.look_at_policy(model, context)
        with context.about("template and constitution"):
            config.read()
        try:
            items = _items(config, context)
            judges = _judges(config, context)
        except NotYet:
            rows = planned_rows(config.data, context) if isinstance(config.data, str) else None
            return Plan(rows=rows, sizes={"feedback": rows} if rows else {})
        voices = 1 if config.panel else len(judges)
        notes = []
        for judge in judges:
            plan = plan_of(judge, items)
            count = len(items) * judge.questions_per_item
            lines = [f"{count:,} questions"] if plan is None else plan.lines(config.asking.prices)
            notes += [f"{judge.name}: {line}" for line in lines]
        return Plan(rows=len(items), notes=notes, sizes={"feedback": len(items) * voices})

    def run(self, config: AskConfig, context: StageContext) -> StageResult:
        from accord.errors import by_reason
        from accord.feedback.store import write_records
        from accord.runs.ai_feedback import ask_judges
        from accord.runs.reading import read_records

        items = _items(config, context)
        judges = _judges(config, context)
        people: Sequence[Feedback] = ()
        if config.people is not None:
            people = read_records(config.people, context).records
        found = AiFeedback()
        ask_judges(judges, items, config, found, people, context.checkpoint)
        file = context.folder / FILE
        write_records(file, found.records)
        failed = found.failed.total()
        values: dict[str, Value] = {
            "items": len(items),
            "records": len(found.records),
            "failed": failed,
            "read": dict(found.read),
        }
        told = f"{len(items):,} items, {len(found.records):,} records"
        if found.masses:
            values["mass"] = sum(found.masses) / len(found.masses)
        for name, estimate in found.temperatures.items():
            values[f"temperature {name}"] = estimate.value
            told += f"; {name}: temperature {estimate}"
        if failed:
            told += f"; {failed:,} without a verdict: {by_reason(found.failed)}"
        return StageResult(told, values, {"feedback": file})


def _items(config: AskConfig, context: StageContext) -> list[JudgeItem]:
    from accord.errors import by_reason
    from accord.oversight.judge_records import items_of
    from accord.runs.judge_data import read_to_judge

    with context.about("data"):
        records, lines = read_to_judge(context.data(config.data))
        items, left_out = items_of(records, config.form)
    if not context.planning:
        for line in [*lines, *([f"left out: {by_reason(left_out)}"] if left_out else [])]:
            context.say(line)
    return items[: config.limit]


def _judges(config: AskConfig, context: StageContext) -> list[AiJudge]:
    from accord.runs.ai_feedback import open_ai_judges
    from accord.sampling.answer_cache import AnswerCache

    kept, asking = AnswerCache(config.asking.kept(context)), config.asking.settings(context)
    return open_ai_judges([*config.judges, *config.models], config, kept, asking, context.resolve)
