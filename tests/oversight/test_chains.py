"""Critique and revision: what becomes of each draft, as records; what counts as a revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import ConfigError, RunError
from accord.feedback.records import WRITTEN, Feedback
from accord.oversight.chains import Chains, CritiqueChain
from accord.oversight.constitution import Constitution, Principle
from accord.oversight.critics import (
    ModelCritic,
    RuleCritic,
    checked_spans,
    marking,
    quoted_spans,
    words,
)
from accord.oversight.drafts import Criticism, Draft, Failure, WrittenText
from accord.oversight.revisers import (
    LeastViolating,
    ModelReviser,
    RevisionRules,
    has_preamble,
    without_preamble,
)
from accord.runs.stages.revised import as_row, from_row

TWO = Constitution.model_validate(
    {
        "id": "two",
        "version": "1",
        "principles": [{"id": "bad", "text": "No bad."}, {"id": "me", "text": "No me."}],
    }
)


def rule_critic(constitution: Constitution = TWO) -> RuleCritic:
    functions = {
        one.id: marking(lambda _, text, word=one.id: words(_, text, [word]), one.id)
        for one in constitution.principles
    }
    return RuleCritic(constitution, functions)


class Rewriter:
    """Takes out the word of the principle, or does what it is told for a row."""

    name = "rewriter"

    def __init__(self, said: dict[int, WrittenText | Failure] | None = None) -> None:
        self.said, self.asked, self.seeds = said or {}, list[Draft](), list[int]()

    def revise(
        self, asked: Sequence[tuple[Draft, Principle, Criticism]], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        self.asked += [draft for draft, _, _ in asked]
        self.seeds += seeds
        return [
            self.said.get(draft.row, WrittenText(draft.text.replace(principle.id, "x")))
            for draft, principle, _ in asked
        ]


def draft(row: int, text: str, finished: bool = True) -> Draft:
    return Draft(row, f"prompt {row}", WrittenText(text, finished), "model")


def chains(reviser: Any, rounds: int = 2, seed: int = 1, **rules: Any) -> Chains:
    return Chains(TWO, rule_critic(), reviser, RevisionRules(**rules), rounds, seed)


TEXTS = st.lists(st.sampled_from(["bad", "me", "fine", "day"]), min_size=1, max_size=5).map(
    " ".join
)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=6), rounds=st.integers(1, 4), failing=st.booleans()
)
def test_every_round_of_every_chain_is_accounted_for(
    texts: list[str], rounds: int, failing: bool
) -> None:
    """Whatever happens: one step, one critique per round; a correction exactly where the draft
    changed; records that are whole, name the constitution, and hang together."""
    said: dict[int, WrittenText | Failure] = {0: Failure("no")} if failing else {}
    done = chains(Rewriter(said), rounds).run([draft(n, text) for n, text in enumerate(texts)])
    for chain in done:
        assert len(chain.steps) == len(chain.principles) == len(chain.reasons) == rounds
        assert len(chain.drafts) == rounds + 1
        kinds = [record.kind for record in chain.records]
        assert kinds.count("critique") == rounds
        assert kinds.count("correction") == chain.steps.count("revised")
        assert kinds.count("skip") == chain.steps.count("failed")
        by_id = {record.id: record for record in chain.records}
        assert len(by_id) == len(chain.records)
        text = chain.first.text
        for record in chain.records:
            assert record.guideline == TWO.guideline
            assert record.options[0].content == text
            if record.kind != "critique":
                assert by_id[record.meta["critique"]].kind == "critique"
            if record.kind == "correction":
                assert record.choice.content != text
                text = record.choice.content
            if "parent" in record.meta:
                assert by_id[record.meta["parent"]].choice.content == record.options[0].content
        assert text == chain.last.text
        for step, principle, after in zip(
            chain.steps, chain.principles, chain.drafts[1:], strict=True
        ):
            if step in ("kept", "revised"):
                assert principle not in after.text.split()
        assert from_row(as_row(chain), chain.first) == chain


def test_the_same_seed_draws_the_same_principles_and_seeds() -> None:
    drafts = [draft(n, "bad me") for n in range(40)]
    one, same, other = (Rewriter() for _ in range(3))
    first = chains(one, 3).run(drafts)
    again = chains(same, 3).run(drafts[::-1])[::-1]  # whatever stands beside it
    assert [c.principles for c in first] == [c.principles for c in again]
    assert first == again
    assert sorted(one.seeds) == sorted(same.seeds)
    assert len(set(one.seeds)) == len(one.seeds)
    assert [c.principles for c in first] != [
        c.principles for c in chains(other, 3, seed=2).run(drafts)
    ]


def ends(written: WrittenText | Failure, text: str = "bad me", **rules: Any) -> CritiqueChain:
    (chain,) = chains(Rewriter({0: written}), 1, **rules).run([draft(0, text)])
    return chain


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (WrittenText("good", False), "cut at the limit"),
        (WrittenText(" \n"), "is empty"),
        (WrittenText("I'm sorry, but I can't help with that."), "the reviser refused"),
        (WrittenText("Sure! Here is the revised response:\n\ngood"), "preamble"),
        (Failure("unanswered: HTTP 500"), "HTTP 500"),
    ],
)
def test_what_is_no_revision_is_a_skip_with_its_reason(
    written: WrittenText | Failure, reason: str
) -> None:
    chain = ends(written)
    assert chain.steps == ["failed"]
    assert reason in chain.reasons[0]
    assert chain.records[-1].kind == "skip"
    assert reason in chain.records[-1].choice.reason
    assert chain.last.text == "bad me"
    assert not chain.usable


def test_rules_that_keep_and_remove() -> None:
    kept = ends(WrittenText("good", False), unfinished="keep")
    assert kept.records[-1].meta["finished"] == {"response": True, WRITTEN: False}
    refused = WrittenText("I'm sorry, but I can't help with that.")
    assert ends(refused, refusals="keep").steps == ["revised"]
    assert ends(refused, "I'm sorry, I cannot do that. bad me").steps == ["revised"]
    wrapped = WrittenText('Here\'s the revised response:\n\n"good"')
    assert ends(wrapped, preambles="remove").last.text == "good"
    assert ends(wrapped, preambles="remove").preambles == 1
    assert ends(wrapped, preambles="keep").last.text == wrapped.text
    nothing_left = ends(WrittenText("Revised response:\n"), preambles="remove")
    assert nothing_left.steps == ["failed"]


def test_a_copy_is_no_correction() -> None:
    chain = ends(WrittenText(" bad me\n"))
    assert chain.steps == ["unchanged"]
    assert [record.kind for record in chain.records] == ["critique", "skip"]
    assert chain.usable


def test_a_chain_goes_on_after_a_failure() -> None:
    class Once(Rewriter):
        def revise(self, asked: Any, seeds: Any) -> list[WrittenText | Failure]:
            found = super().revise(asked, seeds)
            return [Failure("no")] * len(found) if len(self.asked) == len(found) else found

    (chain,) = chains(Once(), 6).run([draft(0, "bad me")])
    assert chain.steps[0] == "failed"
    assert chain.last.text == "x x"
    assert chain.usable


PREAMBLES = [
    "Here is the revised response:\n\n",
    "Sure! Here's the rewritten version:\n",
    "Certainly. Here is a revised answer that keeps to the principle:\n\n",
    "**Revised Response:**\n\n",
    "Revised response: ",
    "Here is a response that does no harm:\n\n",
    "Below is the updated text:\n",
]


@pytest.mark.parametrize("preamble", PREAMBLES)
@given(body=st.sampled_from(["The sky is blue.", "1. One\n2. Two", '"Quote" she said.', "A: b"]))
def test_preambles_are_found_and_cut_and_nothing_else(preamble: str, body: str) -> None:
    assert has_preamble(preamble + body)
    assert without_preamble(preamble + body) == body
    assert not has_preamble(body)
    assert without_preamble(body) == body


@pytest.mark.parametrize(
    "text",
    [
        "Here is how to bake bread: mix flour and water.",
        "Here is the answer: 7",
        "The revised edition came out in 1990.",
        "Sure! Water boils at 100 degrees.",
        "Response times: 3 ms",
    ],
)
def test_answers_are_not_taken_for_preambles(text: str) -> None:
    assert not has_preamble(text)


@given(text=TEXTS)
def test_marked_words_are_where_they_stand(text: str) -> None:
    spans = checked_spans(words("", text, ["bad", "me"]), text, "words")
    assert [text[one.start : one.end] for one in spans] == re.findall(r"\b(?:bad|me)\b", text)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([(0, 9)], r"the span \[0, 9\) of a response of 4 characters"),
        ([(0, 4), (0, 5)], r"the span \[0, 5\)"),
        ([(-1, 2)], r"the span \[-1, 2\)"),
        ([(2, 2)], r"the span \[2, 2\)"),
        ([(0,)], "no span"),
        ([("0", "1")], "no span"),
        ([(0, True)], "no span"),
        ("text", "returned str"),
        (None, "returned NoneType"),
        (3, "returned int"),
    ],
)
def test_spans_outside_the_text_are_refused(found: Any, message: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        checked_spans(found, "four", "the critic my:critic")
    assert "the critic my:critic" in caught.value.message


def test_each_principle_has_a_critic_and_each_critic_a_principle() -> None:
    one = rule_critic().functions["bad"]
    with pytest.raises(ConfigError, match="no function finds what breaks me"):
        RuleCritic(TWO, {"bad": one})
    with pytest.raises(ConfigError, match="has no principle 'mee'"):
        RuleCritic(TWO, {"bad": one, "mee": one})


def test_quotes_of_a_critique_become_spans_or_count_as_invented() -> None:
    spans, invented = quoted_spans('It says "so bad" and “worse”, not "good".', "so bad, worse")
    assert [(s.start, s.end) for s in spans] == [(0, 6), (8, 13)]
    assert invented == 1


class Scripted:
    """A writer that says the same to everybody."""

    name, limit = "scripted", 9

    def __init__(self, said: WrittenText | Failure) -> None:
        self.said, self.conversations = said, list[Any]()

    def write(self, conversations: Any, seeds: Any) -> list[WrittenText | Failure]:
        self.conversations += conversations
        return [self.said] * len(conversations)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (WrittenText("so", False), "cut at 9 tokens"),
        (WrittenText(" "), "is empty"),
        (WrittenText("I cannot assist with that."), "the critic refused"),
        (Failure("unanswered: 429"), "429"),
    ],
)
def test_a_critique_that_is_none_fails_the_round(said: WrittenText | Failure, reason: str) -> None:
    reviser = Rewriter()
    of = Chains(TWO, ModelCritic(Scripted(said)), reviser, RevisionRules(), 1, 1)
    (chain,) = of.run([draft(0, "bad me")])
    assert chain.steps == ["failed"]
    assert reason in chain.reasons[0]
    (record,) = chain.records
    assert (record.kind, record.annotator) == ("skip", "scripted")
    assert not reviser.asked


def test_models_are_shown_prompt_response_critique_and_requests() -> None:
    critic, reviser = Scripted(WrittenText('The word "bad" is bad.')), Scripted(WrittenText("fine"))
    of = Chains(TWO, ModelCritic(critic), ModelReviser(reviser), RevisionRules(), 1, 1)
    prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]
    (chain,) = of.run([Draft(0, prompt, WrittenText("so bad"), "model")])
    principle = TWO.by_id(chain.principles[0])
    (asked,) = critic.conversations
    for part in ("Be kind.", "Hello?", "so bad", principle.critique):
        assert part in asked[0]["content"]
    (again,) = reviser.conversations
    assert again[:1] == asked
    assert again[1] == {"role": "assistant", "content": 'The word "bad" is bad.'}
    assert principle.revision in again[2]["content"]
    assert chain.steps == ["revised"]
    critique = chain.records[0]
    assert (critique.choice.spans[0].start, critique.choice.spans[0].end) == (3, 6)
    assert critique.prompt[0].content == "Be kind."


def test_the_best_of_samples_breaks_the_principle_least_then_all() -> None:
    samples = [
        WrittenText("bad bad"),
        WrittenText("bad me"),
        WrittenText("me day"),
        WrittenText("me me"),
        WrittenText(""),
    ]
    reviser = LeastViolating(lambda prompts, _: [samples] * len(prompts), rule_critic(), "model")
    asked = (draft(0, "bad"), TWO.by_id("bad"), Criticism("", violates=True))
    assert reviser.revise([asked], [1]) == [WrittenText("me day")]
    both = (draft(0, "bad bad me me"), TWO.by_id("bad"), Criticism("", violates=True))
    two = [WrittenText("bad"), WrittenText("me me")]  # the principle comes before the sum
    chooser = LeastViolating(lambda prompts, _: [two] * len(prompts), rule_critic(), "model")
    assert chooser.revise([both], [1]) == [WrittenText("me me")]
    (no_better,) = chooser.revise([(draft(0, "me me"), *both[1:])], [1])
    assert isinstance(no_better, Failure)
    better = (draft(0, "fine"), TWO.by_id("bad"), Criticism("", violates=True))
    (none,) = reviser.revise([better], [1])
    assert isinstance(none, Failure)
    assert none.reason == "none of 5 samples is better"


def test_meta_critique_is_an_id() -> None:
    record = chains(Rewriter(), 1).run([draft(0, "bad me")])[0].records[-1].model_dump()
    assert Feedback.model_validate(record).meta["critique"] == "critique-0-1"
    with pytest.raises(ValueError, match=r"meta\.critique is the id of a record, not 3"):
        Feedback.model_validate({**record, "meta": {**record["meta"], "critique": 3}})
