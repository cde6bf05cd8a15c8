"""Weights of rules beside a helpful reward, fitted on ranked answers (rule-based rewards, Mu et al.
2024): R = R_helpful + sum_j w_j phi_j, phi_j in [0, 1] whether an answer keeps rule j.

    minimise over theta   sum_p omega_p max(0, margin - theta . x_p) + ridge / 2 |theta|^2

over pairs p of a better and a worse answer, x_p the difference of (R_helpful / its deviation, phi).
The ridge keeps the weights of few pairs small. A hinge knows no scale but its margin's: unless
helpful's coefficient is held at 1, as Mu et al. do, it is fitted too and everything divided by it,
so that R is in R_helpful's unit and the weights do not depend on the margin.

Suffixes P: pairs, J: rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from accord.errors import DataError, RunError
from accord.statistics.intervals import Array

HelpfulScale = Literal["fitted", "fixed"]
STARTS = 30
"""How often the search starts again from where its line search ended: a corner of the box."""
GAP = 1e-5
"""Largest accepted duality gap, of a loss that is `margin` with all weights at 0."""


@dataclass(frozen=True)
class RuleWeights:
    """weight_J: in R_helpful's unit; hinge: mean loss of the pairs at the fitted coefficients;
    helpful: R_helpful's coefficient before everything was divided by it."""

    weight_J: Array
    helpful: float
    hinge: float

    def total(self, helpful: Array, phi_J: Array) -> Array:
        """R of answers, or its difference between two: [...] and [..., J]."""
        whole: Array = helpful + phi_J @ self.weight_J
        return whole


def fit_rule_weights(
    helpful_P: Array,
    phi_PJ: Array,
    weight_P: Array,
    margin: float = 1.0,
    ridge: float = 1e-3,
    scale: HelpfulScale = "fitted",
) -> RuleWeights:
    """Of differences, the better answer's less the worse one's. Raises DataError where helpful's
    coefficient comes out at 0 or below (the ranks contradict it), RunError where the fit does not
    converge."""
    omega_P = weight_P / weight_P.sum()
    if scale == "fixed":
        theta, loss = _hinge(phi_PJ, margin - helpful_P, omega_P, ridge)
        return RuleWeights(theta, 1.0, loss)
    unit = float(np.sqrt(omega_P @ helpful_P**2)) or 1.0
    x_PK = np.column_stack([helpful_P / unit, phi_PJ])
    theta, loss = _hinge(x_PK, np.full(len(omega_P), margin), omega_P, ridge)
    helpful = float(theta[0] / unit)
    if helpful <= 0:
        raise DataError(
            f"the ranks contradict the helpful reward: its coefficient is {helpful:.3g}",
            "give answers ranked by people who want helpful ones too, or set scale: fixed",
        )
    return RuleWeights(theta[1:] / helpful, helpful, loss)


def _hinge(x_PK: Array, target_P: Array, omega_P: Array, ridge: float) -> tuple[Array, float]:
    """(theta [K], mean hinge loss) that minimise sum omega max(0, target - x theta) + ridge / 2
    |theta|^2, by its dual: theta = sum alpha x / ridge, 0 <= alpha <= omega."""

    def dual(share_P: Array) -> tuple[float, Array]:
        alpha_P = share_P * omega_P
        theta_K = alpha_P @ x_PK / ridge
        value = ridge / 2 * float(theta_K @ theta_K) - float(alpha_P @ target_P)
        return value, omega_P * (x_PK @ theta_K - target_P)

    share_P, most = np.full(len(omega_P), 0.5), GAP * max(1.0, float(np.abs(target_P).mean()))
    for _ in range(STARTS):
        found = minimize(
            dual,
            share_P,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(omega_P),
            options={"maxiter": 5_000, "maxfun": 10_000, "ftol": 0, "gtol": 0, "maxcor": 50},
        )
        share_P = found.x
        theta_K: Array = (share_P * omega_P) @ x_PK / ridge
        loss = float(omega_P @ np.maximum(0.0, target_P - x_PK @ theta_K))
        gap = loss + ridge / 2 * float(theta_K @ theta_K) + float(found.fun)
        if gap <= most:
            return theta_K, loss
    raise RunError(
        f"the weights of the rules were not found: the duality gap is {gap:.3g}",
        "raise ridge, or scale the helpful reward down",
    )
