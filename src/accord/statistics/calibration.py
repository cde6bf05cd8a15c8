"""The temperature at which differences of scores are log-odds, and how far confidence is from how
often it is right, with intervals over clusters (prompts)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from accord.statistics.clusters import by_cluster
from accord.statistics.intervals import Array, Index
from accord.statistics.means import Estimate, clustered_mean

FURTHEST = 4.0
"""Of log T from 0: where every pair is ranked rightly, T has no least."""
DRAWS, POINTS = 1000, 120


def best_temperature(
    gap_P: Array, weight_P: Array | None = None, doubt_P: Array | float = 0.0
) -> float:
    """The T with the smallest negative log-likelihood of sigmoid(gap / T), gap_P the score of the
    better of a pair minus that of the worse: [P] (temperature scaling: Guo et al. 2017).

    weight_P: how much a pair counts; doubt_P: probability that it is the other way round: the mean
    of -[(1 - e) log s(gap / T) + e log s(-gap / T)].
    """

    def nll(log_t: float) -> float:
        logit_P = gap_P / np.exp(log_t)  # log s(-x) = log s(x) - x
        return float(np.average(doubt_P * logit_P - log_expit(logit_P), weights=weight_P))

    return float(np.exp(minimize_scalar(nll, bounds=(-FURTHEST, FURTHEST), method="bounded").x))


def temperature_of(gap_P: Array, cluster_P: Sequence[int]) -> Estimate:
    """`best_temperature` with its interval: Student's t for log T on the clusters' influences (the
    sandwich of Huber 1967 and White 1982). No ends where T has no least or no largest value."""
    best = best_temperature(gap_P)
    logit_P = gap_P / best
    slope_P = logit_P * expit(-logit_P)  # of each pair's negative log-likelihood in log T
    bend = float((logit_P**2 * expit(logit_P) * expit(-logit_P)).mean())
    none = abs(np.log(best)) > FURTHEST - 0.01 or not bend
    of_log = clustered_mean(-slope_P / (bend or 1.0), cluster_P)
    low, high = of_log.low, of_log.high
    known = not none and low is not None and high is not None
    return Estimate(
        value=best,
        error=best * of_log.error if known and of_log.error else None,
        low=float(best * np.exp(low)) if known and low is not None else None,
        high=float(best * np.exp(high)) if known and high is not None else None,
        n=of_log.n,
    )


def calibration_error(off_P: Array, bin_P: Index, cluster_P: Sequence[int]) -> Estimate:
    """Expected calibration error: sum over bins of |sum of off| / P, off_P confidence less right.

    Noise alone makes it positive, so that no error can be taken from it: the lower end is the least
    m for which the value is no surprise (2.5 %), were the bins' true differences those seen times m
    / value and their noise Student's with the clusters' covariance (a test turned round along one
    line: Neyman 1937). The upper end is the value and 97.5 % of the noise with the signs seen.
    """
    place_P = np.unique(np.asarray(cluster_P), return_inverse=True)[1]
    bins, count, pairs = int(bin_P.max()) + 1, int(place_P.max()) + 1, len(off_P)
    rows_PB = np.zeros((pairs, bins))
    rows_PB[np.arange(pairs), bin_P] = off_P / pairs
    parts_CB = by_cluster(rows_PB, place_P, count)
    total_B = parts_CB.sum(0)
    value = float(np.abs(total_B).sum())
    if count < 2:
        return Estimate(value=value, error=None, low=None, high=None, n=count)
    apart_CB = parts_CB - np.bincount(place_P)[:, None] / pairs * total_B
    rng = np.random.default_rng(0)  # the same numbers for the same pairs
    shrink_D = np.sqrt((count - 1) / rng.chisquare(count - 1, DRAWS))
    values, vectors = np.linalg.eigh(apart_CB.T @ apart_CB)
    root_BB = vectors * np.sqrt(np.maximum(values, 0))
    noise_DB = rng.standard_normal((DRAWS, bins)) @ root_BB.T
    noise_DB *= shrink_D[:, None] * np.sqrt(count / (count - 1))
    signed_D = noise_DB @ np.sign(total_B)
    error = float(signed_D.std())
    line_M = np.linspace(0.0, value, POINTS)
    along_B = total_B / value if value else np.full(bins, 1 / bins)
    below_M = np.array([(np.abs(noise_DB + m * along_B).sum(1) <= value).mean() for m in line_M])
    low = float(min(value, line_M[int(np.argmax(below_M <= 0.975))]))
    reach = float(np.quantile(np.abs(signed_D), 0.95))
    return Estimate(value=value, error=error, low=low, high=min(1.0, value + reach), n=count)
