"""When an answer to an item with a known answer counts as right."""

from __future__ import annotations

from typing import Any

import pytest

from accord.studio.queue.gold import is_correct


def pair(preferred: str | None, tie: bool = False, both_bad: bool = False, **more: Any) -> Any:
    return {"preferred": preferred, "tie": tie, "both_bad": both_bad, **more}


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (None, pair("a"), None),
        (pair("b"), pair("b"), True),
        (pair("b"), pair("b", strength=3), True),
        (pair("b"), pair("a"), False),
        (pair("a"), pair("b"), False),
        (pair(None, tie=True), pair(None, tie=True), True),
        (pair(None, tie=True), pair(None, both_bad=True), False),
        (pair(None, tie=True, both_bad=True), pair(None, tie=True), False),
        (pair(None, tie=True), pair(None, tie=True, both_bad=True), False),
        (pair("a"), pair("a", both_bad=True), False),
        (pair("a", both_bad=True), pair("a"), False),
    ],
)
def test_a_comparison_is_right_by_its_verdict(gold: Any, answer: Any, right: bool | None) -> None:
    assert is_correct(gold, answer) is right


@pytest.mark.parametrize(
    ("known", "given", "right"),
    [
        ([["a"], ["b"], ["c"]], [["a"], ["b"], ["c"]], True),
        ([["a"], ["b"], ["c"]], [["a"], ["c"], ["b"]], False),
        ([["a"], ["b"], ["c"]], [["c"], ["b"], ["a"]], False),
        ([["a"], ["b"], ["c"]], [["a", "b"], ["c"]], False),
        ([["a", "b"], ["c"]], [["b"], ["a"], ["c"]], True),  # their order is not known
        ([["a", "b"], ["c"]], [["a"], ["c"], ["b"]], False),
        ([["a"], ["b", "c"]], [["a"], ["b"], ["c"]], True),
        ([["a", "b", "c"]], [["c"], ["b"], ["a"]], True),
    ],
)
def test_a_ranking_is_right_where_every_known_pair_stands_so(
    known: list[list[str]], given: list[list[str]], right: bool
) -> None:
    for bad in (True, False):
        assert is_correct({"order": known}, {"order": given, "all_bad": bad}) is right
    gold = {"order": known, "all_bad": True}
    assert is_correct(gold, {"order": given, "all_bad": True}) is right
    assert is_correct(gold, {"order": given, "all_bad": False}) is False


@pytest.mark.parametrize(("within", "most"), [({}, 1), ({"within": 0}, 0), ({"within": 2}, 2)])
def test_a_rating_is_right_within_its_distance(within: dict[str, int], most: int) -> None:
    gold = {"scores": {"help": 4, "tone": 3}, **within}
    for off in range(-4, 5):
        answer = {"scores": {"help": 4 + off, "tone": 3, "other": 9}}
        assert is_correct(gold, answer) is (abs(off) <= most)
        answer = {"scores": {"help": 4, "tone": 3 + off, "other": 9}}
        assert is_correct(gold, answer) is (abs(off) <= most)


def test_other_kinds_are_right_where_they_are_the_same() -> None:
    for gold, same, other in (
        ({"labels": [1, 0]}, {"labels": [1, 0]}, {"labels": [1, 1]}),
        ({"best": "a", "worst": "b"}, {"best": "a", "worst": "b"}, {"best": "a", "worst": "c"}),
        ({"best": "a", "worst": "b"}, {"best": "a", "worst": "b"}, {"best": "c", "worst": "b"}),
        ({"up": True}, {"up": True}, {"up": False}),
        ({"flags": ["x"]}, {"flags": ["x"]}, {"flags": []}),
        ({"up": True, "why": "so"}, {"up": True, "why": "else"}, {"up": False, "why": "so"}),
    ):
        assert is_correct(gold, {**same, "comment": "c"}) is True
        assert is_correct(gold, other) is False


def span(start: int, end: int, label: str = "wrong") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


@pytest.mark.parametrize(
    ("marked", "right"),
    [
        ([span(10, 20)], True),
        ([span(10, 15)], True),  # half of what both cover together
        ([span(11, 15)], False),
        ([span(5, 15)], False),  # a third
        ([span(0, 20)], True),
        ([span(0, 21)], False),
        ([span(12, 22)], True),
        ([span(14, 24)], False),
        ([span(20, 30)], False),
        ([span(30, 40)], False),
        ([span(0, 10)], False),
        ([span(10, 20, "odd")], False),
        ([span(10, 20), span(40, 50)], False),
        ([span(10, 20), span(11, 20)], True),
        ([], False),
    ],
)
def test_passages_agree_from_half_of_what_both_cover(
    marked: list[dict[str, Any]], right: bool
) -> None:
    assert is_correct({"spans": [span(10, 20)]}, {"spans": marked}) is right
    assert is_correct({"spans": marked}, {"spans": [span(10, 20)]}) is right


def test_every_known_passage_is_to_be_marked() -> None:
    gold = {"spans": [span(10, 20), span(40, 50)]}
    assert is_correct(gold, {"spans": [span(40, 50), span(10, 20)]}) is True
    assert is_correct(gold, {"spans": [span(10, 20)]}) is False
    assert is_correct({"spans": []}, {"spans": []}) is True
