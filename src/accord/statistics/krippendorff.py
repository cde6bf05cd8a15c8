"""Krippendorff's alpha (2004): agreement beyond chance of any number of raters, units judged as
often as they were. alpha = 1 - D_o / D_e, the disagreement seen over that expected by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

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


def alpha_of_moments(observed: float, values: float, total: float, squares: float) -> float:
    """Alpha of an interval scale without categories: from the `squared_differences` of all units,
    the number of values, their sum and their sum of squares; not a number where all are equal."""
    expected = 2 * (values * squares - total**2) / (values - 1)
    return float(1 - observed / expected) if expected > 1e-12 * squares else float("nan")


def squared_differences(values: ArrayLike, total: ArrayLike, squares: ArrayLike) -> Array:
    """Of units with so many values of this sum and sum of squares: the squared differences of all
    ordered pairs, each weighing 1 / (m - 1)."""
    m, s1, s2 = (np.asarray(part, dtype=np.float64) for part in (values, total, squares))
    weighed: Array = 2 * (m * s2 - s1**2) / (m - 1)
    return weighed


def _distance(categories: Array, marginal: Array, level: Level) -> Array:
    if level == "nominal":
        return 1.0 - np.eye(len(categories))
    if level == "interval":
        return (categories[:, None] - categories[None, :]) ** 2
    cumulative = np.cumsum(marginal) - marginal / 2
    return (cumulative[:, None] - cumulative[None, :]) ** 2
