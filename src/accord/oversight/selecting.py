"""Which of several refinements is learned from: by tests, a score, a model's answer to whether the
feedback was used, or likeness to the feedback."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite, sqrt
from typing import Any, Protocol

from accord.feedback.messages import plain
from accord.oversight.code_tests import CodeLimits, run_tests
from accord.oversight.critics import asked_prompt
from accord.oversight.refining import WordedFeedback
from accord.seeds import derive_seed
from accord.text.chats import Prompt

USED = (
    "Does the new text use the feedback? Answer Yes or No.",
    "Is everything that the feedback asks for done in the new text? Answer Yes or No.",
    "Would whoever gave the feedback be content with the new text? Answer Yes or No.",
)
"""Wordings of one question, averaged: a model's answer to one depends on its words."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Chosen:
    """place: of the refinement that is learned from, None where none is, for `reason`; meta: what
    is kept of it; hidden: whether the chosen program passes the assertions that were kept back."""

    place: int | None
    reason: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    hidden: bool | None = None


class Selector(Protocol):
    """Chooses among the refinements of a response, at least one."""

    def choose(self, asked: WordedFeedback, texts: Sequence[str]) -> Chosen: ...


class ByTests:
    """The first refinement that passes the assertions shown; a third of them is kept back, by a
    seed of the record's own, and says which of the chosen are special-cased to what was shown."""

    def __init__(self, limits: CodeLimits, seed: int) -> None:
        self.limits, self.seed = limits, seed

    def choose(self, asked: WordedFeedback, texts: Sequence[str]) -> Chosen:
        task, seed = asked.tests(), derive_seed(self.seed, "hidden", asked.record.id)
        faults = Counter[str]()
        for place, text in enumerate(texts):
            found = run_tests(asked.program(text), task, self.limits)
            if found.holds(task.shown(seed)):
                kept_back = task.hidden(seed)
                hidden = found.holds(kept_back) if kept_back else None
                return Chosen(place, meta={"hidden_tests_passed": hidden}, hidden=hidden)
            shown = [found.checks[n] for n in task.shown(seed)]
            faults[next(one.outcome for one in shown if one.outcome != "passed")] += 1
        told = ", ".join(f"{count} {what}" for what, count in faults.most_common())
        return Chosen(None, f"no refinement passes the tests: {told}")


class ByScore:
    """The refinement with the highest score; the first of several. score: (prompt, response) each
    -> scores, what is no number being left out."""

    def __init__(
        self, score: Callable[[Sequence[tuple[Prompt, str]]], Sequence[float]], name: str
    ) -> None:
        self.score, self.name = score, name

    def choose(self, asked: WordedFeedback, texts: Sequence[str]) -> Chosen:
        scores = [float(one) for one in self.score([(asked.draft.prompt, t) for t in texts])]
        return best_of(scores, self.name)


class ByChoice:
    """The refinement of which a model says most surely that it uses the feedback: P(Yes) against
    No, averaged over the wordings `USED`. answers: questions -> P(Yes)."""

    def __init__(self, answers: Callable[[Sequence[str]], Sequence[float]], name: str) -> None:
        self.answers, self.name = answers, name

    def choose(self, asked: WordedFeedback, texts: Sequence[str]) -> Chosen:
        questions = [used_question(asked, text, one) for text in texts for one in USED]
        p, count = self.answers(questions), len(USED)
        means = [fsum(p[n * count : (n + 1) * count]) / count for n in range(len(texts))]
        return best_of(means, self.name)


class BySimilarity:
    """The refinement whose words are most like the feedback's: cosine of counts. It needs no model,
    and prefers text that repeats the feedback."""

    def choose(self, asked: WordedFeedback, texts: Sequence[str]) -> Chosen:
        return best_of([similarity(text, asked.words) for text in texts], "similarity")


def best_of(scores: Sequence[float], name: str) -> Chosen:
    """The first of the highest scores; none where none is a number."""
    known = [place for place, one in enumerate(scores) if isfinite(one)]
    if not known:
        return Chosen(None, f"{name} scores none of {len(scores)} refinements")
    best = max(known, key=lambda place: scores[place])
    return Chosen(best, meta={"score": scores[best]})


def used_question(asked: WordedFeedback, text: str, question: str) -> str:
    """Whether a text uses the feedback, as it is put to a model."""
    prompt = plain(asked_prompt(asked.draft.prompt))
    return (
        f"Prompt:\n{prompt}\n\nText:\n{asked.draft.text}\n\nFeedback:\n{asked.words}\n\n"
        f"New text:\n{text}\n\n{question}"
    )


def similarity(one: str, other: str) -> float:
    """Cosine of the counts of words, in [0, 1]; 0 for a text without any."""
    a, b = (Counter(_WORD.findall(text.lower())) for text in (one, other))
    norm = sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return sum(count * b[word] for word, count in a.items()) / norm if norm else 0.0
