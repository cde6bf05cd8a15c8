"""People who judge clips while a policy learns: what they are asked lies in a studio, which is
another process and may come and go.

Whatever was judged stays there. A run that was killed finds it again, and asks nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select

from accord.control.grounding import ASKED
from accord.control.watchers import AskedClips
from accord.errors import DataError, by_reason
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback, to_json
from accord.studio.delivery import exporting
from accord.studio.projects import editing, training
from accord.studio.projects.training import RewardLearned
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Answer, Item, View

OPTIONS = "abcdefghi"
"""Ids of a question's clips, as they were drawn."""
STOP = ASKED
"""In an item's meta, and in that of its answers: the record of the stop from which the policy went
on."""
Drawings = Mapping[str, dict[str, Any]]
"""What is seen of clips, by `clip_key`."""


@dataclass(frozen=True)
class Settled:
    """Items that were asked so far, and of these the settled ones: judged, or skipped by
    somebody."""

    asked: int
    settled: int


class ClipJudges(Protocol):
    """Who judges clips in their own time. goes_on: whether they are asked about what the policy
    does from where they stopped a clip."""

    goes_on: bool

    def standing(self, rollout: int) -> int:
        """Questions that were asked about a rollout's clips already."""

    def ask(self, rollout: int, asked: Sequence[AskedClips], drawings: Drawings) -> None:
        """Ask about clips of a rollout, durably."""

    def gone_on(self) -> set[str]:
        """Stops, by the ids of their records, that were gone on from."""

    def ask_again(self, stop: str, clips: Sequence[Clip], drawings: Drawings) -> int:
        """Ask which is better of a clip and what was done from its stop on; returns how many
        questions that makes (none where it stands already)."""

    def corrections(self) -> Settled:
        """How far they are with these questions."""

    def settled(self) -> Settled:
        """How far they are: looked at again and again while the policy waits."""

    def judgements(self) -> list[Feedback]:
        """What stands, in the order it came."""

    def pause(self, settled: int, due: int) -> None:
        """Wait a moment: fewer are settled than are due before the policy may learn on."""

    def tell(self, learned: RewardLearned) -> None:
        """The reward learned from what was heard."""

    def close(self) -> None:
        """Nothing is learned any more: what is open is asked of nobody."""


def clip_key(clip: Clip) -> str:
    """Names a clip among the drawings."""
    return clip.model_dump_json()


class StudioJudges:
    """People in a project of a studio, whose task shows clips."""

    def __init__(
        self,
        db: Database,
        project: int | Callable[[], int],
        question: str,
        pause: Callable[[int, int], None],
        goes_on: bool = False,
    ) -> None:
        """project: its id, or what makes it once there is something to ask; pause: called while the
        policy waits, with questions settled and due; it sleeps, and raises what should stop the
        run."""
        self.db, self.question, self._pause, self.goes_on = db, question, pause, goes_on
        self._given = project
        self.project = project if isinstance(project, int) else None

    def standing(self, rollout: int) -> int:
        return sum(meta["rollout"] == rollout for _, meta in self._items("rollout"))

    def ask(self, rollout: int, asked: Sequence[AskedClips], drawings: Drawings) -> None:
        """Raises DataError where the project cannot ask so."""
        self._add(
            [
                _row(one.clips, drawings, {"rollout": rollout, "selected_by": one.arm})
                for one in asked
            ]
        )

    def gone_on(self) -> set[str]:
        return {meta[STOP] for _, meta in self._items(STOP)}

    def ask_again(self, stop: str, clips: Sequence[Clip], drawings: Drawings) -> int:
        return self._add([_row(clips, drawings, {STOP: stop, "selected_by": "a stop"})])

    def corrections(self) -> Settled:
        return self._settled(STOP)

    def _add(self, rows: list[dict[str, Any]]) -> int:
        added = editing.add_items(self.db, self._opened(), rows)
        if added.bad:
            raise DataError(
                f"the project cannot ask about {sum(added.bad.values()):,} of {len(rows):,}"
                f" questions: {by_reason(added.bad)}",
                "leave the project's task as it was made",
            )
        return added.new

    def _opened(self) -> int:
        """The project, made where there is none yet."""
        if self.project is None:
            assert callable(self._given)  # or there was a project from the beginning
            self.project = self._given()
        return self.project

    def settled(self) -> Settled:
        return self._settled("rollout")

    def _settled(self, marked: str) -> Settled:
        with self.db.read() as session:
            live = select(Answer.item_id).where(
                Answer.project_id == self.project, Answer.state == "live"
            )
            skipped = select(View.item_id).where(
                View.project_id == self.project, View.state == "skipped"
            )
            settled = {*session.scalars(live), *session.scalars(skipped)}
        ours = dict(self._items(marked))
        return Settled(len(ours), len(settled & ours.keys()))

    def judgements(self) -> list[Feedback]:
        if self.project is None:
            return []
        return [
            self._ours(one)
            for one in exporting.collect(self.db, self.project).records
            if not {"rollout", STOP}.isdisjoint(one.meta.get("columns", {}))
        ]

    def pause(self, settled: int, due: int) -> None:
        self._pause(settled, due)

    def tell(self, learned: RewardLearned) -> None:
        if self.project is not None:
            training.note_learned(self.db, self.project, learned)

    def close(self) -> None:
        """What is on a screen can still be sent, and is kept."""
        if self.project is None:
            return
        ours = {number for mark in ("rollout", STOP) for number, _ in self._items(mark)}
        query = select(Item.id, Item.key).where(
            Item.project_id == self.project, Item.state == "active"
        )
        with self.db.read() as session:
            keys = [key for number, key in session.execute(query) if number in ours]
        editing.pause_items(self.db, self.project, keys, True)

    def drawings(self, clips: Iterable[Clip]) -> Drawings:
        """What was seen of these clips, of which those that nobody was asked about are left out."""
        wanted, found = {clip_key(clip) for clip in clips}, dict[str, dict[str, Any]]()
        query = (
            select(Item.options)
            .where(Item.project_id == self.project)
            .order_by(Item.id.desc())
            .execution_options(yield_per=20)  # a clip's frames may weigh megabytes
        )
        with self.db.read() as session:
            for options in session.scalars(query):
                if len(found) == len(wanted):
                    break
                for option in options:
                    key = clip_key(Clip.model_validate(option["content"]))
                    if key in wanted:
                        found[key] = option["drawing"]
        return found

    def _items(self, marked: str) -> list[tuple[int, dict[str, Any]]]:
        """Items of ours, and their meta, in which this stands."""
        query = select(Item.id, Item.meta).where(Item.project_id == self.project)
        with self.db.read() as session:
            rows = [(int(row[0]), row[1]) for row in session.execute(query)]
        return [(number, meta) for number, meta in rows if marked in (meta or {})]

    def _ours(self, record: Feedback) -> Feedback:
        """With what was asked, and by which arm it was chosen."""
        columns = record.meta["columns"]
        meta = record.meta | {"selected_by": columns["selected_by"]}
        if STOP in columns and "grounds" not in meta:
            meta |= {"grounds": "correction", STOP: columns[STOP]}
        return record.model_copy(update={"prompt": self.question, "meta": meta})


def _row(clips: Sequence[Clip], drawings: Drawings, meta: dict[str, Any]) -> dict[str, Any]:
    """An item."""
    options = [
        {"id": name, "content": to_json(clip), "drawing": drawings[clip_key(clip)]}
        for name, clip in zip(OPTIONS, clips, strict=False)
    ]
    return {"options": options, "meta": meta}
