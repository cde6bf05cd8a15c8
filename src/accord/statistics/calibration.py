"""The temperature at which differences of scores are log-odds."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from accord.statistics.intervals import Array


def best_temperature(gap_P: Array) -> float:
    """The T with the smallest negative log-likelihood of sigmoid(gap / T), gap_P the score of the
    better of a pair minus that of the worse: [P] (temperature scaling: Guo et al. 2017)."""

    def nll(log_t: float) -> float:
        return float(np.logaddexp(0, -gap_P / np.exp(log_t)).mean())

    return float(np.exp(minimize_scalar(nll, bounds=(-4, 4), method="bounded").x))
