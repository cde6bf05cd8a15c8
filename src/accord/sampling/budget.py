"""What questions to an endpoint may cost: calls, tokens, money, known before they are asked."""

from __future__ import annotations

from dataclasses import dataclass

from accord.errors import AccordError, ConfigError
from accord.sampling.endpoint import ChatQuestion, Completion

BYTES_PER_TOKEN = 4
"""Of English in usual vocabularies, for what is expected. A token is never less than a byte, which
bounds what is possible."""
AROUND, MOST_AROUND = 4, 64
"""Tokens that a chat template adds to a message, expected and at most (a system prompt of its
own)."""


class BudgetError(AccordError):
    """The next question could cost more than is allowed; what was answered is kept."""

    exit_code = 2


@dataclass(frozen=True)
class Prices:
    """Money per million tokens of prompts and of responses, in whatever currency."""

    prompt: float = 0.0
    response: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.prompt < float("inf") and 0 <= self.response < float("inf")):
            raise ConfigError(
                f"prices of {self.prompt:g} and {self.response:g}", "give amounts from 0 on"
            )


@dataclass(frozen=True)
class Cost:
    """calls made; tokens of prompts and responses."""

    calls: int = 0
    prompt_tokens: float = 0.0
    response_tokens: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.response_tokens + other.response_tokens,
        )

    def times(self, factor: float) -> Cost:
        """So many times as much; calls are rounded up."""
        return Cost(
            -int(-self.calls * factor // 1),
            self.prompt_tokens * factor,
            self.response_tokens * factor,
        )

    @property
    def tokens(self) -> float:
        return self.prompt_tokens + self.response_tokens

    def money(self, prices: Prices) -> float:
        """At these prices."""
        paid = prices.prompt * self.prompt_tokens + prices.response * self.response_tokens
        return paid / 1e6


def expected(question: ChatQuestion) -> Cost:
    """What a question probably costs: its length over four bytes a token, and a response as long as
    is allowed."""
    return _cost(question, 1 / BYTES_PER_TOKEN, AROUND)


def most(question: ChatQuestion) -> Cost:
    """What a question may cost, if every byte is a token."""
    return _cost(question, 1.0, MOST_AROUND)


def _cost(question: ChatQuestion, tokens_per_byte: float, around: int) -> Cost:
    size = sum(len(text.encode("utf-8", "replace")) for _, text in question.messages)
    prompt = size * tokens_per_byte + around * len(question.messages)
    return Cost(1, round(prompt), question.max_tokens)


def charged(question: ChatQuestion, answer: Completion) -> Cost:
    """What an answer cost, as the endpoint counted it; where it did not, what it may have."""
    bound = most(question)
    prompt, response = answer.prompt_tokens, answer.response_tokens
    return Cost(
        1,
        bound.prompt_tokens if prompt is None else prompt,
        bound.response_tokens if response is None else response,
    )


@dataclass(frozen=True)
class Budget:
    """The most that may be spent; None: without a limit. prices: what money is counted by."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        for name, limit in (("calls", self.calls), ("tokens", self.tokens), ("money", self.money)):
            if limit is not None and not 0 <= limit < float("inf"):
                raise ConfigError(f"a budget of {limit} {name}", "give a number from 0 on")
        if self.money is not None and self.prices is None:
            raise ConfigError(
                "a budget in money needs prices", "say what a million tokens cost, with --price"
            )

    def exceeded_by(self, cost: Cost) -> str | None:
        """Which limit this would pass, in words."""
        for name, limit, asked in (
            ("calls", self.calls, float(cost.calls)),
            ("tokens", self.tokens, cost.tokens),
            ("money", self.money, cost.money(self.prices or Prices())),
        ):
            if limit is not None and asked > limit:
                form = ",.2f" if name == "money" else ",.0f"
                return f"{asked:{form}} {name}, {limit:{form}} are allowed"
        return None


class Ledger:
    """What was spent of a budget, and what is set aside for calls under way."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = Cost()
        self._aside = Cost()

    def reserve(self, cost: Cost) -> bool:
        """Set aside what a call may cost; False where it could pass a limit."""
        if self.budget.exceeded_by(self.spent + self._aside + cost) is not None:
            return False
        self._aside += cost
        return True

    def settle(self, reserved: Cost, paid: Cost) -> None:
        """A call has ended: it cost `paid`."""
        self._aside += reserved.times(-1)
        self.spent += paid
