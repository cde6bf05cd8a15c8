"""Preference data from elsewhere: a file, a directory or a Hub id becomes feedback, demonstrations and prompts."""

from __future__ import annotations

import random
from typing import Any, Literal

from pydantic import Field

from accord.errors import DataError
from accord.files import write_jsonl
from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageConfig, StageResult


class PreferencesConfig(StageConfig):
    """Settings of a preferences stage."""

    kind: Literal["preferences"]
    data: str = Field(description="Comparisons or rankings in any known format: file, directory or Hub id.")
    limit: int | None = Field(None, ge=4, description="Records used, drawn at random; null: all.")
    evaluation: int = Field(64, ge=2, description="Prompts kept aside for the examination.")
    max_prompt_characters: int | None = Field(None, ge=1, description="Leave out longer prompts (counted).")
    max_response_characters: int | None = Field(None, ge=1, description="Leave out longer responses (counted).")


class Preferences(Stage):
    """Reads comparisons, keeps some prompts aside, and writes the preferred answers as demonstrations."""

    kind = "preferences"
    Config = PreferencesConfig
    provides = ("feedback", "sft", "prompts", "evaluation")
    about = "preference data in any known format as feedback records, demonstrations and prompts"

    def plan(self, config: PreferencesConfig, context: StageContext) -> Plan:
        return Plan(rows=config.limit, notes=[f"from {config.data}"])

    def run(self, config: PreferencesConfig, context: StageContext) -> StageResult:
        from accord.feedback.formats import check_file
        from accord.feedback.formats import export_rows as export
        from accord.feedback.store import FeedbackStore

        report = check_file(context.resolve(config.data))
        for line in report.lines(examples=1):
            context.say(line)
        usable = [r for r in report.result.records if r.kind in ("comparison", "ranking")]
        if not usable:
            raise DataError(f"{config.data} ({report.result.shape}) holds no comparisons", "name preference data")
        fitting = [r for r in usable if _fits(r, config)]
        random.Random(context.seed).shuffle(fitting)
        total = len(fitting) if config.limit is None else min(len(fitting), config.limit + config.evaluation)
        if total <= config.evaluation + 2:
            raise DataError(
                f"{len(fitting)} of {len(usable)} records fit the limits", "raise the limits or lower evaluation"
            )
        context.say(f"{len(usable) - len(fitting):,} of {len(usable):,} records left out as too long")
        kept_aside, records = fitting[: config.evaluation], fitting[config.evaluation : total]
        with FeedbackStore(context.run_dir / "feedback" / "feedback.sqlite") as store:
            added = store.add(records)
            exported = context.folder / "feedback.jsonl"
            store.export_jsonl(exported)
        rows, _ = export(records, "trl-preference")
        files: dict[str, list[dict[str, Any]]] = {
            "sft": [{"prompt": r["prompt"], "response": _reply_text(r["chosen"])} for r in rows],
            "prompts": _prompts(records), "evaluation": _prompts(kept_aside),
        }  # fmt: skip
        artefacts = {"feedback": exported}
        for name, content in files.items():
            artefacts[name] = context.folder / f"{name}.jsonl"
            write_jsonl(artefacts[name], content)
        values = {
            "rows": report.result.rows, "dropped": sum(report.result.dropped.values()),
            "too_long": len(usable) - len(fitting), "records": added.new, "repeated": added.repeated,
        }  # fmt: skip
        summary = f"{added.new:,} comparisons from {report.result.shape}, {len(kept_aside)} prompts kept aside"
        return StageResult(summary, values, artefacts)


def _fits(record: Any, config: PreferencesConfig) -> bool:
    from accord.feedback.formats import plain

    prompt = record.prompt if isinstance(record.prompt, str) else "\n".join(m.content for m in record.prompt)
    too_long = config.max_prompt_characters is not None and len(prompt) > config.max_prompt_characters
    limit = config.max_response_characters
    return not too_long and (limit is None or all(len(plain(o.content)) <= limit for o in record.options))


def _prompts(records: list[Any]) -> list[dict[str, Any]]:
    """Each prompt once, in order."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        prompt = record.prompt if isinstance(record.prompt, str) else [m.model_dump() for m in record.prompt]
        rows.setdefault(repr(prompt), {"prompt": prompt})
    return list(rows.values())


def _reply_text(reply: Any) -> str:
    """Text of an exported reply."""
    return reply if isinstance(reply, str) else str(reply[-1]["content"])
