"""Cells of agreement: prompts judged by several annotators, with taste, ties and clear cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from accord.feedback.agreement import Agreement, ceiling, measure_units
from accord.feedback.agreement_kinds import measure_scale
from accord.statistics.cohen import kappa
from accord.statistics.intervals import Interval
from accord.statistics.krippendorff import Level
from benchmarks.coverage.registry import Cell, Drawn, add

LEVELS: tuple[Level, ...] = ("ordinal", "interval")
Units = list[list[list[float]]]
"""Votes (1, 0, -1) per prompt and pair of options."""


Chances = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""Draws chances of a vote for the first of two options."""


def crowd(
    prompts: int, raters: int, chances: Chances, ties: float, pairs: int = 1
) -> Callable[[np.random.Generator], Units]:
    """Draws votes: every pair of options has its chance of a vote for the first, pairs of one prompt
    have one in common with chance a half each; a vote is a tie with chance `ties`."""

    def draw(rng: np.random.Generator) -> Units:
        common = rng.random((prompts, pairs)) < 0.5
        shape = (prompts, pairs)
        p = np.where(common, chances(rng, (prompts, 1)), chances(rng, shape))[..., None]
        votes = np.where(rng.random((*shape, raters)) < p, 1.0, -1.0)
        tied: Units = np.where(rng.random((*shape, raters)) < ties, 0.0, votes).tolist()
        return tied

    return draw


def clear(q: float) -> Chances:
    """Every annotator gives the majority's answer with chance q; either option may be better."""
    return lambda rng, shape: np.where(rng.random(shape) < 0.5, q, 1 - q)


def mixed(a: float) -> Chances:
    """Clear pairs and split ones: Beta(a, a)."""
    return lambda rng, shape: rng.beta(a, a, shape)


def expected(square: float, ties: float) -> dict[str, float]:
    """Truth, where a pair's chance p of a vote for the first is symmetric with E p^2 = `square`."""
    strict = 1 - 2 * (0.5 - square)
    same = ties**2 + (1 - ties) ** 2 * strict
    chance = ties**2 + (1 - ties) ** 2 / 2
    return {
        "strict": strict,
        "with_ties": same,
        "alpha": 1 - (1 - same) / (1 - chance),
        "ceiling": ceiling(strict),
    }


def _cells() -> None:
    titles = {
        "with_ties": "agreement",
        "strict": "strict agreement",
        "alpha": "alpha",
        "ceiling": "ceiling",
    }
    kinds: dict[str, tuple[Chances, float]] = {
        "hard": (clear(0.6), (0.6**2 + 0.4**2) / 2),
        "usual": (mixed(1.0), 1 / 3),
        "easy": (clear(0.97), (0.97**2 + 0.03**2) / 2),
    }
    for prompts, raters, pairs, ties, kind in (
        (5, 3, 1, 0.0, "usual"),
        (10, 2, 1, 0.0, "easy"),
        (10, 5, 1, 0.0, "easy"),
        (20, 5, 1, 0.0, "usual"),
        (20, 2, 3, 0.3, "usual"),
        (20, 5, 1, 0.3, "hard"),
        (100, 5, 1, 0.0, "usual"),
        (100, 2, 1, 0.0, "easy"),
        (100, 3, 4, 0.3, "usual"),
        (400, 2, 1, 0.1, "hard"),
    ):
        draws, square = kinds[kind]
        truth = expected(square, ties)
        draw = crowd(prompts, raters, draws, ties, pairs)
        several = f" x {pairs} pairs" if pairs > 1 else ""
        tied = f", {ties:.0%} ties" if ties else ""
        setting = f"{prompts} prompts{several}, {raters} annotators, {kind}{tied}"
        for part, name in titles.items():
            add(
                Cell(
                    name,
                    setting,
                    prompts,
                    _simulate(draw, truth[part]),
                    _part(part),
                    slow=prompts * pairs > 60,
                )
            )


def _simulate(
    draw: Callable[[np.random.Generator], Units], truth: float
) -> Callable[[np.random.Generator], Drawn]:
    return lambda rng: (draw(rng), truth)


def _part(part: str) -> Callable[[Any], Interval]:
    def interval(units: Units) -> Interval:
        found: Agreement = measure_units(units)
        return getattr(found, part)  # type: ignore[no-any-return]

    return interval


# --- two annotators -----------------------------------------------------------------------------
def two(
    prompts: int, items: int, rate: float, same: float
) -> Callable[[np.random.Generator], Drawn]:
    """Tables of two annotators per prompt: both answer yes with chance `rate`, the second repeats
    the first with chance `same`; prompts differ in their rate where they have several items."""

    def draw(rng: np.random.Generator) -> Drawn:
        p = rng.beta(4 * rate, 4 * (1 - rate), (prompts, 1)) if items > 1 else rate
        first = rng.random((prompts, items)) < p
        second = np.where(
            rng.random((prompts, items)) < same, first, rng.random((prompts, items)) < p
        )
        tables = np.zeros((prompts, 2, 2))
        place = np.repeat(np.arange(prompts), items)
        np.add.at(tables, (place, first.ravel().astype(int), second.ravel().astype(int)), 1)
        between = rate * (1 - rate) / 5 if items > 1 else 0.0
        spread = rate * (1 - rate)
        return tables, (between + same * (spread - between)) / spread

    return draw


def _pairs() -> None:
    for prompts, items in ((10, 1), (20, 1), (100, 1), (12, 4), (50, 4)):
        for rate, same in ((0.5, 0.3), (0.5, 0.9), (0.1, 0.6)):
            several = f" x {items} items" if items > 1 else ""
            setting = f"{prompts} prompts{several}, {rate:.0%} yes, {same:.0%} repeated"
            add(Cell("kappa", setting, prompts, two(prompts, items, rate, same), kappa))


# --- scales ---------------------------------------------------------------------------------------
def ratings(
    rng: np.random.Generator, prompts: int, noise: float, level: Level
) -> dict[tuple[str, ...], list[float]]:
    """Two responses a prompt rated by three annotators: in whole points from 1 to 5, or finely."""
    worth = rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, 2))
    said = worth[..., None] + noise * rng.normal(size=(prompts, 2, 3))
    if level == "ordinal":
        said = np.clip(np.round(3 + said), 1, 5)
    return {(f"p{p}", str(k)): said[p, k].tolist() for p in range(prompts) for k in range(2)}


@cache
def scale_truth(noise: float, level: Level) -> float:
    """Alpha of 20,000 prompts."""
    found = measure_scale("", level, ratings(np.random.default_rng(0), 20_000, noise, level))
    assert found.alpha is not None
    return found.alpha.value


def _scales() -> None:
    for prompts in (8, 20, 100):
        for noise in (0.3, 1.5):
            for level in LEVELS:
                add(
                    Cell(
                        f"alpha, {level}",
                        f"{prompts} prompts x 2 responses, 3 annotators, noise {noise:g}",
                        prompts,
                        _rated(prompts, noise, level),
                        lambda twice, level=level: measure_scale("", level, twice).alpha,
                        slow=prompts > 8,
                    )
                )


def _rated(prompts: int, noise: float, level: Level) -> Callable[[np.random.Generator], Drawn]:
    return lambda rng: (ratings(rng, prompts, noise, level), scale_truth(noise, level))


_cells()
_pairs()
_scales()
