"""What was judged in a run, on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accord.feedback.records import Feedback
from accord.files import AppendLog


class JudgementLog(AppendLog):
    """An `AppendLog` of records, each of which is read once, however often they are asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._read: list[tuple[dict[str, Any], Feedback]] = []  # rows that were read before

    @property
    def records(self) -> list[Feedback]:
        """All of them, in the order they came."""
        rows, known = self.rows, self._read
        same = 0
        while same < min(len(rows), len(known)) and rows[same] is known[same][0]:
            same += 1
        fresh = [(row, Feedback.model_validate(row)) for row in rows[same:]]
        self._read = known[:same] + fresh
        return [record for _, record in self._read]

    def add(self, records: Iterable[Feedback]) -> None:
        """Durably, as `append` does."""
        self.append([one.model_dump(mode="json") for one in records])

    def keep_first(self, count: int) -> None:
        """Forget those that came later."""
        kept = {id(row) for row in self.rows[:count]}
        self.keep(lambda row: id(row) in kept)
