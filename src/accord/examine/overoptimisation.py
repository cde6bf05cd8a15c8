"""Gold and proxy reward against distance: Gao, Schulman and Hilton 2022, with d = sqrt(KL)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.seeds import generator
from accord.statistics.intervals import Array
from accord.statistics.resampling import percentile_interval, resamples

Form = Literal["best_of_n", "rl"]


class Fit(BaseModel):
    """R(d) = d (alpha - beta d) for best-of-n, d (alpha - beta log d) for RL; peak: d of the
    largest gold.

    Intervals are 95 % bootstrap over the points; r_squared of the fit on the points.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Form
    alpha: float
    beta: float
    beta_low: float
    beta_high: float
    peak: float | None
    r_squared: float


def fit(d: Array, gain: Array, form: Form, seed: int = 0, draws: int = 300) -> Fit | None:
    """Least squares on points (d > 0, gold gain over the start); None with fewer than 4 points."""
    keep = d > 1e-6
    d, gain = d[keep], gain[keep]
    if len(d) < 4:
        return None
    basis = np.stack([d, -d * (d if form == "best_of_n" else np.log(d))], axis=1)
    alpha, beta = np.linalg.lstsq(basis, gain, rcond=None)[0]
    rng = generator(seed, "overoptimisation")
    betas = [
        float(np.linalg.lstsq(basis[rows], gain[rows], rcond=None)[0][1])
        for rows in resamples(len(d), draws, rng)
        if len(np.unique(rows)) >= 2
    ]
    low, high = percentile_interval(betas)
    residual = gain - basis @ np.array([alpha, beta])
    spread = ((gain - gain.mean()) ** 2).sum()
    return Fit(
        form=form,
        alpha=float(alpha),
        beta=float(beta),
        beta_low=low,
        beta_high=high,
        peak=_peak(float(alpha), float(beta), form),
        r_squared=float(1 - (residual**2).sum() / spread) if spread > 0 else 0.0,
    )


def _peak(alpha: float, beta: float, form: Form) -> float | None:
    """alpha / (2 beta) for best-of-n, exp(alpha / beta - 1) for RL; None when gold never turns."""
    if beta <= 0 or alpha <= 0:
        return None
    peak = alpha / (2 * beta) if form == "best_of_n" else float(np.exp(min(50.0, alpha / beta - 1)))
    return peak if peak < 1e6 else None
