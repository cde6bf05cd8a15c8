"""A measure of one arm with a row per item, its estimate, and the paired difference of two arms.
Suffix I: items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accord.statistics.clusters import by_cluster
from accord.statistics.intervals import Array
from accord.statistics.means import (
    Estimate,
    around_jackknife,
    clustered_mean,
    p_of_zero,
    paired_difference,
    share_mean,
)
from accord.statistics.significance import mcnemar

Statistic = Callable[[Array], Array]
"""A smooth function of summed rows, [..., X] -> [...]."""


@dataclass(frozen=True)
class Difference:
    """change: of two arms on the same items; p_value: two-sided, that there is none, by `test`."""

    change: Estimate
    p_value: float
    test: str


@dataclass(frozen=True)
class Scored:
    """One measure of one arm. rows_IX: a value per item where it is a mean of them (one column), or
    what `statistic` takes the sums of. cluster_I: items that hang together, such as both orders of
    a question; share: values lie in [0, 1]; chance: what guessing gets; control: what a rule that
    does not read the question gets, with its name."""

    name: str
    unit: str
    meaning: str
    rows_IX: Array
    cluster_I: Sequence[int]
    statistic: Statistic | None = None
    share: bool = True
    chance: float | None = None
    control: tuple[str, float] | None = None

    @property
    def items(self) -> int:
        return len(self.rows_IX)

    def estimate(self) -> Estimate:
        """With its 95 % interval over clusters."""
        if self.statistic is not None:
            return around_jackknife(self._sums(), self.statistic)
        values_I = self.rows_IX[:, 0]
        return (share_mean if self.share else clustered_mean)(values_I, list(self.cluster_I))

    def difference(self, other: Scored) -> Difference:
        """self - other on the same items: McNemar's exact test for yes or no on independent items,
        Student's t over clusters otherwise."""
        if self.statistic is not None:
            statistic, half = self.statistic, self.rows_IX.shape[1]
            change = around_jackknife(
                np.concatenate([self._sums(), other._sums()], 1),
                lambda sums: statistic(sums[..., :half]) - statistic(sums[..., half:]),
            )
            return Difference(change, p_of_zero(change), "Student's t, jackknife")
        mine_I, theirs_I = self.rows_IX[:, 0], other.rows_IX[:, 0]
        change = paired_difference(mine_I, theirs_I, list(self.cluster_I))
        binary = np.isin(np.concatenate([mine_I, theirs_I]), (0.0, 1.0)).all()
        if binary and len(set(self.cluster_I)) == self.items:
            counts = int((mine_I > theirs_I).sum()), int((mine_I < theirs_I).sum())
            return Difference(change, mcnemar(*counts), "McNemar, exact")
        return Difference(change, p_of_zero(change), "Student's t, paired")

    def common(self, other: Scored) -> tuple[Scored, Scored]:
        """Both on the clusters that both have, where each has one item of a cluster."""
        kept = sorted(set(self.cluster_I) & set(other.cluster_I))

        def part(one: Scored) -> Scored:
            at = {cluster: i for i, cluster in enumerate(one.cluster_I)}
            return replace(one, rows_IX=one.rows_IX[[at[c] for c in kept]], cluster_I=kept)

        return part(self), part(other)

    def _sums(self) -> Array:
        clusters, place_I = np.unique(np.asarray(self.cluster_I), return_inverse=True)
        return by_cluster(self.rows_IX, place_I, len(clusters))


def column(values_I: Sequence[float] | Array) -> Array:
    """[I] -> [I, 1]."""
    return np.asarray(values_I, dtype=np.float64)[:, None]
