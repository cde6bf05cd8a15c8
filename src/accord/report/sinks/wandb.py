"""Weights & Biases, through its own package (`accord[wandb]`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accord.report.sinks.following import Scalars
from accord.report.sinks.sink import RunInfo, SinkError


class Wandb:
    """One run, whose id is kept: a resumed run goes on in it. WANDB_PROJECT, WANDB_ENTITY and
    WANDB_API_KEY are read by the package.

    Offline (WANDB_MODE=offline) every start makes a directory of its own, and sending the second
    one replaces what the first one said: so each start writes the whole run anew, and removes
    the directory of the start before. state: whether, and where that is.
    """

    def __init__(self, run: RunInfo, state: dict[str, Any]) -> None:
        self.run, self.state = run, state
        self.anew = os.environ.get("WANDB_MODE") == "offline"
        self._there: Any = None

    def open(self) -> str:
        """See `Sink.open`."""
        import wandb

        if not self.anew and not wandb.api.api_key:
            raise SinkError(
                "Weights & Biases has no key",
                "run `wandb login`, set WANDB_API_KEY, or keep it here with WANDB_MODE=offline",
            )
        folder = self.run.run_dir / "wandb"
        folder.mkdir(exist_ok=True)
        before = self.state.pop("offline", None)
        self._there = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "accord"),
            name=self.run.name,
            group=self.run.project,
            id=self.run.key,
            resume=None if self.anew else "allow",
            config=dict(self.run.settings),
            dir=str(self.run.run_dir),
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        self._there.define_metric("*", step_metric="stage_step")
        if not self.anew:
            return str(self._there.url)
        if before is not None:
            shutil.rmtree(folder / str(before), ignore_errors=True)
        place = Path(self._there.dir).parent
        self.state["offline"] = place.name
        return f"wandb sync {place}"

    def send(self, rows: Sequence[Scalars]) -> None:
        """See `Sink.send`."""
        for row in rows:
            self._there.log({**row.values, f"{row.stage}/step": row.step, "stage_step": row.step})

    def close(self, finished: bool) -> None:
        """See `Sink.close`."""
        if self._there is not None:
            self._there.finish(exit_code=0 if finished else 1)
