"""Reward models that know named rules: from records of every kind to a saved model with heads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_runs_reward import WORDS, record, run, write

from accord.errors import AccordError, DataError
from accord.feedback.records import Feedback
from accord.models.reward_model import RewardModel
from accord.runs.reward_reports import examine_reward, judged_pairs
from accord.runs.reward_scorers import load_scorer
from accord.runs.stages.rules_said import RuleBook, RuleConfig, find_rules
from accord.text.encoding import Encoder

ENDS = {"joy": (True, True), "film": (True, False), "bore": (False, False)}
"""Word -> (polite, brief)."""


def judged() -> list[dict[str, Any]]:
    """Flags, spans, critiques and comparisons by attribute of three words, and which is better."""
    found = []
    for i, a in enumerate(WORDS):
        for j, b in enumerate(WORDS[:4]):
            prompt = f"This {a} film"
            texts = {word: f" is a {b} {word}." for word in ENDS}
            for word, (polite, brief) in ENDS.items():
                name = f"{i}{j}{word}"
                flags = {"rude": not polite, "tone": "long" if not brief else "short"}
                found.append(record(f"f{name}", "flags", prompt, [texts[word]], {"flags": flags}))
            parts = {"polite": {"preferred": "a", "probability": 0.9}}
            pair = [texts["joy"], texts["bore"]]
            found.append(
                record(f"a{i}{j}", "attribute_comparison", prompt, pair, {"attributes": parts})
            )
            found.append(record(f"c{i}{j}", "comparison", prompt, pair, {"preferred": "a"}))
    return found


RULES = "{polite: {flag: rude, broken: true, attribute: polite}, brief: {flag: tone, broken: long}}"


def test_a_reward_model_learns_rules_beside_its_score(tmp_path: Path) -> None:
    result, said, folder = run(
        tmp_path, write(tmp_path / "said.jsonl", judged()), f", epochs: 8, rules: {RULES}"
    )
    assert "rule polite: 48 say kept, 24 broken, 24 compare" in said
    assert "rule brief: 24 say kept, 48 broken, 0 compare" in said
    assert "left out: 0" in said
    values = result["values"]
    assert values["rule.polite.auc"] > 0.9
    assert values["heldout_accuracy"] > 0.9
    model = RewardModel.load(folder / "model")
    assert model.form.rules == ("polite", "brief")
    assert model.notes["rules"]["polite"]["broken"] is True
    encoder = Encoder(model.members[0].lm.tokenizer)
    groups = [encoder.example("This new film", f" is a odd {word}.").group for word in ENDS]
    p_RJ = model.rule_probabilities(groups)
    assert p_RJ[0, 0] > p_RJ[2, 0]
    # its card reads answers as its training did, from whatever file
    rows = [Feedback.model_validate(row) for row in judged()]
    pairs, _ = judged_pairs(rows, 20, 0)
    report = examine_reward(load_scorer(str(folder / "model")), pairs, rows)
    assert [(one.rule, one.answers) for one in report.rules] == [("polite", 72), ("brief", 72)]
    assert report.rules[0].auc > 0.9
    told = examine_reward(load_scorer(str(folder / "model")), pairs, rows[3:5]).not_measurable
    assert told["rules"] == "no record answers whether polite, brief is kept"


# --- reading --------------------------------------------------------------------------------------
NAMES = ("rude", "tone", "polite", "error", "clear")
LABELS = st.sampled_from(("long", "short", "odd"))
ANSWERS = st.one_of(st.booleans(), LABELS, st.lists(LABELS, max_size=2, unique=True))
BOOK = {
    "polite": RuleConfig(flag="rude", broken=True, attribute="polite"),
    "brief": RuleConfig(flag="tone", broken=["long", "odd"]),
    "right": RuleConfig(spans="error"),
    "clear": RuleConfig(principle="clear", critique="broken"),
}


@st.composite
def said_of_rules(draw: st.DrawFn) -> Feedback:
    kind = draw(st.sampled_from(("flags", "spans", "critique", "attribute_comparison")))
    texts = ["a text", "another"][: 2 if kind == "attribute_comparison" else 1]
    names = st.sampled_from(NAMES)
    if kind == "flags":
        texts = texts[: draw(st.integers(0, 1))]
        choice: dict[str, Any] = {"flags": draw(st.dictionaries(names, ANSWERS, min_size=1))}
    elif kind == "spans":
        label = st.one_of(st.none(), names)
        choice = {"spans": [{"start": 0, "end": 1, "label": draw(label)}] * draw(st.integers(0, 2))}
    elif kind == "critique":
        choice = {"text": "so", "principle": draw(st.one_of(st.none(), names))}
    else:
        parts = st.sampled_from(({"preferred": "a"}, {"tie": True}, {"preferred": "b"}))
        choice = {"attributes": draw(st.dictionaries(names, parts, min_size=1))}
    return Feedback.model_validate(record("r", kind, "?", texts, choice))


def things(one: Feedback) -> int:
    """How many things a record says: its flags, its attributes, a critique, marked parts."""
    choice: Any = one.choice
    if one.kind == "flags":
        return len(choice.flags) if one.options else 1
    return len(choice.attributes) if one.kind == "attribute_comparison" else 1


@settings(max_examples=200)
@given(said_of_rules())
def test_whatever_a_record_says_is_learned_or_counted(one: Feedback) -> None:
    said = RuleBook(BOOK).read(one)
    found = len(said.answers) + len(said.compared) + len(said.unused)
    if one.kind == "spans":
        assert len(said.answers) == 1  # of the one rule about spans
        choice: Any = one.choice
        other = {span.label for span in choice.spans} - {"error"}
        assert len(said.unused) == len(other)
    else:
        assert found == things(one)
    empty = RuleBook({"none": RuleConfig(flag="nothing", broken=True)}).read(one)
    assert not empty.answers
    assert not empty.compared
    assert empty.unused


def test_which_answer_is_bad_is_what_the_recipe_says() -> None:
    def flags(rude: Any, broken: Any) -> list[bool]:
        book = RuleBook({"polite": RuleConfig(flag="rude", broken=broken)})
        one = record("r", "flags", "?", ["text"], {"flags": {"rude": rude}})
        return [kept for _, kept in book.read(Feedback.model_validate(one)).answers]

    assert (flags(True, True), flags(False, True)) == ([False], [True])
    assert (flags(True, False), flags(False, False)) == ([True], [False])
    assert (flags("very", ["very"]), flags("not", "very")) == ([False], [True])
    assert (flags(["so", "very"], "very"), flags([], "very")) == ([False], [True])
    assert (flags("very", True), flags(True, "very")) == ([], [])  # counted, not guessed


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "nothing is about this rule"),
        ({"flag": "rude"}, "flag and broken go together"),
        ({"principle": "clear"}, "principle and critique go together"),
    ],
)
def test_a_rule_that_states_too_little_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RuleConfig.model_validate(given)


def test_a_rule_that_nothing_is_said_of_is_refused_by_name() -> None:
    rows = [Feedback.model_validate(row) for row in judged()]
    for rule, why in (
        (RuleConfig(flag="rud", broken=True), 'nothing is said of it(.|\n)*did you mean "rude"'),
        (RuleConfig(flag="tone", broken="loud"), "every answer is the same"),
    ):
        with pytest.raises(DataError, match=f"the rule 'polite' cannot be learned: {why}") as told:
            find_rules(rows, {"polite": rule}, 0, 1, Counter())
        assert "not used" in str(told.value)
    left_out = Counter[str]()
    find_rules(rows, {"polite": RuleConfig(flag="rude", broken=True)}, 0, 1, left_out)
    assert left_out == {"flag 'tone': no rule": 72, "attribute 'polite': no rule": 24}


def test_answers_that_are_all_the_same_are_left_out_beside_comparisons(tmp_path: Path) -> None:
    """The comparisons still teach the head, and it is said that its P(kept) is not known."""
    rules = "{polite: {flag: tone, broken: loud, attribute: polite}}"
    feedback = write(tmp_path / "said.jsonl", judged())
    result, said, _ = run(tmp_path, feedback, f", epochs: 1, rules: {rules}")
    assert "rule polite: 72 say kept, 0 broken, 24 compare; which side is kept is not known" in said
    assert result["values"]["left_out"] == {
        "flag 'rude': no rule": 72,
        "answer to the rule 'polite': all are the same": 72,
    }


def test_rules_beside_other_heads_are_refused(tmp_path: Path) -> None:
    feedback = write(tmp_path / "said.jsonl", judged())
    for more in ("steps: min", "distribution: {kind: categorical}", "rows: pair"):
        with pytest.raises(AccordError, match="rules"):
            run(tmp_path, feedback, f", {more}, rules: {RULES}")
