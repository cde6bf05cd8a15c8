"""What pages show of an estimate: its value, how far its interval reaches, and what it excludes."""

from __future__ import annotations

import pytest

from accord.report import charts
from accord.report.study import beyond_chance
from accord.statistics.intervals import Z95

ROWS = [
    {
        "annotator": "ann",
        "flag": "ok",
        "rationality": 1.0,
        "rationality_low": 0.7,
        "rationality_high": 2.0,
        "side_bias": -0.5,
        "side_bias_error": 0.1,
    }
]


@pytest.mark.parametrize(
    ("key", "below", "above"),
    [("rationality", 0.3, 1.0), ("side_bias", 0.1 * Z95, 0.1 * Z95)],
)
def test_annotators_have_error_bars_to_the_ends_of_their_intervals(
    key: str, below: float, above: float
) -> None:
    figure = charts.annotators(ROWS, key, "title")
    assert figure is not None
    bars = figure["data"][0]["error_y"]
    assert bars["arrayminus"] == [pytest.approx(below)]
    assert bars["array"] == [pytest.approx(above)]
    assert bars["symmetric"] is False


def test_an_estimate_without_an_interval_has_no_bar_and_no_band() -> None:
    known = {"value": 0.6, "low": 0.5, "high": 0.9}
    unknown = {"value": 0.4, "low": None, "high": None}
    bars = charts._whiskers([unknown, known])
    assert bars["arrayminus"] == [None, pytest.approx(0.1)]
    assert bars["array"] == [None, pytest.approx(0.3)]
    band = charts._band([1.0, 2.0, 3.0], [known, unknown, known], "#000000")
    assert band["x"] == [1.0, 3.0, 3.0, 1.0]
    assert band["y"] == [0.9, 0.9, 0.5, 0.5]


@pytest.mark.parametrize(
    ("low", "high", "beyond"),
    [
        (0.1, 0.5, True),
        (-0.5, -0.1, True),
        (-0.1, 0.5, False),
        (0.0, 0.5, False),
        (None, None, False),
    ],
)
def test_a_difference_is_beyond_chance_where_its_interval_excludes_none(
    low: float | None, high: float | None, beyond: bool
) -> None:
    assert beyond_chance({"value": 0.2, "low": low, "high": high}) is beyond
