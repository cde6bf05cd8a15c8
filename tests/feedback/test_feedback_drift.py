"""Annotators who change are noticed soon, and shuffled ones hardly ever."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from benchmarks.feedback import drift_delay
from hypothesis import given
from hypothesis import strategies as st

from accord.feedback.drift import (
    AnnotatorDrift,
    _orders,
    agreement_channel,
    cusum,
    drift,
    error_channel,
    side_channel,
    time_channel,
    watch,
)
from accord.feedback.records import Comparison, Feedback, Option
from accord.feedback.simulate import drifting, simulated_drifter


@pytest.mark.parametrize(("votes", "seeds"), [(300, 100), (600, 60)])
def test_a_drifter_is_found_within_forty_votes_at_five_per_cent_false_alarms(
    votes: int, seeds: int
) -> None:
    found = drift_delay(votes, 2.0, seeds)
    assert found["agreement"] == pytest.approx(0.78, abs=0.01)
    assert found["median_delay"] <= 40
    assert found["not_found"] <= (0.1 if votes == 300 else 0.02)
    assert found["false_alarms"][1] <= 0.05  # nominal .05, within what so few can tell
    assert found["false_alarms"][0] <= 0.08


def test_a_change_that_comes_slowly_is_found_as_well() -> None:
    missed = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        p = simulated_drifter(rng, 600, 600)
        turned = rng.random(600) < np.clip((np.arange(600) - 300) / 300, 0, 1) * 0.6
        missed += not watch(
            agreement_channel([[(x, 1.0)] for x in np.where(turned, 1 - p, p)], np.arange(600)),
            seed,
        ).alarm
    assert missed <= 2


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
        side_channel(
            list(rng.random(400) < 0.9), at
        ),  # one-sided from the start: no drift, another alarm's business
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
    rng, scores, records = (
        np.random.default_rng(seed),
        1.5 * np.random.default_rng(9).normal(size=8),
        [],
    )
    for number in range(per * people):
        a, b = rng.choice(8, size=2, replace=False)
        won = rng.random() < 1 / (1 + np.exp(scores[b] - scores[a]))
        options = [
            {"id": f"o{m}", "content": "x", "producer": f"m{m}", "shown_at": k}
            for k, m in enumerate((a, b))
        ]
        records.append(
            Feedback.model_validate(
                {
                    "id": str(number),
                    "kind": "comparison",
                    "prompt": f"p{number % 50}",
                    "options": options,
                    "choice": {"preferred": f"o{a if won else b}"},
                    "annotator": f"a{number % people}",
                    "active_seconds": float(rng.lognormal(3, 0.5)),
                }
            )
        )
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


def test_a_producer_against_itself_says_nothing_of_agreement() -> None:
    """Whoever judged nothing else is watched by the other signals."""
    records = crowd(0, per=60, people=5)
    same = [{"id": f"o{k}", "content": "x", "producer": "m1", "shown_at": k} for k in range(2)]
    alone = [
        r.model_copy(update={"id": f"{r.id}-same", "annotator": "b", "options": alike})
        for r in crowd(1, per=60, people=1)
        for alike in [[Option.model_validate(o) for o in same]]
    ]
    alone = [
        r.model_copy(update={"choice": Comparison(preferred=f"o{n % 2}")})
        for n, r in enumerate(alone)
    ]
    (row,) = (row for row in drift([*records, *alone]).annotators if row.annotator == "b")
    assert names(row) == {"active time", "first place"}


def test_signals_without_scores_are_still_watched() -> None:
    rng, records = np.random.default_rng(0), []
    for number in range(120):
        records.append(
            Feedback.model_validate(
                {
                    "id": str(number),
                    "kind": "thumb",
                    "prompt": f"p{number}",
                    "annotator": "a",
                    "choice": {"up": True},
                    "options": [{"id": "o", "content": "x", "shown_at": 0}],
                    "created_at": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}",
                    "active_seconds": float(rng.lognormal(3 if number < 60 else 1.5, 0.3)),
                }
            )
        )
    found = drift(records[::-1], gold={str(n): n < 60 for n in range(120)})
    assert found.order == "created_at"
    (row,) = found.annotators
    assert {s.name for s in row.signals if s.alarm} == {"active time", "gold errors"}
    assert drift(records[:10]).not_watched == 1


def test_who_judged_less_than_forty_times_is_counted_and_not_watched() -> None:
    records = crowd(1, per=40, people=3)
    found = drift(records)
    assert (len(found.annotators), found.not_watched) == (3, 0)
    fewer = drift(records[:-1])  # the last is a2's
    assert (len(fewer.annotators), fewer.not_watched) == (2, 1)
    assert {row.annotator for row in fewer.annotators} == {"a0", "a1"}
    assert all({"active time", "first place"} <= names(row) for row in found.annotators)


def names(row: AnnotatorDrift) -> set[str]:
    return {signal.name for signal in row.signals}


def test_a_signal_is_watched_from_forty_judgements_that_show_it() -> None:
    records = crowd(1, per=50, people=2)
    mine = [record.id for record in records if record.annotator == "a0"]
    for known in (39, 40):
        timed = [
            record.model_copy(update={"active_seconds": None})
            if record.id in mine[known:]
            else record
            for record in records
        ]
        gold = {record: n % 3 > 0 for n, record in enumerate(mine[:known])}
        (row,) = (row for row in drift(timed, gold=gold).annotators if row.annotator == "a0")
        assert ("active time" in names(row)) == (known == 40)
        assert ("gold errors" in names(row)) == (known == 40)


def test_judgements_in_a_row_on_one_prompt_stay_together_in_random_orders() -> None:
    """Errors that come in runs, one prompt after the other, and do not change."""
    false = {"together": 0, "apart": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        wrong = np.repeat(rng.random(40) < 0.3, 5)
        channel = error_channel(list(wrong), np.arange(200))
        false["apart"] += watch(channel, seed, 100).alarm
        whole = replace(channel, prompt=np.repeat(np.arange(40), 5))
        assert whole.runs == (5,) * 40
        drawn = _orders(whole.runs, seed, 0, 3)
        assert (np.diff(drawn.reshape(3, 40, 5), axis=2) == 1).all()
        assert (np.sort(drawn, axis=1) == np.arange(200)).all()
        false["together"] += watch(whole, seed, 100).alarm
    assert false["together"] <= 7
    assert false["apart"] >= 15


def test_rates_before_and_after_are_those_of_prompts() -> None:
    late = np.arange(200) >= 100
    wrong = np.repeat(np.random.default_rng(0).random(50) < np.where(late[::4], 0.7, 0.1), 4)
    channel = error_channel(list(wrong), np.arange(200))
    alone = watch(channel)
    whole = watch(replace(channel, prompt=np.repeat(np.arange(50), 4)))
    assert alone.after is not None
    assert whole.after is not None
    width, wider = (x.high - x.low for x in (alone.after, whole.after))
    assert wider > 1.5 * width
