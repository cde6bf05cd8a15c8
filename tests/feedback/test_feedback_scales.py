"""Offsets and scales of rating annotators, recovered at the rate that their intervals promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from benchmarks.coverage.scales import rated

from accord.errors import DataError
from accord.feedback import graded_scales, scales
from accord.feedback.agreement_kinds import Votes, scale_votes
from accord.feedback.graded_scales import Levels
from accord.feedback.records import Feedback
from accord.feedback.scales import attributes, fit_scales, rating_scales
from accord.statistics.krippendorff import krippendorff_alpha


def ratings(
    seed: int,
    annotators: int = 20,
    items: int = 200,
    overlap: int = 4,
    spread: tuple[float, float] = (0.5, 0.25),
) -> tuple[Votes, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    offset, scale = (
        3 + spread[0] * rng.normal(size=annotators),
        1 + spread[1] * rng.normal(size=annotators),
    )
    noise, quality = rng.uniform(0.4, 0.9, size=annotators), rng.normal(size=items)
    votes: Votes = {}
    for u in range(items):
        who = rng.choice(annotators, size=overlap, replace=False)
        votes[f"p{u:04d}",] = {
            f"a{a:02d}": float(offset[a] + scale[a] * quality[u] + noise[a] * rng.normal())
            for a in who
        }
    return votes, offset, scale, quality


def test_offsets_and_scales_lie_in_their_intervals_at_the_nominal_rate() -> None:
    inside: list[list[bool]] = [[], [], []]
    for seed in range(25):
        votes, offset, scale, quality = ratings(seed)
        found = fit_scales("x", votes)
        for a, row in enumerate(found.annotators):
            inside[0].append(row.offset.low <= offset[a] <= row.offset.high)
            inside[1].append(row.scale.low <= scale[a] <= row.scale.high)
        for u, row in enumerate(found.items):
            inside[2].append(
                row.calibrated.low <= found.offset + found.scale * quality[u] <= row.calibrated.high
            )
    for rates in inside:
        assert 0.91 <= np.mean(rates) <= 0.98  # over 150 seeds: .937, .923, .928


def test_corrected_ratings_agree_more_and_rank_better() -> None:
    votes, _, _, quality = ratings(1, spread=(1.0, 0.4))
    found = fit_scales("x", votes)
    assert found.alpha_plain == pytest.approx(
        krippendorff_alpha([list(v.values()) for v in votes.values()], "interval")
    )
    assert found.alpha_corrected > found.alpha_plain + 0.1  # type: ignore[operator]
    plain, calibrated = ([getattr(i, k) for i in found.items] for k in ("plain", "calibrated"))
    assert (
        np.corrcoef([c.value for c in calibrated], quality)[0, 1]
        > np.corrcoef(plain, quality)[0, 1] + 0.03
    )


def test_few_ratings_are_drawn_to_the_crowd() -> None:
    votes, *_ = ratings(2)
    votes["p0000",] |= {"new": 9.0}
    new = next(a for a in fit_scales("x", votes).annotators if a.annotator == "new")
    assert new.offset.value < 5
    assert new.offset.low < 3.5 < new.offset.high + 0.5


def test_annotators_alike_have_no_offsets() -> None:
    votes, *_ = ratings(3, spread=(0.0, 0.0))
    found = fit_scales("x", votes)
    assert max(abs(a.offset.value - 3) for a in found.annotators) < 0.2


def test_from_records_and_what_cannot_be_fitted() -> None:
    def rated(item: int, who: str, score: float) -> Feedback:
        return Feedback.model_validate(
            {
                "id": f"{item}{who}",
                "kind": "rating",
                "prompt": f"p{item}",
                "annotator": who,
                "options": [{"id": "o", "content": "x", "shown_at": 0}],
                "choice": {"scores": {"help": score}, "high": 9},
            }
        )

    records = [rated(i, w, float(i % 7 + (w == "b"))) for i in range(30) for w in "abc"]
    assert attributes(records) == ["help"]
    found = rating_scales(records, "help")
    assert {a.annotator: round(a.offset.value - found.offset, 1) for a in found.annotators} == {
        "a": -0.2,
        "b": 0.9,
        "c": -0.2,
    }
    assert json.loads(json.dumps(asdict(found)))["judgements"] == 90
    assert ("rating help", "interval") in scale_votes(records)
    with pytest.raises(DataError, match="rated by two"):
        rating_scales(records[:1], "help")
    with pytest.raises(DataError, match="every rating"):
        rating_scales([rated(0, w, 3.0) for w in "ab"], "help")


def test_most_scales_point_upwards_and_the_items_with_them() -> None:
    """One who rates much, the other way round, is the one turned round, not the many who rate
    little."""
    rng = np.random.default_rng(4)
    truth = rng.normal(size=60)
    votes = {
        (f"item {u}",): {"much": 3 - t + 0.3 * rng.normal()}
        | {f"a{u % 6}": 3 + t + 0.3 * rng.normal(), f"a{(u + 1) % 6}": 3 + t + 0.3 * rng.normal()}
        for u, t in enumerate(truth)
    }
    found = fit_scales("overall", votes)
    assert {a.annotator: a.scale.value > 0 for a in found.annotators} == {"much": False} | {
        f"a{k}": True for k in range(6)
    }
    items = {item.item: item.calibrated.value for item in found.items}
    assert np.corrcoef(truth, [items[f"item {u}",] for u in range(60)])[0, 1] > 0.95


def test_turning_a_fit_round_turns_its_items_round() -> None:
    item, who = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4]), np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    value = np.array([1.0, 2.0, 3.0, 5.0, 4.0, 2.0, 2.5, 3.0, 5.0, 3.0])
    data = scales._ScaleVotes(item, who, value, 5, 3)
    state = scales._step(data, scales._start(data))
    assert np.abs(state.covariance[1]).max() > 0.01  # offset and scale are told from few items
    of_offset, both, of_scale = state.covariance
    centre = state.centre * np.array([1.0, -1.0])
    down = replace(
        state, scale=-state.scale, covariance=(of_offset, -both, of_scale), centre=centre
    )
    for found in (scales._with_positive_scales(down), scales._with_positive_scales(state)):
        assert found.scale.mean() > 0
        mean, variance = scales._quality(data, found)
        opposite, same = scales._quality(data, down)
        np.testing.assert_allclose(mean, -opposite)
        np.testing.assert_allclose(variance, same)


def levels(seed: int, people: int = 8, items: int = 60, each: int = 3) -> Votes:
    """Ratings from 1 to 5 around 4: many at the end of the scale."""
    votes, *_ = ratings(seed, people, items, each)
    return {
        item: {who: float(np.clip(round(v + 0.6), 1, 5)) for who, v in given.items()}
        for item, given in votes.items()
    }


def test_slope_and_curvature_of_the_graded_likelihood_are_its_differences() -> None:
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(12), [3, 2] * 6)
    data = Levels(item, rng.integers(5, size=30), rng.integers(4, size=30), np.arange(4.0), 12, 5)
    start = rng.normal(2, 0.3, 5), rng.uniform(0.5, 1, 5), rng.uniform(0.5, 1, 5)
    model = graded_scales._GradedLikelihood(data, start)
    x, step = model.start + 0.02 * rng.normal(size=model.size), 1e-5
    here = model.expand(x)
    sides = [[model.expand(x + h * e) for h in (step, -step)] for e in np.eye(model.size)]
    slope = [(up.value - down.value) / (2 * step) for up, down in sides]
    bend = [(down.slope - up.slope) / (2 * step) for up, down in sides]
    np.testing.assert_allclose(here.slope, slope, atol=1e-5)
    np.testing.assert_allclose(here.dense, bend, atol=1e-5)
    assert (np.linalg.eigvalsh(model.expand(x, safe=True).dense) > -1e-8).all()
    x[[-1, -2]] = x[[-2, -1]]
    assert model.expand(x).value == -np.inf  # thresholds out of order


def test_ratings_on_few_levels_are_taken_for_levels_and_stay_on_the_scale() -> None:
    found = fit_scales("x", levels(1))
    assert (found.model, found.why) == ("levels", "5 different ratings, evenly spaced")
    told = [a.offset for a in found.annotators] + [i.calibrated for i in found.items]
    assert all(1 <= row.low <= row.value <= row.high <= 5 for row in told)
    points = fit_scales("x", levels(1), model="points")
    assert (points.model, points.why) == ("points", "asked for")
    assert max(item.calibrated.high for item in points.items) > 5
    for a, b in zip(found.annotators, points.annotators, strict=True):
        assert a.offset.value == pytest.approx(b.offset.value, abs=0.4)
        assert a.noise == pytest.approx(b.noise, abs=0.35)


@pytest.mark.parametrize(
    ("change", "model", "why"),
    [
        (lambda v: v, "levels", "5 different ratings, evenly spaced"),
        (lambda v: (v - 1) / 4, "levels", "5 different ratings, evenly spaced"),
        (lambda v: v**2, "points", "5 different ratings, unevenly spaced"),
        (lambda v: 10 * v + round(3 * np.sin(v * 1e3)), "points", "unevenly"),
    ],
)
def test_what_levels_are(change: Callable[[float], float], model: str, why: str) -> None:
    votes = {
        item: {who: float(change(v)) for who, v in given.items()}
        for item, given in levels(1).items()
    }
    found = fit_scales("x", votes)
    assert found.model == model
    assert why in found.why


def test_a_scale_moved_and_stretched_gives_the_same_moved_and_stretched() -> None:
    votes = levels(2)
    here = fit_scales("x", votes)
    there = fit_scales(
        "x", {item: {w: 10 + 2 * v for w, v in given.items()} for item, given in votes.items()}
    )
    for a, b in zip(here.annotators, there.annotators, strict=True):
        for part in ("value", "low", "high"):
            assert getattr(b.offset, part) == pytest.approx(10 + 2 * getattr(a.offset, part), 1e-4)
            assert getattr(b.scale, part) == pytest.approx(2 * getattr(a.scale, part), 1e-3)
    assert there.alpha_corrected == pytest.approx(here.alpha_corrected, abs=1e-4)


def test_levels_hold_the_truth_where_points_do_not() -> None:
    inside: dict[str, list[bool]] = {"levels": [], "points": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        votes, truth = rated(20, 150, 4, 3.0, "normal", "scale")(rng)
        for model, held in inside.items():
            found = fit_scales("x", votes, model=model)  # type: ignore[arg-type]
            rows = zip(found.annotators, truth, strict=True)
            held += [a.scale.low <= t <= a.scale.high for a, t in rows]
    assert np.mean(inside["levels"]) > 0.9
    assert np.mean(inside["points"]) < 0.85
