"""Prompts out of any data: rows of prompts with their other columns, or what judgements and
demonstrations are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from accord.errors import DataError
from accord.feedback.formats.source import name_of
from accord.files import write_jsonl
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import Judgements
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult
from accord.runs.stages.aside import drawn
from accord.runs.stages.settings import ReadsData

if TYPE_CHECKING:
    from accord.feedback.records import Feedback

ANSWER = "answer"
"""The column in which a demonstration is left: what verifiers compare with."""


class PromptsConfig(ReadsData):
    """Settings of a prompts stage."""

    kind: Literal["prompts"]
    data: Judgements = Field(
        description="Prompts, judgements or demonstrations in any known format."
    )
    limit: int | None = Field(None, ge=1, description="Prompts used, drawn at random; null: all.")


class PromptsOfData(Stage):
    """Writes the prompts of any data, each once, with the other columns of its row."""

    kind = "prompts"
    Config = PromptsConfig
    provides: ClassVar = {"prompts": "prompts"}
    about = "the prompts of any data, each once: of rows of prompts with their other columns"

    def plan(self, config: PromptsConfig, context: StageContext) -> Plan:
        from accord.runs.stages.planning import sampled_note, whole

        try:
            rows = _rows(config, context)
        except NotYet as error:
            sizes = {"prompts": config.limit} if config.limit else {}
            return Plan(rows=config.limit, notes=[f"{error.message}, {error.fix}"], sizes=sizes)
        found = whole(len(rows), context)
        count = min(found, config.limit or found)
        path = context.folder / "prompts.jsonl"
        write_jsonl(path, rows)
        return Plan(
            rows=count,
            notes=sampled_note(context),
            sizes={"prompts": count},
            seconds=(0.2, 2.0),
            files={"prompts": path},
        )

    def run(self, config: PromptsConfig, context: StageContext) -> StageResult:
        rows = _rows(config, context)
        used = drawn(rows, config.limit, context.seed)
        path = context.folder / "prompts.jsonl"
        write_jsonl(path, used)
        columns = sorted({name for row in used for name in row} - {"prompt"})
        beside = f", with {', '.join(columns)}" if columns else ""
        summary = f"{len(used):,} prompts{beside}"
        if len(used) < len(rows):
            summary += f"; {len(rows) - len(used):,} left out beyond the limit"
        return StageResult(summary, {"prompts": len(used)}, {"prompts": path})


def _rows(config: PromptsConfig, context: StageContext) -> list[dict[str, Any]]:
    """One row per prompt."""
    from accord.feedback.records import Demonstration, asked_fields, to_json
    from accord.runs.reading import plain_prompts, read_records
    from accord.runs.stages.usable import prompt_key, usable

    plain = plain_prompts(config.data, context)
    if plain is not None:
        return [_row(row.prompt, row.columns) for row in plain]
    read = read_records(config.data, context)
    records, left_out = usable(read.records)
    if not records:
        raise DataError(
            f"{name_of(config.data)} ({read.shape}) holds no prompts",
            "name rows with a prompt each, judgements or demonstrations",
        )
    for reason, count in left_out.items():
        context.say(f"{count:,} records left out: {reason}")

    def row(record: Feedback) -> dict[str, Any]:
        shown = record.choice
        answer = {ANSWER: to_json(shown.content)} if isinstance(shown, Demonstration) else {}
        return {**asked_fields(record.asked), **answer}

    first: dict[str, dict[str, Any]] = {}
    for record in records:
        first.setdefault(prompt_key(record), row(record))
    context.say(f"{read.shape}: {len(first):,} prompts of {len(records):,} records")
    return list(first.values())


def _row(prompt: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    from accord.feedback.records import asked_fields

    return {**asked_fields(prompt), **columns}
