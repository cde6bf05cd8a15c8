"""Sends a run's metrics to trackers while it runs, from a thread of its own, or later."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from accord.errors import AccordError, ConfigError
from accord.files import take_lock, write_json
from accord.report.sinks.following import Follower
from accord.report.sinks.mlflow import Mlflow
from accord.report.sinks.sink import (
    RunInfo,
    Sink,
    SinkError,
    read_recipe,
    without_secrets,
)
from accord.report.sinks.tensorboard import TensorBoard
from accord.report.sinks.trackio import Trackio
from accord.report.sinks.wandb import Wandb
from accord.validation import suggest

SINKS: dict[str, Callable[[RunInfo, dict[str, Any]], Sink]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "trackio": Trackio,
}
PACKAGES = {"wandb": "wandb", "trackio": "trackio"}
"""What must be installed beside accord: `accord[NAME]`."""
EVERY_SECONDS, AGAIN_SECONDS, PATIENCE = 2.0, 30.0, 20.0
"""Between two looks at the files; between two tries where a tracker failed; how long the end of a
run waits for what is still to be sent."""
NOTES, KEY = "sinks", "run-id"


def check_sinks(names: Sequence[str]) -> None:
    """Raise ConfigError for a name that is no tracker, or whose package is not installed."""
    for name in names:
        if name not in SINKS:
            raise ConfigError(
                f"log: {name!r} is not a tracker",
                f"{suggest(name, list(SINKS))}choose from {', '.join(SINKS)}",
            )
        package = PACKAGES.get(name)
        if package and importlib.util.find_spec(package) is None:
            raise ConfigError(f"log: {name} is not installed", f"pip install 'accord[{name}]'")


def run_info(run_dir: Path) -> RunInfo:
    """Of a run that has begun. Its key is made once and kept in the run's directory."""
    kept = run_dir / NOTES / KEY
    if not kept.exists():
        made = f"{run_dir.resolve()} {time.time_ns()}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(hashlib.sha256(made.encode()).hexdigest()[:16], encoding="ascii")
    settings = read_recipe(run_dir)
    name = run_dir.resolve().name
    return RunInfo(run_dir, kept.read_text(encoding="ascii"), name, settings["name"], settings)


class SinkPosition:
    """One tracker's copy of a run: opened when there is something to send, its position and state
    kept in RUN/sinks/NAME.json after what was sent. While it is open, no other process sends to the
    same copy."""

    def __init__(self, name: str, run_dir: Path, say: Callable[[str], None]) -> None:
        self.name, self.run_dir, self._say = name, run_dir, say
        self.path = run_dir / NOTES / f"{name}.json"
        self._sink: Sink | None = None
        self._lock: int | None = None
        self._follower = Follower(run_dir)
        self._again = 0.0
        self._told = ""
        self.sent = 0

    def send(self, now: bool = False) -> bool:
        """Send what is new; whether all of it is there. What fails is said once, and tried again
        some time later (`now`: at once); it never raises."""
        if not now and time.monotonic() < self._again:
            return False
        try:
            self._send()
        except Exception as error:  # a tracker never stops a run
            self._failed(error)
            return False
        self._told = ""
        return True

    def close(self, finished: bool) -> None:
        """End the tracker's run; never raises."""
        try:
            if self._sink is not None:
                self._sink.close(finished)
        except Exception as error:
            self._failed(error)
        finally:
            self._release()
        if self._follower.broken:
            self._say(
                f"{self.name}: {self._follower.broken} lines of metrics.jsonl are no metrics and"
                " were not sent"
            )

    def _send(self) -> None:
        sink = self._sink or self._open()
        for rows in self._follower.new():
            sink.send(rows)
            self._follower.taken(rows)
            self._note(sink)
            self.sent += len(rows)

    def _open(self) -> Sink:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(self.path.with_suffix(".lock"))
        if self._lock is None:
            raise SinkError(
                f"another process sends {self.run_dir} to {self.name}",
                f"let it: it sends everything; or end it first (the run itself, with log:"
                f" [{self.name}], or an accord watch --to {self.name})",
            )
        try:
            return self._begin()
        except Exception:
            self._release()
            raise

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin(self) -> Sink:
        noted = json.loads(self.path.read_text()) if self.path.exists() else {}
        self._follower = Follower(self.run_dir, dict(noted.get("sent", {})))
        sink = SINKS[self.name](run_info(self.run_dir), dict(noted.get("state", {})))
        where = sink.open()
        if sink.anew:
            self._follower.sent = {}
        self._sink = sink
        self._note(sink)
        self._say(f"{self.name}: {where}")
        return sink

    def _note(self, sink: Sink) -> None:
        write_json(self.path, {"sent": self._follower.sent, "state": sink.state})

    def _failed(self, error: Exception) -> None:
        self._again = time.monotonic() + AGAIN_SECONDS
        self._follower = Follower(self.run_dir, self._follower.sent)  # from what is noted
        message = str(error) if isinstance(error, AccordError) else f"{error!r}"
        message = without_secrets(message)
        if message != self._told:
            self._told = message
            self._say(f"{self.name} is not sent to (the run goes on): {message}")


class Sending:
    """Within it, a thread sends what is new every two seconds; at the end the rest."""

    def __init__(self, run_dir: Path, names: Sequence[str], say: Callable[[str], None]) -> None:
        self.positions = [SinkPosition(name, run_dir, say) for name in names]
        self.run_dir, self._say = run_dir, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="accord's trackers", daemon=True)
        self._finished = False

    def __enter__(self) -> Sending:
        if self.positions:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finished = kind is None
        self._stop.set()
        if not self.positions:
            return
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            names = ", ".join(position.name for position in self.positions)
            self._say(
                f"{names}: still sending after {PATIENCE:.0f} s; send the rest with: accord watch"
                f" {self.run_dir} --to {names.replace(', ', ' --to ')}"
            )

    def _work(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            for position in self.positions:
                position.send()
        for position in self.positions:
            position.send(now=True)
            position.close(self._finished)


def send_all(run_dir: Path, names: Sequence[str], say: Callable[[str], None]) -> dict[str, int]:
    """Send what a run has so far; rows sent to each. Raises SinkError where one fails."""
    counts = {}
    for name in names:
        position = SinkPosition(name, run_dir, say)
        taken = position.send()
        position.close(finished=True)
        if not taken:
            raise SinkError(f"{name} did not take the run", "see the message above")
        counts[name] = position.sent
    return counts
