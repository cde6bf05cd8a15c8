"""An AI judge: what it says of pairs, of single responses, and of responses criterion by criterion.

Pairs are asked in both orders, each principle of a constitution by itself, and averaged by weight
(Bai et al. 2022; Lee et al. 2023). The two texts are put in an order of their own first, so that a
pair the other way round gets the very same verdict. An item of which any question has no answer has
no verdict: what is left would be those that are easy to answer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum

from scipy.special import expit, logit

from accord.errors import ConfigError
from accord.oversight.constitution import Constitution
from accord.oversight.judge_answers import How, JudgeAnswer, JudgeAnswers, NoAnswer
from accord.oversight.judge_questions import Criterion, JudgeForm, JudgeQuestion, JudgeTemplate

LEAST = 1e-6
"""Probabilities nearer to 0 or 1 are taken for this where a temperature is applied."""


@dataclass(frozen=True)
class JudgedItem:
    """What a judge says of a pair or of a response; reason: why it says nothing, and then `value`
    is None.

    value: pairwise the probability that the first is better, pointwise the expected score, rubric
    the weighted share of criteria met; orders: of a pair the probability that the first is better,
    shown first and shown second; by_criterion: the value of each alone; how: every way in which
    answers were read; mass: of the allowed answers, the least of its questions; key: a hash of the
    answers' keys; cost, tokens: of all its questions.
    """

    value: float | None
    reason: str | None = None
    orders: tuple[float, float] | None = None
    by_criterion: dict[str, float] = field(default_factory=dict)
    how: tuple[How, ...] = ()
    mass: float | None = None
    key: str | None = None
    cost: float | None = None
    tokens: float = 0.0


def criteria_of(constitution: Constitution | None, form: JudgeForm) -> list[Criterion]:
    """The principles, in the words that a question of this form is asked with."""
    if constitution is None:
        return []
    return [
        Criterion(one.id, one.compare if form == "pairwise" else one.text, one.weight)
        for one in constitution.principles
    ]


@dataclass(frozen=True)
class AiJudge:
    """name: as records call the annotator; criteria: asked one by one, none: the question as it
    is."""

    name: str
    answers: JudgeAnswers
    template: JudgeTemplate
    criteria: Sequence[Criterion] = ()

    @property
    def asked_by(self) -> list[Criterion | None]:
        """What each item is asked by: each criterion, or nothing."""
        return list(self.criteria) or [None]

    @property
    def questions_per_item(self) -> int:
        """How many questions a pair or response takes."""
        return len(self.asked_by) * (2 if self.template.form == "pairwise" else 1)

    def questions(self, prompt: str, responses: Sequence[str]) -> list[JudgeQuestion]:
        """All questions of an item: a pair's in both orders, in the texts' own order first."""
        orders = [responses]
        if self.template.form == "pairwise":
            texts = sorted(responses)
            orders = [texts, texts[::-1]]
        return [
            self.template.filled(prompt, shown, criterion)
            for criterion in self.asked_by
            for shown in orders
        ]

    def judge(self, items: Sequence[tuple[str, Sequence[str]]], later: int = 0) -> list[JudgedItem]:
        """A verdict on each (prompt, one response or two); later: questions that will follow."""
        asked = [self.questions(prompt, responses) for prompt, responses in items]
        answers = self.answers.ask([question for one in asked for question in one], later)
        size, found = self.questions_per_item, []
        for n, (_, responses) in enumerate(items):
            turned = len(responses) == 2 and responses[0] > responses[1]
            found.append(self._verdict(answers[n * size : (n + 1) * size], turned))
        return found

    def _verdict(self, answers: Sequence[JudgeAnswer | NoAnswer], turned: bool) -> JudgedItem:
        tokens = fsum(one.tokens for one in answers)
        costs = [one.cost for one in answers if one.cost is not None]
        cost = fsum(costs) if costs else None
        said = [one for one in answers if isinstance(one, JudgeAnswer)]
        if len(said) < len(answers):
            reason = next(one.reason for one in answers if isinstance(one, NoAnswer))
            return JudgedItem(None, reason, cost=cost, tokens=tokens)
        masses = [one.mass for one in said if one.mass is not None]
        keys = [one.key for one in said if one.key is not None]
        values, orders = self._values(said)
        value = self._mean(values)
        if self.template.form == "pairwise":
            values = [mirrorable(one) for one in values]
            value, orders = mirrorable(value), orders and _mirrorable_both(orders)
        if turned:
            values, value = [1 - one for one in values], 1 - value
            orders = orders and (1 - orders[1], 1 - orders[0])
        return JudgedItem(
            value,
            None,
            orders,
            dict(zip([one.id for one in self.criteria], values, strict=False)),
            tuple(sorted({one.how for one in said})),
            min(masses) if masses else None,
            hashlib.sha256(" ".join(keys).encode()).hexdigest()[:32] if keys else None,
            cost,
            tokens,
        )

    def _values(
        self, said: Sequence[JudgeAnswer]
    ) -> tuple[list[float], tuple[float, float] | None]:
        """(value by each criterion; of pairs P(first), shown first and second)."""
        if self.template.form == "rubric":
            return [one.p[0] for one in said], None
        if self.template.form == "pointwise":
            scores = [float(one) for one in self.template.allowed]
            return [_average(scores, one.p) for one in said], None
        shown_first = [one.p[0] for one in said[::2]]
        shown_second = [one.p[1] for one in said[1::2]]
        values = [(a + b) / 2 for a, b in zip(shown_first, shown_second, strict=True)]
        return values, (self._mean(shown_first), self._mean(shown_second))

    def _mean(self, values: Sequence[float]) -> float:
        if not self.criteria:
            return values[0]
        return _average(values, [one.weight for one in self.criteria])


@dataclass(frozen=True)
class Softening:
    """What is done to the probabilities of pairs. temperature: by which log-odds are divided, above
    1 for a judge that is too sure; clamp: probabilities are kept within [1 - clamp, clamp] (Bai et
    al. 2022 took .6), 1 changes nothing."""

    temperature: float = 1.0
    clamp: float = 1.0

    def __post_init__(self) -> None:
        if not 0.5 < self.clamp <= 1:
            raise ConfigError(f"a clamp of {self.clamp:g}", "give a probability above .5, up to 1")
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"a temperature of {self.temperature:g}", "give a number above 0")

    def __call__(self, p: float) -> float:
        """Of the other way round it is exactly one less this."""
        if p < 0.5:
            return 1 - self(1 - p)
        if self.temperature != 1:
            p = float(expit(logit(min(p, 1 - LEAST)) / self.temperature))
        return min(p, self.clamp)


def _average(values: Sequence[float], weights: Sequence[float]) -> float:
    """By weight, never outside of the values, by rounding either."""
    found = fsum(w * v for w, v in zip(weights, values, strict=True)) / fsum(weights)
    return min(max(found, min(values)), max(values))


def mirrorable(p: float) -> float:
    """The probability, rounded so that 1 - (1 - p) is p to the last bit."""
    return 1.0 - (1.0 - p)


def _mirrorable_both(orders: tuple[float, float]) -> tuple[float, float]:
    return mirrorable(orders[0]), mirrorable(orders[1])


def panel_of(judged: Sequence[JudgedItem]) -> JudgedItem:
    """What several judges say together of one item: the mean of their values; nothing where any of
    them says nothing."""
    silent = [one.reason for one in judged if one.value is None]
    costs = [one.cost for one in judged if one.cost is not None]
    cost, tokens = fsum(costs) if costs else None, fsum(one.tokens for one in judged)
    if silent:
        return JudgedItem(None, f"a member gave no verdict: {silent[0]}", cost=cost, tokens=tokens)
    orders = [one.orders for one in judged if one.orders is not None]
    masses = [one.mass for one in judged if one.mass is not None]
    keys = [one.key for one in judged if one.key is not None]
    return JudgedItem(
        _mean_of([one.value for one in judged if one.value is not None]),
        None,
        (_mean_of([o[0] for o in orders]), _mean_of([o[1] for o in orders])) if orders else None,
        {
            name: _mean_of([one.by_criterion[name] for one in judged])
            for name in judged[0].by_criterion
        },
        tuple(sorted({how for one in judged for how in one.how})),
        min(masses) if masses else None,
        hashlib.sha256(" ".join(keys).encode()).hexdigest()[:32] if keys else None,
        cost,
        tokens,
    )


def _mean_of(values: Sequence[float]) -> float:
    return _average(values, [1.0] * len(values))


def reasons_of(judged: Sequence[JudgedItem]) -> Counter[str]:
    """Why items have no verdict, counted."""
    return Counter(one.reason for one in judged if one.reason is not None)
