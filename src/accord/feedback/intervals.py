"""Values with their 95 % intervals: bootstrap over groups, shares, and what comes of many tests at
once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Array = NDArray[np.float64]
Z95 = 1.959964


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def around(value: float, error: float) -> Interval:
    """The normal interval: value ± 1.96 standard errors."""
    return Interval(float(value), float(value - Z95 * error), float(value + Z95 * error))


def share(count: float, total: float) -> Interval:
    """A share with Wilson's interval (1927); [0, 1] when nothing was counted."""
    if total <= 0:
        return Interval(float("nan"), 0.0, 1.0)
    p, z2 = count / total, Z95**2
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * np.sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    return Interval(float(p), float(max(0.0, middle - half)), float(min(1.0, middle + half)))


def exact_share(count: int, total: int) -> Interval:
    """A share with Clopper and Pearson's interval (1934), which never covers less often than it
    says."""
    if total <= 0:
        return Interval(float("nan"), 0.0, 1.0)
    low = beta.ppf(0.025, count, total - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, total - count) if count < total else 1.0
    return Interval(count / total, float(low), float(high))


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
            point(np.bincount(rng.integers(groups, size=groups), minlength=groups) @ sums_PX)
            for _ in range(draws)
        ]
    )
    found = []
    for i, middle in enumerate(value):
        finite = sampled[np.isfinite(sampled[:, i]), i]
        low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
        found.append(Interval(float(middle), float(low), float(high)))
    return found


def discoveries(p_values: Sequence[float], rate: float = 0.05) -> list[bool]:
    """Which tests to believe when many are made: Benjamini and Hochberg (1995), false discoveries
    at most `rate`."""
    p, count = np.asarray(p_values, dtype=np.float64), len(p_values)
    if not count:
        return []
    order = np.argsort(p)
    below = np.nonzero(p[order] <= rate * np.arange(1, count + 1) / count)[0]
    limit = p[order[below[-1]]] if len(below) else -1.0
    return [bool(value <= limit) for value in p]
