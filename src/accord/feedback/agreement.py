"""How far annotators agree, and the ceiling that sets for a reward model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from accord.errors import DataError
from accord.feedback.records import BestWorst, Comparison, Feedback, Ranking
from accord.seeds import generator
from accord.statistics.intervals import Array, Interval
from accord.statistics.krippendorff import alpha_of, coincidences
from accord.statistics.resampling import bootstrap

FIRST, TIE, SECOND = 1.0, 0.0, -1.0
ONE_ANSWER = "only one answer occurs among what was judged twice"


@dataclass(frozen=True)
class Agreement:
    """alpha: Krippendorff, nominal, ties as a category; with_ties / strict: share of rater pairs
    that agree, over one rater pair per unit, ties counted or left out; ceiling: best accuracy on
    single labels that the strict agreement allows; units: (prompt, pair of options) judged at least
    twice. not_measurable: why one of them is not a number; intervals from a single prompt have no
    ends."""

    alpha: Interval
    with_ties: Interval
    strict: Interval
    ceiling: Interval
    units: int
    judgements: int
    not_measurable: dict[str, str] = field(default_factory=dict)


def ceiling(agreement: float) -> float:
    """Accuracy of always giving the majority answer when two annotators agree with probability A.

    Each annotator gives it with probability q, A = q^2 + (1-q)^2, so q = (1 + sqrt(2A - 1)) / 2.
    """
    return (1 + math.sqrt(max(2 * agreement - 1, 0.0))) / 2  # not a number stays one


def pair_votes(records: Sequence[Feedback]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Votes per (prompt, option, option): annotator -> 1 first preferred, -1 second, 0 tie.

    Rankings are taken apart into all their pairs, best/worst into those that the choice decides. Of
    several votes of one annotator on the same pair the last counts.
    """
    votes: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for record in records:
        prompt = repr(record.prompt)
        for (a, b), vote in _votes(record).items():
            key, sign = ((prompt, a, b), 1.0) if a < b else ((prompt, b, a), -1.0)
            votes[key][record.annotator] = sign * vote
    return dict(votes)


def _votes(record: Feedback) -> dict[tuple[str, str], float]:
    choice = record.choice
    if isinstance(choice, Comparison):
        first, second = record.shown
        if choice.preferred is None:
            return {(first, second): TIE}
        return {(first, second): FIRST if choice.preferred == first else SECOND}
    if isinstance(choice, Ranking):
        place = {i: p for p, group in enumerate(choice.order) for i in group}
        return {(a, b): float(np.sign(place[b] - place[a])) for a, b in combinations(place, 2)}
    if isinstance(choice, BestWorst):
        middle = [i for i in record.shown if i not in (choice.best, choice.worst)]
        won = [(choice.best, other) for other in (*middle, choice.worst)]
        return dict.fromkeys([*won, *((other, choice.worst) for other in middle)], FIRST)
    return {}


def measure(records: Sequence[Feedback], draws: int = 400, seed: int = 0) -> Agreement:
    """Agreement of all comparisons, rankings and best/worst choices, with intervals by bootstrap
    over prompts."""
    rng = generator(seed, "agreement")
    by_prompt: dict[str, list[list[float]]] = defaultdict(list)
    for (prompt, _, _), votes in sorted(pair_votes(records).items()):
        if len(votes) >= 2:
            # One random order per unit, so that "the first two raters" is one rater pair per item.
            by_prompt[prompt].append([float(v) for v in rng.permutation(list(votes.values()))])
    if not by_prompt:
        raise DataError(
            "no pair of options was judged by two annotators",
            "collect with an overlap of 2 or more",
        )
    counts_P = np.array([_counts(units) for units in by_prompt.values()])
    alpha, with_ties, strict = bootstrap(counts_P, _point, draws, rng)
    top = strict.mapped(ceiling)
    units = [unit for group in by_prompt.values() for unit in group]
    missing = {} if math.isfinite(alpha.value) else {"alpha": ONE_ANSWER}
    if not math.isfinite(strict.value):
        missing |= dict.fromkeys(
            ("strict", "ceiling"), "no pair of options on which two annotators both decided"
        )
    return Agreement(alpha, with_ties, strict, top, len(units), sum(map(len, units)), missing)


_CATEGORIES = (SECOND, TIE, FIRST)


def _counts(units: Sequence[Sequence[float]]) -> Array:
    """Sums over one prompt's units: coincidences [9], pairs, agreeing pairs, strict pairs, agreeing
    strict pairs."""
    observed, tally = np.zeros((3, 3)), np.zeros(4)
    for unit in units:
        observed += coincidences([_CATEGORIES.index(vote) for vote in unit], 3)
        same, strict = unit[0] == unit[1], unit[0] != TIE and unit[1] != TIE
        tally += (1, same, strict, same and strict)
    return np.concatenate([observed.ravel(), tally])


def _point(counts: Array) -> tuple[float, float, float]:
    """(alpha, agreement with ties, agreement without) from summed counts."""
    pairs, same, strict, same_strict = counts[9:]
    alpha = alpha_of(counts[:9].reshape(3, 3), np.array(_CATEGORIES), "nominal")
    return (
        alpha,
        float(same / pairs),
        float(same_strict / strict) if strict else float("nan"),
    )
