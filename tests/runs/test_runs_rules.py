"""Reward models that know named rules: from records of every kind to a saved model with heads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_runs_reward import WORDS, Spoken, record, run, write

from accord.errors import AccordError, ConfigError, DataError, RunError
from accord.feedback.records import Feedback
from accord.files import read_jsonl
from accord.models.reward_model import RewardModel
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.reading import PromptRow
from accord.runs.reward_reports import examine_reward, judged_pairs
from accord.runs.reward_scorers import load_scorer
from accord.runs.stages.propositions import Proposition, Propositions, RuleReward, written
from accord.runs.stages.reward_functions import ToScore
from accord.runs.stages.rules import _ranked
from accord.runs.stages.rules_said import RuleBook, RuleConfig, find_rules
from accord.text.encoding import Encoder

pytestmark = pytest.mark.usefixtures("pico_here")

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


AFTER = """
  weights:
    kind: rules
    feedback: FILE
    reward: stage:reward
    propositions: {polite: {head: polite}, brief: {said: {flag: tone, broken: long}}}
  best: &scored
    kind: score
    model: accord:nano-base
    prompts: PROMPTS
    reward: stage:reward
    rules: stage:weights
    max_new_tokens: 6
    samples_per_prompt: 2
  rloo:
    kind: rloo
    model: accord:nano-base
    prompts: PROMPTS
    reward: stage:reward
    rules: stage:weights
    learning_rate: 1.0e-5
    steps: 1
    prompts_per_step: 2
    minibatches: 1
    max_new_tokens: 6
    samples: 0
  pool:
    kind: best_of_n
    model: accord:nano-base
    pool: 2
    evaluate:
      prompts: PROMPTS
      reward: stage:reward
      rules: stage:weights
      reference: accord:nano-base
      count: 2
      max_new_tokens: 6
"""
RULES = "{polite: {flag: rude, broken: true, attribute: polite}, brief: {flag: tone, broken: long}}"


@pytest.mark.slow
def test_a_reward_model_learns_rules_beside_its_score(tmp_path: Path) -> None:
    feedback, prompts = write(tmp_path / "said.jsonl", judged()), tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"This {a} film"}) + "\n" for a in WORDS[:2]))
    after = AFTER.replace("FILE", str(feedback)).replace("PROMPTS", str(prompts))
    result, said, folder = run(tmp_path, feedback, f", epochs: 8, rules: {RULES}", after)
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
    # its heads and the answers themselves as propositions beside it, and what they are paid
    rules = tmp_path / "run/stages/02-weights/rules.json"
    weights = {row["name"]: row["weight"] for row in json.loads(rules.read_text())["rules"]}
    rows = read_jsonl(tmp_path / "run/stages/03-best/sampled.jsonl")
    texts = [response for row in rows for response in row["responses"] if response.strip()]
    best = json.loads((tmp_path / "run/stages/03-best/result.json").read_text())["values"]
    first = [
        encoder.example(row["prompt"], row["responses"][0], row["finished"][0]).group
        for row in rows
    ]
    kept_J = model.rule_probabilities(first).mean(0).tolist()
    assert best["rule.polite.first"] == pytest.approx(kept_J[0], abs=1e-4)
    assert 0 < best["rule.brief.best"] < 1
    asked = [PromptRow("This great film") for _ in texts]
    groups = [encoder.example("This great film", text).group for text in texts]
    paid = RuleReward(rules, model)(ToScore(asked, texts, [[] for _ in texts]), groups)
    p_BJ = model.rule_probabilities(groups).double().numpy()
    assert paid == pytest.approx(p_BJ @ [weights["polite"], weights["brief"]])
    pool = read_jsonl(tmp_path / "run/stages/05-pool/rows.jsonl")
    told = [encoder.example(row["prompt"], row["response"], row["finished"]) for row in pool]
    one = RuleReward(rules, model)(
        ToScore(asked[:1] * len(pool), [row["response"] for row in pool], [[] for _ in pool]),
        [example.group for example in told],
    )
    alone = model.score([example.group for example in told])[0].tolist()
    assert [row["proxy"][0] for row in pool] == pytest.approx(one + alone, abs=1e-3)


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


def test_an_objective_is_learned_from_comparisons_by_its_attribute(tmp_path: Path) -> None:
    """One objective is the score; several are outputs of their own."""
    rows = [row for row in judged() if row["kind"] != "comparison"]
    feedback = write(tmp_path / "said.jsonl", rows)
    brief = "{brief: {flag: tone, broken: long}}"
    more = f", epochs: 3, objectives: {{polite: 1}}, rules: {brief}"
    result, said, folder = run(tmp_path, feedback, more)
    assert result["values"]["heldout_accuracy"] > 0.9
    assert "left out: 72 flag 'rude': no rule" in said
    assert RewardModel.load(folder / "model").form.outputs == 2
    (tmp_path / "other").mkdir()
    with pytest.raises(AccordError, match="nothing is rated for the objective 'kind'"):
        run(tmp_path / "other", feedback, f", objectives: {{kind: 1}}, rules: {brief}")


def test_feedback_about_rules_alone_is_refused(tmp_path: Path) -> None:
    rows = [row for row in judged() if row["kind"] != "comparison"]
    with pytest.raises(AccordError, match="nothing teaches the score"):
        run(tmp_path, write(tmp_path / "said.jsonl", rows), f", rules: {RULES}")


def test_rules_beside_other_heads_are_refused(tmp_path: Path) -> None:
    feedback = write(tmp_path / "said.jsonl", judged())
    for more in ("steps: min", "distribution: {kind: categorical}", "rows: pair"):
        with pytest.raises(AccordError, match="rules"):
            run(tmp_path, feedback, f", {more}, rules: {RULES}")


# --- propositions ---------------------------------------------------------------------------------
def half(prompts: list[str], responses: list[str]) -> list[float]:
    return [0.5 for _ in responses]


def twice(prompts: list[str], responses: list[str]) -> list[float]:
    return [2.0 for _ in responses]


def silent(prompts: list[str], responses: list[str]) -> list[float | None]:
    return [None for _ in responses]


def length(prompts: list[str], responses: list[str], completion_ids: list[Any]) -> list[float]:
    return [1.0 for _ in responses]


ASKED = ToScore([PromptRow("?")], ["text"], [[]])


@pytest.mark.parametrize(("name", "said"), [("twice", "said 2 of"), ("silent", "said None of")])
def test_a_proposition_is_a_yes_or_no(name: str, said: str) -> None:
    one = Propositions({"rule": Proposition(function=f"{__name__}:{name}")}, None)
    with pytest.raises(RunError, match=said):
        one(ASKED, [])


def test_propositions_that_cannot_be_asked_are_refused(tmp_path: Path) -> None:
    for given_, why in (
        ({}, "say one of"),
        ({"head": "a", "arguments": {"b": 1}}, "of a function"),
    ):
        with pytest.raises(ValidationError, match=why):
            Proposition.model_validate(given_)
    with pytest.raises(ConfigError, match="needs completion_ids"):
        Propositions({"rule": Proposition(function=f"{__name__}:length")}, None)
    with pytest.raises(ConfigError, match="the reward model has no head 'polite'"):
        Propositions({"rule": Proposition(head="polite")}, None)
    rules = tmp_path / "rules.json"
    row = written({"rule": Proposition(function=f"{__name__}:half")}, [2.0])[0]
    rules.write_text(json.dumps({"rules": [row]}))
    assert RuleReward(rules, None)(ASKED, []).tolist() == [1.0]
    rules.write_text(json.dumps({"rules": [row | {"code": "sha256:0"}]}))
    with pytest.raises(ConfigError, match="was changed since the weight"):
        RuleReward(rules, None)
    rules.write_text("{}")
    with pytest.raises(ConfigError, match="holds no rules with weights"):
        RuleReward(rules, None)


def test_pairs_share_their_record_s_weight_and_soft_labels_count_less() -> None:
    def pairs(kind: str, texts: str, choice: dict[str, Any]) -> list[tuple[str, str, float]]:
        one = record("r", kind, "?", list(texts), choice) | {"weight": 2.0}
        found = _ranked(Feedback.model_validate(one), left_out := Counter[str]())
        assert bool(found) != bool(left_out)
        return [(p.better.text, p.worse.text, p.weight) for p in found]

    assert pairs("comparison", "xy", {"preferred": "b"}) == [("y", "x", 2.0)]
    assert pairs("comparison", "xy", {"preferred": "a", "probability": 0.75}) == [("x", "y", 1.0)]
    order = {"order": [["c"], ["a"], ["b"]]}
    thirds = [("z", "x", 2 / 3), ("z", "y", 2 / 3), ("x", "y", 2 / 3)]
    assert pairs("ranking", "xyz", order) == thirds
    assert pairs("correction", "x", {"content": "y"}) == [("y", "x", 2.0)]
    assert pairs("comparison", "xx", {"preferred": "a"}) == []
    assert pairs("comparison", "xy", {"preferred": "a", "probability": 0.5}) == []


def test_weights_are_fitted_on_ranked_answers_of_every_kind(tmp_path: Path) -> None:
    """What ranks nothing, ties, and answers of which a rule is not known are counted."""
    rows = [row for row in judged() if row["kind"] != "attribute_comparison"]
    for i, a in enumerate(WORDS):
        texts = [f" is a great {word}." for word in ENDS]
        order = {"order": [["a"], ["b", "c"]]}
        rows.append(record(f"k{i}", "ranking", f"This {a} film", texts, order))
        rows.append(record(f"t{i}", "comparison", f"This {a} film", texts[:2], {"tie": True}))
        unknown = [" is unknown.", " is known."]
        rows.append(record(f"u{i}", "comparison", f"This {a} film", unknown, {"preferred": "a"}))
    path = tmp_path / "toy.yaml"
    path.write_text(
        "name: toy\nthreads: 1\nstages:\n  weights: {kind: rules, scale: fixed,"
        f" feedback: {write(tmp_path / 'said.jsonl', rows)}, functions: {{'{__name__}:half': 1}},"
        " propositions: {brief: {said: {flag: tone, broken: long}}}}\n"
    )
    spoken = Spoken()
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, spoken, {})
    values = json.loads((tmp_path / "run/stages/01-weights/result.json").read_text())["values"]
    assert values["left_out"] == {
        "flags ranks nothing": 72,
        "a tie, or equal answers": 6,
        "pair with an answer of which a rule is not known": 6,
    }
    assert values["weight.brief"] > 0.5
    assert values["accuracy.rules"] > values["accuracy.helpful"] == 0.5
