"""Which findings of an audit are alarms, and what each says."""

from __future__ import annotations

from types import SimpleNamespace as Of
from typing import Any

from accord.feedback import audit
from accord.statistics.intervals import Interval


def between(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high)


def test_position_is_an_alarm_of_everybody_or_of_one() -> None:
    one = Of(annotator="a", alarm=True, first_share=between(0.8, 0.7, 0.9))
    other = Of(annotator="b", alarm=False, first_share=between(0.5, 0.4, 0.6))
    bias: Any = Of(
        alarm=True,
        pull=between(-0.25, -0.4, -0.1),
        z=-3.26,
        first_share=between(0.44, 0.41, 0.47),
        decided=1234,
        annotators=[one, other],
    )
    every, mine = audit._position(bias)
    assert (every.area, every.subject, mine.subject) == ("position", "everybody", "a")
    assert every.finding == (
        "what is shown last gains 0.250 logits (z = -3.3); the first place won "
        "44.0% [41.0%, 47.0%] of 1,234 decided pairs"
    )
    assert mine.finding == "prefers the first place in 80% [70%, 90%] of decided comparisons"
    bias.pull = between(0.25, 0.1, 0.4)
    assert audit._position(bias)[0].finding.startswith("what is shown first gains 0.250")
    bias.alarm = False
    assert [alarm.subject for alarm in audit._position(bias)] == ["a"]
    assert audit._position(None) == []


def test_gold_is_an_alarm_where_it_is_flagged() -> None:
    scores: Any = [
        Of(annotator=state, state=state, passed=between(0.5, 0.25, 0.75), asked=8)
        for state in ("ok", "flagged", "unsure")
    ]
    (alarm,) = audit._gold(scores)
    assert (alarm.area, alarm.subject) == ("gold", "flagged")
    assert alarm.finding == "passed 50% [25%, 75%] of 8 gold items"


def test_a_person_is_named_once_and_only_below_a_quarter_of_the_typical() -> None:
    crowd: Any = Of(
        annotators=[
            Of(annotator="a", flag="ok", reason=""),
            Of(annotator="b", flag="random", reason="answers at random"),
        ]
    )
    rows: Any = [
        Of(annotator=name, times_typical=between(0.1, 0.05, high))
        for name, high in (("a", 0.25), ("b", 0.2), ("c", 0.249))
    ]
    found = audit._people(crowd, rows)
    assert [(alarm.subject, alarm.finding) for alarm in found] == [
        ("b", "answers at random"),
        ("c", "reliability 0.10 [0.05, 0.25] times the typical one's"),
    ]
    assert [alarm.subject for alarm in audit._people(None, rows)] == ["b", "c"]
    assert audit._people(None, None) == []


def test_drift_is_an_alarm_of_the_signals_of_who_drifted() -> None:
    def signal(name: str, alarm: bool = True, **other: Any) -> Any:
        given = {"changed_at": 50, "detected_at": 71, "p_value": 0.0049} | other
        ends = {"before": between(2.0, 1.5, 2.5), "after": between(1.0, 0.5, 1.5)} | other
        return Of(name=name, alarm=alarm, **(given | ends))

    here = [signal("agreement"), signal("side", alarm=False), signal(audit.TIME_NAME)]
    report: Any = Of(
        annotators=[
            Of(annotator="a", alarm=True, signals=[*here, signal("gold", after=None)]),
            Of(annotator="b", alarm=False, signals=here),
        ]
    )
    first, second = audit._drift(report)
    assert first.subject == second.subject == "a"
    assert first.finding == (
        "agreement changed about judgement 50 (noticed at 71): "
        "2.00 [1.50, 2.50] before, 1.00 [0.50, 1.50] after; p = 0.005"
    )
    assert "2.00 seconds [1.50, 2.50] before, 1.00 seconds" in second.finding


def test_the_other_findings_are_alarms_as_they_are() -> None:
    result: Any = Of(quarantine=[Of(annotator="a", reason="votes against the trusted")])
    (alarm,) = audit._poisoning(result)
    assert (alarm.area, alarm.subject) == ("poisoning", "a")
    assert alarm.finding == "votes against the trusted"
    assert audit._poisoning(None) == []
    pair: Any = Of(annotators=("a", "b"), same=19, common=20, expected=0.66)
    (alarm,) = audit._accounts([pair])
    assert (alarm.area, alarm.subject) == ("accounts", "a and b")
    assert alarm.finding.startswith("gave the same answer on 19 of 20 common pairs (expected 66%)")


def test_groups_are_an_alarm_from_two_on() -> None:
    groups = [
        Of(share=between(0.6, 0.5, 0.7)),
        Of(share=between(0.4, 0.3, 0.5)),
    ]
    mixture: Any = Of(groups=groups, disputed=[0] * 1500)
    (alarm,) = audit._groups(mixture)
    assert (alarm.area, alarm.subject) == ("groups", "everybody")
    assert alarm.finding == (
        "2 groups prefer differently (60% [50%, 70%], 40% [30%, 50%]); they differ on 1,500 pairs"
    )
    mixture.groups = groups[:1]
    assert audit._groups(mixture) == []
    assert audit._groups(None) == []


def test_a_scale_is_an_alarm_below_a_quarter_of_the_crowds() -> None:
    people = [
        Of(annotator=name, scale=between(0.2, 0.1, high)) for name, high in (("a", 0.5), ("b", 0.4))
    ]
    fits: Any = [Of(attribute="clarity", scale=2.0, annotators=people)]
    (alarm,) = audit._scales(fits)
    assert (alarm.area, alarm.subject) == ("scale", "b")
    assert alarm.finding == (
        "uses 0.20 [0.10, 0.40] points of clarity per standard deviation of the items, "
        "the crowd 2.00"
    )
