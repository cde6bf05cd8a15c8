"""The ratio of two means of the same units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accord.statistics.clusters import quantile
from accord.statistics.means import Estimate


def ratio_of_means(above_N: Sequence[float], below_N: Sequence[float]) -> Estimate | None:
    """mean(above) / mean(below) over N paired units, with Fieller's (1954) interval: all r for
    which Student's test does not reject that above - r below has mean 0.

    Exact where the pairs are normal. None where the mean below may be 0 by the same test: then no
    interval for the ratio is bounded, and its value says nothing. One unit, or units that all have
    the same ratio, have no interval.
    """
    above, below = np.asarray(above_N, dtype=np.float64), np.asarray(below_N, dtype=np.float64)
    if above.shape != below.shape or above.ndim != 1 or not len(above):
        raise ValueError(f"{above.shape} and {below.shape} are no pairs of numbers")
    count, a, b = len(above), float(above.mean()), float(below.mean())
    if count == 1:
        return None if b == 0 else Estimate(value=a / b, error=None, low=None, high=None, n=1)
    t = quantile(count - 1)
    (v_aa, v_ab), (_, v_bb) = (t * t * np.cov(above, below) / count).tolist()
    square = b * b - v_bb
    if square <= 0:
        return None
    value, half = a / b, a * b - v_ab
    inside = half * half - square * (a * a - v_aa)
    if np.allclose(above, value * below, rtol=1e-12, atol=1e-15):
        return Estimate(value=value, error=None, low=None, high=None, n=count)
    reach = float(np.sqrt(max(inside, 0.0))) / square
    middle = half / square
    return Estimate(value=value, error=reach / t, low=middle - reach, high=middle + reach, n=count)
