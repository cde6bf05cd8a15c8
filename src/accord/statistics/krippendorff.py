"""Krippendorff's alpha (2004): agreement beyond chance of any number of raters, units judged as
often as they were. alpha = 1 - D_o / D_e, the disagreement seen over that expected by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from accord.errors import DataError
from accord.statistics.intervals import Array

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(units: Sequence[Sequence[float]], level: Level = "nominal") -> float:
    """Krippendorff's alpha = 1 - D_o / D_e over units of two or more values.

    Raises DataError when no unit has two values or only one category occurs (alpha is undefined
    then).
    """
    units = [unit for unit in units if len(unit) >= 2]
    categories = sorted({value for unit in units for value in unit})
    if len(categories) < 2:
        raise DataError(
            "agreement is undefined: fewer than two categories among units judged twice"
        )
    index = {value: i for i, value in enumerate(categories)}
    observed = np.zeros((len(categories), len(categories)))
    for unit in units:
        observed += coincidences([index[value] for value in unit], len(categories))
    return alpha_of(observed, np.array(categories), level)


def coincidences(unit: Sequence[int], categories: int) -> Array:
    """One unit's ordered pairs of values by category, each pair weighing 1 / (m - 1): [C, C]."""
    counts = np.bincount(unit, minlength=categories).astype(np.float64)
    weighed: Array = (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    return weighed


def alpha_of(observed: Array, categories: Array, level: Level) -> float:
    """Alpha from summed coincidences [C, C] of categories [C]; not a number when only one category
    occurs."""
    marginal = observed.sum(1)
    total = marginal.sum()
    if (marginal > 0).sum() < 2:
        return float("nan")
    expected = (np.outer(marginal, marginal) - np.diag(marginal)) / (total - 1)
    distance = _distance(categories, marginal, level)
    return float(1 - (observed * distance).sum() / (expected * distance).sum())


def _distance(categories: Array, marginal: Array, level: Level) -> Array:
    if level == "nominal":
        return 1.0 - np.eye(len(categories))
    if level == "interval":
        return (categories[:, None] - categories[None, :]) ** 2
    cumulative = np.cumsum(marginal) - marginal / 2
    return (cumulative[:, None] - cumulative[None, :]) ** 2
