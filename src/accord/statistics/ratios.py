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
    (v_aa, v_ab), (_, v_bb) = (np.cov(above, below) / count).tolist()
    reach = fieller(a, b, (v_aa, v_ab, v_bb), quantile(count - 1))
    if reach is None:
        return None
    if np.allclose(above, a / b * below, rtol=1e-12, atol=1e-15):
        return Estimate(value=a / b, error=None, low=None, high=None, n=count)
    low, high = reach
    error = (high - low) / 2 / quantile(count - 1)
    return Estimate(value=a / b, error=error, low=low, high=high, n=count)


def fieller(
    above: float, below: float, covariance: tuple[float, float, float], t: float
) -> tuple[float, float] | None:
    """All r for which |above - r below| is at most t of its standard errors: low and high, of two
    estimates with the variance of the one above, their covariance and the variance of the one below
    (Fieller 1954). None where the one below may be 0: then no such interval is bounded."""
    v_aa, v_ab, v_bb = (t * t * part for part in covariance)
    square = below * below - v_bb
    if square <= 0:
        return None
    middle = (above * below - v_ab) / square
    inside = (above * below - v_ab) ** 2 - square * (above * above - v_aa)
    reach = float(np.sqrt(max(inside, 0.0))) / square
    return middle - reach, middle + reach
