"""How far a stage is, for who watches the run from outside."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

PROGRESS, EVERY_SECONDS = "progress.json", 2.0


class ProgressFile:
    """`progress.json` in a stage's folder: units of work done and in all, and seconds since the
    epoch of the first and the last look in this process. Written at most every two seconds, and at
    the end; a disk that is full is no reason to stop."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROGRESS
        self._begun, self._first, self._last = time.time(), -1, 0.0

    def update(self, done: int, total: int) -> None:
        """`done` of `total` units are done now."""
        now = time.time()
        if self._first < 0:
            self._begun, self._first = now, done
        if now - self._last < EVERY_SECONDS and done < total:
            return
        self._last = now
        row = {"done": done, "total": total, "time": now, "begun": self._begun, "from": self._first}
        aside = self.path.with_suffix(".new")
        with suppress(OSError):
            aside.write_text(json.dumps(row), encoding="ascii")
            os.replace(aside, self.path)
