"""Feedback in words, learned from (imitation learning from language feedback: Scheurer et al. 2023,
arXiv 2303.16755; Chen et al. 2023, arXiv 2303.16749).

    response + feedback in words -> refinements, K each -> the one that is chosen -> a correction

The feedback is `critique` records about one response each; a reviser rewrites by them as it does by
a critique of a constitution's principle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from accord.errors import ConfigError, DataError, RunError
from accord.feedback.messages import plain
from accord.feedback.records import Critique, Feedback
from accord.oversight.code_tests import CodeTask
from accord.oversight.constitution import Principle
from accord.oversight.critics import asked_prompt
from accord.oversight.drafts import Criticism, Draft, Failure, Reviser, WrittenText
from accord.oversight.revisers import RevisionRules
from accord.seeds import derive_seed

BY_FEEDBACK = Principle(
    id="feedback",
    text="The response does what the feedback on it asks for.",
    critique="Say in words what should be changed in the response.",
    revision="Rewrite the whole response so that it does what the feedback asks for.",
)
"""What a model is asked with, in place of a constitution's principle."""
_FENCE = re.compile(r"```[\w+-]*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class WordedFeedback:
    """A response with what somebody said of it. record: the critique; task: tests of a program that
    the response is, with the name that they test, where there are any."""

    draft: Draft
    record: Feedback
    task: CodeTask | None
    entry: str | None

    @property
    def words(self) -> str:
        """The feedback."""
        assert isinstance(self.record.choice, Critique)
        return self.record.choice.text

    def tests(self) -> CodeTask:
        """Its tests; raises DataError where it has none."""
        if self.task is None:
            raise DataError(
                f"record {self.record.id} has no tests to choose by",
                "put them into meta.tests (and what check(candidate) tests into meta.entry), or"
                " choose by something else: select",
            )
        return self.task

    def program(self, response: str) -> str:
        """The whole program that a response is: of its first fenced block, where there is one;
        after the prompt, where it does not define what is tested."""
        fenced = _FENCE.search(response)
        code = fenced[1] if fenced else response
        return whole_program(plain(asked_prompt(self.draft.prompt)), code, self.entry)


def whole_program(prompt: str, code: str, entry: str | None) -> str:
    """Code as it stands where it defines `entry`, else after the prompt that it goes on from."""
    if entry is None or re.search(rf"^(def|class)\s+{re.escape(entry)}\b", code, re.MULTILINE):
        return code
    return prompt + code


def worded(record: Feedback, row: int) -> WordedFeedback | Failure:
    """A critique as feedback to refine by; why it is none where it is about several responses or
    another kind. Raises DataError for tests that cannot be read."""
    if not isinstance(record.choice, Critique):
        return Failure(f"a record of kind {record.kind}, not critique")
    if len(record.options) != 1:
        return Failure(f"a critique of {len(record.options)} responses, not of one")
    option, tests, entry = record.options[0], record.meta.get("tests"), record.meta.get("entry")
    for name, one in (("tests", tests), ("entry", entry)):
        if not isinstance(one, str | None):
            raise DataError(f"record {record.id}: meta.{name} is {one!r}, not a text", "repair it")
    try:
        task = None if tests is None else CodeTask.parse(tests, entry)
    except ConfigError as error:
        raise DataError(f"record {record.id}: meta.tests: {error.message}", error.fix) from error
    text = WrittenText(plain(option.content), record.meta.get("finished") is not False)
    draft = Draft(row, record.asked, text, option.producer or "unknown")
    return WordedFeedback(draft, record, task, entry)


# --- who refines ----------------------------------------------------------------------------------
class Refiner(Protocol):
    """Writes refinements of responses by feedback. name: the annotator in its records."""

    name: str

    def refine(
        self, asked: Sequence[WordedFeedback], seeds: Sequence[int]
    ) -> list[list[WrittenText | Failure]]:
        """Several per response, in order; a failure for each that is none."""


class RevisingRefiner:
    """A reviser, asked `count` times, each time with a seed of its own; what it writes is checked
    as revisions are."""

    def __init__(self, reviser: Reviser, count: int, rules: RevisionRules) -> None:
        self.reviser, self.count, self.rules, self.name = reviser, count, rules, reviser.name

    def refine(
        self, asked: Sequence[WordedFeedback], seeds: Sequence[int]
    ) -> list[list[WrittenText | Failure]]:
        """`count` per response."""
        each = [one for one in asked for _ in range(self.count)]
        found = self.reviser.revise(
            [(one.draft, BY_FEEDBACK, Criticism(one.words)) for one in each],
            [derive_seed(seed, "refinement", n) for seed in seeds for n in range(self.count)],
        )
        checked = [
            self.rules.checked(one.draft, written) if isinstance(written, WrittenText) else written
            for one, written in zip(each, found, strict=True)
        ]
        return [checked[n * self.count : (n + 1) * self.count] for n in range(len(asked))]


class FunctionRefiner:
    """A function of (prompt, response, feedback) that gives a refinement, or a list of them."""

    def __init__(self, function: Callable[[Any, str, str], Any], name: str) -> None:
        self.function, self.name = function, name

    def refine(
        self, asked: Sequence[WordedFeedback], seeds: Sequence[int]
    ) -> list[list[WrittenText | Failure]]:
        """As many as the function gives."""
        del seeds
        return [[*map(WrittenText, self._texts(one))] for one in asked]

    def _texts(self, one: WordedFeedback) -> list[str]:
        found = self.function(one.draft.prompt, one.draft.text, one.words)
        texts = [found] if isinstance(found, str) else found
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RunError(
                f"{self.name} returned {str(found)[:80]!r} as refinements",
                "return a text, or a list of texts",
            )
        return texts


class WrittenRefiner:
    """Refinements that people wrote: corrections whose `meta.critique` names the feedback."""

    def __init__(self, corrections: Sequence[Feedback], name: str) -> None:
        self.name, self.by_critique = name, dict[str, list[str]]()
        self.unnamed = 0
        for one in corrections:
            if one.kind != "correction" or "critique" not in one.meta:
                self.unnamed += 1
                continue
            text = plain(one.choice.content)  # type: ignore[union-attr]
            self.by_critique.setdefault(one.meta["critique"], []).append(text)

    def refine(
        self, asked: Sequence[WordedFeedback], seeds: Sequence[int]
    ) -> list[list[WrittenText | Failure]]:
        """Those that name each critique."""
        del seeds
        return [[*map(WrittenText, self.by_critique.get(one.record.id, []))] for one in asked]
