"""How a stage asks models behind addresses: what it may spend, and where answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from accord.runs.context import StageContext
from accord.seeds import derive_seed
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.oversight.judge_answers import JudgeAnswers
    from accord.oversight.writers import Writer
    from accord.sampling.asking import AskingPlan, AskingSettings
    from accord.sampling.budget import Budget, Cost, Prices

ANSWERS = "answers.sqlite"
"""Answers of endpoints, in the stage's folder unless another place is named: a resumed stage asks
nothing twice."""


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
    answers: str | None = Field(
        None,
        min_length=1,
        description="File in which answers are kept, of another run, say, of which nothing is asked"
        " again; null: one in the stage's folder.",
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

    def notes(self, most: Mapping[str, Cost]) -> list[str]:
        """What a plan says of calls to endpoints. most: by name, where every text is as long as is
        allowed."""
        from accord.sampling.budget import Cost

        lines = []
        for name, cost in most.items():
            line = f"{name}: at most {cost.calls:,} calls, about {cost.tokens:,.0f} tokens"
            if self.prices is not None:
                line += f", {cost.money(self.prices):,.2f} of money"
            lines.append(line)
        if (passed := self.budget.exceeded_by(sum(most.values(), Cost()))) is not None:
            lines.append(f"it may stop before its end: {passed}")
        return lines

    def kept(self, context: StageContext) -> Path:
        """Where answers are kept."""
        return context.folder / ANSWERS if self.answers is None else Path(self.answers)

    @contextmanager
    def within_budget(self, context: StageContext) -> Iterator[None]:
        """Within it, an error about the budget says how to go on: a run keeps its settings."""
        from accord.sampling.budget import BudgetError

        try:
            yield
        except BudgetError as error:
            raise BudgetError(
                error.message,
                "start a new run with more, to which what was answered is given:"
                f" {context.name}.asking.answers={self.kept(context)}",
            ) from error

    def writers(
        self,
        names: Sequence[str],
        temperature: float,
        context: StageContext,
        shared: AskingSettings | None = None,
    ) -> Callable[[str, int], Writer]:
        """(one of these models, most tokens) -> what writes as it: those behind addresses share the
        budget, and one on this machine is loaded once, when it is first asked for. shared: the
        stage's settings, where others spend of the same budget."""
        from accord.models.loading import freeze, load_causal_lm
        from accord.oversight.writers import EndpointWriter, ModelWriter
        from accord.sampling.addresses import is_remote, open_askers
        from accord.sampling.answer_cache import AnswerCache

        remote = [name for name in names if is_remote(name)]
        cache = AnswerCache(self.kept(context) if remote else None)
        askers = open_askers(remote, shared or self.settings(context), cache)
        models: dict[str, CausalLM] = {}

        def writer(name: str, limit: int) -> Writer:
            if name in askers:
                return EndpointWriter(askers[name], limit, temperature)
            if name not in models:
                models[name] = freeze(load_causal_lm(context.resolve(name), context.device))
            encoder = context.encoder(models[name])
            return ModelWriter(models[name], encoder, name, limit, temperature)

        return writer

    def judges(
        self,
        names: Sequence[str],
        context: StageContext,
        shared: AskingSettings,
        reasoning_tokens: int = 0,
    ) -> dict[str, JudgeAnswers]:
        """Who answers a judge's questions, by name; shared: the stage's settings."""
        from accord.runs.ai_feedback import Answering, open_answers
        from accord.sampling.answer_cache import AnswerCache

        seed = derive_seed(context.seed, "judge") % 2**31  # as endpoints take them
        how = Answering(reasoning_tokens=reasoning_tokens, seed=seed)
        kept = AnswerCache(self.kept(context))
        return open_answers(names, how, kept, shared, context.resolve)


def check_askable(names: Sequence[str], context: StageContext) -> None:
    """Before anything runs: addresses that can be ones, models that are there. Raises
    ConfigError."""
    from accord.runs.known import known_model
    from accord.sampling.addresses import is_remote, open_endpoints

    remote = [name for name in names if is_remote(name)]
    if remote:
        open_endpoints(remote)
    for name in names:
        if name not in remote:
            known_model(name, "policy", context)
