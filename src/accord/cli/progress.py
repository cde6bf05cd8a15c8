"""The progress display: one line per stage with time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from accord.cli.terminal import safe_text
from accord.runs.context import StageProgress
from accord.runs.plan import Plan

PLAIN_SECONDS = 15.0


class RunProgress(StageProgress):
    """Shows the stage under way; `begin` is called by the runner before each stage. prefix: shown
    before its number."""

    def __init__(self, stages: list[str], prefix: str = "") -> None:
        self.stages, self.prefix = stages, prefix
        self.current = ""
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> RunProgress:
        if sys.stdout.isatty():
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                SpinnerColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[note]}", markup=False),
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def planned(self, plans: Mapping[str, Plan]) -> None:
        """Show what each stage is going to do."""
        from accord.cli.plans import lines_of

        for line in [*lines_of(plans, times=False), ""] if plans else []:
            self._plain(line)

    def begin(self, stage: str) -> None:
        """A stage starts."""
        self.current = stage
        place = f"{self.prefix}{self.stages.index(stage) + 1}/{len(self.stages)} {stage}"
        if self._bar is not None:
            if self._task is not None:
                self._bar.stop_task(self._task)
            self._task = self._bar.add_task(place, total=None, note="")
        else:
            self._line(f"stage {place}")

    def step(self, done: int, total: int, note: str = "") -> None:
        """See `accord.runs.context.StageProgress.step`."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
        elif done == total or time.monotonic() - self._last > PLAIN_SECONDS:
            self._last = time.monotonic()
            self._line(f"{self.current} {done}/{total} {note}")

    def say(self, text: str) -> None:
        """See `accord.runs.context.StageProgress.say`."""
        self._line(f"{self.current}: {text}" if self.current else text)

    def _line(self, text: str) -> None:
        self._plain(f"[{time.monotonic() - self._started:5.0f} s] {safe_text(text)}")

    def _plain(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(
                line, markup=False, emoji=False, highlight=False, soft_wrap=True
            )
        else:
            print(line, flush=True)
