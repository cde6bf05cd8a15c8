"""Comparing arms over seeds: means with Student's t intervals, differences seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, student_mean

Curve = Sequence[tuple[float, float]]
"""(distance, gain) of an arm at its points, the start (0, 0) included."""


class Cell(BaseModel):
    """One value over seeds. mean: None below two seeds; difference: to the row it is compared with,
    paired by seed.

    values: seed -> value; seeds whose run has no such value (an arm that never went that far) are
    absent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: dict[int, float]
    mean: Estimate | None
    difference: Estimate | None


class ArmComparison(BaseModel):
    """rows x columns of cells; labels by name; compared: row -> the row it is compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: list[int]
    rows: dict[str, str]
    columns: dict[str, str]
    compared: dict[str, str]
    cells: dict[str, dict[str, Cell]]


def compare(
    values_by_row: Mapping[str, Mapping[str, Mapping[int, float]]],
    seeds: Sequence[int],
    rows: Mapping[str, str],
    columns: Mapping[str, str],
    compared: Mapping[str, str],
) -> ArmComparison:
    """`values_by_row` is row -> column -> seed -> value."""
    cells: dict[str, dict[str, Cell]] = {}
    for row in rows:
        cells[row] = {}
        for column in columns:
            values = dict(values_by_row[row][column])
            difference = None
            if row in compared:
                against = values_by_row[compared[row]][column]
                difference = student_mean(
                    [v - against[seed] for seed, v in values.items() if seed in against]
                )
            cells[row][column] = Cell(
                values=values, mean=student_mean(list(values.values())), difference=difference
            )
    return ArmComparison(
        seeds=list(seeds),
        rows=dict(rows),
        columns=dict(columns),
        compared=dict(compared),
        cells=cells,
    )


def at_distance(curve: Curve, kl: float) -> float | None:
    """Gain at `kl` nats per sequence by linear interpolation in sqrt(KL); None beyond the arm's
    farthest point.

    Points are taken in order of distance, whatever the order in which training visited them.
    """
    d, gain = _sorted(curve)
    root = float(np.sqrt(kl))
    return None if root > d[-1] else float(np.interp(root, d, gain))


def mean_curve(curves: Sequence[Curve], points: int = 24) -> list[tuple[float, Estimate]]:
    """Mean over seeds on a grid of sqrt(KL) that every seed reached: [(sqrt(KL), estimate)]; empty
    below two."""
    if len(curves) < 2:
        return []
    sorted_curves = [_sorted(curve) for curve in curves]
    farthest = min(float(d[-1]) for d, _ in sorted_curves)
    result = []
    for root in np.linspace(0, farthest, points):
        estimate = student_mean([float(np.interp(root, d, gain)) for d, gain in sorted_curves])
        if estimate is not None:
            result.append((float(root), estimate))
    return result


def _sorted(curve: Curve) -> tuple[Array, Array]:
    """sqrt(KL) and gain in order of distance."""
    ordered = np.array(sorted(curve), dtype=np.float64)
    return np.sqrt(np.maximum(ordered[:, 0], 0)), ordered[:, 1]
