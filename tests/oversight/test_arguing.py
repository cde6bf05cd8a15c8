"""Speeches of models: what of them reaches a judge; and questions about hidden texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.oversight.arguing import CLOSES, OPENS, TAKEN_OUT, found_quote, read_speech
from accord.oversight.debate import Claims, DebateTurn, Transcript, from_records, to_records
from accord.oversight.debate_arms import DebateQuestion, asked_about, consulted, judged, orders_of
from accord.oversight.drafts import WrittenText
from accord.oversight.hidden_texts import HiddenQuestion, hidden_questions
from accord.oversight.judge_answers import JudgeAnswer, NoAnswer
from accord.oversight.judge_questions import JudgeQuestion

SOURCE = "The mill was opened\nin 1912, {they} say. It  never closed."
PIECE = st.sampled_from(
    [
        "<quote>", "</quote>", "<QUOTE>", OPENS, CLOSES, "The mill", " was opened in 1912", "\n",
        "never", "say. It never", "1913", " ", TAKEN_OUT, "For A:", "\x00",
    ]
)  # fmt: skip


@given(st.lists(PIECE, max_size=14))
def test_only_quotes_of_the_source_are_shown_as_such(pieces: list[str]) -> None:
    text = "".join(pieces)
    turn = read_speech(WrittenText(text), "yes", "m", SOURCE)
    if not isinstance(turn, DebateTurn):
        assert not text.strip()
        return
    assert all(quote in SOURCE and quote.strip() for quote in turn.quotes)
    marked = turn.text.count(OPENS)
    assert marked == turn.text.count(CLOSES) == len(turn.quotes) + turn.text.count(TAKEN_OUT)
    assert "<quote>" not in turn.text.lower()
    assert "\n" not in turn.text
    pairs = text.lower().count("<quote>") + text.lower().count("</quote>")
    used = 2 * len(turn.quotes)  # every other mark was refused, alone or in a pair
    refused_marks = sum(2 if "quote>" not in one.lower() else 1 for one in turn.refused)
    assert used + refused_marks >= pairs - 2 * sum("<quote>" in r.lower() for r in turn.refused)
    if text.strip() and turn.text:
        transcript = Transcript(Claims(SOURCE, "Open?", ("yes", "no")), "debate").with_turn(turn)
        assert from_records(to_records(transcript)) == [transcript]


def test_a_quote_may_break_its_lines_where_the_text_does_not() -> None:
    assert found_quote("opened in   1912", SOURCE) == "opened\nin 1912"
    assert found_quote("opened in 1913", SOURCE) is None
    assert found_quote(" \n", SOURCE) is None
    assert found_quote("{they} say.", SOURCE) == "{they} say."


def question(right: int = 0) -> HiddenQuestion:
    claims = Claims(SOURCE, "Open?", ("yes", "no"))
    return HiddenQuestion(claims, right, ("yes", "no", "both"), 0)


class Reads:
    """Answers by a rule on the question's text."""

    def __init__(self, rule: Any) -> None:
        self.rule, self.seen = rule, list[JudgeQuestion]()

    def ask(self, questions: Any, later: int = 0) -> list[JudgeAnswer | NoAnswer]:
        self.seen += questions
        return [self.rule(one) for one in questions]


def sure_of(text: str, p: float) -> Any:
    def rule(one: JudgeQuestion) -> JudgeAnswer:
        place = one.responses.index(text)
        rest = (1 - p) / (len(one.allowed) - 1)
        return JudgeAnswer(
            tuple(p if n == place else rest for n in range(len(one.allowed))), "text"
        )

    return rule


def test_answers_change_places_and_letters_follow_them() -> None:
    transcript = Transcript(question().claims, "debate")
    for side in ("yes", "no"):
        transcript = transcript.with_turn(DebateTurn(side, f"It is {side}.", (), "m"))
    judge = Reads(sure_of("yes", 0.8))
    arm, (p,) = judged(judge, [asked_about(question(), transcript)])
    assert p is not None
    assert arm.p_right_Q[0] == pytest.approx(0.8) == p[0]
    first, second = (one.text for one in judge.seen)
    assert "For A: It is yes." in first
    assert "For B: It is no." in first
    assert "For B: It is yes." in second
    assert "A: no\nB: yes" in second
    assert "\x00" not in first


def test_whoever_takes_the_first_place_is_no_better_than_chance() -> None:
    judge = Reads(lambda one: JudgeAnswer((1.0, *(0.0,) * (len(one.allowed) - 1)), "text"))
    arm, _ = judged(judge, [DebateQuestion("Open?", ("yes", "no"), "", right) for right in (0, 1)])
    assert arm.right_Q.tolist() == [0.5, 0.5]
    silent = Reads(lambda one: NoAnswer("mute") if one.responses[0] == "no" else JudgeAnswer((1, 0), "text"))  # fmt: skip
    arm, _ = judged(silent, [DebateQuestion("Open?", ("yes", "no"), "", 0), "no transcript"])
    assert np.isnan(arm.right_Q).all()
    assert arm.reasons == {"mute": 1, "no transcript": 1}
    assert orders_of(DebateQuestion("", ("a", "b", "c"), "", 0)) == [(0, 1, 2), (2, 1, 0)]


def test_of_consultants_the_one_for_the_side_is_taken() -> None:
    first, _ = judged(
        Reads(sure_of("yes", 0.9)), [DebateQuestion("", ("yes", "no"), "", n) for n in (0, 1)]
    )
    second, _ = judged(
        Reads(sure_of("no", 0.6)), [DebateQuestion("", ("yes", "no"), "", n) for n in (0, 1)]
    )
    honest = consulted(first, second, np.array([0, 1]), {})
    assert honest.p_right_Q.tolist() == pytest.approx([0.9, 0.6])
    lying = consulted(first, second, np.array([1, 0]), {1: "silent"})
    assert lying.p_right_Q[0] == pytest.approx(0.4)
    assert np.isnan(lying.right_Q[1])
    assert lying.reasons == {"silent": 1}


QUALITY = {
    "article": SOURCE,
    "article_id": "1",
    "questions": [
        {
            "question": "Open?", "options": ["yes", "no", "both", "maybe"], "gold_label": 2,
            "writer_label": 2, "validation": [{"untimed_best_distractor": n} for n in (3, 3, 1, 2)],
        },
        {"question": "Since?", "options": ["1912", "1913"], "gold_label": 1},
    ],
}  # fmt: skip


@given(st.integers(0, 50))
def test_rows_of_quality_name_the_answer_and_the_lie_that_tempts_most(seed: int) -> None:
    (first, second), unused = hidden_questions([("row 1", QUALITY)], seed)
    assert first.answer == "no"
    assert set(first.claims.answers) == {"no", "both"}
    assert first.options == ("yes", "no", "both", "maybe")
    assert set(second.claims.answers) == {"1912", "1913"}
    assert first.passage == second.passage == 0
    assert unused == {"article_id": 1, "writer_label": 1}
    (again, _), _ = hidden_questions([("row 1", QUALITY)], seed)
    assert again == first


def test_either_place_holds_the_right_answer() -> None:
    rights = {hidden_questions([("row 1", QUALITY)], seed)[0][0].right for seed in range(20)}
    assert rights == {0, 1}
    told = {**QUALITY, "questions": [{"question": "?", "options": ["a", "b"], "gold_label": 3}]}
    with pytest.raises(DataError, match=r"row 1, question 1: gold_label is 3"):
        hidden_questions([("row 1", told)], 1)
