"""What was lost between the best point of a tuning and its last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, paired_difference


def late_drop(golds: Sequence[Array]) -> Estimate | None:
    """Gold at the end minus gold at the best point before, over the same B prompts or starts; None
    for fewer than three points.

    The best of several noisy points looks better than it is, so the best point is chosen on one
    half of the prompts and compared on the other half.
    """
    if len(golds) < 3:
        return None
    gold_TB = np.stack(golds)
    half = np.arange(gold_TB.shape[1]) % 2 == 0
    peak_B: Array = np.empty(gold_TB.shape[1])
    for choose, compare in ((half, ~half), (~half, half)):
        best = int(gold_TB[:-1, choose].mean(1).argmax())
        peak_B[compare] = gold_TB[best, compare]
    return paired_difference(gold_TB[-1], peak_B)
