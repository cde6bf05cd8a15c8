"""Logistic regression of shares, many resamples at once, finite where all are won.

Suffixes D: draws (resamples), N: rows, X: coefficients.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from accord.statistics.intervals import Array

STEPS, LONGEST, SETTLED = 60, 2.0, 1e-9
"""Newton's steps at most, the longest of them in a coefficient, and the one that ends it."""


def logistic(x_DNX: Array, won_DN: Array, tried_DN: Array, penalty: float = 1.0) -> Array:
    """Coefficients of P(won) = sigmoid(x b): [D, X], of won_DN among tried_DN (shares of a win
    count as such).

    penalty 1 maximises the likelihood times the square root of its information's determinant
    (Firth 1993), which takes the bias of first order and is finite where everything was won; 0 is
    plain maximum likelihood.
    """
    draws = max(len(x_DNX), len(won_DN))
    x_DNX = np.broadcast_to(x_DNX, (draws, *x_DNX.shape[1:]))
    b_DX = np.zeros((draws, x_DNX.shape[2]))
    for _ in range(STEPS):
        p_DN = expit((x_DNX @ b_DX[:, :, None])[:, :, 0])
        weighted_DNX = (tried_DN * p_DN * (1 - p_DN))[:, :, None] * x_DNX
        inverse_DXX = np.linalg.pinv(np.swapaxes(weighted_DNX, 1, 2) @ x_DNX, hermitian=True)
        leverage_DN = ((weighted_DNX @ inverse_DXX) * x_DNX).sum(2)
        off_DN = won_DN - tried_DN * p_DN + penalty * leverage_DN * (0.5 - p_DN)
        step_DX = (off_DN[:, None, :] @ x_DNX @ inverse_DXX)[:, 0]
        size_D1 = np.abs(step_DX).max(1, keepdims=True)
        b_DX += step_DX * np.minimum(1.0, LONGEST / np.maximum(size_D1, LONGEST))
        if size_D1.max() < SETTLED:
            break
    return b_DX
