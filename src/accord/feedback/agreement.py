"""How far annotators agree, and the ceiling that sets for a reward model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from accord.errors import DataError
from accord.feedback.records import BestWorst, Comparison, Feedback, Ranking
from accord.statistics.clusters import beyond_chance, by_cluster, clustered_share
from accord.statistics.intervals import Array, Index, Interval, without_ends
from accord.statistics.krippendorff import coincidences, disagreements

FIRST, TIE, SECOND = 1.0, 0.0, -1.0
ONE_ANSWER = "only one answer occurs among what was judged twice"


@dataclass(frozen=True)
class Agreement:
    """alpha: Krippendorff, nominal, ties as a category; with_ties / strict: share of a unit's rater
    pairs that agree, its mean over units, ties counted or left out; ceiling: best accuracy on
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


def pair_votes(records: Iterable[Feedback]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Votes per (prompt, option, option): annotator -> 1 first preferred, -1 second, 0 tie.

    Rankings are taken apart into all their pairs, best/worst into those that the choice decides. Of
    several votes of one annotator on the same pair the last counts (`in_time`).
    """
    votes: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for record in in_time(records):
        prompt = repr(record.prompt)
        for (a, b), vote in _votes(record).items():
            key, sign = ((prompt, a, b), 1.0) if a < b else ((prompt, b, a), -1.0)
            votes[key][record.annotator] = sign * vote
    return dict(votes)


def in_time(records: Iterable[Feedback]) -> list[Feedback]:
    """Records by when they were made, those of one time (or of none) by their id: the same whatever
    the order of a file."""
    return sorted(records, key=lambda record: (record.created_at or "", record.id))


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


def measure(records: Sequence[Feedback]) -> Agreement:
    """Agreement of all comparisons, rankings and best/worst choices, with intervals over prompts
    (`measure_units`). Raises DataError where no pair of options was judged by two annotators."""
    by_prompt: dict[str, list[list[float]]] = defaultdict(list)
    for (prompt, _, _), votes in sorted(pair_votes(records).items()):
        if len(votes) >= 2:
            by_prompt[prompt].append(list(votes.values()))
    if not by_prompt:
        raise DataError(
            "no pair of options was judged by two annotators",
            "collect with an overlap of 2 or more",
        )
    return measure_units(list(by_prompt.values()))


_CATEGORIES = (SECOND, TIE, FIRST)
_RATIO = disagreements(np.array(_CATEGORIES), "nominal")


def measure_units(units_by_prompt: Sequence[Sequence[list[float]]]) -> Agreement:
    """Agreement of votes (1, 0 for a tie, -1) per prompt and unit, two or more in a unit. All its
    rater pairs count, and every unit alike, so that no number depends on an order."""
    prompts = len(units_by_prompt)
    place_U = np.repeat(np.arange(prompts), [len(units) for units in units_by_prompt])
    tally_UC = np.array(
        [[u.count(vote) for vote in _CATEGORIES] for units in units_by_prompt for u in units], float
    )
    with_ties, strict = (
        equal_pairs(pairs_among(part).sum(1), pairs_among(part.sum(1)), place_U, prompts)
        for part in (tally_UC, tally_UC[:, [0, 2]])
    )
    rows_PX = by_cluster(coincidences(tally_UC), place_U, prompts)
    alpha = beyond_chance(rows_PX, _RATIO, float(pairs_among(tally_UC.sum(1)).sum()))
    missing = {} if math.isfinite(alpha.value) else {"alpha": ONE_ANSWER}
    if not math.isfinite(strict.value):
        missing |= dict.fromkeys(
            ("strict", "ceiling"), "no pair of options on which two annotators both decided"
        )
    return Agreement(
        alpha,
        with_ties,
        strict,
        strict.mapped(ceiling),
        len(tally_UC),
        int(tally_UC.sum()),
        missing,
    )


def equal_pairs(equal_U: Array, pairs_U: Array, place_U: Index, prompts: int) -> Interval:
    """Mean over units of the share of their rater pairs that are equal, from how many are and how
    many there are, and each unit's prompt; units without a pair say nothing. Not a number where no
    unit is left."""
    met_U = pairs_U > 0
    if not met_U.any():
        return without_ends(float("nan"))
    rows_U2 = np.stack([equal_U[met_U] / pairs_U[met_U], np.ones(met_U.sum())], axis=1)
    sums_P2 = by_cluster(rows_U2, place_U[met_U], prompts)
    shares_P, units_P = sums_P2[sums_P2[:, 1] > 0].T
    return clustered_share(shares_P, units_P, float(pairs_U.sum()))


def pairs_among(votes: Array) -> Array:
    """Pairs among so many votes."""
    return votes * (votes - 1) / 2
