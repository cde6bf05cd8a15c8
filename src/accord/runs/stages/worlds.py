"""Stages that measure the same in many drawn worlds and tell the means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from accord.runs.context import StageContext
from accord.runs.stage import Value

Measured = Iterable[tuple[str, float]]
"""(name, value) of one world; a name may come more than once."""


def over_worlds(
    count: int, measure: Callable[[int], Measured], context: StageContext, what: str = "worlds"
) -> dict[str, list[float]]:
    """What `measure` says of each of them, by name, in order; progress is told in `what`."""
    found = defaultdict[str, list[float]](list)
    for number in range(count):
        for name, value in measure(number):
            found[name].append(value)
        context.checkpoint(number + 1, count, what)
    return dict(found)


def means(found: Mapping[str, Sequence[float]]) -> dict[str, Value]:
    """By name."""
    return {name: float(np.mean(rows)) for name, rows in found.items()}
