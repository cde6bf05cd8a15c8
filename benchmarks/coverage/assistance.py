"""Cells of studies of assistance: uplift and over-reliance of simulated annotators, arms drawn in
blocks, flaws that are harder in some items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accord.feedback.assistance import Assistance, assistance
from accord.feedback.simulate_assisted import AssistedCrowd, simulated_assistance
from accord.statistics.intervals import Interval
from benchmarks.coverage.registry import Cell, Drawn, add

CROWD = AssistedCrowd()


def study(items: int, truth: float) -> Callable[[np.random.Generator], Drawn]:
    """Six annotators, three of them per item."""

    def draw(rng: np.random.Generator) -> Drawn:
        seed = int(rng.integers(2**40))
        return assistance(simulated_assistance(CROWD, items, 6, 3, seed)), truth

    return draw


def uplift(found: Assistance) -> Interval | None:
    """As `accord feedback assistance` prints it."""
    return found.contrasts["none"].recall


def over_reliance(found: Assistance) -> Interval | None:
    """The same."""
    return found.over_reliance


for name, truth, interval in (
    ("uplift of a critic's claims", CROWD.uplift, uplift),
    ("over-reliance on a critic", CROWD.over_reliance, over_reliance),
):
    setting = "40 items, 3 judgements each in three arms"
    add(Cell(name, setting, 40, study(40, truth), interval, slow=True, tested=30))
