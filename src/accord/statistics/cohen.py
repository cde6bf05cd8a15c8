"""Cohen's kappa (1960): agreement beyond chance of two raters, each with its own frequencies."""

from __future__ import annotations

import numpy as np

from accord.statistics.clusters import beyond_chance
from accord.statistics.intervals import Array, Interval


def kappa(tables_PCC: Array) -> Interval:
    """kappa = 1 - (1 - p_o) / (1 - p_e) of the first rater's category by the second's, counted per
    prompt: [P, C, C], with an interval over prompts (`clusters.beyond_chance`). Not a number where
    both gave one and the same category throughout; no ends for one prompt."""
    count = tables_PCC.shape[1]

    def ratio(rows: Array) -> tuple[Array, Array]:
        table = rows.reshape(*rows.shape[:-1], count, count)
        total = table.sum((-2, -1))
        same = np.trace(table, axis1=-2, axis2=-1)
        chance = (table.sum(-1) * table.sum(-2)).sum(-1) / total**2
        return 1 - same / total, 1 - chance

    rows_PX = tables_PCC.reshape(len(tables_PCC), -1)
    return beyond_chance(rows_PX, ratio, float(rows_PX.sum()))
