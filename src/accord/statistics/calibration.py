"""The temperature at which differences of scores are log-odds."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_expit

from accord.statistics.intervals import Array


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

    return float(np.exp(minimize_scalar(nll, bounds=(-4, 4), method="bounded").x))
