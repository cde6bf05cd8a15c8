"""Values with their 95 % intervals, and the quantile of the normal distribution they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Z95 = float(ndtri(0.975))
"""97.5 % point of the standard normal distribution."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def mapped(self, rising: Callable[[float], float]) -> Interval:
        """The interval of a rising function of the value."""
        return Interval(*(float(rising(part)) for part in (self.value, self.low, self.high)))


def around(value: float, error: float) -> Interval:
    """The normal interval: value ± 1.96 standard errors."""
    return Interval(float(value), float(value - Z95 * error), float(value + Z95 * error))


def share(count: float, total: float) -> Interval:
    """A share with Wilson's interval (1927); [0, 1] when nothing was counted. Written out, because
    scipy's takes whole counts, and weighted judgements are none."""
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
