"""Gold and proxy reward against distance: Gao, Schulman and Hilton 2022, with d = sqrt(KL)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.statistics.intervals import Array
from accord.statistics.means import clustered_mean

Form = Literal["best_of_n", "rl"]


class Fit(BaseModel):
    """R(d) = d (alpha - beta d) for best-of-n, d (alpha - beta log d) for RL; peak: d of the
    largest gold.

    beta_low, beta_high: 95 % over the prompts, the same at every point, given the form and the
    distances; None from a single prompt. r_squared of the fit on the points.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Form
    alpha: float
    beta: float
    beta_low: float | None
    beta_high: float | None
    peak: float | None
    r_squared: float


def fit(d_T: Array, gain_TP: Array, form: Form) -> Fit | None:
    """Least squares on points (d > 0, gold gain over the start, of each prompt); None with fewer
    than 4 points. beta is linear in the gains: it is the mean of every prompt's own, and its
    interval theirs."""
    keep = d_T > 1e-6
    d, gain = d_T[keep], gain_TP[keep].mean(1)
    if len(d) < 4:
        return None
    basis = np.stack([d, -d * (d if form == "best_of_n" else np.log(d))], axis=1)
    each_2P = np.linalg.lstsq(basis, gain_TP[keep], rcond=None)[0]
    alpha, beta = each_2P.mean(1)
    interval = clustered_mean(each_2P[1])
    residual = gain - basis @ np.array([alpha, beta])
    spread = ((gain - gain.mean()) ** 2).sum()
    return Fit(
        form=form,
        alpha=float(alpha),
        beta=float(beta),
        beta_low=interval.low,
        beta_high=interval.high,
        peak=_peak(float(alpha), float(beta), form),
        r_squared=float(1 - (residual**2).sum() / spread) if spread > 0 else 0.0,
    )


def _peak(alpha: float, beta: float, form: Form) -> float | None:
    """alpha / (2 beta) for best-of-n, exp(alpha / beta - 1) for RL; None when gold never turns."""
    if beta <= 0 or alpha <= 0:
        return None
    peak = alpha / (2 * beta) if form == "best_of_n" else float(np.exp(min(50.0, alpha / beta - 1)))
    return peak if peak < 1e6 else None
