"""Preference data from elsewhere: a file, a directory or a Hub id becomes feedback, demonstrations
and prompts."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from accord.errors import DataError
from accord.feedback.formats.source import name_of
from accord.files import write_jsonl
from accord.runs.context import NotYet, StageContext
from accord.runs.dropping import BOUNDLESS, refuse_dropping
from accord.runs.inputs import Judgements
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult, Value
from accord.runs.stages.preferred import ORDERING, preferred_answers, winners
from accord.runs.stages.settings import ReadsData
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.feedback.formats import FileReport
    from accord.feedback.records import Feedback
    from accord.text.dropping import Need


class PreferencesConfig(ReadsData):
    """Settings of a preferences stage."""

    kind: Literal["preferences"]
    data: Judgements = Field(
        description="Comparisons or rankings in any known format: file, directory or Hub id."
    )
    limit: int | None = Field(None, ge=4, description="Records used, drawn at random; null: all.")
    evaluation: int = Field(64, ge=2, description="Prompts kept aside for the examination.")
    max_prompt_characters: int | None = Field(
        None, ge=1, description="Leave out longer prompts (counted)."
    )
    max_response_characters: int | None = Field(
        None, ge=1, description="Leave out longer responses (counted)."
    )


class Preferences(Stage):
    """Reads comparisons, keeps some prompts aside, and writes the preferred answers as
    demonstrations."""

    kind = "preferences"
    Config = PreferencesConfig
    provides: ClassVar = {
        "feedback": "judgements",
        "sft": "demonstrations",
        "prompts": "prompts",
        "evaluation": "prompts",
    }
    about = "preference data in any known format as feedback records, demonstrations and prompts"

    def plan(self, config: PreferencesConfig, context: StageContext) -> Plan:
        from accord.runs.stages.planning import sampled_note, whole

        try:
            report = _report(config, context)
        except NotYet as error:
            sizes = (
                dict.fromkeys(("feedback", "sft", "prompts"), config.limit) if config.limit else {}
            )
            return Plan(rows=config.limit, notes=[f"{error.message}, {error.fix}"], sizes=sizes)
        fitting, usable, others = self._fitting(report, config, context)
        kept_aside, records = self._cut(fitting, len(usable), config, context.seed)
        files = {"feedback": [record.model_dump(mode="json") for record in records]} | _files(
            records, kept_aside
        )
        sizes = {name: whole(len(rows), context) for name, rows in files.items()} | {
            "evaluation": len(files["evaluation"])
        }
        if config.limit:
            sizes["feedback"] = min(sizes["feedback"], config.limit)
        for name, rows in files.items():
            write_jsonl(context.folder / f"{name}.jsonl", rows)
        notes = [f"{report.result.shape}: {whole(len(usable), context):,} usable"]
        notes += [f"of other kinds: {_named(others)}"] if others else []
        too_long = len(usable) - len(fitting)
        return Plan(
            rows=sizes["feedback"],
            notes=notes + sampled_note(context),
            sizes=sizes,
            seconds=(0.2, 2.0),
            dropped={
                **report.result.dropped,
                **({"too long": whole(too_long, context)} if too_long else {}),
            },
            files={name: context.folder / f"{name}.jsonl" for name in files},
        )

    def run(self, config: PreferencesConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import FeedbackStore, write_records

        report = _report(config, context)
        for line in report.lines(examples=1):
            context.say(line)
        fitting, usable, others = self._fitting(report, config, context)
        if others:
            context.say(
                f"{others.total():,} records left out, for this stage reads comparisons and"
                f" rankings: {_named(others)} (the stages reward, dpo, kto and sft read files of"
                " their own)"
            )
        context.say(
            f"{len(usable) - len(fitting):,} of {len(usable):,} records left out as too long"
        )
        kept_aside, records = self._cut(fitting, len(usable), config, context.seed)
        spare = len(fitting) - len(kept_aside) - len(records)
        if spare:
            context.say(f"{spare:,} records left out beyond the limit of {config.limit:,}")
        exported = context.folder / "feedback.jsonl"
        with FeedbackStore(context.run_dir / "feedback" / "feedback.sqlite") as store:
            added = store.add(records)
        write_records(exported, {record.id: record for record in records}.values())
        artefacts = {"feedback": exported}
        files = _files(records, kept_aside)
        shown = files["sft"]
        blank = sum(1 for record in records for _ in winners(record)) - len(shown)
        unfinished = sum(not row["meta"].get("finished", True) for row in shown)
        context.say(
            f"{len(shown):,} demonstrations; {blank:,} preferred answers are blank and demonstrate"
            " nothing"
        )
        if unfinished:
            context.say(
                f"{unfinished:,} demonstrations were cut off: they do not teach to end there"
            )
        for name, content in files.items():
            artefacts[name] = context.folder / f"{name}.jsonl"
            write_jsonl(artefacts[name], content)
        values: dict[str, Value] = {
            "rows": report.result.rows,
            "dropped": sum(report.result.dropped.values()),
            "other_kinds": _named(others),
            "too_long": len(usable) - len(fitting),
            "beyond_limit": spare,
            "records": added.new,
            "repeated": added.repeated,
            "demonstrations": len(shown),
            "blank": blank,
            "unfinished": unfinished,
        }
        summary = (
            f"{added.new:,} comparisons from {report.result.shape}, {len(kept_aside)} prompts kept"
            " aside"
        )
        return StageResult(summary, values, artefacts)

    def _fitting(
        self, report: FileReport, config: PreferencesConfig, context: StageContext
    ) -> tuple[list[Feedback], list[Feedback], Counter[str]]:
        """(records within the limits, all comparisons and rankings, other records by kind)."""
        from accord.runs.stages.usable import usable as usable_texts

        texts, others = usable_texts(report.result.records)
        usable = [r for r in texts if r.kind in ORDERING]
        others += Counter(r.kind for r in texts if r.kind not in ORDERING)
        if not usable:
            held = f", only {_named(others)}" if others else ""
            raise DataError(
                f"{name_of(config.data)} ({report.result.shape}) holds no comparisons{held}",
                "name preference data",
            )
        needs = [_need(record) for record in usable]
        limits = {
            name: getattr(config, name)
            for name in ("max_prompt_characters", "max_response_characters")
        }
        bounds = [BOUNDLESS if value is None else value for value in limits.values()]
        fits = [need.fits(*bounds) for need in needs]
        refuse_dropping(
            [need for need, fit in zip(needs, fits, strict=True) if not fit], needs, limits, context
        )
        return [record for record, fit in zip(usable, fits, strict=True) if fit], usable, others

    def _cut(
        self, fitting: list[Feedback], usable: int, config: PreferencesConfig, seed: int
    ) -> tuple[list[Feedback], list[Feedback]]:
        """(records kept aside, records used), drawn at random."""
        shuffled = list(fitting)
        random.Random(derive_seed(seed, "kept aside")).shuffle(shuffled)
        total = (
            len(shuffled)
            if config.limit is None
            else min(len(shuffled), config.limit + config.evaluation)
        )
        if total <= config.evaluation + 2:
            raise DataError(
                f"{len(fitting)} of {usable} records fit the limits",
                "raise the limits or lower evaluation",
            )
        return shuffled[: config.evaluation], shuffled[config.evaluation : total]


def _named(kinds: Counter[str]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))


def _files(records: list[Feedback], kept_aside: list[Feedback]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the files other stages read."""
    shown = [
        demonstration.model_dump(mode="json")
        for record in records
        for demonstration in preferred_answers(record)
    ]
    return {"sft": shown, "prompts": _prompts(records), "evaluation": _prompts(kept_aside)}


def _report(config: PreferencesConfig, context: StageContext) -> FileReport:
    from accord.feedback.formats import FileReport
    from accord.runs.reading import read_records

    return FileReport(name_of(config.data), read_records(config.data, context))


def _need(record: Feedback) -> Need:
    """Characters of the prompt and of the longest response."""
    from accord.feedback.formats import plain
    from accord.text.dropping import Need

    return Need(
        len(plain(record.prompt)), max((len(plain(o.content)) for o in record.options), default=0)
    )


def _prompts(records: list[Feedback]) -> list[dict[str, Any]]:
    """Each prompt once, in order, with its tools and settings of the chat template."""
    from accord.feedback.records import asked_fields
    from accord.runs.stages.usable import prompt_key

    return list({prompt_key(record): asked_fields(record.asked) for record in records}.values())
