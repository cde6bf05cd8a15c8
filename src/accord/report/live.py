"""A run as it stands, read from its files: stages, how far they are, their curves, alarms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from accord.files import read_json_if_whole
from accord.report.sinks.following import Follower
from accord.report.sinks.sink import read_recipe

State = Literal["waiting", "running", "done", "failed", "stopped"]
BOOKKEEPING = {
    "learning_rate", "grad_norm", "grad_norm_clipped", "optimizer_steps", "tokens",
}  # fmt: skip
"""Metrics that are no headline."""
HEADLINES = (
    "score", "kl_seq", "entropy_tok", "response_tokens", "surprise_tok", "loss_tok",
    "heldout_loss_tok", "judgement_nll", "preference_agreement", "loss", "policy_loss",
)  # fmt: skip
"""Which metrics come first where a stage has many."""
KEPT = 2000
"""Points of a curve that are kept; older ones are thinned out."""


@dataclass
class WatchedStage:
    """name, kind: as in the recipe; done, total: units of work (0: not known yet); left: seconds,
    where that can be told; curves: metric -> (step, value) of each; note: the result, or what
    failed; alarm: what a guard said."""

    name: str
    kind: str
    folder: Path
    state: State = "waiting"
    done: int = 0
    total: int = 0
    left: float | None = None
    note: str = ""
    alarm: str = ""
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def headlines(self, most: int = 3) -> list[str]:
        """The metrics to show first."""

        def place(name: str) -> int:
            metric = name.rpartition("/")[2]
            return HEADLINES.index(metric) if metric in HEADLINES else len(HEADLINES)

        shown = (name for name in self.curves if name.rpartition("/")[2] not in BOOKKEEPING)
        return sorted(shown, key=place)[:most]


class WatchedRun:
    """Follows a run directory; `look` reads what is new.

    Raises ConfigError where the recipe cannot be read.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        raw = read_recipe(run_dir)
        self.name = str(raw["name"])
        self.stages = [
            WatchedStage(name, str(stage.get("kind", name)), self._folder(number, name))
            for number, (name, stage) in enumerate(raw["stages"].items(), 1)
        ]
        self._follower = Follower(run_dir)
        self._by_name = {stage.name: stage for stage in self.stages}

    def _folder(self, number: int, name: str) -> Path:
        return self.run_dir / "stages" / f"{number:02d}-{name}"

    @property
    def broken(self) -> int:
        """Lines of metrics that could not be read."""
        return self._follower.broken

    def look(self, at_work: bool) -> None:
        """Read what is new. at_work: whether a process works in the run, as the caller knows (its
        lock is the runner's)."""
        for rows in self._follower.new():
            for row in rows:
                stage = self._by_name.get(row.stage)
                if stage is None:
                    continue
                for tag, value in row.values.items():
                    curve = stage.curves.setdefault(tag.partition("/")[2], [])
                    curve.append((row.step, value))
                    if len(curve) > KEPT:
                        del curve[1:-1:2]
            self._follower.taken(rows)
        for stage in self.stages:
            _look_at(stage, at_work)


def _look_at(stage: WatchedStage, at_work: bool) -> None:
    result, failed = (
        read_json_if_whole(stage.folder / f"{name}.json") for name in ("result", "failed")
    )
    progress = read_json_if_whole(stage.folder / "progress.json")
    if progress:
        stage.done, stage.total = int(progress["done"]), int(progress["total"])
    stage.left = None
    if result:
        stage.state, stage.note = "done", str(result.get("summary", ""))
        stage.done = stage.total
        stage.alarm = str(result.get("guard") or "")
    elif failed:
        stage.state = "failed"
        stage.note = (str(failed.get("error", "")).splitlines() or [""])[0]
    elif (stage.folder / "config.yaml").is_file():
        stage.state = "running" if at_work else "stopped"
        stage.left = _left(progress) if progress and at_work else None


def _left(progress: Mapping[str, Any]) -> float | None:
    """Seconds, from the pace since this process began."""
    made = progress["done"] - progress["from"]
    if made <= 0:
        return None
    pace = (progress["time"] - progress["begun"]) / made
    left = (progress["total"] - progress["done"]) * pace - (time.time() - progress["time"])
    return float(max(0.0, left))


BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 24) -> str:
    """The last values as a line of blocks, each the mean of its share; equal values stand low."""
    if not values:
        return ""
    count = min(width, len(values))
    edges = [round(place * len(values) / count) for place in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)
