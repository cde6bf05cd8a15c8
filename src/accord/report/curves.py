"""A run's metrics as curves that a page can carry: thinned so that every extreme stays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from accord.report.sinks.following import Follower

MOST = 1000
"""Points of a curve on a page; of more, the smallest and the largest of each part are kept."""

Curve = tuple[list[int], list[float]]


@dataclass
class RunCurves:
    """stages: stage -> metric -> label ("member 2", or "" where there is one curve) -> (steps,
    values); rows: of metrics that were read; broken: lines that could not be; torn: stages whose
    last line is not whole; thinned: whether a curve had more points than are kept.
    """

    stages: dict[str, dict[str, dict[str, Curve]]] = field(default_factory=dict)
    rows: int = 0
    broken: int = 0
    torn: set[str] = field(default_factory=set)
    thinned: bool = False


def read_curves(run_dir: Path, most: int = MOST) -> RunCurves:
    """Of all stages of a run, in their order."""
    found, follower = RunCurves(), Follower(run_dir)
    raw: dict[str, tuple[array[int], array[float]]] = {}
    for rows in follower.new():
        for row in rows:
            for tag, value in row.values.items():
                steps, values = raw.setdefault(tag, (array("q"), array("d")))
                steps.append(row.step)
                values.append(value)
        found.rows += len(rows)
    found.broken, found.torn = follower.broken, follower.torn
    for tag, (steps, values) in raw.items():
        stage, _, rest = tag.partition("/")
        member, _, metric = rest.rpartition("/")
        label = member.replace("_", " ")
        found.thinned |= len(steps) > most
        found.stages.setdefault(stage, {}).setdefault(metric, {})[label] = thinned(
            steps, values, most
        )
    for metrics in found.stages.values():
        for metric, curves in metrics.items():
            if len(curves) == 1:  # one model, or members that are trained as one
                metrics[metric] = {"": next(iter(curves.values()))}
    return found


def thinned(steps: Sequence[int], values: Sequence[float], most: int = MOST) -> Curve:
    """At most `most` points: the first, the last, and the smallest and the largest value of equal
    parts, in their order."""
    if len(steps) <= most:
        return list(steps), list(values)
    y = np.asarray(values)
    keep = {0, len(y) - 1}
    edges = np.linspace(0, len(y), (most - 2) // 2 + 1).astype(int)
    for start, end in pairwise(edges.tolist()):
        part = y[start:end]
        keep |= {start + int(part.argmin()), start + int(part.argmax())}
    places = sorted(keep)
    return [int(steps[place]) for place in places], [float(values[place]) for place in places]
