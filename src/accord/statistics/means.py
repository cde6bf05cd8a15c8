"""Means with honest errors: clustered by prompt, paired where possible. Suffix B: samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtri
from scipy.stats import t as student

from accord.statistics.clusters import (
    Clustered,
    clustered,
    clustered_share,
    jackknife,
    quantile,
    share_difference,
)
from accord.statistics.intervals import Z95, Array, Index, wilson


class Estimate(BaseModel):
    """A value with its standard error and 95 % interval; n: independent units (prompts, seeds).

    error is None for one unit. low and high are None where nothing can be said: for one unit, and
    for a mean of units that are all equal, since what an unseen one may be is then unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    error: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3g} {ends(self.low, self.high, self.n, '.3g')}"

    @property
    def percent(self) -> str:
        """53 % [41 %, 65 %], without the spaces."""
        return f"{self.value:.0%} {ends(self.low, self.high, self.n, '.0%')}"

    def above(self, bound: float) -> bool:
        """The whole interval lies above; False where there is none."""
        return self.low is not None and self.low > bound

    def below(self, bound: float) -> bool:
        """The whole interval lies below; False where there is none."""
        return self.high is not None and self.high < bound


def ends(low: float | None, high: float | None, n: int, form: str) -> str:
    """[0.41, 0.65], or why there is no interval."""
    if low is None or high is None:
        return "(one prompt: no interval)" if n == 1 else "(all equal: no interval)"
    return f"[{low:{form}}, {high:{form}}]"


def clustered_mean(
    values_B: Sequence[float] | Array, clusters_B: Sequence[int] | None = None, level: float = 0.95
) -> Estimate:
    """Mean with an interval that allows for correlation within clusters (prompts): Student's t on a
    cluster-robust variance (`clusters.clustered`). For values in [0, 1] take `share_mean`."""
    return _mean(clustered(*cluster_sums(values_B, clusters_B)), level)


def positive_mean(values_B: Sequence[float] | Array, clusters_B: Sequence[int] | None) -> Estimate:
    """Mean of values >= 0 that have no upper bound, such as log-losses.

    An end of `clustered_mean` becomes m exp((end - m) / m): as far from the mean m on the
    logarithm's scale. None falls below 0, and the upper one reaches further, where few clusters
    hide a long tail. Raises ValueError for a value below 0.
    """
    found = clustered_mean(values_B, clusters_B)
    if np.min(values_B) < 0:
        raise ValueError(f"{np.min(values_B):g} is below 0")
    if found.low is None or found.high is None:
        return found
    ends_of = [
        found.value * float(np.exp(end / found.value - 1)) for end in (found.low, found.high)
    ]
    return found.model_copy(update={"low": ends_of[0], "high": ends_of[1]})


def cluster_sums(
    values_B: Sequence[float] | Array, clusters_B: Sequence[int] | Index | None
) -> tuple[Array, Array]:
    """Sum and number of the values of each cluster, each value its own without clusters: [C],
    [C]."""
    x_B = np.asarray(values_B, dtype=np.float64)
    if not len(x_B):
        raise ValueError("there is nothing to average")
    if clusters_B is None:
        return x_B, np.ones(len(x_B))
    place_B: Index = np.unique(np.asarray(clusters_B), return_inverse=True)[1]
    return np.bincount(place_B, x_B).astype(np.float64), np.bincount(place_B).astype(np.float64)


def _mean(mean: Clustered, level: float) -> Estimate:
    """Student's t; to the side of a long tail it reaches further by what Johnson (1978) shifts it,
    g (1 + 2 t^2) / 6 sqrt(C) standard errors for a skewness g (t at 95 %; from four clusters
    on)."""
    error = None if mean.variance is None else float(np.sqrt(mean.variance))
    low = high = None
    if error:
        half = error * quantile(mean.freedom, level)
        usual = quantile(mean.freedom) if mean.clusters > 3 else 0.0
        tail = error * mean.skewness * (1 + 2 * usual**2) / (6 * mean.clusters**0.5)
        low, high = mean.value - half + min(tail, 0.0), mean.value + half + max(tail, 0.0)
    return Estimate(value=mean.value, error=error, low=low, high=high, n=mean.clusters)


def share_mean(
    values_B: Sequence[float] | Array,
    clusters_B: Sequence[int] | None = None,
    observations: int | None = None,
) -> Estimate:
    """Mean of values in [0, 1], such as wins with ties as halves: exact where they are independent
    and yes or no (`clusters.clustered_share`). observations: how many such answers the values are
    means of, where not one each."""
    sums_C, sizes_C = cluster_sums(values_B, clusters_B)
    mean, found = clustered(sums_C, sizes_C), clustered_share(sums_C, sizes_C, observations)
    none = mean.variance is None
    return Estimate(
        value=found.value,
        error=None if mean.variance is None else float(np.sqrt(mean.variance)),
        low=None if none else found.low,
        high=None if none else found.high,
        n=mean.clusters,
    )


def share_worth(value: float, variance: float, answers: float, n: int) -> Estimate:
    """A share with its standard error, and Wilson's (1927) interval at the number of independent
    yes-or-no answers that say as much, so that it stays in [0, 1]."""
    found = wilson(float(np.clip(value, 0.0, 1.0)), answers)
    error = float(np.sqrt(variance))
    return Estimate(value=found.value, error=error, low=found.low, high=found.high, n=n)


def paired_difference(
    after_B: Array,
    before_B: Array,
    clusters_B: Sequence[int] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of after - before over the same prompts.

    Of scores that take two values (right or wrong) it is the share of rises less that of falls,
    with the interval of such a difference (`clusters.share_difference`). Where others change by the
    same at every prompt the variance says nothing: up to 1 - (alpha / 2)^(1 / C) of the prompts may
    differ unseen ("rule of three"), by as much as the scores' range allows.
    """
    after_B, before_B = (np.asarray(part, dtype=np.float64) for part in (after_B, before_B))
    change_B = after_B - before_B
    sums_C, sizes_C = cluster_sums(change_B, clusters_B)
    mean = clustered(sums_C, sizes_C)
    found = _mean(mean, level)
    scores = np.unique(np.concatenate([after_B, before_B]))
    span = float(scores[-1] - scores[0])
    if mean.variance is None or not span:
        return found
    if len(scores) == 2:
        rises_C, falls_C = (
            cluster_sums(np.maximum(sign * change_B / span, 0.0), clusters_B)[0] for sign in (1, -1)
        )
        shares = share_difference(rises_C, sizes_C, falls_C, sizes_C, level)
        return found.model_copy(update={"low": span * shares.low, "high": span * shares.high})
    if mean.variance:
        return found
    unseen = 1 - ((1 - level) / 2) ** (1 / mean.effective)
    ends_of = [float((1 - unseen) * mean.value + sign * unseen * span) for sign in (-1, 1)]
    return found.model_copy(update={"low": ends_of[0], "high": ends_of[1]})


def around_jackknife(rows_CX: Array, statistic: Callable[[Array], Array]) -> Estimate:
    """A smooth statistic of the rows' sum over clusters, with Student's t on the jackknife's
    variance (`clusters.jackknife`)."""
    count = len(rows_CX)
    variance = jackknife(rows_CX, statistic) if count > 1 else None
    value = float(statistic(rows_CX.sum(0)))
    return _mean(Clustered(value, variance, count - 1.0, count, float(count)), 0.95)


def p_of_zero(estimate: Estimate) -> float:
    """Two-sided p-value that the value is 0: Student's t on its error, with a degree of freedom
    less than there are units; 1 where there is no error."""
    if not estimate.error:
        return 1.0
    return float(2 * student.sf(abs(estimate.value) / estimate.error, max(1, estimate.n - 1)))


def student_mean(values: Sequence[float]) -> Estimate | None:
    """Mean over independent values, such as seeds, with Student's t interval (95 %), both ways
    alike: what a seed gives is a mean itself. None for fewer than two."""
    if len(values) < 2:
        return None
    return _mean(replace(clustered(*cluster_sums(values, None)), skewness=0.0), 0.95)


def minimal_detectable(estimate: Estimate, power: float = 0.8) -> float | None:
    """Smallest difference from chance that such an interval excludes with this power: half its
    width, and as much again as the power asks for; None where there is none."""
    if estimate.low is None or estimate.high is None:
        return None
    return (estimate.high - estimate.low) / 2 * (1 + float(ndtri(power)) / Z95)
