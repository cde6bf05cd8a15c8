"""Preference data from elsewhere: a file, a directory or a Hub id becomes feedback, demonstrations and prompts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from accord.errors import DataError
from accord.files import write_jsonl
from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageConfig, StageResult

if TYPE_CHECKING:
    from accord.feedback.formats import FileReport
    from accord.feedback.records import Feedback


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
        if not Path(config.data).exists():
            sizes = dict.fromkeys(("feedback", "sft", "prompts"), config.limit) if config.limit else {}
            notes = [f"{config.data} is not on this disk and is read when the run starts"]
            return Plan(rows=config.limit, notes=notes, sizes=sizes)
        from accord.feedback.formats import check_file

        report = check_file(config.data)
        fitting, usable = self._fitting(report, config)
        kept_aside, records = self._cut(fitting, len(usable), config, context.seed)
        sizes = {"feedback": len(records), "evaluation": len(kept_aside)}
        files = _files(records, kept_aside)
        sizes |= {name: len(rows) for name, rows in files.items()}
        first = files["sft"][0]
        notes = [f"{report.result.shape}: {len(usable):,} usable, {len(usable) - len(fitting):,} left out as too long"]
        return Plan(
            rows=len(records), notes=notes, sizes=sizes, seconds=1, demonstration=(first["prompt"], first["response"])
        )

    def run(self, config: PreferencesConfig, context: StageContext) -> StageResult:
        from accord.feedback.formats import check_file
        from accord.feedback.store import FeedbackStore, write_records

        report = check_file(context.resolve(config.data))
        for line in report.lines(examples=1):
            context.say(line)
        fitting, usable = self._fitting(report, config)
        context.say(f"{len(usable) - len(fitting):,} of {len(usable):,} records left out as too long")
        kept_aside, records = self._cut(fitting, len(usable), config, context.seed)
        exported = context.folder / "feedback.jsonl"
        with FeedbackStore(context.run_dir / "feedback" / "feedback.sqlite") as store:
            added = store.add(records)
        write_records(exported, {record.id: record for record in records}.values())
        artefacts = {"feedback": exported}
        for name, content in _files(records, kept_aside).items():
            artefacts[name] = context.folder / f"{name}.jsonl"
            write_jsonl(artefacts[name], content)
        values = {
            "rows": report.result.rows, "dropped": sum(report.result.dropped.values()),
            "too_long": len(usable) - len(fitting), "records": added.new, "repeated": added.repeated,
        }  # fmt: skip
        summary = f"{added.new:,} comparisons from {report.result.shape}, {len(kept_aside)} prompts kept aside"
        return StageResult(summary, values, artefacts)

    def _fitting(self, report: FileReport, config: PreferencesConfig) -> tuple[list[Feedback], list[Feedback]]:
        """(records within the limits, all comparisons and rankings)."""
        usable = [r for r in report.result.records if r.kind in ("comparison", "ranking")]
        if not usable:
            raise DataError(f"{config.data} ({report.result.shape}) holds no comparisons", "name preference data")
        return [r for r in usable if _fits(r, config)], usable

    def _cut(
        self, fitting: list[Feedback], usable: int, config: PreferencesConfig, seed: int
    ) -> tuple[list[Feedback], list[Feedback]]:
        """(records kept aside, records used), drawn at random."""
        shuffled = list(fitting)
        random.Random(seed).shuffle(shuffled)
        total = len(shuffled) if config.limit is None else min(len(shuffled), config.limit + config.evaluation)
        if total <= config.evaluation + 2:
            raise DataError(
                f"{len(fitting)} of {usable} records fit the limits", "raise the limits or lower evaluation"
            )
        return shuffled[: config.evaluation], shuffled[config.evaluation : total]


def _files(records: list[Feedback], kept_aside: list[Feedback]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the files other stages read."""
    from accord.feedback.formats import export_rows

    rows, _ = export_rows(records, "trl-preference")
    return {
        "sft": [{"prompt": r["prompt"], "response": _reply_text(r["chosen"])} for r in rows],
        "prompts": _prompts(records), "evaluation": _prompts(kept_aside),
    }  # fmt: skip


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
