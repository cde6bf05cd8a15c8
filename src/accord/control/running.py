"""Means and deviations of what is seen along the way; part of every checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from accord.statistics.intervals import Array


class RunningScale:
    """Mean and variance over all rows so far, merged batch by batch (Chan et al. 1979)."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.square = 0.0, np.zeros(size), np.zeros(size)

    def add(self, rows_BI: Array) -> None:
        """Take rows in."""
        n, mean = len(rows_BI), rows_BI.mean(0)
        off = mean - self.mean
        total = self.count + n
        self.square += np.square(rows_BI - mean).sum(0) + off**2 * self.count * n / total
        self.mean = self.mean + off * n / total
        self.count = total

    @property
    def deviation(self) -> Array:
        """1 where nothing was seen yet; never 0."""
        if not self.count:
            return np.ones_like(self.mean)
        return np.sqrt(self.square / self.count + 1e-8)

    def scaled(self, rows_BI: Array, bound: float = 10.0) -> Array:
        """Rows less the mean over the deviation, within `bound`."""
        return np.clip((rows_BI - self.mean) / self.deviation, -bound, bound)

    def take(self, mean: Array, deviation: Array) -> None:
        """Scale by these, as one that says so of itself does."""
        self.count, self.mean, self.square = 1.0, mean, deviation**2 - 1e-8

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"count": self.count, "mean": self.mean.tolist(), "square": self.square.tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.count = float(state["count"])
        self.mean, self.square = np.array(state["mean"]), np.array(state["square"])
