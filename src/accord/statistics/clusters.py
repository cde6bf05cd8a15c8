"""Means, shares and chance-corrected agreement over clusters: samples of one prompt are not
independent, so that every interval rests on how prompts differ. Suffix C: clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from accord.statistics.intervals import (
    Z95,
    Array,
    Index,
    Interval,
    difference,
    share,
    without_ends,
)

ROUNDING = 1e-24
"""Variance, relative to the squared size of what is averaged, that is rounding alone."""


@dataclass(frozen=True)
class Clustered:
    """value: the mean; variance: of the mean, None from a single cluster; freedom: degrees of
    freedom of that variance; clusters: how many; effective: as many clusters of equal size say as
    much, (sum n)^2 / sum n^2; skewness: of the clusters' deviations, third moment over the second
    to the power 3/2; kurtosis: fourth over the square of the second (3 for normal ones)."""

    value: float
    variance: float | None
    freedom: float
    clusters: int
    effective: float
    skewness: float = 0.0
    kurtosis: float = 3.0


def by_cluster(rows_UX: Array, place_U: Index, clusters: int) -> Array:
    """Rows summed by the cluster each belongs to: [C, X]."""
    sums_CX = np.zeros((clusters, rows_UX.shape[1]))
    np.add.at(sums_CX, place_U, rows_UX)
    return sums_CX


def clustered(sums_C: Array, sizes_C: Array) -> Clustered:
    """Mean sum(sums) / sum(sizes) with its cluster-robust variance, sizes > 0.

    CR2 of Bell and McCaffrey (2002): sum_c (S_c - n_c m)^2 / (1 - n_c / n) / n^2, unbiased where
    samples are independent. The degrees of freedom are theirs (Satterthwaite), the smaller of those
    for independent samples and for clusters that are all of a piece (Imbens and Kolesar 2016 place
    the truth between): uneven clusters count for fewer.
    """
    total = sizes_C.sum()
    value, part_C = float(sums_C.sum() / total), sizes_C / total
    effective = float(1 / (part_C**2).sum())
    if len(sums_C) < 2:
        return Clustered(value, None, 0.0, len(sums_C), effective)
    weight_C = 1 / (1 - part_C)
    off_C = sums_C - value * sizes_C
    variance = float((off_C**2 * weight_C).sum() / total**2)
    if variance < ROUNDING * max(1.0, value**2):
        return Clustered(value, 0.0, len(sums_C) - 1.0, len(sums_C), effective)
    squares = float((off_C**2).mean())
    skewness = float((off_C**3).mean() / squares**1.5)
    kurtosis = float((off_C**4).mean() / squares**2)
    freedom = min(_freedom(part_C, weight_C, sizes_C), _freedom(part_C, weight_C, sizes_C**2))
    return Clustered(value, variance, freedom, len(sums_C), effective, skewness, kurtosis)


def _freedom(part_C: Array, weight_C: Array, spread_C: Array) -> float:
    """tr(B)^2 / tr(B^2), B the quadratic form of the CR2 variance when cluster sums have variance
    `spread`: diag(w) (I - p 1') diag(spread) (I - 1 p') diag(w) is a diagonal plus p a' + a p'."""
    side_C = part_C * spread_C.sum() / 2 - spread_C
    diagonal_C = spread_C + 2 * part_C * side_C

    def dot(x_C: Array, y_C: Array) -> float:
        return float((weight_C * x_C * y_C).sum())

    rank_two = 2 * dot(part_C, part_C) * dot(side_C, side_C) + 2 * dot(part_C, side_C) ** 2
    rest = float((weight_C**2 * spread_C * (spread_C + 4 * part_C * side_C)).sum())
    return float((weight_C * diagonal_C).sum()) ** 2 / (rank_two + rest)


def quantile(freedom: float, level: float = 0.95) -> float:
    """How many standard errors a two-sided interval reaches to either side: Student's t."""
    return float(stdtrit(freedom, (1 + level) / 2))


def clustered_share(
    sums_C: Array, sizes_C: Array, observations: float | None = None, level: float = 0.95
) -> Interval:
    """Mean of values in [0, 1], sum(sums) / sum(sizes), with an interval that stays there.

    Clopper and Pearson's interval at the number of independent yes-or-no answers that say as much
    (Korn and Graubard 1998): p (1 - p) / variance, less the factor (1.96 / t)^2 for a variance from
    few clusters. It is never below the clusters' own number, since values in [0, 1] spread no
    further than yes and no, nor above `observations` (by default sum(sizes)); where all clusters
    say 0, or all 1, the variance says nothing and the clusters count. Independent yes-or-no answers
    thus get the exact interval; one cluster gets none.
    """
    mean = clustered(sums_C, sizes_C)
    value = min(1.0, max(0.0, mean.value))
    if mean.variance is None:
        return without_ends(value)
    most = float(sizes_C.sum()) if observations is None else observations
    equal = effective_answers(value, mean.variance, mean, most)
    found = share(value * equal, equal, level)
    return Interval(value, found.low, found.high)


def share_difference(
    sums_C: Array,
    sizes_C: Array,
    other_sums_C: Array,
    other_sizes_C: Array,
    level: float = 0.95,
) -> Interval:
    """Of two shares over the same clusters, first - second: their intervals put together by
    `intervals.difference`, with the correlation that the clusters show; where one does not vary
    that is unknown, and the worst is taken. A cluster may say nothing (size 0) of one of them; no
    ends where either has none."""
    parts = ((sums_C, sizes_C), (other_sums_C, other_sizes_C))
    first, second = (clustered_share(s[n > 0], n[n > 0], level=level) for s, n in parts)
    off, other_off = (s - (s.sum() / n.sum()) * n for s, n in parts)
    together = float(np.sqrt((off**2).sum() * (other_off**2).sum()))
    correlation = float((off * other_off).sum()) / together if together > ROUNDING else -1.0
    return difference(first, second, correlation)


def effective_answers(value: float, variance: float, mean: Clustered, most: float) -> float:
    """Independent yes-or-no answers that estimate a share of this value as well: see
    `clustered_share`."""
    if value in (0.0, 1.0):
        return mean.effective
    answers = min(value * (1 - value) / variance, most) if variance else most
    return max(mean.effective, answers * (Z95 / quantile(spread_freedom(mean))) ** 2)


def spread_freedom(mean: Clustered) -> float:
    """Degrees of freedom of the variance. One that rests on a few clusters far off the others has
    fewer, 2 C / (kurtosis - 1): twice its squared mean over its own variance."""
    return min(mean.freedom, 2 * mean.clusters / max(mean.kurtosis - 1, 2.0))


def jackknife(rows_CX: Array, statistic: Callable[[Array], Array], chunk: int = 512) -> float:
    """Variance of a smooth statistic of summed rows [..., X] -> [...] over clusters: each is left
    out by half, so that none can empty a category, and 4 times the squares are summed (for a mean
    that is s^2 / C, to a part in 4 C^2)."""
    total_X = rows_CX.sum(0)
    left = (total_X - rows_CX[at : at + chunk] / 2 for at in range(0, len(rows_CX), chunk))
    value_C = np.concatenate([statistic(part_CX) for part_CX in left])
    return 4 * float(((value_C - value_C.mean()) ** 2).sum())


Ratio = Callable[[Array], tuple[Array, Array]]
"""Summed rows [..., X] -> disagreement seen, as a share of the most there could be, and that
expected by chance in the same unit: [...] each."""


def beyond_chance(rows_CX: Array, ratio: Ratio, observations: float) -> Interval:
    """Agreement beyond chance, 1 - seen / expected, of clusters' summed rows: Krippendorff's alpha,
    Cohen's kappa.

    Its variance is the `jackknife`'s. The interval is that of the disagreement seen as a share as
    uncertain as the ratio is (see `clustered_share`): rare disagreement gets an exact interval's
    skew, and none at all still has a lower end. Not a number where nothing is expected; no ends for
    one cluster.
    """
    total_X, count = rows_CX.sum(0), len(rows_CX)
    seen, expected = (float(part) for part in ratio(total_X))
    if not expected > 0:
        return without_ends(float("nan"))
    if count < 2:
        return without_ends(1 - seen / expected)
    variance = jackknife(rows_CX, lambda rows: np.divide(*ratio(rows))) * expected**2
    ones_C = np.ones(count)
    answers = effective_answers(seen, variance, clustered(ones_C, ones_C), observations)
    found = share(seen * answers, answers)
    return Interval(1 - seen / expected, 1 - found.high / expected, 1 - found.low / expected)
