"""What an AI judge answers: probabilities of the answers that count, from a local model or an
endpoint, and why there are none where there are none.

Three ways to read an answer, best first: `logprobs`, the probabilities of the allowed answers as
the model's next words; `samples`, their shares among several sampled answers; `text`, one answer
that says one of them. A judge that reasons first writes its reasons, and is then asked for the
answer alone, so that it is read in the same way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp, fsum
from typing import Literal, Protocol, TypeVar

from accord.errors import ConfigError
from accord.oversight.judge_questions import REASON, JudgeQuestion
from accord.sampling.answer_cache import question_key
from accord.sampling.asking import Asker, Unanswered
from accord.sampling.budget import charged
from accord.sampling.endpoint import ChatQuestion, Completion
from accord.seeds import derive_seed

TOP = 5
"""Likeliest first tokens that an endpoint is asked for, at least; and twice as many as answers are
allowed."""
MOST_TOP = 20
"""That the OpenAI interface allows."""
SURE_FORM = 0.5
"""Probability that the allowed answers must have together as the first token for their shares to be
read."""
_P = TypeVar("_P", int, tuple[int, int])
How = Literal["logprobs", "text", "samples", "function"]


@dataclass(frozen=True)
class JudgeAnswer:
    """p: of each allowed answer, summing to 1; how it was read; mass: of the allowed answers
    together, None where it is not known; key: of the answer in the cache; cost: money, None where
    no prices are known; tokens: paid for, 0 for local models."""

    p: tuple[float, ...]
    how: How
    mass: float | None = None
    key: str | None = None
    cost: float | None = None
    tokens: float = 0.0


@dataclass(frozen=True)
class NoAnswer:
    """Why there is no answer that counts; key: of the answer in the cache, if there is any."""

    reason: str
    key: str | None = None
    cost: float | None = None
    tokens: float = 0.0


class JudgeAnswers(Protocol):
    """Whoever answers a judge's questions."""

    def ask(
        self, questions: Sequence[JudgeQuestion], later: int = 0
    ) -> list[JudgeAnswer | NoAnswer]:
        """An answer to each, in order; later: how many more questions will follow."""


# --- reading --------------------------------------------------------------------------------------
def answer_shares(
    first_logps: object, allowed: Sequence[str]
) -> tuple[tuple[float, ...], float] | None:
    """(probability of each allowed answer, of those alone; their mass) as the first token; None
    where they are not what the model says."""
    if not isinstance(first_logps, Mapping):
        return None
    mass = {one.casefold(): 0.0 for one in allowed}
    for token, logp in first_logps.items():
        said = token.strip().strip("*([\"'").casefold()
        if said in mass:
            mass[said] += exp(logp)
    whole = fsum(mass.values())
    if whole < SURE_FORM:
        return None
    return tuple(value / whole for value in mass.values()), min(1.0, whole)


def answer_in(text: str, allowed: Sequence[str]) -> str | None:
    """The allowed answer that a text gives: its first or last line has to be one, and if both are
    they have to agree."""
    whole, beginning = _patterns(tuple(allowed))
    lines = [line for line in text.splitlines() if line.strip()]
    found = set()
    for line in {0: lines[0], 1: lines[-1]}.values() if lines else ():
        match = whole.fullmatch(line) or beginning.fullmatch(line)
        if match:
            found.add(match[1].casefold())
    if len(found) != 1:
        return None
    said = found.pop()
    return next(one for one in allowed if one.casefold() == said)


@cache
def _patterns(allowed: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    one = "|".join(re.escape(answer) for answer in allowed)
    whole = re.compile(
        r"[\W_]*(?:(?:the\s+)?(?:(?:final|better|best|my)\s+)*"
        r"(?:answer|response|choice|verdict|option|score|rating)"
        r"\s*(?:is)?[\W_]*)?(?:(?:response|option|answer)\s+)?[\W_]*(" + one + r")[\W_]*"
        r"(?:is\s+(?:the\s+)?(?:better|best)(?:\s+(?:one|response|answer))?)?[\W_]*",
        re.IGNORECASE,
    )
    if all(len(answer) == 1 for answer in allowed):  # "a) ..." counts items
        return whole, re.compile(rf"[\W_]*({one})[.:)\]*_]+(?:\s.*)?")
    return whole, re.compile(rf"[\W_]*({one})[.,:)\]*_]+(?:\s.*)?", re.IGNORECASE)


# --- endpoints ------------------------------------------------------------------------------------
class EndpointAnswers:
    """A model behind an address. samples: answers drawn where it gives no log-probabilities (1: the
    one text); reasoning_tokens: longest reasoning before the answer, 0 for none. A question whose
    answers fail in part has none: what is left would be those that are easy to answer."""

    def __init__(
        self,
        asker: Asker,
        answer_tokens: int = 16,
        temperature: float = 0.0,
        samples: int = 1,
        reasoning_tokens: int = 0,
        seed: int = 0,
    ) -> None:
        self.asker, self.answer_tokens, self.temperature = asker, answer_tokens, temperature
        self.samples, self.reasoning_tokens, self.seed = samples, reasoning_tokens, seed
        if samples < 1 or (samples > 1 and temperature <= 0):
            raise ConfigError(
                f"{samples} samples at temperature {temperature:g} are the same answer each time",
                "give a temperature above 0, or take one sample",
            )

    def chat_questions(self, questions: Sequence[JudgeQuestion]) -> list[ChatQuestion]:
        """The first call of each: its reasoning, or the answer."""
        if self.reasoning_tokens:
            return [
                ChatQuestion(
                    (("user", q.text + REASON),), self.reasoning_tokens, self.temperature, self.seed
                )
                for q in questions
            ]
        return [self._answering((("user", f"{q.text}\n\n{q.closing}"),), q) for q in questions]

    def _answering(
        self, messages: tuple[tuple[str, str], ...], question: JudgeQuestion
    ) -> ChatQuestion:
        top = min(MOST_TOP, max(TOP, 2 * len(question.allowed)))
        return ChatQuestion(messages, self.answer_tokens, self.temperature, self.seed, top)

    def ask(
        self, questions: Sequence[JudgeQuestion], later: int = 0
    ) -> list[JudgeAnswer | NoAnswer]:
        """Raises what `Asker.ask` does."""
        found: dict[int, JudgeAnswer | NoAnswer] = {}
        first = self.chat_questions(questions)
        spent = [_Spent() for _ in questions]
        if self.reasoning_tokens:
            reasons = self._paid(dict(enumerate(first)), later + len(questions), spent)
            first = []
            for n, (question, said) in enumerate(zip(questions, reasons.values(), strict=True)):
                told = _reasoned(said, self.reasoning_tokens)
                if isinstance(told, NoAnswer):
                    found[n] = told
                    told = ""
                asked = (("user", question.text + REASON), ("assistant", told))
                first.append(self._answering((*asked, ("user", question.closing)), question))
        asked_now = {n: one for n, one in enumerate(first) if n not in found}
        drawn: dict[int, list[str]] = {}
        for n, said in self._paid(asked_now, later, spent).items():
            read = self._read(said, questions[n], question_key(self.asker.endpoint, first[n]))
            found[n] = read
            if isinstance(read, JudgeAnswer) and read.how == "text" and self.samples > 1:
                drawn[n] = [questions[n].allowed[read.p.index(1.0)]]
        self._sample(questions, first, drawn, found, spent, later)
        return [spent[n].on(found[n]) for n in range(len(questions))]

    def _sample(
        self,
        questions: Sequence[JudgeQuestion],
        first: Sequence[ChatQuestion],
        drawn: dict[int, list[str]],
        found: dict[int, JudgeAnswer | NoAnswer],
        spent: Sequence[_Spent],
        later: int,
    ) -> None:
        """Ask the rest of the samples of questions that were read as a text."""
        seeds = [derive_seed(self.seed, "judge sample", k) % 2**31 for k in range(1, self.samples)]
        more = {
            (n, k): ChatQuestion(first[n].messages, self.answer_tokens, self.temperature, seed)
            for n in drawn
            for k, seed in enumerate(seeds, 1)
        }
        said_of = self._paid(more, later, spent)
        for (n, _), said in said_of.items():
            read = self._read(said, questions[n], None)
            if isinstance(read, NoAnswer):
                found[n] = NoAnswer(read.reason)
            else:
                drawn[n].append(questions[n].allowed[read.p.index(1.0)])
        for n, answers in drawn.items():
            if isinstance(before := found[n], JudgeAnswer):
                counts = Counter(answers)
                p = tuple(counts[one] / len(answers) for one in questions[n].allowed)
                found[n] = JudgeAnswer(p, "samples", None, before.key)

    def _paid(
        self, asked: dict[_P, ChatQuestion], later: int, spent: Sequence[_Spent]
    ) -> dict[_P, Completion | Unanswered]:
        said = dict(zip(asked, self.asker.ask(list(asked.values()), later), strict=True))
        prices = self.asker.ledger.budget.prices
        for place, one in said.items():
            if isinstance(one, Completion):
                cost = charged(asked[place], one)
                n = place[0] if isinstance(place, tuple) else place
                spent[n].add(cost.tokens, None if prices is None else cost.money(prices))
        return said

    def _read(
        self, said: Completion | Unanswered, question: JudgeQuestion, key: str | None
    ) -> JudgeAnswer | NoAnswer:
        if isinstance(said, Unanswered):
            return NoAnswer(f"unanswered: {said.reason}", key)
        shares = answer_shares(said.first_logps, question.allowed)
        if shares is not None:
            return JudgeAnswer(shares[0], "logprobs", shares[1], key)
        answer = answer_in(said.text, question.allowed)
        if answer is None:
            cut = "" if said.finished else f"cut at {self.answer_tokens} tokens: "
            return NoAnswer(f"{cut}answered {said.text[:60]!r}", key)
        return JudgeAnswer(
            tuple(float(one == answer) for one in question.allowed), "text", None, key
        )


class _Spent:
    """Of one question: tokens, and money where prices are known."""

    def __init__(self) -> None:
        self.tokens = 0.0
        self.money: float | None = None

    def add(self, tokens: float, money: float | None) -> None:
        """One more call."""
        self.tokens += tokens
        if money is not None:
            self.money = money + (self.money or 0.0)

    def on(self, found: JudgeAnswer | NoAnswer) -> JudgeAnswer | NoAnswer:
        """The answer with what its calls cost."""
        return replace(found, cost=self.money, tokens=self.tokens)


def _reasoned(said: Completion | Unanswered, tokens: int) -> str | NoAnswer:
    if isinstance(said, Unanswered):
        return NoAnswer(f"unanswered: {said.reason}")
    if not said.finished:
        return NoAnswer(f"the reasoning was cut at {tokens} tokens")
    if not said.text.strip():
        return NoAnswer("the reasoning is empty")
    return said.text
