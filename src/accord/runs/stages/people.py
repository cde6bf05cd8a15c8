"""People judge a run's items in the studio, and the run waits for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from accord.errors import DataError, by_reason
from accord.runs.context import StageContext
from accord.runs.inputs import Judgements
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult

if TYPE_CHECKING:
    from accord.feedback.records import Feedback

FILE = "feedback.jsonl"


class PeopleConfig(StageConfig):
    """Settings of a people stage."""

    kind: Literal["people"]
    items: Judgements = Field(description="What is judged, such as the items of a mine stage.")
    database: str = Field(description="The studio's database: a file, or postgresql://….")
    project: str = Field(description="The studio's project that the items go into.")
    each: int = Field(1, ge=1, description="People whose judgement each item waits for.")
    share: float = Field(
        1.0, gt=0, le=1, description="Share of the items that must be judged before it goes on."
    )
    every_seconds: float = Field(
        5.0, gt=0, description="Seconds between two looks at what was judged."
    )


class WaitForPeople(Stage):
    """Puts items into a studio project, each once, waits, and writes what people said of them.

    All that is waited for lies in the studio's database: a try that was interrupted, however, adds
    no item twice and loses no judgement.
    """

    kind = "people"
    Config = PeopleConfig
    provides: ClassVar = {"feedback": "judgements"}
    about = "people judge items in the studio, and the run waits for them"

    def plan(self, config: PeopleConfig, context: StageContext) -> Plan:
        from accord.runs.reading import planned_rows
        from accord.studio.projects import editing
        from accord.studio.storage.database import open_existing

        with (
            context.about("project"),
            closing(open_existing(config.database)) as db,
            db.read() as session,
        ):
            editing.find_project(session, config.project)
        rows = planned_rows(config.items, context)
        note = f"waits for people in the project {config.project}"
        return Plan(rows=rows, notes=[note], sizes={"feedback": rows * config.each} if rows else {})

    def run(self, config: PeopleConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import write_records
        from accord.runs.reading import read_records
        from accord.runs.stages.usable import prompt_key
        from accord.studio.delivery import exporting
        from accord.studio.projects import editing
        from accord.studio.storage.database import open_existing

        items = {prompt_key(one): one for one in read_records(config.items, context).records}
        wanted = max(1, round(config.share * len(items)))
        with closing(open_existing(config.database)) as db:
            with db.read() as session:
                project = editing.find_project(session, config.project).id
            added = editing.add_items(db, project, [_item(one) for one in items.values()])
            if added.bad:
                raise DataError(
                    f"the project {config.project} cannot ask about {sum(added.bad.values()):,} of"
                    f" {len(items):,} items: {by_reason(added.bad)}",
                    "name a project that compares two responses",
                )
            context.say(
                f"{added.new:,} items are new in the project {config.project}; people can begin"
            )
            while True:
                found = exporting.collect(db, project)
                ours = [one for one in found.records if prompt_key(one) in items]
                done = _judged(ours, config.each)
                context.checkpoint(min(done, wanted), wanted, "waiting for people")
                if done >= wanted:
                    break
                time.sleep(config.every_seconds)
        records = [_chosen(one, items[prompt_key(one)].meta) for one in ours]
        write_records(context.folder / FILE, records)
        people = len({one.annotator for one in records})
        left = f"; left out: {by_reason(found.left_out)}" if found.left_out else ""
        return StageResult(
            f"{len(records):,} judgements of {done:,} of {len(items):,} items by {people:,}"
            f" people{left}",
            {"records": len(records), "items": len(items), "judged": done, "people": people},
            {"feedback": context.folder / FILE},
        )


def _item(record: Feedback) -> dict[str, Any]:
    """An item of the studio, of a record that nobody has judged yet."""
    from accord.feedback.records import asked_fields
    from accord.feedback.records import to_json as plainly

    return {
        **asked_fields(record.asked),
        "options": [
            {"id": option.id, "content": plainly(option.content), "producer": option.producer}
            for option in record.options
        ],
    }


def _judged(records: Sequence[Feedback], each: int) -> int:
    """Prompts that so many people judged."""
    from accord.runs.stages.usable import prompt_key

    by = {(prompt_key(one), one.annotator) for one in records}
    return sum(count >= each for count in Counter(prompt for prompt, _ in by).values())


def _chosen(record: Feedback, item: Mapping[str, Any]) -> Feedback:
    """With what the item's record said: why it was chosen, which responses ended."""
    kept = ("finished", "selected_by", "selected_for")
    meta = record.meta | {name: item[name] for name in kept if name in item}
    return record.model_copy(update={"meta": meta})
