"""How much a row counts: one rule for every loop that learns from records.

    loss of a batch = sum of w * loss / sum of w,   over the rows of the whole optimiser step

so that a row of weight 2 is the row twice, and only the ratios of weights matter. Rows of weight 0
are left out before batches are made. What sums likelihoods is weighted (losses, held-out losses,
calibration); shares and counts (agreement, concordance) are of rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from accord.errors import DataError


class Weighted(Protocol):
    """A row with a weight."""

    @property
    def weight(self) -> float: ...


AnyWeighted = TypeVar("AnyWeighted", bound=Weighted)


def check_weight(weight: float, row: str) -> None:
    """Raise DataError unless `weight` is a finite number of 0 or more."""
    if not math.isfinite(weight) or weight < 0:
        raise DataError(
            f"{row}: the weight is {weight!r}", "a weight is a finite number, 0 or more"
        )


def check_doubt(doubt: float, row: str) -> None:
    """Raise DataError unless `doubt` is the probability of the less probable of two answers."""
    if not 0 <= doubt <= 0.5:
        raise DataError(
            f"{row}: the doubt is {doubt!r}",
            "it is at most one half: turn the pair round where it is more",
        )


def counting(rows: Sequence[AnyWeighted]) -> list[AnyWeighted]:
    """The rows that count."""
    return [row for row in rows if row.weight]


def effective(weights: Iterable[float]) -> float:
    """How many answers of equal weight say as much, (sum of w)^2 / sum of w^2 (Kish 1965): what a
    prior is held against."""
    known = list(weights)
    return math.fsum(known) ** 2 / (math.fsum(w * w for w in known) or 1.0)


def total(weights: Iterable[float]) -> float:
    """What a batch's sum is divided by; of a batch in which nothing counts, whose sum is 0, not
    0."""
    return math.fsum(weights) or 1.0
