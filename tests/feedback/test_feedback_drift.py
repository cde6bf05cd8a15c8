"""Annotators who change are noticed soon, and shuffled ones hardly ever."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.feedback.drift import agreement_channel, cusum, drift, error_channel, side_channel, time_channel, watch
from accord.feedback.records import Feedback
from accord.feedback.simulate import drifting


def answers(rng: np.random.Generator, count: int, after: int, turned: float = 0.3) -> np.ndarray:
    """P(answer) of an annotator who agrees with the others in 77 %, as people do, and turns round `turned` of the answers
    from number `after` on."""
    p = 1 / (1 + np.exp(-2.0 * np.abs(rng.normal(size=count))))
    agreed = (rng.random(count) < p) ^ ((np.arange(count) >= after) & (rng.random(count) < turned))
    return np.where(agreed, p, 1 - p)


def test_a_drifter_is_found_within_forty_votes_at_five_per_cent_false_alarms() -> None:
    delays, false = [], 0
    at = np.arange(600)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p = answers(rng, 600, 300)
        found = watch(agreement_channel([[(x, 1.0)] for x in p], at), seed, orders=200)
        delays.append(found.detected_at - 300 if found.detected_at is not None else 300)
        false += watch(agreement_channel([[(x, 1.0)] for x in rng.permutation(p)], at), seed, orders=200).alarm
    assert np.median(delays) <= 40
    assert np.mean(np.array(delays) > 200) <= 0.05
    assert false / 60 <= 0.07  # nominal .05, 60 shuffled orders


def test_every_signal_sees_its_change_and_says_when() -> None:
    rng, at, late = np.random.default_rng(0), np.arange(400), np.arange(400) >= 200
    channels = [
        error_channel(list(rng.random(400) < np.where(late, 0.35, 0.05)), at),
        side_channel(list(rng.random(400) < np.where(late, 0.75, 0.5)), at),
        time_channel(rng.lognormal(np.where(late, 2.5, 3.0), 0.4), at),
    ]
    for channel in channels:
        found = watch(channel)
        assert found.alarm
        assert abs(found.changed_at - 200) < 40
        assert found.before.high < found.after.low or found.after.high < found.before.low
    steady = [
        side_channel(list(rng.random(400) < 0.9), at),  # one-sided from the start: no drift, another alarm's business
        time_channel(rng.lognormal(3.0, 0.4, 400), at),
        error_channel([False] * 400, at),
    ]
    assert not any(watch(channel).alarm for channel in steady)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30))
def test_cusum_is_page_s_recursion(steps: list[float]) -> None:
    s, expected = 0.0, []
    for x in steps:
        s = max(0.0, s + x)
        expected.append(s)
    assert cusum(np.array(steps)) == pytest.approx(expected, abs=1e-9)


def crowd(seed: int, per: int = 300, people: int = 6) -> list[Feedback]:
    rng, scores, records = np.random.default_rng(seed), 1.5 * np.random.default_rng(9).normal(size=8), []
    for number in range(per * people):
        a, b = rng.choice(8, size=2, replace=False)
        won = rng.random() < 1 / (1 + np.exp(scores[b] - scores[a]))
        options = [{"id": f"o{m}", "content": "x", "producer": f"m{m}", "shown_at": k} for k, m in enumerate((a, b))]
        records.append(Feedback.model_validate({
            "id": str(number), "kind": "comparison", "prompt": f"p{number % 50}", "options": options,
            "choice": {"preferred": f"o{a if won else b}"}, "annotator": f"a{number % people}",
            "active_seconds": float(rng.lognormal(3, 0.5)),
        }))  # fmt: skip
    return records


def test_the_one_who_drifts_is_named_and_nobody_else() -> None:
    records = crowd(0)
    assert not any(row.alarm for row in drift(records).annotators)
    found = drift(drifting(records, "a2", 150, 0.5, 0))
    assert [row.annotator for row in found.annotators if row.alarm] == ["a2"]
    (signal,) = (s for s in found.annotators[0].signals if s.alarm)
    assert signal.name == "agreement"
    assert 150 <= signal.detected_at <= 230
    assert json.loads(json.dumps(asdict(found)))["order"] == "the order of the records"


def test_signals_without_scores_are_still_watched() -> None:
    rng, records = np.random.default_rng(0), []
    for number in range(120):
        records.append(Feedback.model_validate({
            "id": str(number), "kind": "thumb", "prompt": f"p{number}", "annotator": "a", "choice": {"up": True},
            "options": [{"id": "o", "content": "x", "shown_at": 0}], "created_at": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}",
            "active_seconds": float(rng.lognormal(3 if number < 60 else 1.5, 0.3)),
        }))  # fmt: skip
    found = drift(records[::-1], gold={str(n): n < 60 for n in range(120)})
    assert found.order == "created_at"
    (row,) = found.annotators
    assert {s.name for s in row.signals if s.alarm} == {"active time", "gold errors"}
    assert drift(records[:10]).not_watched == 1
