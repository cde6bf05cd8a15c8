"""Does the place on the screen decide? The pull of what is shown first, and an alarm on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest, norm

from accord.errors import DataError
from accord.feedback.choice_model import FIRST, TIE
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.votes import Objects, Votes, order_known, vote_rows, votes_of
from accord.statistics.intervals import Interval, around, share
from accord.statistics.significance import discoveries

UNTOLD = 5.0
"""Standard error (logits) from which on the fitted pull cannot be told from what the options are
worth: few votes."""
LEVEL = 0.01
"""An alarm is wrong on one fair crowd in a hundred: it is looked at again and again, so .05 would
cry wolf."""


@dataclass(frozen=True)
class AnnotatorSide:
    """One annotator's share of decided pairs that went to what was shown first; p_value: of a fair
    coin, on both sides;
    alarm: after counting all annotators (false discoveries at most 5 %)."""

    annotator: str
    first_share: Interval
    p_value: float
    alarm: bool


@dataclass(frozen=True)
class PositionBias:
    """first_share: of the decided pairs, which went to what was shown first (half, if sides are
    drawn at random); pull: its gain in logits, given what the options are worth; z: standard errors
    of the pull from 0; alarm: |z| beyond the 1 % point; decided: pairs (of rankings and best/worst
    with their weight); annotators: each alone, the most one-sided first."""

    first_share: Interval
    pull: Interval
    z: float
    alarm: bool
    decided: int
    method: str
    annotators: list[AnnotatorSide]


def position_bias(records: Sequence[Feedback], objects: Objects = "producer") -> PositionBias:
    """The pull of the first place over all annotators. Raises DataError when nothing was decided in
    a known order.

    The options' own worth is fitted where they are named across records (`objects`); where they are
    not, the share of the first place is tested against one half, which is valid if sides are drawn
    at random. Records whose order is unknown say what options are worth, and nothing of the place.
    """
    unknown = sum(not order_known(r) for r in records)
    note = f"; of {unknown:,} records the order is unknown" if unknown else ""
    try:
        bias = of_votes(votes_of(records, objects, weighted=False)[0])
    except DataError:
        first, total = 0.0, 0.0
        for row in vote_rows(records):
            if row.outcome != TIE and order_known(records[row.record]):
                first, total = first + row.weight * (row.outcome == FIRST), total + row.weight
        if not total:
            raise DataError(
                f"no choice between options was decided{' in a known order' if unknown else ''}",
                "collect comparisons, rankings or best/worst",
            ) from None
        bias = _of_share(first, total)
    return replace(bias, annotators=annotator_sides(records), method=bias.method + note)


def annotator_sides(records: Sequence[Feedback]) -> list[AnnotatorSide]:
    """Every annotator's comparisons against a fair coin: valid where sides are drawn at random."""
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in vote_rows(records):
        record = records[row.record]
        if record.kind == "comparison" and row.outcome != TIE and order_known(record):
            counts = tally[record.annotator]
            counts[0] += row.outcome == FIRST
            counts[1] += 1
    names = sorted(tally)
    p = [float(binomtest(*tally[name], 0.5).pvalue) for name in names]
    sides = [
        AnnotatorSide(name, share(*tally[name]), value, alarm)
        for name, value, alarm in zip(names, p, discoveries(p), strict=True)
    ]
    return sorted(sides, key=lambda row: row.p_value)


def of_votes(votes: Votes) -> PositionBias:
    """From votes: the side parameter of a fit without reliabilities and ties, which then cannot
    absorb it."""
    decided = votes.where(votes.outcome != TIE)
    placed = decided.where(decided.known_M)
    if not placed.total:
        raise DataError(
            "no choice between options was decided", "collect comparisons, rankings or best/worst"
        )
    fitted = fit(decided, RatingSettings(reliability=False, ties=False))
    first, total = float(placed.count[placed.outcome == FIRST].sum()), float(placed.count.sum())
    if fitted.side_error > UNTOLD:
        return _of_share(first, total)
    return _bias(first, total, fitted.side, fitted.side_error, "scores and side fitted together")


def _of_share(first: float, total: float) -> PositionBias:
    p = (first + 0.5) / (total + 1)
    return _bias(
        first,
        total,
        float(np.log(p / (1 - p))),
        float(1 / np.sqrt(total * p * (1 - p))),
        "share of the first place",
    )


def _bias(first: float, total: float, pull: float, error: float, method: str) -> PositionBias:
    z = pull / error
    alarm = bool(abs(z) > norm.ppf(1 - LEVEL / 2))
    return PositionBias(
        share(first, total), around(pull, error), float(z), alarm, round(total), method, []
    )
