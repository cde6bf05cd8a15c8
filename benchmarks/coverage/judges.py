"""Cells of rates that people would report, from a judge's verdicts on all items and people's labels
on a few: PPI++, labels alone in the same form, and Rogan and Gladen's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accord.statistics.intervals import Array
from accord.statistics.judged_rates import corrected_share, judged_rate, labelled_share
from accord.statistics.means import Estimate
from benchmarks.coverage.registry import Cell, Drawn, add

Rng = np.random.Generator
Labelled = tuple[Array, Array, Array]
"""Verdicts of items judged alone, of labelled items, and these items' labels."""
WEAK, GOOD = (0.80, 0.55), (0.95, 0.90)
"""(sensitivity, specificity) of a judge of accuracy .68 at one half, and of one of .93."""
ALONE = 2000
"""Items that are judged and not labelled."""


def judged(labels: int, rate: float, judge: tuple[float, float], soft: bool = False) -> Callable[
    [Rng], Drawn
]:  # fmt: skip
    """Yes-or-no labels; verdicts that err at random, or, soft, probabilities around them."""

    def draw(rng: Rng) -> Drawn:
        truth = rng.random(labels + ALONE) < rate
        said = rng.random(labels + ALONE) < np.where(truth, judge[0], 1 - judge[1])
        verdict = said.astype(float)
        if soft:
            sure = rng.beta(4, 2, len(verdict))
            verdict = np.where(said, np.maximum(sure, 1 - sure), np.minimum(sure, 1 - sure))
        return (verdict[labels:], verdict[:labels], truth[:labels].astype(float)), rate

    return draw


def ppi(data: Labelled) -> Estimate:
    """As `accord judge rate` has it."""
    return corrected_share(*data)


def alone(data: Labelled) -> Estimate:
    """The labels alone."""
    return labelled_share(data[2])


def turned(data: Labelled) -> Estimate | None:
    """Rogan and Gladen's, none where the judge is no better than chance on the labelled items."""
    return judged_rate(*data).turned


for labels, rate in ((30, 0.5), (30, 0.1), (100, 0.5), (100, 0.2), (100, 0.05), (300, 0.2)):
    for name, judge in (("weak", WEAK), ("good", GOOD)):
        setting = f"{labels} labels, {rate:.0%}, {name} judge"
        draw = judged(labels, rate, judge)
        add(Cell("rate by a judge, PPI++", setting, labels, draw, ppi, tested=80))
        if labels > 30:
            add(Cell("rate by a judge, Rogan and Gladen", setting, labels, draw, turned, tested=80))
    add(Cell("rate by labels alone", f"{labels} labels, {rate:.0%}", labels,
             judged(labels, rate, WEAK), alone, tested=80))  # fmt: skip
add(
    Cell(
        "rate by a judge, PPI++",
        "100 labels, 30%, good judge, probabilities",
        100,
        judged(100, 0.3, GOOD, soft=True),
        ppi,
        tested=80,
    )
)
