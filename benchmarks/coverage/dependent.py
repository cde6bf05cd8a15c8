"""Cells of what votes of one prompt say together: the pull of the first place, drift, groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from accord.feedback.drift import error_channel, watch
from accord.feedback.position import DecidedPairs, PromptShares, of_pairs
from accord.feedback.representation import agreement_of_groups
from accord.statistics.intervals import Array, Interval
from benchmarks.coverage.registry import Cell, Drawn, add

Rng = np.random.Generator


# --- the first place ------------------------------------------------------------------------------
def placed(rng: Rng, prompts: int, each: int, differing: float) -> DecidedPairs:
    """Votes between six models, each worth more or less on every prompt, where the first place
    gains .25 logits, on some prompts more than on others."""
    models, prompt = 6, np.repeat(np.arange(prompts), each)
    scores = rng.normal(size=models) + 0.4 * rng.normal(size=(prompts, models))
    pull = 0.25 + differing * rng.normal(size=prompts)
    first = rng.integers(models, size=len(prompt))
    second = (first + rng.integers(1, models, size=len(prompt))) % models
    gap = scores[prompt, first] - scores[prompt, second] + pull[prompt]
    won = (rng.random(len(prompt)) < 1 / (1 + np.exp(-gap))).astype(np.float64)
    low, high = np.minimum(first, second), np.maximum(first, second)
    ones = np.ones(len(prompt))
    return DecidedPairs(first, second, won, ones, ones, prompt, (prompt * 6 + low) * 6 + high)


def pull(pairs: DecidedPairs) -> Interval:
    """As the audit has it."""
    return of_pairs(pairs, PromptShares.of_pairs(pairs)).pull


@cache
def pull_truth(differing: float) -> float:
    """In 4,000 prompts: spread between prompts makes the pull of all a little smaller."""
    return pull(placed(np.random.default_rng(0), 4000, 40, differing)).value


for prompts, each in ((12, 60), (60, 10), (200, 3)):
    for differing in (0.0, 0.5):
        add(
            Cell(
                "position",
                f"{prompts} prompts, {each} votes each, pull .25 ± {differing:g} between prompts",
                prompts,
                lambda rng, n=prompts, k=each, d=differing: (placed(rng, n, k, d), pull_truth(d)),
                pull,
                slow=True,
                tested=40,
            )
        )


# --- drift ------------------------------------------------------------------------------------------
def changing(prompts: int, each: int, early: float, late: float) -> Callable[[Rng], Drawn]:
    """Gold errors whose rate changes after half of the prompts; those of one prompt are the same
    half of the time."""

    def draw(rng: Rng) -> Drawn:
        rate = np.where(np.arange(prompts) < prompts // 2, early, late)[:, None]
        common = rng.random((prompts, 1)) < 0.5
        u = np.where(common, rng.random((prompts, 1)), rng.random((prompts, each)))
        return ((u < rate).ravel(), np.repeat(np.arange(prompts), each)), [early, late]

    return draw


def rates(data: tuple[Array, Array]) -> list[Interval | None]:
    """Before and after, as the report of drift has them where it alarms."""
    errors, prompt = data
    channel = error_channel(errors.tolist(), np.arange(len(errors)))
    found = watch(replace(channel, prompt=prompt), orders=100)
    return [found.before, found.after]


for prompts, each in ((200, 1), (60, 4)):
    for early, late in ((0.1, 0.6), (0.02, 0.5)):
        add(
            Cell(
                "drift, before and after",
                f"{prompts} prompts, {each} judgements each, errors {early:.0%} to {late:.0%}",
                prompts,
                changing(prompts, each, early, late),
                rates,
                slow=True,
                tested=20,
            )
        )


# --- groups -----------------------------------------------------------------------------------------
def grouped(prompts: int, pairs: int, loyal: float) -> Callable[[Rng], Drawn]:
    """Two groups of three who judge the same pairs. A group's answer is the other's but for half of
    the pairs, pairs of one prompt together half of the time; everybody gives it with chance
    `loyal`."""

    def draw(rng: Rng) -> Drawn:
        common = rng.random((prompts, 1)) < 0.5
        apart = np.where(common, rng.random((prompts, 1)), rng.random((prompts, pairs))) < 0.5
        votes = {}
        for p in range(prompts):
            for k in range(pairs):
                given = {}
                for a in range(6):
                    answer = (a >= 3 and apart[p, k]) != (rng.random() > loyal)
                    given[f"a{a}"] = 1.0 if answer else -1.0
                votes[f"{p}", f"{k}", ""] = given
        within = loyal**2 + (1 - loyal) ** 2
        return votes, [within, 0.5, within - 0.5]

    return draw


def agreements(
    votes: dict[tuple[str, str, str], dict[str, float]],
) -> list[Interval | None]:
    """Of the first group: within, with the others, the difference."""
    of = {f"a{a}": "first" if a < 3 else "second" for a in range(6)}
    return list(agreement_of_groups(votes, of, ["first", "second"])["first"])


for prompts, pairs in ((10, 3), (60, 1), (60, 4)):
    for loyal in (0.7, 0.95):
        add(
            Cell(
                "groups: within, between, difference",
                f"{prompts} prompts x {pairs} pairs, loyal in {loyal:.0%}",
                prompts,
                grouped(prompts, pairs, loyal),
                agreements,
                slow=True,
                tested=100,
            )
        )
