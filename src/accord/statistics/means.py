"""Means with honest errors: clustered by prompt, paired where possible. Suffix B: samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtri
from scipy.stats import t

from accord.statistics.intervals import Z95, Array


class Estimate(BaseModel):
    """A value with its standard error and 95 % interval; n: independent units (prompts)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    error: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def clustered_mean(
    values_B: Sequence[float] | Array, clusters_B: Sequence[int] | None = None
) -> Estimate:
    """Mean with a standard error that allows for correlation within clusters (prompts).

    SE^2 = C/(C-1) * sum_c (sum_{i in c} (x_i - mean))^2 / n^2 (Miller 2024).
    """
    x = np.asarray(values_B, dtype=np.float64)
    if not len(x):
        raise ValueError("there is nothing to average")
    _, cluster = np.unique(
        np.arange(len(x)) if clusters_B is None else np.asarray(clusters_B), return_inverse=True
    )
    count = int(cluster.max()) + 1
    mean = float(x.mean())
    sums = np.bincount(cluster, weights=x - mean, minlength=count)
    error = (
        float(np.sqrt((sums**2).sum() * count / max(1, count - 1)) / len(x)) if count > 1 else 0.0
    )
    return Estimate(
        value=mean, error=error, low=mean - Z95 * error, high=mean + Z95 * error, n=count
    )


def paired_difference(
    after_B: Array, before_B: Array, clusters_B: Sequence[int] | None = None
) -> Estimate:
    """Mean of after - before over the same prompts."""
    return clustered_mean(np.asarray(after_B) - np.asarray(before_B), clusters_B)


def student_mean(values: Sequence[float]) -> Estimate | None:
    """Mean over independent values, such as seeds, with Student's t interval (95 %); None for fewer
    than two."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        return None
    error = float(x.std(ddof=1) / np.sqrt(len(x)))
    half = float(t.ppf(0.975, len(x) - 1)) * error
    mean = float(x.mean())
    return Estimate(value=mean, error=error, low=mean - half, high=mean + half, n=len(x))


def minimal_detectable(error: float, power: float = 0.8) -> float:
    """Smallest difference that a test at the 5 % level finds with this power, given a standard
    error."""
    return (Z95 + float(ndtri(power))) * error
