"""A loop's link to its run directory: metrics.jsonl, checkpoints, interruption."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from accord import metrics
from accord.errors import Interrupted, RunError
from accord.files import AppendLog, write_atomically
from accord.learning.session import State
from accord.runs.progress_file import ProgressFile

FLUSH_SECONDS = 2.0
"""How long metrics are held back at most, for who watches the run."""
KEEP = 2
"""Checkpoints kept: the last, and the one before in case the last is damaged."""


class InterruptFlag:
    """Ctrl-C or SIGTERM once: finish the step, checkpoint, stop. Ctrl-C twice: stop at once
    (SIGTERM never: who sends it to a process and its group sends it twice)."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> InterruptFlag:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                one: signal.signal(one, self._on_signal) for one in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(self, *_: object) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)
        self._before = {}

    def _on_signal(self, number: int, _: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.asked:
            with suppress(OSError):  # print() may be under way: a handler must not call it again
                os.write(2, b"\nstopping after this step; Ctrl-C again stops at once\n")
        self.asked = True

    def check(self) -> None:
        """Raise Interrupted when the user asked to stop."""
        if self.asked:
            raise Interrupted("interrupted; the work so far is kept")


class RunSession:
    """Implements `accord.learning.session.Session` in a stage's directory.

    every_seconds / every_steps: checkpoint cadence (whichever comes first; 0 steps: by time only);
    keep: how many checkpoints stay.
    """

    def __init__(
        self,
        folder: Path,
        interrupt: InterruptFlag,
        every_seconds: float = 20.0,
        every_steps: int = 0,
        on_step: Callable[[int, int, Mapping[str, float]], None] | None = None,
        say: Callable[[str], None] = lambda _: None,
        keep: int = KEEP,
    ) -> None:
        self.keep = keep
        self.checkpoints = folder / "checkpoints"
        self.metrics = AppendLog(folder / "metrics.jsonl")
        self._progress = ProgressFile(folder)
        self._interrupt, self._on_step, self._say = interrupt, on_step, say
        self._every_seconds, self._every_steps = every_seconds, every_steps
        self._last_save = self._last_flush = time.monotonic()
        self._pending: list[dict[str, Any]] = []

    # --- the protocol -----------------------------------------------------------------------------
    def restore(self) -> State | None:
        """The newest whole checkpoint; metrics of later steps are dropped, they will be redone."""
        for path in self._existing():
            state = _load(path, self._say)
            if state is not None:
                step = _step_of(path)
                self._keep_until(step)
                self._say(f"continuing after step {step}")
                return state
        self._keep_until(0)
        return None

    def end_step(
        self,
        step: int,
        total: int,
        values: Mapping[str, float],
        state: Callable[[], State],
        where: str = "",
    ) -> None:
        """See `accord.learning.session.Session.end_step`."""
        metrics.check(values, where=f"step {step} {where}".strip())
        self._pending.append({"step": step, "time": round(time.time(), 3), **values})
        self._progress.update(step, total)
        if self._on_step is not None:
            self._on_step(step, total, values)
        due = time.monotonic() - self._last_save >= self._every_seconds
        due |= bool(self._every_steps) and step % self._every_steps == 0
        if time.monotonic() - self._last_flush >= FLUSH_SECONDS:
            self.flush()
        if step == total:
            # The stage's own result follows: a checkpoint of finished work is only needed to stop
            # here.
            self.flush()
        if due or self._interrupt.asked or step == total:
            self.save(step, state())
        self._interrupt.check()

    # --- files ------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Write metrics that were held back."""
        self._last_flush = time.monotonic()
        if self._pending:
            self.metrics.append(self._pending)
            self._pending = []

    def save(self, step: int, state: State) -> None:
        """Write a checkpoint aside, then rename it; keep the last ones."""
        import torch

        def write(folder: Path) -> None:
            folder.mkdir()
            with open(
                folder / "state.pt", "wb"
            ) as handle:  # given a path, torch hides what the disk said
                torch.save(state, handle)
            checksum = hashlib.sha256((folder / "state.pt").read_bytes()).hexdigest()
            (folder / "checksum.json").write_text(json.dumps({"sha256": checksum, "step": step}))

        self.flush()
        write_atomically(self.checkpoints / f"step-{step:08d}", write)
        for old in self._existing()[self.keep :]:
            shutil.rmtree(old)
        self._last_save = time.monotonic()

    def _existing(self) -> list[Path]:
        """Checkpoint folders, newest first."""
        if not self.checkpoints.is_dir():
            return []
        return sorted(
            (p for p in self.checkpoints.iterdir() if re.fullmatch(r"step-\d{8}", p.name)),
            reverse=True,
        )

    def _keep_until(self, step: int) -> None:
        self.metrics.keep(lambda row: row["step"] <= step)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _load(path: Path, say: Callable[[str], None]) -> State | None:
    import torch

    try:
        wanted = json.loads((path / "checksum.json").read_text())["sha256"]
        if hashlib.sha256((path / "state.pt").read_bytes()).hexdigest() != wanted:
            raise RunError("checksum differs")
        return torch.load(path / "state.pt", weights_only=True)  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError, RunError, RuntimeError) as error:
        say(f"checkpoint {path.name} is damaged ({error}); trying the one before")
        return None
