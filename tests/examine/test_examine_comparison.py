"""Comparisons over seeds: intervals, paired differences, gain at equal distance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from accord.examine.comparison import at_distance, compare, mean_curve
from accord.statistics.means import student_mean


def test_the_interval_is_students_over_seeds() -> None:
    values = [2.6, 2.9, 2.8, 3.3, 3.1]
    estimate = student_mean(values)
    assert estimate is not None
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert student_mean([1.0]) is None


def test_differences_are_taken_seed_by_seed_and_absent_values_are_left_out() -> None:
    found = {
        "a": {"x": {1: 1.0, 2: 5.0, 3: 9.0}},
        "b": {"x": {1: 1.5, 2: 5.6, 3: 9.4}},
        "c": {"x": {2: 4.0}},
    }
    table = compare(
        found, [1, 2, 3], {"a": "A", "b": "B", "c": "C"}, {"x": "X"}, {"b": "a", "c": "a"}
    )
    difference = table.cells["b"]["x"].difference
    assert difference is not None
    assert difference.value == pytest.approx(0.5)
    assert difference.low > 0  # the seeds differ by far more than the arms: only pairing shows it
    assert table.cells["a"]["x"].difference is None
    assert table.cells["c"]["x"].mean is None
    assert table.cells["c"]["x"].values == {2: 4.0}


def test_gain_at_a_distance_is_read_between_points_and_never_beyond_them() -> None:
    curve = [(0.0, 0.0), (1.0, 1.0), (9.0, 2.0), (4.0, 3.0)]  # training may come back
    assert at_distance(curve, 2.25) == pytest.approx(2.0)  # sqrt(KL) 1.5, half way from 1 to 2
    assert at_distance(curve, 6.25) == pytest.approx(2.5)
    assert at_distance(curve, 9.01) is None


def test_a_mean_curve_ends_where_the_first_seed_ends() -> None:
    curve = mean_curve([[(0.0, 0.0), (4.0, 2.0)], [(0.0, 0.0), (16.0, 8.0)]], points=3)
    assert [root for root, _ in curve] == pytest.approx([0, 1, 2])
    assert [e.value for _, e in curve] == pytest.approx([0, 1.5, 3])
    assert mean_curve([[(0.0, 0.0), (4.0, 2.0)]]) == []
