"""How a stage asks models behind addresses: what it may spend, and where answers are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from accord.runs.context import StageContext
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.sampling.asking import Asker, AskingPlan, AskingSettings
    from accord.sampling.budget import Budget, Prices

ANSWERS = "answers.sqlite"
"""Answers of endpoints, in the stage's folder: a resumed stage asks nothing twice."""


class AskingConfig(Settings):
    """What questions to endpoints may cost."""

    calls: int | None = Field(None, ge=0, description="Calls at most; null: no limit.")
    tokens: int | None = Field(None, ge=0, description="Tokens at most, both ways.")
    money: float | None = Field(None, ge=0, description="Money at most; needs prices.")
    prompt_price: float | None = Field(
        None, ge=0, description="Of a million tokens of prompts, in your currency."
    )
    response_price: float | None = Field(
        None, ge=0, description="Of a million tokens of responses."
    )
    at_once: int = Field(16, ge=1, le=512, description="Calls side by side.")
    tries: int = Field(6, ge=1, le=20, description="Tries of one question.")
    first_wait: float = Field(
        1.0, ge=0, le=60, description="Seconds before the second try, doubled from try to try."
    )
    timeout: float = Field(120.0, gt=0, description="Seconds that an answer may take.")

    @model_validator(mode="after")
    def _money_has_prices(self) -> AskingConfig:
        if (self.prompt_price is None) != (self.response_price is None):
            raise ValueError("give both prompt_price and response_price, or none")
        if self.money is not None and self.prompt_price is None:
            raise ValueError("a limit in money needs prompt_price and response_price")
        return self

    @property
    def prices(self) -> Prices | None:
        """What money is counted by."""
        from accord.sampling.budget import Prices

        if self.prompt_price is None or self.response_price is None:
            return None
        return Prices(self.prompt_price, self.response_price)

    @property
    def budget(self) -> Budget:
        """What may be spent."""
        from accord.sampling.budget import Budget

        return Budget(self.calls, self.tokens, self.money, self.prices)

    def settings(self, context: StageContext) -> AskingSettings:
        """For all endpoints of the stage, which share the budget; what it takes is said."""
        from accord.sampling.asking import AskingSettings, Patience
        from accord.sampling.budget import Ledger

        def approve(name: str, plan: AskingPlan) -> None:
            for line in plan.lines(self.prices):
                context.say(f"{name}: {line}")

        return AskingSettings(
            Ledger(self.budget),
            Patience(self.at_once, self.tries, self.first_wait),
            self.timeout,
            approve,
        )

    def askers(self, names: list[str], context: StageContext) -> dict[str, Asker]:
        """One per address."""
        from accord.sampling.addresses import open_endpoints
        from accord.sampling.answer_cache import AnswerCache

        settings, cache = self.settings(context), AnswerCache(context.folder / ANSWERS)
        opened = open_endpoints(names, self.timeout)
        return {
            name: settings.asker(name, endpoint, cache)
            for name, endpoint in zip(names, opened, strict=True)
        }
