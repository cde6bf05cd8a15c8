"""Judges of pairs: local models, endpoints, Python functions, and panels of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Protocol

import numpy as np

from accord.examine.judged_wins import panel_agreement
from accord.oversight.judge_answers import EndpointAnswers, JudgeAnswer, JudgeAnswers, NoAnswer
from accord.oversight.judge_questions import usual_template
from accord.oversight.local_answers import LocalAnswers
from accord.runs.judge_functions import FunctionAnswers
from accord.sampling.addresses import is_remote, open_askers
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import Asker, AskingSettings
from accord.statistics.intervals import Array


class AskedJudge(Protocol):
    """Says of each (prompt, first shown, second shown) the probability that the first is better;
    not a number where it gives no verdict. `no_verdict` counts those by their reason; `later`: how
    many more questions may follow from the answers to the next ones."""

    no_verdict: Counter[str]
    later: int

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array: ...


class AnsweringJudge:
    """A judge whose answers to questions about pairs come from somewhere."""

    def __init__(self, answers: JudgeAnswers) -> None:
        self.answers, self.no_verdict, self.later = answers, Counter[str](), 0
        self.as_text = 0
        self.template = usual_template("pairwise", by_principle=False)

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        questions = [self.template.filled(prompt, shown) for prompt, *shown in asked]
        found = self.answers.ask(questions, self.later)
        return np.array([self._first(answer) for answer in found], dtype=np.float64)

    def _first(self, answer: JudgeAnswer | NoAnswer) -> float:
        if isinstance(answer, NoAnswer):
            self.no_verdict[answer.reason] += 1
            return nan
        self.as_text += answer.how in ("text", "samples")
        return answer.p[0]


class LocalJudge(AnsweringJudge):
    """A local model: the probabilities of "A" and "B" as its answer, of those two alone."""

    def __init__(self, reference: str) -> None:
        from accord.runs.behaviour.answering import LocalPolicy

        policy = LocalPolicy(reference)
        super().__init__(LocalAnswers(lambda: policy, reference, AnswerCache(None)))


class FunctionJudge(AnsweringJudge):
    """A Python function `module:name`, called with (prompt, first, second); it answers with a
    probability that the first is better, "first", "second", "tie", or None for no verdict."""

    def __init__(self, named: str) -> None:
        super().__init__(FunctionAnswers(named))


class EndpointJudge(AnsweringJudge):
    """A model behind an address: the probabilities of "A" and "B" as the first token where it gives
    them, its answer as a text otherwise. Answers that are neither are no verdicts."""

    def __init__(self, asker: Asker, answer_tokens: int = 16, temperature: float = 0.0) -> None:
        super().__init__(EndpointAnswers(asker, answer_tokens, temperature))
        self.asker = asker


class PanelJudge:
    """Several judges: the share of those that give a verdict who take the first. votes: per
    batch of questions what each said, 1, 0 or .5: [J, N]."""

    def __init__(self, judges: Sequence[AskedJudge]) -> None:
        self.judges, self.no_verdict, self.later = judges, Counter[str](), 0
        self.votes: list[Array] = []

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        said = []
        for judge in self.judges:
            judge.later = self.later
            said.append(judge(asked))
        votes_JN = (1 + np.sign(np.stack(said) - 0.5)) / 2
        self.votes.append(votes_JN)
        given_N = np.isfinite(votes_JN).sum(0)
        if (given_N == 0).any():
            self.no_verdict["no member gave one"] += int((given_N == 0).sum())
        with np.errstate(invalid="ignore"):
            share_N: Array = np.nansum(votes_JN, 0) / given_N
        return share_N

    def agreement(self) -> float:
        """Share of the questions in which all members that give a verdict give the same."""
        return panel_agreement(np.concatenate(self.votes, 1))


@dataclass(frozen=True)
class JudgeSettings:
    """How judges behind addresses are asked. cache: where answers are kept, None: nowhere; since:
    older answers are asked for again; answer_tokens: longest answer."""

    cache: Path | None = None
    since: float = 0.0
    answer_tokens: int = 16
    temperature: float = 0.0
    asking: AskingSettings = field(default_factory=AskingSettings)


def load_judges(names: Sequence[str], settings: JudgeSettings | None = None) -> list[AskedJudge]:
    """A judge per name: an address `https://host/v1#model`, a function `module:function`, or a
    model (directory, adapter, accord:NAME, Hub id). Judges behind addresses share cache and
    budget."""
    settings = settings or JudgeSettings()
    remote = [name for name in names if is_remote(name)]
    cache = AnswerCache(settings.cache if remote else None, settings.since)
    askers = open_askers(remote, settings.asking, cache)
    judges: list[AskedJudge] = []
    for name in names:
        if name in askers:
            judge = EndpointJudge(askers[name], settings.answer_tokens, settings.temperature)
            judges.append(judge)
        else:
            judges.append(FunctionJudge(name) if is_function(name) else LocalJudge(name))
    return judges


def is_function(name: str) -> bool:
    """Whether `module:function` is meant, not a model."""
    module, colon, function = name.partition(":")
    return bool(colon) and module != "accord" and function.isidentifier() and "/" not in name


def load_judge(names: Sequence[str] | str, settings: JudgeSettings | None = None) -> AskedJudge:
    """One judge, or a panel of several."""
    judges = load_judges([names] if isinstance(names, str) else names, settings)
    return judges[0] if len(judges) == 1 else PanelJudge(judges)
