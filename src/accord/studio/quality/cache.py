"""Statistics beside the server: computed in one thread of their own, kept, and marked with their
age.

A part is kept for as long as answers, people and settings stay as they were; pages say when it was
computed and from how many answers. They wait a moment for new numbers, else show the old ones,
marked as such.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import func, select

from accord.collector import without_collector
from accord.studio.quality.assisted import assisted
from accord.studio.quality.measures import (
    ProjectSnapshot,
    groups,
    integrity,
    load,
    overview,
    people,
)
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Membership, Project

T = TypeVar("T")
WAIT_SECONDS = 2.0
"""How long a page waits for numbers; later they are there."""
KEPT = 256


@dataclass(frozen=True)
class CachedStats(Generic[T]):
    """A part: its value (None while it is computed for the first time), of when, from how many
    answers; stale: more came since, new numbers are on their way."""

    value: T | None
    at: float | None
    answers: int
    stale: bool


StatsFunction = Callable[[ProjectSnapshot, float], Any]
PARTS: dict[str, StatsFunction] = {
    "overview": overview,
    "people": lambda snapshot, _: people(snapshot),
    "groups": lambda snapshot, _: groups(snapshot),
    "integrity": lambda snapshot, _: integrity(snapshot),
    "assistance": lambda snapshot, _: assisted(snapshot),
}


class StatsCache:
    """Computes parts in one thread of its own and keeps them."""

    def __init__(
        self,
        db: Database,
        wait: float = WAIT_SECONDS,
        more: Mapping[str, StatsFunction] | None = None,
    ) -> None:
        self.db, self.wait, self.parts = db, wait, {**PARTS, **(more or {})}
        self._thread = ThreadPoolExecutor(1, "accord-quality")
        self._lock = threading.Lock()
        self._done: dict[tuple[int, str], tuple[str, CachedStats[Any]]] = {}
        self._running: dict[tuple[int, str, str], Future[CachedStats[Any]]] = {}
        self._loaded: tuple[int, str, ProjectSnapshot] | None = (
            None  # the last one: pages of a project are read in a row
        )

    def get(self, project_id: int, part: str) -> CachedStats[Any]:
        """The part as it stands; waits a moment for new numbers, else gives the old ones, marked as
        such."""
        version, count = self.version(project_id)
        with self._lock:
            known = self._done.get((project_id, part))
            if known is not None and known[0] == version:
                return known[1]
            key = (project_id, part, version)
            job = self._running.get(key)
            if job is None:
                job = self._running[key] = self._thread.submit(self._compute, key, count)
        try:
            return job.result(self.wait)
        except NotYet:
            old = known[1] if known is not None else CachedStats(None, None, 0, True)
            return CachedStats(old.value, old.at, old.answers, True)

    def version(self, project_id: int) -> tuple[str, int]:
        """(what changes whenever numbers may, live answers)."""
        with self.db.read() as session:
            live = select(func.count(), func.max(Answer.created_at)).where(
                Answer.project_id == project_id, Answer.state == "live"
            )
            count, last = session.execute(live).one()
            who = (
                select(
                    Membership.account_id,
                    Membership.state,
                    Membership.trusted,
                    Account.name,
                    Account.attributes,
                )
                .join(Account, Account.id == Membership.account_id)
                .where(Membership.project_id == project_id)
                .order_by(Membership.account_id)
            )
            rows = [tuple(row) for row in session.execute(who)]
            settings = session.scalar(select(Project.settings).where(Project.id == project_id))
        text = json.dumps([count, last, rows, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest(), int(count)

    def _compute(self, key: tuple[int, str, str], count: int) -> CachedStats[Any]:
        project_id, part, version = key
        try:
            with without_collector():
                value = self.parts[part](self._snapshot(project_id, version), self.db.now())
            stats = CachedStats(value, self.db.now(), count, False)
            with self._lock:
                if len(self._done) >= KEPT:
                    self._done.clear()
                self._done[(project_id, part)] = (version, stats)
            return stats
        finally:
            with self._lock:
                self._running.pop(key, None)

    def _snapshot(self, project_id: int, version: str) -> ProjectSnapshot:
        """Only in the thread, so without a lock."""
        if self._loaded is None or self._loaded[:2] != (project_id, version):
            self._loaded = None  # not two at once
            self._loaded = project_id, version, load(self.db, project_id)
        return self._loaded[2]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)
