"""Intervals from draws: resampled units, and percentiles of whatever was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def intervals_of_draws(drawn_DX: Sequence[Array] | Array) -> list[Interval]:
    """Means over draws, each with the ends between which 95 % of them lie."""
    low_X, high_X = np.quantile(drawn_DX, (0.025, 0.975), axis=0)
    parts = zip(np.mean(drawn_DX, axis=0), low_X, high_X, strict=True)
    return [Interval(*map(float, part)) for part in parts]
