"""Trees of summaries: nothing of a document is lost, and a node is answered from its children."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.oversight.ai_judge import AiJudge
from accord.oversight.drafts import Failure, WrittenText
from accord.oversight.judge_answers import JudgeAnswer, NoAnswer
from accord.oversight.judge_questions import usual_template
from accord.oversight.summaries import SummaryRules, chunks, levels_of, plan_tree, summarise

TEXT = st.lists(
    st.sampled_from(["word ", "end. ", "said.” ", "\n\n", "  ", "x", "Why?\n", "ü ", "."]),
    max_size=60,
).map("".join)


@given(TEXT, st.integers(1, 9))
def test_chunks_are_the_text(text: str, words: int) -> None:
    parts = chunks(text, words)
    assert "".join(parts) == (text if text.strip() else "")
    assert all(1 <= len(part.split()) <= words for part in parts)


def test_chunks_end_with_paragraphs_then_with_sentences() -> None:
    assert chunks("a b c\n\nd. e f g", 4) == ["a b c\n\n", "d. e f g"]
    assert chunks("a b c. d e f", 4) == ["a b c. ", "d e f"]
    assert chunks("a. b c d e f", 4) == ["a. b c d ", "e f"]  # too far before the end


class Writes:
    """Gives a summary per seed, by a rule on the prompt."""

    name, limit = "w", 10

    def __init__(self, rule: Any) -> None:
        self.rule, self.asked = rule, list[str]()

    def write(self, conversations: Sequence[Any], seeds: Sequence[int]) -> list[WrittenText | Failure]:  # fmt: skip
        prompts = [turns[-1]["content"] for turns in conversations]
        self.asked += prompts
        return [self.rule(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]


class Longer:
    """A judge that likes the longer text."""

    def ask(self, questions: Any, later: int = 0) -> list[JudgeAnswer | NoAnswer]:
        def p(one: Any) -> JudgeAnswer:
            first = len(one.responses[0]) > len(one.responses[1])
            return JudgeAnswer((float(first), float(not first)), "text")

        return [p(one) for one in questions]


RULES = SummaryRules(3, 2, 5, 2)
DOCUMENT = "one two three four five six seven eight nine ten eleven"


def first_words(prompt: str, seed: int) -> WrittenText:
    read = prompt.rpartition("\n\n")[0].split()
    return WrittenText(" ".join(read[:1]) + "!" * (1 + seed % 2))


def test_a_node_reads_its_children_and_the_better_summary_goes_on() -> None:
    trees = [plan_tree(DOCUMENT, RULES), plan_tree("alone here", RULES)]
    judge = AiJudge("j", Longer(), usual_template("pairwise", by_principle=False))
    writer = Writes(first_words)
    long, short = summarise(trees, RULES, writer, judge, 1)
    levels = levels_of(trees[0])
    assert sorted(levels.values()) == [0, 0, 0, 0, 1, 1, 2]
    assert len(short) == 1
    for name, one in long.items():
        assert one.level == levels[name]
        below = [long[child].summary for child in trees[0].nodes[name].children]
        assert all(text and text in one.prompt for text in below)
        assert one.summary == max(one.written, key=len)
    root = long[trees[0].root.id]
    assert root.summary is not None
    assert root.summary.startswith("one")
    assert "11" not in root.prompt
    assert "2 passages" in root.prompt
    assert len(writer.asked) == 2 * 8


def test_a_node_without_a_summary_leaves_those_above_without_one() -> None:
    def fails(prompt: str, seed: int) -> WrittenText | Failure:
        if "five" in prompt:
            return WrittenText("cut", finished=False)
        return Failure("refused") if "nine" in prompt else first_words(prompt, seed)

    (done,) = summarise([plan_tree(DOCUMENT, RULES)], RULES, Writes(fails), None, 1)
    failed = {one.failed for one in done.values() if one.summary is None}
    assert failed == {
        "the summary was cut at the limit of tokens", "refused",
        "1 of its 2 parts have no summary", "2 of its 2 parts have no summary",
    }  # fmt: skip
    assert sum(one.summary is not None for one in done.values()) == 2


def test_an_empty_document_makes_no_tree() -> None:
    with pytest.raises(DataError, match="0 texts"):
        plan_tree(" \n", RULES)
