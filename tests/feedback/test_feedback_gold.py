"""Gold items: what counts as passed, and power that simulation confirms."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from accord.errors import ConfigError, DataError
from accord.feedback.gold_checks import (
    GoldRule,
    chance_to_qualify,
    detection_power,
    gold_results,
    passes,
    qualify,
    score_gold,
)
from accord.feedback.records import Feedback


def judged(
    kind: str,
    choice: dict[str, Any],
    options: int,
    gold: Any = None,
    who: str = "a",
    number: int = 0,
) -> Feedback:
    shown = [{"id": f"o{k}", "content": "x", "shown_at": k} for k in range(options)]
    return Feedback.model_validate(
        {
            "id": f"{kind}{who}{number}",
            "kind": kind,
            "prompt": "p",
            "options": shown,
            "choice": choice,
            "annotator": who,
            "meta": {} if gold is None else {"gold": gold},
        }
    )


@pytest.mark.parametrize(
    ("kind", "options", "choice", "gold", "expected"),
    [
        ("comparison", 2, {"preferred": "o0"}, {"preferred": "o0"}, True),
        ("comparison", 2, {"preferred": "o0", "strength": 3}, {"preferred": "o0"}, True),
        ("comparison", 2, {"tie": True}, {"preferred": "o0"}, False),
        ("comparison", 2, {"tie": True}, {"both_bad": True}, False),
        (
            "ranking",
            3,
            {"order": [["o0"], ["o2"], ["o1"]]},
            {"order": [["o0"], ["o1", "o2"]]},
            True,
        ),
        (
            "ranking",
            3,
            {"order": [["o1"], ["o0"], ["o2"]]},
            {"order": [["o0"], ["o1", "o2"]]},
            False,
        ),
        ("ranking", 3, {"order": [["o0", "o1"], ["o2"]]}, {"order": [["o0"], ["o1", "o2"]]}, False),
        ("best_worst", 3, {"best": "o0", "worst": "o2"}, {"best": "o0", "worst": "o2"}, True),
        ("best_worst", 3, {"best": "o0", "worst": "o1"}, {"best": "o0", "worst": "o2"}, False),
        ("rating", 1, {"scores": {"x": 3, "y": 0}}, {"scores": {"x": 4}}, True),
        ("rating", 1, {"scores": {"x": 2}}, {"scores": {"x": 4}}, False),
        ("thumb", 1, {"up": True}, {"up": False}, False),
        (
            "step_labels",
            1,
            {"steps": ["a", "b"], "labels": [1, -1]},
            {"steps": ["a", "b"], "labels": [1, -1]},
            True,
        ),
        (
            "step_labels",
            1,
            {"steps": ["a", "b"], "labels": [1, 1]},
            {"steps": ["a", "b"], "labels": [0, -1]},
            False,
        ),
    ],
)
def test_what_passes(kind: str, options: int, choice: dict, gold: dict, expected: bool) -> None:
    assert passes(judged(kind, choice, options), gold) is expected


def test_gold_that_cannot_be_checked_is_refused() -> None:
    with pytest.raises(DataError, match=r"meta\.gold is not a choice"):
        gold_results([judged("thumb", {"up": True}, 1, {"preferred": "o0"})])
    with pytest.raises(DataError, match="cannot be checked"):
        gold_results([judged("critique", {"text": "x"}, 1, {"text": "x"})])


def test_clickers_are_flagged_and_honest_annotators_cleared() -> None:
    rng, records = np.random.default_rng(0), []
    for who, error in (("honest", 0.08), ("clicker", 0.5)):
        for number in range(60):
            right = bool(rng.random() >= error)
            records.append(
                judged(
                    "comparison",
                    {"preferred": "o0" if right else "o1"},
                    2,
                    {"preferred": "o0"},
                    who,
                    number,
                )
            )
    records.append(judged("thumb", {"up": True}, 1))
    records.append(
        judged("thumb", {"up": True}, 1, True, number=1)
    )  # gold whose answer is kept elsewhere
    assert score_gold(records, results={records[-1].id: True})[0].asked == 1
    first, second = score_gold(records)
    assert (first.annotator, first.state, first.asked) == ("clicker", "flagged", 60)
    assert (second.annotator, second.state) == ("honest", "cleared")
    assert second.passed.low < 0.92 < second.passed.high
    assert json.dumps([asdict(s) for s in (first, second)])


def test_detection_power_is_what_simulation_gives() -> None:
    rule, rng = GoldRule(), np.random.default_rng(0)
    found = detection_power(0.1, rule)
    assert found.power >= 1 - rule.miss - 0.01  # Wald's bounds, up to overshoot
    assert found.false_alarms <= rule.false_alarm + 0.01
    times, flagged = [], 0
    for _ in range(4000):
        total, n = 0.0, 0
        while rule.bounds[0] < total < rule.bounds[1]:
            n += 1
            if rng.random() < 0.1:
                total += rule.steps[int(rng.random() < rule.clicker_error)]
        if total >= rule.bounds[1]:
            flagged += 1
            times.append(n)
    assert flagged / 4000 == pytest.approx(found.power, abs=0.02)
    assert np.mean(times) == pytest.approx(found.expected, rel=0.05)
    assert np.mean(np.array(times) <= 50) * flagged / 4000 == pytest.approx(
        found.by_judgements[50], abs=0.02
    )
    assert found.by_judgements[20] < found.by_judgements[50] < found.by_judgements[200]
    assert detection_power(0.05).expected == pytest.approx(2 * found.expected)
    with pytest.raises(ConfigError, match="gold rate"):
        detection_power(0.0)
    with pytest.raises(ConfigError, match="honest < clicker"):
        GoldRule(honest_error=0.6)


def test_qualification_is_decided_by_its_interval() -> None:
    assert qualify(29, 30).state == "qualified"
    assert qualify(24, 30).state == "undecided"
    assert qualify(10, 30).state == "refused"
    assert chance_to_qualify(0.7, 30) < 0.03
    assert chance_to_qualify(0.95, 30) > 0.8
    with pytest.raises(DataError, match="passed"):
        qualify(4, 3)
