"""Offsets and scales of rating annotators, recovered at the rate that their intervals promise."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from accord.errors import DataError
from accord.feedback import scales
from accord.feedback.agreement_kinds import Votes, scale_votes
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
        "a": -0.3,
        "b": 0.7,
        "c": -0.3,
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
