"""Values with their 95 % intervals, and the quantile of the normal distribution they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Z95 = float(ndtri(0.975))
"""97.5 % point of the standard normal distribution."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; ends that are not a number where there is no interval."""

    value: float
    low: float
    high: float

    def mapped(self, rising: Callable[[float], float]) -> Interval:
        """The interval of a rising function of the value."""
        return Interval(*(float(rising(part)) for part in (self.value, self.low, self.high)))


def without_ends(value: float) -> Interval:
    """A value of which no interval can be given, such as one prompt's."""
    return Interval(float(value), float("nan"), float("nan"))


def around(value: float, error: float) -> Interval:
    """The normal interval: value ± 1.96 standard errors."""
    return Interval(float(value), float(value - Z95 * error), float(value + Z95 * error))


def share(count: float, total: float, level: float = 0.95) -> Interval:
    """A share with Clopper and Pearson's interval (1934), which never covers less often than it
    says; [0, 1] when nothing was counted. Weighted judgements make counts that are not whole, which
    the beta distribution takes as they are (Korn and Graubard 1998)."""
    if total <= 0:
        return Interval(float("nan"), 0.0, 1.0)
    tail = (1 - level) / 2
    low = betaincinv(count, total - count + 1, tail) if count > 0 else 0.0
    high = betaincinv(count + 1, total - count, 1 - tail) if count < total else 1.0
    return Interval(float(count / total), float(low), float(high))


def wilson(p: float, answers: float) -> Interval:
    """Wilson's score interval (1927) of a share, at a number of answers that need not be whole."""
    part = Z95**2 / answers
    centre = (p + part / 2) / (1 + part)
    half = Z95 * float(np.sqrt(p * (1 - p) / answers + part / (4 * answers))) / (1 + part)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def difference(first: Interval, second: Interval, correlation: float = 0.0) -> Interval:
    """first - second of two estimates, from their intervals: Newcombe's square and add (1998), with
    the correlation of the estimates as Zou and Donner have it (2008). No ends where one has
    none."""

    def reach(one: float, other: float) -> float:
        squared = one**2 + other**2 - 2 * correlation * one * other
        return float(np.sqrt(np.maximum(0.0, squared)))  # not a number stays one

    value = first.value - second.value
    down = reach(first.value - first.low, second.high - second.value)
    up = reach(first.high - first.value, second.value - second.low)
    return Interval(value, value - down, value + up)
