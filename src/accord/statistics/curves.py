"""Learning curves: how much less of what is counted one of two needs to be as good as the other.

Suffixes: C units (seeds), N sizes at which both were measured, G ratios of sizes that are tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

from accord.statistics.clusters import quantile
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate

TRIED = 401
"""Ratios of two sizes."""


def saved_share(usual_CN: Array, other_CN: Array, size_N: Sequence[float]) -> Estimate:
    """1 - n_other / n_usual, at which both are worth the same, the larger of the two being the last
    size: what the other way saves of what the usual one takes (negative: it takes more).

    Values are the higher the better, of the same units both, which are compared unit by unit;
    between sizes they are interpolated linearly in log n. The interval holds all shares at which
    Student's test does not tell the two apart (as Fieller's does for a ratio of means), so it
    covers as that test does. The share and its ends lie between 1 - last / first size and 1 -
    first / last: an end that lies there says no more than that. One unit has no interval.
    """
    usual_CN, other_CN = np.asarray(usual_CN, float), np.asarray(other_CN, float)
    if usual_CN.shape != other_CN.shape or usual_CN.shape[1:] != (len(size_N),):
        raise ValueError(f"{usual_CN.shape} and {other_CN.shape} are no curves at {len(size_N)}")
    log_N, count = np.log(np.asarray(size_N, float)), len(usual_CN)
    ratio_G = np.linspace(log_N[0] - log_N[-1], log_N[-1] - log_N[0], TRIED)  # log n_other/n_usual
    other_CG = _at(other_CN, log_N, log_N[-1] + np.minimum(ratio_G, 0))
    apart_CG = other_CG - _at(usual_CN, log_N, log_N[-1] - np.maximum(ratio_G, 0))
    share_G, mean_G = 1 - np.exp(ratio_G), apart_CG.mean(0)
    rising_G = isotonic_regression(mean_G).x  # the more the other has, the better it is
    value = float(np.interp(0.0, rising_G + 1e-12 * np.arange(TRIED), share_G))
    if count < 2:
        return Estimate(value=value, error=None, low=None, high=None, n=count)
    reach_G = quantile(count - 1) * apart_CG.std(0, ddof=1) / np.sqrt(count)
    alike = np.flatnonzero(np.abs(mean_G) <= reach_G)
    if not len(alike):  # told apart at all ratios, or between two of them
        return Estimate(value=value, error=0.0, low=value, high=value, n=count)
    low, high = min(value, float(share_G[alike[-1]])), max(value, float(share_G[alike[0]]))
    error = (high - low) / 2 / quantile(count - 1)
    return Estimate(value=value, error=error, low=low, high=high, n=count)


def _at(curve_CN: Array, log_N: Array, at_G: Array) -> Array:
    """[C, G]."""
    return np.stack([np.interp(at_G, log_N, curve_N) for curve_N in curve_CN])
