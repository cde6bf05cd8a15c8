"""Answers of every task: what becomes of good ones, and what is said about wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from accord.feedback.records import CHOICES, Feedback
from accord.studio.errors import AnswerError
from accord.studio.projects.settings import TASKS, ProjectSettings
from accord.studio.queue.answers import CheckedAnswer, judge

TEXT = "First step.\n\nSecond step.\n\nThird step."
SCALES = [
    {"name": "help", "low": 1, "high": 5},
    {"name": "style", "low": 1, "high": 5},
    {"name": "truth", "low": 0, "high": 1},
]
NEEDS: dict[str, dict[str, Any]] = {
    "rating": {"attributes": SCALES}, "flags": {"flags": ["spam", "rude"]}, "spans": {"spans": ["error", "good"]},
}  # fmt: skip


def settings(task: str, **more: Any) -> ProjectSettings:
    return ProjectSettings(name="T", task=task, **{**NEEDS.get(task, {}), **more})  # type: ignore[arg-type]


def options(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"o{n}", "content": TEXT if n == 0 else f"Text {n}", "producer": f"m{n}"}
        for n in range(count)
    ]


def judged(
    task: str, answer: Any, count: int | None = None, turns: Any = None, **more: Any
) -> CheckedAnswer:
    made = settings(task, **more)
    return judge(made, options(made.options[0] if count is None else count), answer, turns, "Q")


def records(found: CheckedAnswer, order: list[str]) -> list[Feedback]:
    return found.records(
        "a1",
        "Q",
        order,
        annotator="p",
        session="s",
        guideline="t@1",
        active_seconds=3.0,
        created_at="2027",
        meta={"x": 1},
    )


# --- what stands ----------------------------------------------------------------------------------
GOOD = [
    ("comparison", 2, {"preferred": "o1"}, "comparison", {"preferred": "o1"}),
    ("comparison", 2, {"tie": True}, "comparison", {"tie": True}),
    ("comparison", 2, {"both_bad": True, "preferred": None}, "comparison", {"both_bad": True}),
    ("clips", 2, {"preferred": "o0"}, "comparison", {"preferred": "o0"}),
    ("ranking", 3, {"order": [["o2"], ["o1", "o0"]]}, "ranking", {"order": [["o2"], ["o0", "o1"]]}),
    ("ranking", 3, {"all_bad": True}, "ranking", {"order": [["o0", "o1", "o2"]], "all_bad": True}),
    ("ranking", 3, {"order": [["o1"], ["o0"], ["o2"]], "all_bad": True}, "ranking", {"order": [["o1"], ["o0"], ["o2"]], "all_bad": True}),
    ("best_worst", 3, {"best": "o2", "worst": "o0"}, "best_worst", {"best": "o2", "worst": "o0"}),
    ("thumb", 1, {"up": False}, "thumb", {"up": False}),
    ("critique", 1, {"text": "too long"}, "critique", {"text": "too long"}),
    ("correction", 1, {"content": "better"}, "correction", {"content": "better"}),
    ("demonstration", 0, {"content": "mine"}, "demonstration", {"content": "mine"}),
    ("flags", 1, {"flags": ["rude"]}, "flags", {"flags": {"spam": False, "rude": True}}),
    ("flags", 1, {"flags": []}, "flags", {"flags": {"spam": False, "rude": False}}),
    ("steps", 1, {"labels": [1, 0, 1]}, "step_labels", {"labels": [1, 0, 1], "steps": TEXT.split("\n\n")}),
    ("steps", 1, {"labels": [1, -1, None], "first_error": 1}, "step_labels", {"labels": [1, -1], "steps": TEXT.split("\n\n")[:2]}),
    ("spans", 1, {"spans": [{"option": "o0", "start": 0, "end": 5, "label": "error"}]}, "spans", {"spans": [{"start": 0, "end": 5, "label": "error"}]}),
    ("spans", 1, {"spans": []}, "spans", {"spans": []}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "count", "answer", "kind", "choice"), GOOD)
def test_answers_become_records(
    task: str, count: int, answer: Any, kind: str, choice: dict[str, Any]
) -> None:
    found = judged(task, answer, count)
    order = [option["id"] for option in options(count)][::-1]
    (record,) = records(found, order)
    assert (record.id, record.kind, record.active_seconds, record.meta["x"]) == ("a1", kind, 3.0, 1)
    assert record.choice.model_dump(exclude_defaults=True) == choice
    assert record.shown == order
    again = judge(settings(task), options(count), found.answer, None, "Q")
    assert again == found, "the normal form is not its own normal form"


def test_every_task_is_tried() -> None:
    assert {task for task, *_ in GOOD} | {"rating", "chat"} == set(TASKS)
    assert {kind for *_, kind, _ in GOOD} | {"rating"} == set(CHOICES) - {
        "argument",
        "attribute_comparison",
        "skip",
    }


def test_ratings_on_several_scales_become_a_record_each() -> None:
    found = judged("rating", {"scores": {"truth": 1, "help": 4.0, "style": 2}})
    first, second = records(found, ["o0"])
    assert (first.id, second.id) == ("a1", "a1.rating2")
    assert first.choice.model_dump() == {"scores": {"help": 4, "style": 2}, "low": 1, "high": 5}
    assert second.choice.model_dump() == {"scores": {"truth": 1}, "low": 0, "high": 1}
    assert (first.active_seconds, second.active_seconds) == (3.0, None)


def test_what_stands_beside_a_comparison() -> None:
    found = judged(
        "comparison",
        {
            "preferred": "o0",
            "strength": 2,
            "flags": ["rude"],
            "critique": {"o1": "rude", "o0": " "},
            "scores": {"o0": {"help": 5}, "o1": {"help": 1, "truth": 0}},
        },
        strength=True,
        flags=["spam", "rude"],
        critique="optional",
        attributes=SCALES,
    )
    made = {record.id: record for record in records(found, ["o1", "o0"])}
    assert list(made) == ["a1", "a1.critique.o1", "a1.rating.o0", "a1.rating.o1", "a1.rating2.o1"]
    assert made["a1"].meta["flags"] == {"spam": False, "rude": True}
    assert made["a1"].choice.strength == 2
    assert [option.id for option in made["a1.rating.o1"].options] == ["o1"]
    assert made["a1.rating.o1"].meta["part"] == "rating.o1"


def test_words_about_the_whole_stay_with_the_main_record() -> None:
    found = judged("comparison", {"tie": True, "critique": "hard to say"}, critique="required")
    (record,) = records(found, ["o0", "o1"])
    assert record.meta["rationale"] == "hard to say"
    alone = judged("thumb", {"up": True, "critique": "fine"}, critique="optional")
    assert [(r.id, r.kind) for r in records(alone, ["o0"])] == [
        ("a1", "thumb"),
        ("a1.critique.o0", "critique"),
    ]


def test_a_corrected_conversation_keeps_its_earlier_turns() -> None:
    turns = [{"role": "user", "content": "again?"}, {"role": "assistant", "content": "no"}]
    found = judge(
        settings("correction"), [{"id": "o0", "content": turns}], {"content": "yes"}, None, "Q"
    )
    (record,) = records(found, ["o0"])
    assert [message.content for message in record.choice.content] == ["again?", "yes"]


def turn(user: str, number: int) -> dict[str, Any]:
    return {
        "user": user,
        "options": [
            {"id": f"t{number}a", "content": f"A{number}"},
            {"id": f"t{number}b", "content": f"B{number}"},
        ],
    }


def test_a_chat_is_a_comparison_per_turn() -> None:
    turns = [turn("Hello", 1), turn("And?", 2), turn("Bye", 3)]
    answer = {
        "turns": [{"preferred": "t1b"}, {"tie": True, "continued": "t2a"}, {"both_bad": True}]
    }
    found = judged("chat", answer, turns=turns)
    made = records(found, [])
    went_on = [one.get("continued", "the end") for one in found.answer["turns"]]
    assert went_on == ["t1b", "t2a", "the end"]
    assert [record.id for record in made] == ["a1", "a1.turn2", "a1.turn3"]
    assert [m.content for m in made[2].prompt] == ["Q", "Hello", "B1", "And?", "A2", "Bye"]  # type: ignore[union-attr]
    assert made[1].shown == ["t2a", "t2b"]
    with pytest.raises(AnswerError, match="went on with") as refused:
        judged("chat", {"turns": [{"tie": True}, {"tie": True}, {"tie": True}]}, turns=turns)
    assert refused.value.field == "turns.1.continued"
    for said, count in (([{"tie": True}] * 2, 2), ([{"tie": True}] * 4, 4), ({}, 0), (None, 0)):
        with pytest.raises(AnswerError, match=f"3 turns were shown, {count} are judged"):
            judged("chat", {"turns": said}, turns=turns)


# --- what does not --------------------------------------------------------------------------------
BAD = [
    ("comparison", 2, {}, "preferred", "nothing was chosen"),
    ("comparison", 2, {"preferred": "o9"}, "preferred", "no option 'o9'"),
    ("comparison", 2, {"preferred": ["o1"]}, "preferred", "no option"),
    ("comparison", 2, {"preferred": "o0", "tie": True}, "tie", "cannot both hold"),
    ("comparison", 2, {"tie": True, "both_bad": True}, "both_bad", "cannot both hold"),
    ("comparison", 2, {"tie": "yes"}, "tie", "neither true nor false"),
    ("comparison", 2, {"preferred": "o0", "strength": 2}, "strength", "does not ask"),
    ("comparison", 2, {"preferred": "o0", "speed": 1}, "speed", "does not ask"),
    ("comparison", 2, {"preferred": "o0", "critique": "x"}, "critique", "does not ask"),
    ("ranking", 3, {"order": []}, "order", "nothing was ranked"),
    ("ranking", 3, {"order": [["o0"], ["o1"]]}, "order", "1 of 3 options"),
    ("ranking", 3, {"order": [["o0"], ["o1"], ["o1"]]}, "order", "twice"),
    ("ranking", 3, {"order": [["o0"], ["o1"], ["o7"]]}, "order", "no option 'o7'"),
    ("ranking", 3, {"order": ["o0", "o1", "o2"]}, "order", "groups"),
    ("ranking", 3, {"order": [["o0"]], "all_bad": True}, "order", "2 of 3 options"),
    ("ranking", 3, {"order": [["o0"], ["o1"], ["o2"]], "all_bad": 1}, "all_bad", "neither true nor false"),
    ("ranking", 3, {"order": [["o0"], [], ["o1", "o2"]]}, "order", "groups"),
    ("best_worst", 3, {"best": "o0"}, "worst", "not chosen"),
    ("best_worst", 3, {"best": "o0", "worst": "o0"}, "worst", "same"),
    ("rating", 1, {"scores": {"help": 3}}, "scores", "'style' was not rated"),
    ("rating", 1, {"scores": {"help": 9, "style": 1, "truth": 1}}, "scores.help", "1 to 5"),
    ("rating", 1, {"scores": {"help": 2.5, "style": 1, "truth": 1}}, "scores.help", "1 to 5"),
    ("rating", 1, {"scores": {"help": True, "style": 1, "truth": 1}}, "scores.help", "not a number"),
    ("rating", 1, {"scores": {"help": float("nan"), "style": 1, "truth": 1}}, "scores.help", "1 to 5"),
    ("rating", 1, {"scores": {"help": 1, "style": 1, "truth": 1, "wit": 1}}, "scores.wit", "no attribute"),
    ("thumb", 1, {}, "up", "nothing was chosen"),
    ("thumb", 1, {"up": 1}, "up", "neither"),
    ("flags", 1, {}, "flags", "raise a flag"),
    ("flags", 1, {"flags": ["loud"]}, "flags", "'loud' is not one of spam, rude"),
    ("critique", 1, {"text": "  "}, "text", "nothing was written"),
    ("critique", 1, {"text": 5}, "text", "not int"),
    ("critique", 1, {"text": "a\0b"}, "text", "NUL"),
    ("critique", 1, {"text": "half \ud83d"}, "text", "unpaired surrogate"),
    ("critique", 1, {"text": "x" * 100_001}, "text", "100,001"),
    ("correction", 1, {"content": ""}, "content", "empty"),
    ("correction", 1, {"content": TEXT + "\n"}, "content", "nothing was changed"),
    ("demonstration", 0, {"content": " "}, "content", "nothing was written"),
    ("steps", 1, {"labels": []}, "labels", "no step"),
    ("steps", 1, {"labels": [1, None, 1]}, "labels", "step 2"),
    ("steps", 1, {"labels": [1, 1]}, "labels", "step 3"),
    ("steps", 1, {"labels": [1, 1, 2]}, "labels", "step 3: 2"),
    ("steps", 1, {"labels": [1, 1, 1, 1]}, "labels", "4 labels for 3"),
    ("steps", 1, {"labels": [1, 1, 1], "first_error": 0}, "first_error", "no step"),
    ("spans", 1, {}, "spans", "mark a passage"),
    ("spans", 1, {"spans": [{"start": 5, "end": 5, "label": "good"}]}, "spans.1", "not a passage"),
    ("spans", 1, {"spans": [{"start": 0, "end": 999, "label": "good"}]}, "spans.1", "not a passage"),
    ("spans", 1, {"spans": [{"start": 0, "end": 2, "label": "odd"}]}, "spans.1", "not one of error, good"),
    ("spans", 1, {"spans": [{"start": 0, "end": 2, "label": "good"}] * 2}, "spans", "twice"),
    ("chat", 0, {"turns": []}, "turns", "nothing was said"),
    ("thumb", 1, [], "answer", "object"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "count", "answer", "field", "said"), BAD)
def test_wrong_answers_are_refused_by_field(
    task: str, count: int, answer: Any, field: str, said: str
) -> None:
    with pytest.raises(AnswerError, match=said) as refused:
        judged(task, answer, count)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("more", "answer", "field", "said"),
    [
        ({"tie": False}, {"tie": True}, "tie", "does not offer"),
        ({"both_bad": False}, {"both_bad": True}, "both_bad", "does not offer"),
        ({"strength": True}, {"preferred": "o0"}, "strength", "how much better"),
        ({"strength": True}, {"preferred": "o0", "strength": 4}, "strength", "not 1, 2 or 3"),
        ({"strength": True}, {"tie": True, "strength": 1}, "strength", "preferred option only"),
        ({"critique": "required"}, {"preferred": "o0"}, "critique", "why"),
        (
            {"critique": "optional"},
            {"preferred": "o0", "critique": {"o7": "x"}},
            "critique",
            "no option",
        ),
        ({"attributes": SCALES}, {"preferred": "o0", "scores": {"o7": {}}}, "scores", "no option"),
        (
            {"attributes": SCALES},
            {"preferred": "o0", "scores": {"o1": {"help": 6}}},
            "scores.o1.help",
            "1 to 5",
        ),
    ],
)
def test_what_the_project_does_not_offer(
    more: dict[str, Any], answer: Any, field: str, said: str
) -> None:
    with pytest.raises(AnswerError, match=said) as refused:
        judged("comparison", answer, **more)
    assert refused.value.field == field


def test_a_ranking_without_ties() -> None:
    with pytest.raises(AnswerError, match="does not offer ties"):
        judged("ranking", {"order": [["o0", "o1"], ["o2"]]}, 3, tie=False)
    bare = judged(
        "ranking", {"order": [], "all_bad": True}, 3, tie=False
    ).answer  # says nothing about the order
    assert (
        judged("ranking", bare, 3, tie=False).answer
        == bare
        == {"order": [["o0", "o1", "o2"]], "all_bad": True}
    )
    with pytest.raises(AnswerError, match="does not offer all_bad"):
        judged("ranking", {"all_bad": True}, 3, both_bad=False)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["o0", "o1"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from([
    "preferred", "tie", "both_bad", "strength", "order", "best", "worst", "scores", "up", "flags", "text", "content",
    "labels", "first_error", "spans", "turns", "critique",
])  # fmt: skip


@limits(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(TASKS), st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_json_is_a_record_or_an_answer_error(task: str, answer: dict[str, Any]) -> None:
    turns = [turn("Hello", 1)] if task == "chat" else None
    try:
        found = judged(
            task, answer, turns=turns, critique="optional" if task != "critique" else "off"
        )
    except AnswerError:
        return
    records(found, [option["id"] for option in options(settings(task).options[0])])


def test_words_beside_a_choice_are_kept_with_it() -> None:
    choice = {"preferred": "o0"}
    for mode in ("optional", "required"):
        found = judged("comparison", choice | {"critique": " Shorter. "}, critique=mode)
        assert found.answer["critique"] == " Shorter. "
        assert found.meta["rationale"] == " Shorter. "
    found = judged("comparison", choice, critique="optional")
    assert "critique" not in found.answer
    assert "rationale" not in found.meta
