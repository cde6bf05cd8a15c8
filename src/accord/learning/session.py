"""What a training loop needs from the outside: resume, metrics, checkpoints, progress.

A loop never touches files. It calls `restore` once, then `end_step` after each optimiser or policy
step. `accord.runs` implements the protocol on a run directory; `LocalSession` is the one for plain
Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from accord import metrics

State = dict[str, Any]
"""Nested dicts and lists of tensors, numbers, strings and None: loadable with torch's
`weights_only`."""


class Session(Protocol):
    """One loop's link to its run."""

    def restore(self) -> State | None:
        """The state of the last checkpoint, or None on a fresh start."""

    def end_step(
        self,
        step: int,
        total: int,
        values: Mapping[str, float],
        state: Callable[[], State],
        where: str = "",
    ) -> None:
        """Record one finished step (1-based, of `total`).

        Checks and logs `values`, moves the progress display, and writes a checkpoint from `state()`
        when one is due. `where` names the rows of the batch for error messages. Raises RunError for
        an impossible value (before any checkpoint is written) and Interrupted when the user asked
        to stop.
        """


class LocalSession:
    """A session without a run directory: metrics are checked and kept in `history`, nothing is
    written."""

    def __init__(self, resume_from: State | None = None) -> None:
        self.history: list[dict[str, float]] = []
        self._state = resume_from

    def restore(self) -> State | None:
        return self._state

    def end_step(
        self,
        step: int,
        total: int,
        values: Mapping[str, float],
        state: Callable[[], State],
        where: str = "",
    ) -> None:
        metrics.check(values, where=f"step {step} {where}".strip())
        self.history.append({"step": step, **values})
