"""Krippendorff's alpha (2004): agreement beyond chance of any number of raters, units judged as
often as they were. alpha = 1 - D_o / D_e, the disagreement seen over that expected by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from accord.errors import DataError
from accord.statistics.clusters import Ratio
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
    tally_UC = np.array([[unit.count(value) for value in categories] for unit in map(list, units)])
    seen, expected = disagreements(np.array(categories), level)(coincidences(tally_UC).sum(0))
    return float(1 - seen / expected)


def coincidences(tally_UC: ArrayLike) -> Array:
    """Ordered pairs of values by category of each unit, from how many values of each category it
    has (two or more in all), each pair weighing 1 / (m - 1): [U, C * C]."""
    tally = np.asarray(tally_UC, dtype=np.float64)
    pairs = tally[:, :, None] * tally[:, None, :]
    own = np.arange(tally.shape[1])
    pairs[:, own, own] -= tally
    weighed: Array = pairs / (tally.sum(1) - 1)[:, None, None]
    return weighed.reshape(len(tally), -1)


def disagreements(categories: Array, level: Level) -> Ratio:
    """(D_o, D_e) of summed coincidences [..., C * C] of categories [C], in shares of the largest
    squared difference; not a number where only one category occurs."""
    count = len(categories)

    def ratio(rows: Array) -> tuple[Array, Array]:
        observed = rows[..., : count * count].reshape(*rows.shape[:-1], count, count)
        marginal = observed.sum(-1)
        total = marginal.sum(-1)
        distance = _distance(categories, marginal, level)
        seen = (observed * distance).sum((-2, -1)) / total
        chance = (marginal[..., :, None] * marginal[..., None, :] * distance).sum((-2, -1))
        expected = chance / (total * (total - 1))
        most = distance.max((-2, -1))
        with np.errstate(divide="ignore", invalid="ignore"):
            return seen / most, np.where((marginal > 0).sum(-1) > 1, expected / most, np.nan)

    return ratio


def moment_disagreements(span: float) -> Ratio:
    """(D_o, D_e) of an interval scale without categories, in shares of the squared `span` between
    its largest and smallest value, from summed rows [..., 4 or more]: `squared_differences`, number
    of values, their sum, their sum of squares; not a number where all are equal."""

    def ratio(rows: Array) -> tuple[Array, Array]:
        observed, values, total, squares = (rows[..., i] for i in range(4))
        expected = 2 * (values * squares - total**2) / (values - 1)
        most = values * span**2
        return observed / most, np.where(expected > 1e-12 * squares, expected / most, np.nan)

    return ratio


def alpha_of_moments(observed: float, values: float, total: float, squares: float) -> float:
    """Alpha of an interval scale from such sums; not a number where all are equal."""
    seen, expected = moment_disagreements(1.0)(np.array([observed, values, total, squares]))
    return float(1 - seen / expected)


def squared_differences(values: ArrayLike, total: ArrayLike, squares: ArrayLike) -> Array:
    """Of units with so many values of this sum and sum of squares: the squared differences of all
    ordered pairs, each weighing 1 / (m - 1)."""
    m, s1, s2 = (np.asarray(part, dtype=np.float64) for part in (values, total, squares))
    weighed: Array = 2 * (m * s2 - s1**2) / (m - 1)
    return weighed


def _distance(categories: Array, marginal: Array, level: Level) -> Array:
    """Squared differences [..., C, C]; of an ordinal scale by how many values lie between."""
    if level == "nominal":
        return 1.0 - np.eye(len(categories))
    places = categories if level == "interval" else np.cumsum(marginal, -1) - marginal / 2
    squared: Array = (places[..., :, None] - places[..., None, :]) ** 2
    return squared
