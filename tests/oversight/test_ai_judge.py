"""What a judge says of pairs and responses, from answers that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import ConfigError
from accord.feedback.records import Comparison, Feedback, Rating
from accord.oversight.ai_judge import AiJudge, Softening, panel_of
from accord.oversight.judge_answers import JudgeAnswer, NoAnswer, answer_in, answer_shares
from accord.oversight.judge_questions import Criterion, JudgeForm, JudgeQuestion, usual_template
from accord.oversight.judge_records import items_of, records_of

Says = Callable[[JudgeQuestion], JudgeAnswer | NoAnswer]


class Scripted:
    """JudgeAnswers by a function."""

    def __init__(self, says: Says) -> None:
        self.says, self.asked = says, list[JudgeQuestion]()

    def ask(
        self, questions: Sequence[JudgeQuestion], later: int = 0
    ) -> list[JudgeAnswer | NoAnswer]:
        self.asked += questions
        return [self.says(question) for question in questions]


def judge(says: Says, form: JudgeForm = "pairwise", criteria: Sequence[Criterion] = ()) -> AiJudge:
    return AiJudge("j", Scripted(says), usual_template(form, bool(criteria)), criteria)


P = st.floats(0, 1, allow_subnormal=False)
CRITERIA = [Criterion("one", "Be kind.", 1.0), Criterion("two", "Be short.", 2.5)]


@given(table=st.lists(P, min_size=4, max_size=4), texts=st.sampled_from(["ab", "ba"]))
def test_a_pair_the_other_way_round_gets_exactly_one_less_q(table: list[float], texts: str) -> None:
    """Whatever the judge answers, its pull to the first place included."""

    def says(question: JudgeQuestion) -> JudgeAnswer:
        assert question.criterion is not None
        p = table[2 * (question.criterion.id == "two") + (question.responses == ("a", "b"))]
        return JudgeAnswer((p, 1 - p), "logprobs")

    one = judge(says, criteria=CRITERIA)
    first, turned = one.judge([("p", list(texts)), ("p", list(texts[::-1]))])
    assert first.value is not None
    assert turned.value is not None
    assert turned.value == 1 - first.value
    assert first.value == 1 - turned.value
    assert turned.by_criterion == {name: 1 - p for name, p in first.by_criterion.items()}
    parts = [(table[k + 1] + 1 - table[k]) / 2 for k in (0, 2)]
    expected = (parts[0] + 2.5 * parts[1]) / 3.5
    asked_first = first if texts == "ab" else turned
    assert asked_first.value == pytest.approx(expected, abs=1e-12)
    for soften in (Softening(), Softening(3.0), Softening(0.5, 0.6), Softening(1.0, 0.6)):
        assert soften(turned.value) == 1 - soften(first.value)
        assert 1 - soften.clamp <= soften(first.value) <= soften.clamp


def test_softening() -> None:
    assert Softening(2.0)(0.9) == pytest.approx(0.75)
    assert Softening(clamp=0.6)(0.99) == 0.6
    assert Softening()(1.0) == 1.0
    for wrong in ({"temperature": 0.0}, {"clamp": 0.5}, {"clamp": 1.1}):
        with pytest.raises(ConfigError):
            Softening(**wrong)


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_a_score_is_the_expected_one(weights: list[float]) -> None:
    p = [w / sum(weights) for w in weights]
    (found,) = judge(lambda q: JudgeAnswer(tuple(p), "logprobs", 0.9), "pointwise").judge(
        [("p", ["r"])]
    )
    assert found.value == pytest.approx(sum(s * x for s, x in zip(range(1, 6), p, strict=True)))
    assert found.mass == 0.9
    assert 1 <= (found.value or 0) <= 5


@given(p=st.floats(0, 1), weights=st.lists(st.floats(0.01, 10), min_size=2, max_size=2))
def test_rounding_never_leaves_the_scale(p: float, weights: list[float]) -> None:
    criteria = [Criterion(str(n), "x", w) for n, w in enumerate(weights)]
    for form, top in (("rubric", (p, 1 - p)), ("pointwise", (0.0, 0.0, 0.0, 0.0, 1.0))):
        one = judge(lambda q, top=top: JudgeAnswer(top, "logprobs"), form, criteria)  # type: ignore[arg-type, misc]
        (found,) = one.judge([("p", ["r"])])
        assert found.value == (p if form == "rubric" else 5.0)
        items, _ = items_of([to_judge("r")], "rubric")
        assert records_of(items[0], found, one, None)


def test_a_rubric_is_the_weighted_share_met_and_each_answer_is_kept() -> None:
    def says(question: JudgeQuestion) -> JudgeAnswer:
        assert question.criterion is not None
        p = 0.9 if question.criterion.id == "one" else 0.2
        return JudgeAnswer((p, 1 - p), "logprobs", p)

    one = judge(says, "rubric", CRITERIA)
    (found,) = one.judge([("p", ["r"])])
    assert found.value == pytest.approx((0.9 + 2.5 * 0.2) / 3.5)
    assert found.by_criterion == {"one": 0.9, "two": 0.2}
    assert found.mass == 0.2
    items, _ = items_of([to_judge("r")], "rubric")
    rating, flags = records_of(items[0], found, one, "sha256:c")
    assert isinstance(rating.choice, Rating)
    assert rating.choice.scores == {"score": found.value}
    assert flags.choice.model_dump() == {"flags": {"one": True, "two": False}}
    assert rating.session == flags.session
    assert rating.guideline == flags.guideline == "sha256:c"
    assert rating.meta["judge"]["principles"] == {"one": 0.9, "two": 0.2}


def test_an_item_with_one_failed_answer_has_none() -> None:
    def says(question: JudgeQuestion) -> JudgeAnswer | NoAnswer:
        if question.responses[0] == "b":
            return NoAnswer("late", cost=0.25, tokens=3)
        return JudgeAnswer((1.0, 0.0), "text", cost=0.5, tokens=4)

    one = judge(says)
    (found,) = one.judge([("p", ["a", "b"])])
    assert (found.value, found.reason, found.cost, found.tokens) == (None, "late", 0.75, 7)
    items, _ = items_of([to_judge("a", "b")], "pairwise")
    (record,) = records_of(items[0], found, one, None)
    assert record.kind == "skip"
    assert record.choice.model_dump() == {"reason": "late"}
    whole = panel_of([found, found])
    assert (whole.value, whole.reason) == (None, "a member gave no verdict: late")


def to_judge(*texts: str, ids: str = "xy", producer: str | None = None) -> Feedback:
    options = [
        {"id": ids[n], "content": text, "producer": producer, "shown_at": n}
        for n, text in enumerate(texts)
    ]
    return Feedback.model_validate(
        {"id": "-".join(texts), "kind": "skip", "prompt": "p", "options": options, "annotator": "n"}
        | {"choice": {"reason": "to be judged"}}
    )


def test_pairs_stood_together_once_each_and_ids_are_those_of_other_records() -> None:
    items, left_out = items_of(
        [to_judge("a", "b"), to_judge("b", "a", ids="yx"), to_judge("a", "a", ids="xz")], "pairwise"
    )
    assert [[o.id for o in item.options] for item in items] == [["x", "y"]]
    assert left_out == {"two responses that are the same text": 1}
    apart, _ = items_of([to_judge("a"), to_judge("b", ids="y"), to_judge("c", ids="z")], "pairwise")
    assert len(apart) == 3, "single responses to one prompt are all paired"
    again, _ = items_of([to_judge("a", "b"), to_judge("c", "a")], "pairwise")
    ids = {option.content: option.id for item in again for option in item.options}
    assert len(set(ids.values())) == 3, "an id that means two texts is no name"


def test_exactly_undecided_is_a_tie_and_probabilities_are_of_the_preferred() -> None:
    items, _ = items_of([to_judge("a", "b")], "pairwise")
    for p, preferred, sure in ((0.5, None, None), (0.8, "x", 0.8), (0.2, "y", 0.8)):

        def says(q: JudgeQuestion, p: float = p) -> JudgeAnswer:
            of_first = p if q.responses[0] == "a" else 1 - p
            return JudgeAnswer((of_first, 1 - of_first), "logprobs")

        one = judge(says)
        (found,) = one.judge([items[0].shown])
        (record,) = records_of(items[0], found, one, None, Softening())
        assert isinstance(record.choice, Comparison)
        assert record.choice.preferred == preferred
        assert record.choice.tie == (preferred is None)
        assert record.choice.probability == pytest.approx(sure)
        asked = record.meta["judge"]["orders"]
        assert [one["order"] for one in asked] == [["x", "y"], ["y", "x"]]
        assert [one["probability"] for one in asked] == pytest.approx([p, 1 - p])
        assert record.meta["shown"] == "unknown"


@pytest.mark.parametrize(
    ("text", "allowed", "said"),
    [
        ("yes", ("Yes", "No"), "Yes"),
        ("No, it does not.", ("Yes", "No"), "No"),
        ("**No**", ("Yes", "No"), "No"),
        ("Nobody knows", ("Yes", "No"), None),
        ("Yes\nNo", ("Yes", "No"), None),
        ("4", ("1", "2", "3", "4", "5"), "4"),
        ("Score: 4", ("1", "2", "3", "4", "5"), "4"),
        ("4.5", ("1", "2", "3", "4", "5"), None),
        ("44", ("1", "2", "3", "4", "5"), None),
        ("7", ("1", "2", "3", "4", "5"), None),
        ("I'm sorry, but I can't help with that.", ("A", "B"), None),
    ],
)
def test_which_answer_a_text_gives(text: str, allowed: tuple[str, ...], said: str | None) -> None:
    assert answer_in(text, allowed) == said


def test_shares_put_spellings_together_and_their_mass_is_told() -> None:
    found = answer_shares({"yes": -1.0, " Yes": -1.5, "no": -3.0}, ("Yes", "No"))
    assert found is not None
    mass = 2.718281828**-1 + 2.718281828**-1.5 + 2.718281828**-3
    assert found[1] == pytest.approx(mass)
    assert found[0][0] == pytest.approx(1 - 2.718281828**-3 / mass)
    assert answer_shares({"Hm": -0.1, "yes": -3.0}, ("Yes", "No")) is None
