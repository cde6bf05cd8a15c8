"""Intervals from draws: the bootstrap over groups, and percentiles of whatever was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from accord.statistics.intervals import Array, Index, Interval


def resamples(units: int, draws: int, rng: np.random.Generator) -> Iterator[Index]:
    """`draws` times the numbers of as many units as there are, drawn with replacement: [units]."""
    for _ in range(draws):
        yield rng.integers(units, size=units)


def percentile_interval(drawn_D: Sequence[float] | Array) -> tuple[float, float]:
    """The middle 95 % of the finite ones among drawn values; not a number where there are none."""
    values = np.asarray(drawn_D, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    return float(low), float(high)


def bootstrap(
    sums_PX: Array, point: Callable[[Array], Sequence[float]], draws: int, rng: np.random.Generator
) -> list[Interval]:
    """Intervals of statistics of summed rows, by drawing the P groups with replacement.

    `point` maps the sum over groups [X] to the statistics; draws where one is not finite are left
    out of its interval. A single group says nothing of how groups differ: the interval then has no
    ends (not a number).
    """
    groups = len(sums_PX)
    value = point(sums_PX.sum(0))
    if groups < 2:
        return [Interval(float(middle), float("nan"), float("nan")) for middle in value]
    sampled = np.array(
        [
            point(np.bincount(chosen, minlength=groups) @ sums_PX)
            for chosen in resamples(groups, draws, rng)
        ]
    )
    return [
        Interval(float(middle), *percentile_interval(sampled[:, i]))
        for i, middle in enumerate(value)
    ]
