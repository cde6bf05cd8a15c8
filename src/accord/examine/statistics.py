"""Means with honest errors: clustered by prompt, paired where possible. Suffix B: samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Array = NDArray[np.float64]
Z95 = 1.959964


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


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], units: int, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of `statistic(indices)` over resampled unit indices."""
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(units, size=units)) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def minimal_detectable(error: float, power_z: float = 0.8416) -> float:
    """Smallest difference found with 80 % power at the 5 % level, given a standard error."""
    return (Z95 + power_z) * error
