"""Questions with one right answer, and demonstrations that spoil it by a filler word."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.files import write_jsonl
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.seeds import generator
from accord.text.word_removal import FILMS, VERDICTS, answer, cases, question

MOST = len(FILMS) * len(VERDICTS)


class FillerTaskConfig(StageConfig):
    """Settings of a filler_task stage."""

    kind: Literal["filler_task"]
    demonstrations: int = Field(48, ge=1, description="Questions answered with a filler word.")
    prompts: int = Field(48, ge=1, description="Questions for a model to answer.")
    evaluation: int = Field(48, ge=2, description="Questions kept aside, with the right answer.")

    @model_validator(mode="after")
    def _enough(self) -> FillerTaskConfig:
        if self.demonstrations + self.prompts + self.evaluation > MOST:
            raise ValueError(f"there are {MOST} questions: ask for fewer in all")
        return self


class FillerTask(Stage):
    """Writes demonstrations, prompts and evaluation prompts, no question in two of them."""

    kind = "filler_task"
    Config = FillerTaskConfig
    provides: ClassVar = {
        "demonstrations": "demonstrations",
        "prompts": "prompts",
        "evaluation": "prompts",
    }
    about = "questions with one right answer, and demonstrations with a filler word in it"

    def plan(self, config: FillerTaskConfig, context: StageContext) -> Plan:
        files = _write(config, context)
        sizes = {name: getattr(config, name) for name in self.provides}
        return Plan(rows=sum(sizes.values()), seconds=(0.1, 1.0), sizes=sizes, files=files)

    def run(self, config: FillerTaskConfig, context: StageContext) -> StageResult:
        files = _write(config, context)
        summary = f"{config.demonstrations} demonstrations, {config.prompts} questions"
        return StageResult(f"{summary}, {config.evaluation} kept aside", {}, files)


def _write(config: FillerTaskConfig, context: StageContext) -> dict[str, Any]:
    drawn = list(cases(generator(context.seed, "fillers")))
    first, second = config.demonstrations, config.demonstrations + config.prompts
    rows = {
        "demonstrations": [
            {"prompt": question(film, verdict), "response": answer(verdict, filler)}
            for film, verdict, filler in drawn[:first]
        ],
        "prompts": [{"prompt": question(film, v)} for film, v, _ in drawn[first:second]],
        "evaluation": [
            {"prompt": question(film, verdict), "answer": answer(verdict)}
            for film, verdict, _ in drawn[second : second + config.evaluation]
        ],
    }
    files = {name: context.folder / f"{name}.jsonl" for name in rows}
    for name, path in files.items():
        write_jsonl(path, rows[name])
    return files
