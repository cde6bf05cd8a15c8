"""Many questions to an endpoint: side by side, each once, within a budget.

What was answered before comes from the cache. What fails for the moment is tried again after a
while, or after what the endpoint asks for; what fails for good is unanswered, with the reason, and
is asked again by the next run. Nothing is ever put in place of an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import httpx2

from accord.background import wait_for
from accord.errors import AccordError, ConfigError
from accord.network import async_client
from accord.sampling.answer_cache import AnswerCache, question_key
from accord.sampling.budget import Budget, BudgetError, Cost, Ledger, Prices, charged, expected
from accord.sampling.budget import most as most_cost
from accord.sampling.endpoint import ChatQuestion, Completion, Endpoint, EndpointError
from accord.seeds import generator

GIVE_UP = 10
"""Questions in a row that stay unanswered before one is answered, after which no more are asked."""


@dataclass(frozen=True)
class Patience:
    """at_once: calls under way side by side; tries: of one question; first_wait, longest_wait:
    seconds before the second try, doubled from try to try up to the longest. An endpoint that asks
    for more than `longest_wait` is given up."""

    at_once: int = 16
    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        if self.at_once < 1 or self.tries < 1:
            raise ConfigError(
                f"{self.at_once} calls at once, {self.tries} tries", "both are at least 1"
            )


@dataclass(frozen=True)
class Unanswered:
    """Why a question has no answer."""

    reason: str


@dataclass(frozen=True)
class AskingPlan:
    """Before anything is asked. kept: questions that were answered before; cost: what the others
    probably take, most: what they may take; later: how many more may follow from the answers."""

    questions: int
    kept: int
    cost: Cost
    most: Cost
    later: int = 0

    def lines(self, prices: Prices | None) -> list[str]:
        """In words, money where prices are known."""
        more = f", and up to {self.later:,} that depend on the answers" if self.later else ""
        whole = self.whole
        tokens = f"about {whole.tokens:,.0f} tokens, at most {self._most.tokens:,.0f}"
        if prices is not None:
            tokens += f"; {whole.money(prices):,.2f} of money, at most "
            tokens += f"{self._most.money(prices):,.2f}"
        return [f"{self.kept:,} kept answers, {self.cost.calls:,} to ask{more}", tokens]

    @property
    def whole(self) -> Cost:
        """What probably all of it takes, those that follow as much as these on average."""
        return self.cost.times(self._share)

    @property
    def _most(self) -> Cost:
        return self.most.times(self._share)

    @property
    def _share(self) -> float:
        return 1 + self.later / self.cost.calls if self.cost.calls else 1.0


@dataclass
class Asker:
    """Puts questions to an endpoint. approve: called once with the plan before the first call is
    paid for, and may refuse by raising; progress: called with (done, questions, spent).

    ledger: what may be spent and was, which several may share; `waited` is how many tries failed
    for a while; `busy` is the integral of calls under way, in seconds."""

    endpoint: Endpoint
    cache: AnswerCache = field(default_factory=lambda: AnswerCache(None))
    ledger: Ledger = field(default_factory=lambda: Ledger(Budget()))
    patience: Patience = field(default_factory=Patience)
    approve: Callable[[AskingPlan], None] | None = None
    progress: Callable[[int, int, Cost], None] | None = None

    def __post_init__(self) -> None:
        self.waited, self.busy = 0, 0.0
        self._approved = False
        self._quiet_until = 0.0

    def plan(self, questions: Sequence[ChatQuestion], later: int = 0) -> AskingPlan:
        """What asking these takes; the same question twice is one."""
        whole, fresh = len(set(questions)), self._fresh(questions)
        costs = [expected(question) for question in fresh.values()]
        bounds = [most_cost(question) for question in fresh.values()]
        return AskingPlan(whole, whole - len(fresh), sum(costs, Cost()), sum(bounds, Cost()), later)

    def ask(
        self, questions: Sequence[ChatQuestion], later: int = 0
    ) -> list[Completion | Unanswered]:
        """An answer to each, in order. later: how many more may follow, for the plan.

        Raises BudgetError where the plan passes the budget (before anything is asked), or the next
        call could (what was answered is kept); EndpointError where no question can be answered.
        """
        return wait_for(self.ask_async(questions, later))

    async def ask_async(
        self, questions: Sequence[ChatQuestion], later: int = 0
    ) -> list[Completion | Unanswered]:
        """`ask`, for callers that run a loop of their own."""
        fresh = self._fresh(questions)
        if fresh:
            self._start(self.plan(questions, later))
        keys = [question_key(self.endpoint, question) for question in questions]
        failed = await _Round(self, fresh, len(set(keys))).run() if fresh else {}
        return [failed.get(key) or self._kept(key) for key in keys]

    def _kept(self, key: str) -> Completion:
        found = self.cache.get(key)
        assert found is not None, "a question was neither answered nor given up"
        return found

    def _fresh(self, questions: Sequence[ChatQuestion]) -> dict[str, ChatQuestion]:
        keyed = {question_key(self.endpoint, question): question for question in questions}
        return {key: one for key, one in keyed.items() if self.cache.get(key) is None}

    def _start(self, plan: AskingPlan) -> None:
        passed = self.ledger.budget.exceeded_by(self.ledger.spent + plan.whole)
        if passed is not None:
            raise BudgetError(
                f"this would take {passed}; nothing was asked",
                "raise the budget, or ask about fewer",
            )
        if self.approve is not None and not self._approved:
            self.approve(plan)
        self._approved = True

    def pause(self, seconds: float) -> None:
        """No call starts for so long."""
        self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    @property
    def quiet(self) -> float:
        """Seconds until a call may start."""
        return self._quiet_until - time.monotonic()


@dataclass(frozen=True)
class AskingSettings:
    """How the endpoints of one command are asked; they share what may be spent. timeout: seconds;
    approve, progress: as an `Asker` has them, told the endpoint's name first."""

    ledger: Ledger = field(default_factory=lambda: Ledger(Budget()))
    patience: Patience = field(default_factory=Patience)
    timeout: float = 120.0
    approve: Callable[[str, AskingPlan], None] | None = None
    progress: Callable[[str, int, int, Cost], None] | None = None

    def asker(self, name: str, endpoint: Endpoint, cache: AnswerCache) -> Asker:
        """For one of them."""
        return Asker(
            endpoint,
            cache,
            self.ledger,
            self.patience,
            None if self.approve is None else partial(self.approve, name),
            None if self.progress is None else partial(self.progress, name),
        )


class _Round:
    """Fresh questions, put by as many workers as calls are allowed. What ends it early lets calls
    under way come to their end: they are paid for."""

    def __init__(self, asker: Asker, fresh: dict[str, ChatQuestion], questions: int) -> None:
        self.asker, self.waiting = asker, deque(fresh.items())
        self.questions, self.done = questions, questions - len(fresh)
        self.failed: dict[str, Unanswered] = {}
        self.answered, self.under_way = False, 0
        self.settled, self.ended = asyncio.Condition(), asyncio.Event()
        self.error: AccordError | None = None

    async def run(self) -> dict[str, Unanswered]:
        """Why questions stayed unanswered. Raises what ended it early."""
        workers = min(self.asker.patience.at_once, len(self.waiting))
        async with async_client(self.asker.endpoint.timeout, "accord", workers) as client:
            await asyncio.gather(*(self._work(client) for _ in range(workers)))
        if self.error is not None:
            raise self.error
        return self.failed

    async def _work(self, client: httpx2.AsyncClient) -> None:
        try:
            while self.waiting and not self.ended.is_set():
                key, question = self.waiting.popleft()
                faster = self.asker.cache.get(key) is not None  # another process was
                answered = faster or await self._put(client, key, question)
                self.done += answered
                if self.asker.progress is not None:
                    done = self.done + len(self.failed)
                    self.asker.progress(done, self.questions, self.asker.ledger.spent)
        except AccordError as error:
            self.error = self.error or error
            self.ended.set()

    async def _put(self, client: httpx2.AsyncClient, key: str, question: ChatQuestion) -> bool:
        """Whether it was answered."""
        patience = self.asker.patience
        for number in range(patience.tries):
            try:
                answer = await self._call(client, question)
            except EndpointError as error:
                if error.hopeless:
                    raise
                seconds = self._wait(key, number, error)
                if not error.again or number + 1 == patience.tries or seconds is None:
                    self._give_up(key, error)
                    return False
                self.asker.waited += 1
                await self._sleep(seconds)
            else:
                if answer is not None:
                    self.asker.cache.keep(key, self.asker.endpoint.model, answer)
                    self.answered = True
                return answer is not None
        return False

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until no more is asked."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), seconds)

    async def _call(self, client: httpx2.AsyncClient, question: ChatQuestion) -> Completion | None:
        """One try, paid for from what is set aside for it; None where no more is asked."""
        while (seconds := self.asker.quiet) > 0 and not self.ended.is_set():
            await self._sleep(seconds)
        bound = most_cost(question)
        if not await self._reserve(bound):
            return None
        paid, started = bound, time.monotonic()
        try:
            answer = await self.asker.endpoint.answer(client, question)
            paid = charged(question, answer)
        except EndpointError as error:
            paid = bound if error.charged else Cost(calls=1)
            raise
        finally:
            self.asker.busy += time.monotonic() - started
            async with self.settled:
                self.under_way -= 1
                self.asker.ledger.settle(bound, paid)
                self.settled.notify_all()
        return answer

    async def _reserve(self, bound: Cost) -> bool:
        """Calls under way mostly cost less than is set aside for them: wait for those first. False
        where no more is asked."""
        ledger = self.asker.ledger
        async with self.settled:
            while not (self.ended.is_set() or ledger.reserve(bound)):
                if not self.under_way:
                    passed = ledger.budget.exceeded_by(ledger.spent + bound)
                    raise BudgetError(
                        f"the next question could take {passed}; {self.done:,} of"
                        f" {self.questions:,} are answered and kept",
                        "raise the budget and run it again: only the others are asked",
                    )
                await self.settled.wait()
            if self.ended.is_set():
                return False
            self.under_way += 1
            return True

    def _wait(self, key: str, number: int, error: EndpointError) -> float | None:
        """Seconds before the next try; None where the endpoint asks for too many. Half of the time
        is by chance, so that calls that failed together do not come back together."""
        patience = self.asker.patience
        if error.wait is not None:
            if error.wait > patience.longest_wait:
                return None
            self.asker.pause(error.wait)
        back_off = min(patience.first_wait * 2.0**number, patience.longest_wait)
        chance = float(generator(int(key[:8], 16), "wait", number).uniform(0.5, 1.0))
        return max(back_off * chance, error.wait or 0.0)

    def _give_up(self, key: str, error: EndpointError) -> None:
        self.failed[key] = Unanswered(error.message)
        if not self.answered and len(self.failed) >= GIVE_UP:
            raise EndpointError(
                f"none of the first {len(self.failed)} questions was answered: {error.message}",
                error.fix or "see what the endpoint says, then run it again",
                hopeless=True,
            )
