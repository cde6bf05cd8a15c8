"""A rate where most stay silent, and some of the silent are asked: double sampling of
nonrespondents (Hansen and Hurwitz 1946). Suffix N: responses in use.

    theta = r mean(raters) + (1 - r) mean(called),    r = raters / N

is unbiased whatever makes people answer, if the called are a random part of the silent and answer.
Its variance, for independent responses,

    V = [r S2_raters + r (mean(raters) - theta)^2 + (1 - r) (mean(called) - theta)^2] / N
        + (1 - r)^2 S2_called / n_called,

is that of the mean of N pseudo-values, `pseudo_values`; responses of one cluster (user) go
together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accord.statistics.clusters import clustered, quantile, spread_freedom
from accord.statistics.intervals import Z95, Array, Index
from accord.statistics.judged_rates import UNSEEN
from accord.statistics.means import Estimate, cluster_sums, share_worth

Mask = NDArray[np.bool_]
FEWEST_CALLED = 10
"""Answers of silent users below which nothing is corrected: their spread would be a guess."""


@dataclass(frozen=True)
class Answered:
    """rated_N: who answered unasked; called_N: of the silent, who answered when asked; cluster_N:
    whose responses go together. Raises ValueError where one is both."""

    rated_N: Mask
    called_N: Mask
    cluster_N: Index

    def __post_init__(self) -> None:
        if (self.rated_N & self.called_N).any():
            raise ValueError("a response is rated or called about, not both")

    @property
    def known_N(self) -> Mask:
        """Whose outcome is known."""
        return self.rated_N | self.called_N

    @property
    def silent(self) -> float:
        """Share of the responses that nobody rated unasked, 1 - r."""
        return float(1 - self.rated_N.mean())

    @property
    def weight_N(self) -> Array:
        """How many responses each known one stands for: itself, or its share of the silent."""
        weight_N = self.rated_N.astype(float)
        if self.called_N.any():
            weight_N[self.called_N] = (~self.rated_N).sum() / self.called_N.sum()
        return weight_N


def pseudo_values(value_N: Array, answered: Answered) -> Array:
    """Values whose mean is theta and whose clustered variance is that of theta: [N].

    value_N: any outcome, read where it is known. A rater's is its own; a silent one's the mean of
    the called; a called one's that, and n_silent / n_called of what it is off that mean. Raises
    ValueError where somebody is silent and fewer than two were called.
    """
    values_N = np.where(answered.known_N, value_N, 0.0)
    if answered.rated_N.all():
        return values_N
    called_N = answered.called_N
    if called_N.sum() < 2:
        raise ValueError("silent responses need two answers of called users or more")
    mean = float(values_N[called_N].mean())
    off_N = np.where(called_N, answered.weight_N * (values_N - mean), 0.0)
    return np.where(answered.rated_N, values_N, mean) + off_N


def double_sampled(share_N: Array, answered: Answered) -> Estimate:
    """The rate, outcomes in [0, 1]. The error is cluster-robust, with half an unseen answer of the
    called to either side; the interval is Wilson's at the number of independent yes-or-no answers
    that say as much, so that it stays in [0, 1]. Raises as `pseudo_values`."""
    mean = clustered(*cluster_sums(pseudo_values(share_N, answered), answered.cluster_N))
    if mean.variance is None:
        return Estimate(value=mean.value, error=None, low=None, high=None, n=mean.clusters)
    variance = mean.variance
    if answered.called_N.any():
        called = share_N[answered.called_N]
        unseen = UNSEEN * ((1 - called.mean()) ** 2 + called.mean() ** 2) / len(called) ** 2
        variance += answered.silent**2 * float(unseen)
    count = len(share_N)
    inside = float(np.clip(mean.value, 0.5 / count, 1 - 0.5 / count))
    answers = inside * (1 - inside) / variance if variance else mean.effective
    answers *= (Z95 / quantile(spread_freedom(mean))) ** 2
    return share_worth(mean.value, variance, answers, mean.clusters)
