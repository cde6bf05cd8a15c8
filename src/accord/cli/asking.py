"""Options of commands that ask endpoints, and what is shown before and while they do. Only click is
imported here, as in main.py."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import safe_text
from accord.errors import ConfigError

if TYPE_CHECKING:
    from accord.runs.judges import JudgeSettings
    from accord.sampling.asking import AskingPlan, AskingSettings
    from accord.sampling.budget import Cost, Prices

EVERY = 10.0
"""Seconds between two lines of progress."""
_OPTIONS = (
    click.option(
        "--cache",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where answers of endpoints are kept (default: ~/.cache/accord/answers.sqlite).",
    ),
    click.option(
        "--no-cache", is_flag=True, help="Keep no answers; what was paid for is asked again."
    ),
    click.option("--budget-calls", type=click.IntRange(0), help="Calls to endpoints at most."),
    click.option("--budget-tokens", type=click.IntRange(0), help="Tokens at most, both ways."),
    click.option("--budget-money", "--budget", type=float, help="Money at most; needs --price."),
    click.option(
        "--price",
        metavar="IN,OUT",
        help="Of a million tokens of prompts and of answers, in your currency: 0.15,0.60.",
    ),
    click.option(
        "--at-once",
        default=16,
        show_default=True,
        type=click.IntRange(1, 512),
        help="Calls side by side.",
    ),
    click.option(
        "--timeout",
        default=120.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Seconds that an endpoint may take for an answer.",
    ),
    click.option(
        "--answer-tokens",
        default=16,
        show_default=True,
        type=click.IntRange(1),
        help="Longest answer; more for a judge that reasons first.",
    ),
    click.option("--yes", is_flag=True, help="Do not ask before an endpoint is called."),
)
NAMES = (
    "cache", "no_cache", "budget_calls", "budget_tokens", "budget_money", "price", "at_once",
    "timeout", "answer_tokens", "yes",
)  # fmt: skip


KEPT = ("cache", "no_cache")
"""Those that say where answers are kept."""


def asking_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options; the command gets them as one keyword, `asking`."""
    return _with(NAMES, command)


def budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same without those of a cache, of which the command has its own."""
    return _with(tuple(name for name in NAMES if name not in KEPT), command)


def _with(names: tuple[str, ...], command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def gathered(**given: Any) -> None:
        asking = {name: given.pop(name) for name in names}
        command(**given, asking=asking)

    decorated: Callable[..., None] = gathered
    for name, option in reversed(list(zip(NAMES, _OPTIONS, strict=True))):
        decorated = option(decorated) if name in names else decorated
    return decorated


def judge_settings(asking: dict[str, Any], since: float = 0.0) -> JudgeSettings:
    """What the options ask for. since: older answers are asked for again."""
    from accord.runs.judges import JudgeSettings
    from accord.sampling.answer_cache import default_cache

    if asking["no_cache"] and asking["cache"] is not None:
        raise ConfigError("--cache and --no-cache", "name one of them")
    return JudgeSettings(
        cache=None if asking["no_cache"] else asking["cache"] or default_cache(),
        since=since,
        answer_tokens=asking["answer_tokens"],
        asking=asking_settings(asking),
    )


def asking_settings(asking: dict[str, Any]) -> AskingSettings:
    """Budget, patience, and what is shown."""
    from accord.sampling.asking import AskingSettings, Patience
    from accord.sampling.budget import Budget, Ledger

    prices = _prices(asking["price"])
    budget = Budget(asking["budget_calls"], asking["budget_tokens"], asking["budget_money"], prices)
    return AskingSettings(
        ledger=Ledger(budget),
        patience=Patience(at_once=asking["at_once"]),
        timeout=asking["timeout"],
        approve=_approval(asking["yes"], prices),
        progress=_progress(prices),
    )


def _prices(text: str | None) -> Prices | None:
    from accord.sampling.budget import Prices

    if text is None:
        return None
    try:
        prompt, response = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--price {text}: two amounts are wanted", "write --price 0.15,0.60"
        ) from None
    return Prices(prompt, response)


def _approval(yes: bool, prices: Prices | None) -> Callable[[str, AskingPlan], None]:
    def approve(name: str, plan: AskingPlan) -> None:
        for line in plan.lines(prices):
            click.echo(f"{safe_text(name)}: {line}", err=True)
        if not yes:
            click.confirm("ask?", abort=True, err=True)

    return approve


def _progress(prices: Prices | None) -> Callable[[str, int, int, Cost], None]:
    last = [time.monotonic()]

    def progress(name: str, done: int, questions: int, spent: Cost) -> None:
        now = time.monotonic()
        if now - last[0] > EVERY or (done == questions and sys.stderr.isatty()):
            last[0] = now
            paid = "" if prices is None else f", {spent.money(prices):,.2f} of money"
            line = f"{safe_text(name)}: {done:,} of {questions:,}, {spent.tokens:,.0f} tokens{paid}"
            click.echo(line, err=True)

    return progress
