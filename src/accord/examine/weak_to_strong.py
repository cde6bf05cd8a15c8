"""How much of the gap between a weak supervisor and a strong model's own best the strong model
recovers when it learns from the weak one's labels (Burns et al. 2023, arXiv 2312.09390)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.statistics.means import Estimate, student_mean
from accord.statistics.ratios import ratio_of_means

FEWEST = 5
"""Weak supervisors for an interval over them."""


@dataclass(frozen=True)
class RecoveredGap:
    """gap: ceiling less weak; gain: student less weak; recovered: gain / gap, None with the reason
    in `suppressed`. Intervals are over weak supervisors."""

    gap: Estimate
    gain: Estimate
    recovered: Estimate | None
    suppressed: str = ""

    def __str__(self) -> str:
        return f"not told: {self.suppressed}" if self.recovered is None else str(self.recovered)


def recovered_gap(
    weak_S: Sequence[float],
    student_S: Sequence[float],
    ceiling_S: Sequence[float],
    who: str = "weak supervisors",
) -> RecoveredGap:
    """PGR = mean(student - weak) / mean(ceiling - weak) over S weak supervisors, each with the
    student that learned from it and the ceiling on the same items. who: what they are called, such
    as annotators alone, assisted and expert ones.

    Supervisors differ more than items do: the interval of one run's items misses that. The ratio is
    suppressed with fewer than FEWEST of them, and where their gap is not above 0 by its interval.
    Raises ValueError for fewer than two.
    """
    weak, student, ceiling = (np.asarray(one, dtype=np.float64) for one in
                              (weak_S, student_S, ceiling_S))  # fmt: skip
    below, above = ceiling - weak, student - weak
    gap, gain = student_mean(below.tolist()), student_mean(above.tolist())
    if gap is None or gain is None:
        raise ValueError(f"{len(weak)} {who}; nothing is known of how they differ")
    if len(weak) < FEWEST:
        few = f"{len(weak)} {who}; {FEWEST} or more say how much they differ"
        return RecoveredGap(gap, gain, None, few)
    recovered = ratio_of_means(above.tolist(), below.tolist())
    if recovered is None or gap.value <= 0:
        return RecoveredGap(gap, gain, None, f"ceiling less weak is {gap}: no gap to recover")
    return RecoveredGap(gap, gain, recovered)
