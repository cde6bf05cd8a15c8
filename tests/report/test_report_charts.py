"""What pages show of an estimate: its value, how far its interval reaches, and what it excludes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.files import write_jsonl
from accord.report import charts
from accord.report.curves import read_curves, thinned
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
    assert band["x"] == [1.0, 3.0, 3.0, 1.0, 1.0]
    assert band["y"] == [0.9, 0.9, 0.5, 0.5, 0.9]


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(-9, 9), st.floats(0, 3)), max_size=8))
def test_a_band_is_whole_where_its_curve_steps_back(
    points: list[tuple[float, float, float]],
) -> None:
    """A strip between every two neighbours, all turning the same way: none cancels another."""
    estimates = [{"value": y, "low": y - half, "high": y + half} for _, y, half in points]
    band = charts._band([x for x, _, _ in points], estimates, "#000000")
    assert band["x"].count(None) == max(0, len(points) - 2)
    for start in range(0, len(band["x"]), 6):
        x, y = band["x"][start : start + 5], band["y"][start : start + 5]
        area = sum(a * d - b * c for a, b, c, d in zip(x, y, x[1:], y[1:], strict=False))
        assert area <= 1e-9
    ends = {(x, y) for x, y in zip(band["x"], band["y"], strict=True) if x is not None}
    if len(points) > 1:
        assert ends == {
            (x, e[end])
            for (x, _, _), e in zip(points, estimates, strict=True)
            for end in ("low", "high")
        }


def test_a_single_point_is_a_point_with_its_interval() -> None:
    known = {"value": 0.6, "low": 0.5, "high": 0.9}
    curve = charts._curve("ppo", [1.0], [known], ["ppo, step 3"], 0, "#000000")
    assert curve["mode"] == "markers"
    assert curve["error_y"]["array"] == [pytest.approx(0.3)]
    assert "95 % from 0.500 to 0.900" in curve["text"][0]
    ((_, figure),), _ = charts.training({"loss": {"": ([3], [0.25])}})
    assert figure["data"][0]["mode"] == "markers"


def test_members_are_lines_of_their_own_under_names_of_people() -> None:
    lines = {"member 1": ([1, 2], [0.7, 0.6]), "member 2": ([1, 2], [0.8, 0.5])}
    first, others = charts.training({"judgement_nll": lines, "tokens": {"": ([1], [5.0])}})
    ((name, figure),) = first
    assert charts.metric_name(name) == "Loss per judgement"
    assert [trace["name"] for trace in figure["data"]] == list(lines)
    assert figure["layout"]["yaxis"]["title"]["text"] == "nats/judgement"
    assert figure["layout"]["showlegend"]
    assert [name for name, _ in others] == ["tokens"]


def test_no_two_curves_look_the_same() -> None:
    looks = {
        (charts.COLOURS[n % 5], charts._turn(charts.DASHES, n), charts._turn(charts.SYMBOLS, n))
        for n in range(25)
    }
    assert len(looks) == 25


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    st.integers(4, 60),
)
def test_thinned_curves_keep_their_ends_and_every_extreme(values: list[float], most: int) -> None:
    steps = list(range(1, len(values) + 1))
    x, y = thinned(steps, values, most)
    assert len(x) == len(y) <= max(most, 4)
    assert x == sorted(x)
    assert [values[step - 1] for step in x] == y
    assert (x[0], x[-1]) == (1, len(values))
    assert (min(y), max(y)) == (min(values), max(values))


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


@pytest.mark.parametrize(("members", "labels"), [(1, {""}), (2, {"member 1", "member 2"})])
def test_only_members_that_are_trained_apart_have_lines_of_their_own(
    tmp_path: Path, members: int, labels: set[str]
) -> None:
    rows = [
        {"step": n, "time": 0.0, "judgement_nll": 1 / n, "member": float(m)}
        for m in range(members)
        for n in (1, 2, 3)
    ]
    write_jsonl(tmp_path / "stages/01-reward/metrics.jsonl", rows)
    found = read_curves(tmp_path, most=50)
    assert set(found.stages["reward"]["judgement_nll"]) == labels
    assert (found.rows, found.broken, found.thinned) == (3 * members, 0, False)
    for steps, values in found.stages["reward"]["judgement_nll"].values():
        assert (steps, values) == ([1, 2, 3], [1, 1 / 2, 1 / 3])


def test_win_rates_have_the_colours_of_their_arms() -> None:
    known = {"value": 0.6, "low": 0.5, "high": 0.9}
    rates = [known, None, *[known] * 5]
    arms = [{"name": f"arm {n}", "points": [{"win_rate": rate}]} for n, rate in enumerate(rates)]
    best = [{"n": 4, "win_rate": known}, {"n": 8, "win_rate": known}]
    figure = charts.win_rates({"arms": arms, "best_of": best})
    assert figure is not None
    (dots,) = figure["data"]
    found = dict(zip(dots["y"], dots["marker"]["color"], strict=True))
    curve = charts.COLOURS
    assert found == {
        "arm 0": curve[0], "arm 2": curve[2], "arm 3": curve[3], "arm 4": curve[4],
        "arm 5": curve[0], "arm 6": curve[1], "best of 4": charts.BEST_OF,
    }  # fmt: skip


def test_a_plane_has_each_rows_means_and_intervals() -> None:
    def cell(value: float) -> dict[str, object]:
        return {"mean": {"value": value, "low": value - 0.1, "high": value + 0.2}}

    comparison = {
        "rows": {"a": "one <b>", "b": "two", "c": "one seed"},
        "columns": {"x": "cost", "y": "reward"},
        "cells": {
            "a": {"x": cell(1.0), "y": cell(2.0)},
            "b": {"x": cell(3.0), "y": cell(4.0)},
            "c": {"x": {"mean": None}, "y": {"mean": None}},
        },
    }
    figure = charts.plane(comparison, "x", "y")
    assert figure is not None
    drawn = [(t["name"], t["x"], t["y"]) for t in figure["data"]]
    assert drawn == [("one &lt;b&gt;", [1.0], [2.0]), ("two", [3.0], [4.0])]
    assert figure["data"][0]["error_y"]["array"] == pytest.approx([0.2])
    assert figure["layout"]["yaxis"]["title"]["text"] == "reward"
    comparison["rows"] = {"c": "one seed"}
    assert charts.plane(comparison, "x", "y") is None


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0.5, 0.5], (0.4, 0.6)),
        ([1.0], (0.9, 1.02)),
        ([0.0, 0.0], (-0.02, 0.1)),
        ([0.4, 0.5], None),
    ],
)
def test_a_share_that_stays_the_same_is_drawn_as_a_share(
    values: list[float], ends: tuple[float, float] | None
) -> None:
    steps = [float(n) for n in range(len(values))]
    axis = charts.metric_chart("heldout_agreement", {"": (steps, values)})["layout"]["yaxis"]
    assert axis["tickformat"] == ".0%"
    assert axis.get("range") == (None if ends is None else pytest.approx(list(ends)))
