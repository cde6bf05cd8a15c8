"""Runs as they go, as a page that asks for news: what it is told, and the page itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from accord.errors import AccordError
from accord.files import read_jsonl
from accord.report import charts
from accord.report.curves import Curve, thinned
from accord.report.live import WatchedRun, WatchedStage
from accord.report.render import REPORT, filled
from accord.report.samples import shown_text
from accord.report.times import duration

FRESH = 1.0
"""Seconds for which what was read is told again: many windows read no more than one."""
POINTS = 400
"""Of a curve on the page."""
CHARTS, SAMPLES = 6, 12
"""Of a stage; of the latest samples."""

Values = dict[str, Any]


class LiveRuns:
    """What pages are told of the runs that `find` finds, those that begin later too. at_work:
    whether a process works in a run; headline: a line on a run, given whether one does."""

    def __init__(
        self,
        find: Callable[[], Sequence[Path]],
        at_work: Callable[[Path], bool],
        headline: Callable[[Path, WatchedRun, bool], str],
    ) -> None:
        self._find, self._at_work, self._headline = find, at_work, headline
        self._watched: dict[Path, WatchedRun] = {}
        self._lock = threading.Lock()
        self._told: Values = {}
        self._read_at = float("-inf")

    def state(self) -> Values:
        """Everything the page shows, as JSON: the runs, or an error where none can be read."""
        with self._lock:
            if time.monotonic() - self._read_at > FRESH:
                self._told = self._look()
                self._read_at = time.monotonic()
            return self._told

    def report_of(self, number: int) -> Path | None:
        """The report of a run on the page; None where there is none."""
        with self._lock:
            folders = list(self._watched)
        path = folders[number] / REPORT if 0 <= number < len(folders) else None
        return path if path is not None and path.is_file() else None

    def _look(self) -> Values:
        error = ""
        try:
            for folder in self._find():
                if folder not in self._watched:
                    self._watched[folder] = WatchedRun(folder)
        except AccordError as found:
            error = f"{found.message}; {found.fix}"
        runs = [self._one(n, *pair) for n, pair in enumerate(self._watched.items())]
        return {"error": error, "runs": runs}

    def _one(self, number: int, folder: Path, run: WatchedRun) -> Values:
        title = run.name if folder.name == run.name else f"{folder.name} ({run.name})"
        told: Values = {"title": title, "folder": str(folder), "broken": run.broken}
        if not folder.is_dir():
            gone = {"headline": f"{folder} is gone", "busy": False, "report": None}
            return told | gone | {"stages": [], "samples": None}
        busy = self._at_work(folder)
        run.look(busy)
        return told | {
            "headline": self._headline(folder, run, busy),
            "busy": busy,
            "report": f"runs/{number}/report.html" if (folder / REPORT).is_file() else None,
            "stages": [_stage(f"r{number}-{n}", stage) for n, stage in enumerate(run.stages)],
            "samples": _samples(run.stages),
        }


def _stage(place: str, stage: WatchedStage) -> Values:
    return {
        "name": stage.name,
        "kind": stage.kind,
        "state": stage.state,
        "done": stage.done,
        "total": stage.total,
        "left": "" if stage.left is None else duration(stage.left),
        "note": stage.note,
        "alarm": stage.alarm,
        "charts": [
            {
                "id": f"{place}-{number}",
                "title": charts.metric_name(metric),
                "figure": charts.metric_chart(metric, curves),
            }
            for number, (metric, curves) in enumerate(_curves(stage).items())
        ],
    }


def _curves(stage: WatchedStage) -> dict[str, dict[str, Curve]]:
    """Metric -> label (a member's, or "" where there is one curve) -> curve: those to show
    first."""
    found: dict[str, dict[str, Curve]] = {}
    for name in stage.headlines(most=len(stage.curves)):
        label, _, metric = name.rpartition("/")
        if metric in found or len(found) < CHARTS:
            steps, values = zip(*stage.curves[name], strict=True)
            found.setdefault(metric, {})[label.replace("_", " ")] = thinned(steps, values, POINTS)
    return found


def _samples(stages: Sequence[WatchedStage]) -> Values | None:
    """The latest that a policy was examined on."""
    files = [
        (path.stat().st_mtime, stage.name, path)
        for stage in stages
        for path in (stage.folder / "points").glob("step-*.jsonl")
    ]
    if not files:
        return None
    changed, name, path = max(files)
    rows = _rows(path, changed)
    return {
        "stage": name,
        "step": int(path.stem.partition("-")[2]),
        "count": len(rows),
        "rows": [_sample(row) for row in rows[:SAMPLES]],
    }


@lru_cache(maxsize=16)
def _rows(path: Path, changed: float) -> list[Values]:
    """Of a file as it was changed last: pages ask every two seconds, points come rarely."""
    return read_jsonl(path)


def _sample(row: Mapping[str, Any]) -> Values:
    proxy = row.get("proxy") or []
    return {
        "prompt": shown_text(row["prompt"]),
        "response": shown_text(row["response"]),
        "reward": sum(proxy) / len(proxy) if proxy else None,
        "gold": row.get("gold"),
        "kl": row.get("kl_exact"),
    }


def live_page(title: str) -> str:
    """The page, which asks `state` for what it shows."""
    return filled("live.html.j2", {"name": title, "headline": "runs", "figures": {}}, "live.js")
