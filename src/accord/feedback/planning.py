"""How many judgements a question takes, before they are made.

A share (a win rate; how many answers are harmful) is the mean over n items of the mean of k answers
each. With p(1 - p) = between + within, its variance is

    V / n,   V = between + within / k,   within = (1 - A) / 2

A: how often two annotators give the same answer to one item (Kish 1965, two-stage sampling; items
drawn at random, annotators of an item independent). The interval planned for is the one that is
printed later, `clusters.clustered_share`: Clopper and Pearson's at the number of independent
answers that say as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

from accord.errors import ConfigError, DataError
from accord.feedback.agreement import ceiling
from accord.feedback.label_table import LabelTable
from accord.statistics.clusters import clustered_share, quantile
from accord.statistics.intervals import Z95, Array, Index, Interval, share

MOST_ITEMS = 10**9
PER_ITEM = (1, 2, 3, 5)


@dataclass(frozen=True)
class Spread:
    """share: p, the mean over items; between: variance of the items' own shares; within: of the
    answers to one item. Ties, half an answer to either side, make the sum less than p(1 - p)."""

    share: float
    between: float
    within: float

    def variance(self, per_item: int) -> float:
        """V: of the mean of one item's answers."""
        return self.between + self.within / per_item

    @property
    def agreement(self) -> float:
        """A."""
        return 1 - 2 * self.within


def spread_of(win_rate: float, agreement: float) -> Spread:
    """From the two numbers that others publish. Raises ConfigError where annotators would agree
    less than by chance, p^2 + (1 - p)^2, and for shares that are none."""
    _check_share("a win rate", win_rate)
    _check_share("an agreement", agreement)
    between = win_rate * (1 - win_rate) - (1 - agreement) / 2
    if between < -1e-12:
        least = win_rate**2 + (1 - win_rate) ** 2
        raise ConfigError(
            f"annotators who agree in {agreement:.1%} agree less than by chance ({least:.1%} at a "
            f"win rate of {win_rate:.1%})",
            f"give an agreement of {least:.3f} or more",
        )
    return Spread(win_rate, max(0.0, between), (1 - agreement) / 2)


def spread_between(win_rate: float, deviation: float) -> Spread:
    """From the standard deviation of the items' own shares. Raises ConfigError for one that yes and
    no answers cannot have around this share, and for a share that is none."""
    _check_share("a win rate", win_rate)
    whole = win_rate * (1 - win_rate)
    if not 0 <= deviation <= whole**0.5:
        raise ConfigError(
            f"items' win rates cannot spread by {deviation:g} around {win_rate:g}",
            f"give a --spread from 0 to {whole**0.5:.3f}",
        )
    return Spread(win_rate, deviation**2, max(0.0, whole - deviation**2))


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"{name} of {value:g}", "give a share between 0 and 1")


def agreement_of(accuracy: float) -> float:
    """Of two annotators who each give an item's own answer with this probability: q^2 + (1 - q)^2,
    the inverse of `agreement.ceiling`. Raises ConfigError for a probability that is none."""
    _check_share("an accuracy", accuracy)
    return accuracy**2 + (1 - accuracy) ** 2


# --- a pilot --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Pilot:
    """What a pilot says. spread: with the share and agreement as estimated; share, agreement: with
    their 95 % intervals; twice: items with two answers or more, the only ones that say how items
    differ; clipped: the estimate of the variance between items was below 0, and is taken for 0."""

    spread: Spread
    share: Interval
    agreement: Interval
    items: int
    twice: int
    answers: int
    clipped: bool


def pilot_of(values_M: Array, item_M: Index) -> Pilot:
    """From answers in [0, 1] (half for a tie) and the item of each. Within is the mean over items
    answered twice or more of their answers' variance, each item with its degrees of freedom.
    Raises DataError where no item was answered twice, or all answers are the same."""
    _, place_M = np.unique(item_M, return_inverse=True)
    size_I: Array = np.bincount(place_M).astype(np.float64)
    sum_I, square_I = (
        np.bincount(place_M, part).astype(np.float64) for part in (values_M, values_M**2)
    )
    twice_I = size_I >= 2
    if not twice_I.any():
        raise DataError(
            "no item of the pilot was judged twice, so that nothing says how items differ",
            "judge some items by two annotators, or give --agreement",
        )
    mean = float(values_M.mean())
    if not 0 < mean < 1:
        raise DataError(
            "all answers of the pilot are the same", "give --win-rate and --agreement instead"
        )
    apart_I = (square_I - sum_I**2 / size_I)[twice_I]
    freedom_I: Array = (size_I - 1)[twice_I]
    within = float(apart_I.sum() / freedom_I.sum())
    between = float(values_M.var()) - within
    agreement = clustered_share(freedom_I - 2 * apart_I, freedom_I)
    return Pilot(
        Spread(mean, max(0.0, between), within),
        clustered_share(sum_I, size_I),
        Interval(1 - 2 * within, agreement.low, agreement.high),
        len(size_I),
        int(twice_I.sum()),
        len(values_M),
        between < 0,
    )


def shares_of(
    table: LabelTable, producers: Sequence[tuple[str | None, str | None]] | None
) -> Array:
    """The answers of a table of at most two classes as 0 and 1, the second class 1. Comparisons: 1
    for the producer whose name comes first, half for a tie; `producers` of the first and second
    option, by item. Raises DataError for other tables."""
    values = np.array(table.classes)[table.label]
    if producers is not None:
        names = sorted({str(name) for pair in producers for name in pair})
        if len(names) != 2 or any(a == b or None in (a, b) for a, b in producers):
            raise DataError(
                "the pilot does not compare two producers", "plan with --win-rate and --agreement"
            )
        sign = np.array([1.0 if a == names[0] else -1.0 for a, _ in producers])
        won: Array = (1 + sign[table.item] * values) / 2
        return won
    if len(table.classes) > 2:
        raise DataError(
            f"{table.what} has {len(table.classes)} different answers, and a share needs two",
            "plan for one of them as a yes/no question",
        )
    yes: Array = (table.label == 1).astype(np.float64)
    return yes


# --- plans ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class JudgementPlan:
    """per_item: answers of each item; items, judgements: how many; half_width: of the 95 % interval
    that they give; majority: how often the majority of an item's answers is the item's own, where
    annotators are alike (a draw counts half)."""

    per_item: int
    items: int
    judgements: int
    half_width: float
    majority: float


def expected_interval(spread: Spread, items: int, per_item: int, value: float) -> Interval:
    """The interval that so many judgements give around this value: as `clusters.effective_answers`
    counts them, with the kurtosis of single answers, 1 / p(1 - p) - 3 (items' means have about
    that of their extremes)."""
    whole = spread.share * (1 - spread.share)
    answers = items * min(float(per_item), whole / spread.variance(per_item))
    freedom = min(max(1, items - 1), 2 * items / max(1 / whole - 4, 2.0))
    answers = max(float(items), answers * (Z95 / quantile(freedom)) ** 2)
    return share(value * answers, answers)


def half_width(spread: Spread, items: int, per_item: int) -> float:
    """Half the width of the interval at the expected share."""
    found = expected_interval(spread, items, per_item, spread.share)
    return (found.high - found.low) / 2


def plan_width(
    spread: Spread, width: float, per_item: Sequence[int] = PER_ITEM
) -> list[JudgementPlan]:
    """Fewest items, for each number of answers per item, with intervals of ± width."""
    if not 0 < width < 0.5:
        raise ConfigError(f"a half-width of {width:g}", "give a share between 0 and 0.5")
    return [
        _plan(spread, k, _fewest(lambda n, k=k: half_width(spread, n, k) <= width))  # type: ignore[misc]
        for k in per_item
    ]


def plan_power(
    spread: Spread, power: float, per_item: Sequence[int] = PER_ITEM
) -> list[JudgementPlan]:
    """Fewest items whose interval excludes .5 with this probability: at the share that is reached
    with it, p - z sqrt(V / n), the interval's nearer end must lie beyond."""
    if not 0 < power < 1:
        raise ConfigError(f"a power of {power:g}", "give a probability between 0 and 1")
    if spread.share == 0.5:
        raise ConfigError("nothing tells a win rate of .5 from .5", "give the --win-rate to detect")
    upper = spread if spread.share > 0.5 else replace(spread, share=1 - spread.share)

    def enough(items: int, k: int) -> bool:
        reached = upper.share - float(ndtri(power)) * (upper.variance(k) / items) ** 0.5
        return 0 < reached < 1 and expected_interval(upper, items, k, reached).low > 0.5

    return [_plan(spread, k, _fewest(lambda n, k=k: enough(n, k))) for k in per_item]  # type: ignore[misc]


def _fewest(enough: Callable[[int], bool]) -> int:
    """The smallest number of items, 2 or more, that is enough, by bisection."""
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_ITEMS:
            raise ConfigError(
                "no number of items below a billion would do",
                "ask for a wider interval or less power",
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _plan(spread: Spread, per_item: int, items: int) -> JudgementPlan:
    return JudgementPlan(
        per_item,
        items,
        items * per_item,
        half_width(spread, items, per_item),
        majority_accuracy(ceiling(spread.agreement), per_item),
    )


def majority_accuracy(accuracy: float, per_item: int) -> float:
    """How often the majority of k independent answers of this accuracy is right; a draw counts
    half."""
    wins = 1 - binom.cdf(per_item // 2, per_item, accuracy)
    draw = binom.pmf(per_item / 2, per_item, accuracy) if per_item % 2 == 0 else 0.0
    return float(wins + draw / 2)
