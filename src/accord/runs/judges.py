"""Judges of pairs: local models, endpoints, Python functions, and panels of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, nan
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.special import softmax

from accord.errors import RunError
from accord.examine.judged_wins import panel_agreement
from accord.runs import user_code
from accord.sampling.addresses import is_remote, open_endpoints
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import Asker, AskingSettings, Unanswered
from accord.sampling.endpoint import ChatQuestion, Completion
from accord.statistics.intervals import Array

QUESTION = """Two responses to the same prompt are compared.

Prompt:
{prompt}

Response A:
{first}

Response B:
{second}

Which response is better, A or B?"""
LETTER = "\n\nAnswer with one letter, A or B, and nothing else."
"""What is added for a judge whose answer is read as a text."""
TOP = 5
"""Likeliest first tokens that an endpoint is asked for."""
SURE_FORM = 0.5
"""Probability that A and B must have together as the first token for their shares to be read."""
_WHOLE = re.compile(
    r"[\W_]*(?:(?:the\s+)?(?:(?:final|better|best|my)\s+)*(?:answer|response|choice|verdict|option)"
    r"\s*(?:is)?[\W_]*)?(?:(?:response|option|answer)\s+)?[\W_]*([AB])[\W_]*"
    r"(?:is\s+(?:the\s+)?(?:better|best)(?:\s+(?:one|response|answer))?)?[\W_]*",
    re.IGNORECASE,
)
_BEGINNING = re.compile(r"[\W_]*([AB])[.:)\]*_]+(?:\s.*)?")


WORDS = {"first": 1.0, "second": 0.0, "tie": 0.5}
"""What a judge that is a function may say, as a probability of the first."""


class AskedJudge(Protocol):
    """Says of each (prompt, first shown, second shown) the probability that the first is better;
    not a number where it gives no verdict. `no_verdict` counts those by their reason; `later`: how
    many more questions may follow from the answers to the next ones."""

    no_verdict: Counter[str]
    later: int

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array: ...


class LocalJudge:
    """A local model: the probabilities of "A" and "B" as its answer, of those two alone."""

    def __init__(self, reference: str) -> None:
        from accord.runs.behaviour.answering import LocalPolicy

        self.no_verdict, self.later = Counter[str](), 0
        self.policy = LocalPolicy(reference)

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        questions = [
            [QUESTION.format(prompt=prompt, first=first, second=second)]
            for prompt, first, second in asked
        ]
        found = self.policy.choice_logps(questions, [("A", "B")] * len(asked))
        return np.array([float(softmax(logp_K)[0]) for logp_K in found])


class FunctionJudge:
    """A Python function `module:name`, called with (prompt, first, second); it answers with a
    probability that the first is better, "first", "second", "tie", or None for no verdict."""

    def __init__(self, named: str) -> None:
        self.named, self.no_verdict, self.later = named, Counter[str](), 0
        self.function = user_code.load_function(named, "judge")
        self.where = user_code.defined_at(self.function)

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        return np.array([self._one(*one) for one in asked])

    def _one(self, prompt: str, first: str, second: str) -> float:
        try:
            said = self.function(prompt, first, second)
        except (Exception, SystemExit) as error:
            raise RunError(
                f"the judge {self.named}{self.where} failed: {user_code.told(error)}",
                "it is called with (prompt, first, second), three texts",
            ) from error
        if said is None:
            self.no_verdict["it answered None"] += 1
            return nan
        value = WORDS.get(said) if isinstance(said, str) else said
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RunError(
                f"the judge {self.named}{self.where} answered {said!r}",
                'answer "first", "second", "tie", a probability of the first, or None',
            )
        return float(value)


class EndpointJudge:
    """A model behind an address: the probabilities of "A" and "B" as the first token where it gives
    them, its answer as a text otherwise. Answers that are neither are no verdicts."""

    def __init__(self, asker: Asker, answer_tokens: int = 16, temperature: float = 0.0) -> None:
        self.asker, self.answer_tokens, self.temperature = asker, answer_tokens, temperature
        self.no_verdict, self.later = Counter[str](), 0
        self.as_text = 0

    def questions(self, asked: Sequence[tuple[str, str, str]]) -> list[ChatQuestion]:
        """As they are put."""
        texts = (
            QUESTION.format(prompt=prompt, first=first, second=second) + LETTER
            for prompt, first, second in asked
        )
        return [
            ChatQuestion((("user", text),), self.answer_tokens, self.temperature, 0, TOP)
            for text in texts
        ]

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        answers = self.asker.ask(self.questions(asked), self.later)
        return np.array([self._read(answer) for answer in answers], dtype=np.float64)

    def _read(self, answer: Completion | Unanswered) -> float:
        if isinstance(answer, Unanswered):
            self.no_verdict[f"unanswered: {answer.reason}"] += 1
            return nan
        share = letter_share(answer.first_logps)
        if share is not None:
            return share
        self.as_text += 1
        letter = letter_of(answer.text)
        if letter is None:
            cut = "" if answer.finished else f"cut at {self.answer_tokens} tokens: "
            self.no_verdict[f"{cut}answered {answer.text[:60]!r}"] += 1
            return nan
        return 1.0 if letter == "A" else 0.0


def letter_share(first_logps: object) -> float | None:
    """P(A) of A and B as the first token; None where they are not what the model says."""
    if not isinstance(first_logps, dict):
        return None
    mass = {"A": 0.0, "B": 0.0}
    for token, logp in first_logps.items():
        letter = token.strip().strip("*([\"'")
        if letter in mass:
            mass[letter] += exp(logp)
    whole = sum(mass.values())
    return mass["A"] / whole if whole >= SURE_FORM else None


def letter_of(text: str) -> str | None:
    """The verdict of an answer in words: its first or last line has to be one, and if both are they
    have to agree."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = set()
    for line in {0: lines[0], 1: lines[-1]}.values() if lines else ():
        match = _WHOLE.fullmatch(line) or _BEGINNING.fullmatch(line)
        if match:
            found.add(match[1].upper())
    return found.pop() if len(found) == 1 else None


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
    endpoints = open_endpoints(remote, settings.asking.timeout) if remote else []
    cache = AnswerCache(settings.cache, settings.since) if remote else None
    judges: list[AskedJudge] = []
    for name in names:
        if not is_remote(name):
            judges.append(FunctionJudge(name) if is_function(name) else LocalJudge(name))
            continue
        assert cache is not None
        asker = settings.asking.asker(name, endpoints[remote.index(name)], cache)
        judges.append(EndpointJudge(asker, settings.answer_tokens, settings.temperature))
    return judges


def is_function(name: str) -> bool:
    """Whether `module:function` is meant, not a model."""
    module, colon, function = name.partition(":")
    return bool(colon) and module != "accord" and function.isidentifier() and "/" not in name


def load_judge(names: Sequence[str] | str, settings: JudgeSettings | None = None) -> AskedJudge:
    """One judge, or a panel of several."""
    judges = load_judges([names] if isinstance(names, str) else names, settings)
    return judges[0] if len(judges) == 1 else PanelJudge(judges)
