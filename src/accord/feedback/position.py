"""Does the place on the screen decide? The pull of what is shown first, and an alarm on it.

Votes on one prompt are not independent: prompts differ in how far the place decides, and where the
same option was always shown first, what it is worth there looks like the place. With e = votes less
their probabilities, x the place less what the scores say of it (Frisch, Waugh and Lovell) and h the
votes' variances, the pull is the mean of clusters with sums e x + pull h x^2 and sizes h x^2
(`statistics/clusters.py`). The interval is over prompts: what other prompts would show. The alarm
asks whether the place decides on these, over pairs of options.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import ndtri, stdtr
from scipy.stats import binom

from accord.errors import DataError
from accord.feedback.choice_model import FIRST, TIE, decided_p
from accord.feedback.judge_orders import in_each_order
from accord.feedback.ratings import Ratings, RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.votes import Objects, Votes, object_name, order_known, vote_rows
from accord.statistics.clusters import (
    by_cluster,
    clustered,
    clustered_share,
    effective_answers,
    quantile,
)
from accord.statistics.intervals import Array, Index, Interval, share
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
    drawn at random); pull: its gain in logits, given what the options are worth; z: the normal
    deviate that is as unlikely as the pull, were there none on these prompts; alarm: |z| beyond the
    1 % point; decided: pairs (of rankings and best/worst with their weight); annotators: each
    alone, the most one-sided first. Intervals are over prompts where there are two or more."""

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
    at random. Records whose order is unknown say what options are worth, and nothing of the place;
    an AI judge that was asked in both orders gave two answers (`judge_orders`).
    """
    records = in_each_order(records)
    unknown = sum(not order_known(r) for r in records)
    note = f"; of {unknown:,} records the order is unknown" if unknown else ""
    shares = PromptShares.of(records)
    if not shares.sizes_C.sum():
        raise DataError(
            f"no choice between options was decided{' in a known order' if unknown else ''}",
            "collect comparisons, rankings or best/worst",
        )
    pairs = DecidedPairs.of(records, objects)
    bias = _of_share(shares) if pairs is None else of_pairs(pairs, shares)
    note = (f" over {len(shares.sizes_C):,} prompts" if len(shares.sizes_C) > 1 else "") + note
    return replace(bias, annotators=annotator_sides(records), method=bias.method + note)


@dataclass(frozen=True)
class PromptShares:
    """By prompt: how many decided pairs in a known order went to what was shown first, of how
    many: [C] each."""

    sums_C: Array
    sizes_C: Array

    @classmethod
    def of(cls, records: Sequence[Feedback]) -> PromptShares:
        tally: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for row in vote_rows(records):
            record = records[row.record]
            if row.outcome != TIE and order_known(record):
                counts = tally[prompt_of(record)]
                counts[0] += row.weight * (row.outcome == FIRST)
                counts[1] += row.weight
        found = np.array(list(tally.values())).reshape(-1, 2)
        return cls(found[:, 0], found[:, 1])

    @classmethod
    def of_pairs(cls, pairs: DecidedPairs) -> PromptShares:
        """The same from pairs."""
        known = pairs.weight * pairs.known
        return cls(*_by(pairs.prompt, known * pairs.won, known))

    @property
    def interval(self) -> Interval:
        """Over prompts; of one, over its votes."""
        if len(self.sizes_C) < 2:
            return share(float(self.sums_C.sum()), float(self.sizes_C.sum()))
        return clustered_share(self.sums_C, self.sizes_C)


@dataclass(frozen=True)
class DecidedPairs:
    """Decided pairs between fitted things: first, second, whether the first won, whether the order
    is known, weight, prompt, the two options within it: [M] each."""

    first: Index
    second: Index
    won: Array
    known: Array
    weight: Array
    prompt: Index
    pair: Index

    @property
    def votes(self) -> Votes:
        """Equal ones counted together; annotators do not matter."""
        key = np.stack([self.first, self.second, 1 - self.won, self.known])
        rows, place = np.unique(key.astype(np.int64), axis=1, return_inverse=True)
        names = [str(n) for n in range(int(rows[:2].max()) + 1)]
        count = np.bincount(place.ravel(), self.weight).astype(np.float64)
        return Votes(
            rows[0], rows[1], 0 * rows[0], rows[2], count, names, ["all"], rows[3].astype(bool)
        )

    @classmethod
    def of(cls, records: Sequence[Feedback], objects: Objects) -> DecidedPairs | None:
        """None where no two named things were compared in a known order."""
        things: dict[str, int] = {}
        prompts: dict[str, int] = {}
        pairs: dict[tuple[int, ...], int] = {}
        rows = []
        for row in vote_rows(records):
            record = records[row.record]
            one, other = (object_name(record, o, objects) for o in (row.first, row.second))
            if row.outcome == TIE or not one or not other or one == other:
                continue
            prompt = prompts.setdefault(prompt_of(record), len(prompts))
            ends = [things.setdefault(name, len(things)) for name in (one, other)]
            pair = pairs.setdefault((prompt, *sorted(ends)), len(pairs))
            won, known = row.outcome == FIRST, order_known(record)
            rows.append((*ends, won, known, row.weight, prompt, pair))
        table = np.array(rows, dtype=np.float64).reshape(-1, 7)
        if not table[:, 3].any():
            return None
        first, second, prompt_M, pair_M = (table[:, c].astype(np.int64) for c in (0, 1, 5, 6))
        return cls(first, second, table[:, 2], table[:, 3], table[:, 4], prompt_M, pair_M)


def prompt_of(record: Feedback) -> str:
    """The same for records that ask the same."""
    return repr(record.asked)


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
    won, decided = np.array([tally[name] for name in names]).reshape(-1, 2).T
    # Both tails of a fair coin are alike: `scipy.stats.binomtest`, for all at once.
    p = np.minimum(2 * binom.cdf(np.minimum(won, decided - won), decided, 0.5), 1.0).tolist()
    sides = [
        AnnotatorSide(name, share(*tally[name]), value, alarm)
        for name, value, alarm in zip(names, p, discoveries(p), strict=True)
    ]
    return sorted(sides, key=lambda row: row.p_value)


def of_votes(votes: Votes) -> PositionBias:
    """From bare votes, each taken as independent: nothing says which were on one prompt."""
    fitted = _fitted(votes)
    placed = votes.where((votes.outcome != TIE) & votes.known_M)
    first, total = float(placed.count[placed.outcome == FIRST].sum()), placed.total
    shares = PromptShares(np.array([first]), np.array([float(total)]))
    if fitted.side_error > UNTOLD:
        return _of_share(shares)
    return _bias(shares, fitted.side, [(fitted.side_error, np.inf)] * 2, TOGETHER)


def _fitted(votes: Votes) -> Ratings:
    """The side parameter of a fit without reliabilities and ties, which then cannot absorb it."""
    decided = votes.where(votes.outcome != TIE)
    if not decided.where(decided.known_M).total:
        raise DataError(
            "no choice between options was decided", "collect comparisons, rankings or best/worst"
        )
    return fit(decided, RatingSettings(reliability=False, ties=False))


def of_pairs(pairs: DecidedPairs, shares: PromptShares) -> PositionBias:
    """From pairs whose prompts are known. Errors are those of prompts and of pairs of options, or
    of independent votes where these are larger (scores that were fitted to the same few prompts
    leave too little over)."""
    fitted = _fitted(pairs.votes)
    if fitted.side_error > UNTOLD:
        return _of_share(shares)
    sums_M, sizes_M = _pull_of_votes(pairs, fitted)
    errors = []
    for cluster in (pairs.prompt, pairs.pair):
        mean = clustered(*_by(cluster, sums_M, sizes_M))
        error = max(fitted.side_error, float(np.sqrt(mean.variance or 0.0)))
        errors.append((error, np.inf if mean.variance is None else mean.freedom))
    return _bias(shares, fitted.side, errors, TOGETHER)


TOGETHER = "scores and side fitted together"


def _by(cluster_M: Index, sums_M: Array, sizes_M: Array) -> tuple[Array, Array]:
    """Sums and sizes of the clusters that have a size."""
    rows_CX = by_cluster(np.stack([sums_M, sizes_M], axis=1), cluster_M, int(cluster_M.max()) + 1)
    sums_C, sizes_C = rows_CX[rows_CX[:, 1] > 0].T
    return sums_C, sizes_C


def _pull_of_votes(decided: DecidedPairs, fitted: Ratings) -> tuple[Array, Array]:
    """What each vote adds to the sum and the size of its cluster: see the module."""
    size, votes = len(fitted.producers), np.arange(len(decided.first))
    design = csr_matrix(
        (
            np.concatenate([np.ones(len(votes)), -np.ones(len(votes)), decided.known]),
            (np.tile(votes, 3), np.concatenate([decided.first, decided.second, 0 * votes + size])),
        ),
        shape=(len(votes), size + 1),
    )
    p = decided_p(design @ np.append(fitted.score_P, fitted.side))
    spread = decided.weight * p * (1 - p)
    curvature = (design.T @ design.multiply(spread[:, None])).toarray()
    curvature[np.arange(size), np.arange(size)] += fitted.score_sd.value**-2.0
    along = np.linalg.solve(curvature, np.eye(size + 1)[size])
    place = design @ along / along[size]
    size_M = spread * place**2
    return decided.weight * (decided.won - p) * place + fitted.side * size_M, size_M


def _of_share(shares: PromptShares) -> PositionBias:
    first, total = float(shares.sums_C.sum()), float(shares.sizes_C.sum())
    p, answers, freedom = (first + 0.5) / (total + 1), total, np.inf
    mean = clustered(shares.sums_C, shares.sizes_C)
    if mean.variance is not None:
        answers, freedom = effective_answers(mean.value, mean.variance, mean, total), mean.freedom
    error = float(1 / np.sqrt(answers * p * (1 - p)))
    errors = [(error, freedom)] * 2
    return _bias(shares, float(np.log(p / (1 - p))), errors, "share of the first place")


def _bias(
    shares: PromptShares, pull: float, errors: Sequence[tuple[float, float]], method: str
) -> PositionBias:
    """errors: standard error and degrees of freedom over prompts, and of the test."""
    (error, freedom), (tested, of_test) = errors
    reach = quantile(freedom) * error
    z = float(-np.sign(pull) * ndtri(stdtr(of_test, -abs(pull) / tested)))
    alarm = bool(abs(z) > -ndtri(LEVEL / 2))
    decided = round(float(shares.sizes_C.sum()))
    interval = Interval(pull, pull - reach, pull + reach)
    return PositionBias(shares.interval, interval, z, alarm, decided, method, [])
