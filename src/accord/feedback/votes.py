"""Votes between named things, as arrays: what fits, tests of integrity and active selection count
on.

A vote is on two producers (models that wrote the options) or on two options of one prompt. Rankings
and best/worst choices are taken apart into pairs; so that one judgement of K options does not count
as K(K-1)/2 independent ones, each pair of a ranking weighs 2/K (K - 1 votes in all), each of the 2K
- 3 pairs of a best/worst choice 2 / (2K - 3) (two votes in all).

Where likelihoods are summed (scores, annotators, tastes), records count by their weight, and a soft
label p is p votes one way and 1 - p the other. What counts answers (agreement, position, drift,
poisoning) takes each record as one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accord.errors import DataError
from accord.feedback.choice_model import FIRST, SECOND, TIE
from accord.feedback.records import BestWorst, Comparison, Feedback, Option, Ranking, content_id
from accord.statistics.intervals import Array, Index

Objects = Literal["producer", "option"]
UNNAMED = "an option without a producer"


@dataclass(frozen=True)
class Votes:
    """Comparisons as arrays [M]: producers by place shown, annotator, outcome (FIRST, SECOND, TIE),
    how many alike.

    placed: whether it is known which was shown first; None: of all. Where it is not, the order says
    nothing.
    """

    first: Index
    second: Index
    annotator: Index
    outcome: Index
    count: Array
    producers: list[str]
    annotators: list[str]
    placed: NDArray[np.bool_] | None = None

    @property
    def total(self) -> int:
        """Number of votes."""
        return round(float(self.count.sum()))

    def where(self, keep: NDArray[np.bool_]) -> Votes:
        """The votes at which `keep` is true; names stay."""
        return self.at(np.nonzero(keep)[0])

    def at(self, places: Index) -> Votes:
        """The votes numbered so; names stay."""
        parts = {
            name: getattr(self, name)[places]
            for name in ("first", "second", "annotator", "outcome", "count")
        }
        return replace(self, **parts, placed=None if self.placed is None else self.placed[places])

    @property
    def known_M(self) -> NDArray[np.bool_]:
        """Whether each vote's order is known."""
        return np.ones(len(self.first), dtype=bool) if self.placed is None else self.placed


class VoteRow(NamedTuple):
    """One pair of one record: the two options by place shown, the outcome, its weight, the record's
    number."""

    first: Option
    second: Option
    outcome: int
    weight: float
    record: int


def vote_rows(records: Sequence[Feedback]) -> Iterator[VoteRow]:
    """Every pair that comparisons, rankings and best/worst choices decide or tie."""
    for number, record in enumerate(records):
        shown = record.in_order
        choice = record.choice
        if isinstance(choice, Comparison):
            first, second = shown
            outcome = (
                TIE
                if choice.preferred is None
                else FIRST
                if choice.preferred == first.id
                else SECOND
            )
            yield VoteRow(first, second, outcome, 1.0, number)
        elif isinstance(choice, Ranking):
            place = {i: p for p, group in enumerate(choice.order) for i in group}
            for a, b in combinations(shown, 2):
                outcome = (
                    TIE
                    if place[a.id] == place[b.id]
                    else FIRST
                    if place[a.id] < place[b.id]
                    else SECOND
                )
                yield VoteRow(a, b, outcome, 2 / len(shown), number)
        elif isinstance(choice, BestWorst):
            rank = {choice.best: 0, choice.worst: 2}
            for a, b in combinations(shown, 2):
                at_a, at_b = rank.get(a.id, 1), rank.get(b.id, 1)
                if at_a != at_b:
                    yield VoteRow(
                        a, b, FIRST if at_a < at_b else SECOND, 2 / (2 * len(shown) - 3), number
                    )


def order_known(record: Feedback) -> bool:
    """Whether `shown_at` is the order shown: importers mark what does not say (`meta["shown"]`:
    "unknown")."""
    return record.meta.get("shown") != "unknown"


def object_name(record: Feedback, option: Option, objects: Objects) -> str | None:
    """What a vote counts for: the producer, or the option within its prompt."""
    return option.producer if objects == "producer" else f"{content_id(record.prompt)}/{option.id}"


def relative_weights(records: Sequence[Feedback]) -> list[float]:
    """The records' weights in the unit in which they say as much as they do: w * sum of w / sum of
    w^2.

    Only ratios count, and equal weights are 1 each. Unequal ones make fewer answers of them, (sum
    of w)^2 / sum of w^2 (Kish 1965), as priors and errors should know.
    """
    weights = [record.weight for record in records]
    unit = math.fsum(weights) / (math.fsum(w * w for w in weights) or 1.0)
    return [w * unit for w in weights]


def votes_of(
    records: Sequence[Feedback], objects: Objects = "producer", weighted: bool = True
) -> tuple[Votes, dict[str, int]]:
    """Votes, equal ones counted once with their weight, and what was left out, by reason: whole
    records, pairs, and the strength of preferences (they count, their strength does not). Raises
    DataError without any vote.

    weighted: by the records' weights and soft labels, for fits; without, every record is the one
    answer that it names.
    """
    left_out: Counter[str] = Counter()
    rows: dict[_Row, float] = defaultdict(float)
    if weighted:
        left_out.update("record of weight 0" for record in records if not record.weight)
        records = [record for record in records if record.weight]
    weights = relative_weights(records) if weighted else [1.0] * len(records)
    for record in records:
        if not isinstance(record.choice, (Comparison, Ranking, BestWorst)):
            left_out[f"{record.kind} is not a choice between options"] += 1
        elif isinstance(record.choice, Comparison) and record.choice.strength is not None:
            left_out["strength of a preference (the preference counts)"] += 1
    for row in vote_rows(records):
        record = records[row.record]
        first, second = (object_name(record, option, objects) for option in (row.first, row.second))
        if not first or not second:
            left_out[UNNAMED] += 1
        elif first == second:
            left_out["both options by the same producer"] += 1
        else:
            doubt = doubt_of(record) if weighted else 0.0
            for outcome, share in ((row.outcome, 1 - doubt), (1 - row.outcome, doubt)):
                if share:
                    key = first, second, record.annotator, outcome, order_known(record)
                    rows[key] += row.weight * weights[row.record] * share
    if not rows:
        reasons = (
            "; ".join(f"{reason} ({count:,})" for reason, count in left_out.items()) or "no records"
        )
        what = (
            "comparison of two named producers"
            if objects == "producer"
            else "choice between two options"
        )
        fix = (
            "give each option its producer"
            if UNNAMED in left_out
            else "collect comparisons, rankings or best/worst"
        )
        raise DataError(f"there is no {what}: {reasons}", fix)
    return _votes(rows), dict(left_out)


def doubt_of(record: Feedback) -> float:
    """The probability that the other one of a comparison is better."""
    sure = record.choice.probability if isinstance(record.choice, Comparison) else None
    return 0.0 if sure is None else 1 - sure


_Row = tuple[str, str, str, int, bool]
"""First, second, annotator, outcome, whether the order is known."""


def _votes(rows: Mapping[_Row, float]) -> Votes:
    producers = sorted({name for row in rows for name in row[:2]})
    annotators = sorted({row[2] for row in rows})
    number, who = {n: i for i, n in enumerate(producers)}, {n: i for i, n in enumerate(annotators)}
    table = np.array(
        [(number[a], number[b], who[k], outcome, known) for a, b, k, outcome, known in rows],
        dtype=np.int64,
    )
    order = np.lexsort(table.T[::-1])
    first, second, annotator, outcome, known = table[order].T
    counts, placed = np.array(list(rows.values()))[order], known.astype(bool)
    return Votes(
        first,
        second,
        annotator,
        outcome,
        counts,
        producers,
        annotators,
        None if placed.all() else placed,
    )


@dataclass(frozen=True)
class Cells:
    """Votes by cell, one per (annotator, pair, side), by annotator: [C] each. first < second are
    producers; side: 1 where the first was shown first, -1 where the second was, 0 where the order
    is not known: what the side parameter is multiplied by; won: weight of each outcome [3, C]."""

    first: Index
    second: Index
    annotator: Index
    won: Array
    side: Array


def cells(votes: Votes) -> Cells:
    """Sufficient statistics: what a fit costs depends on the cells, not on the votes."""
    places = len(votes.producers)
    turned = votes.first > votes.second
    side = np.where(turned, 2, 0)
    if votes.placed is not None:
        side = np.where(votes.placed, side, 1)
    first, second = np.minimum(votes.first, votes.second), np.maximum(votes.first, votes.second)
    key = ((votes.annotator * places + first) * places + second) * 3 + side
    keys, number = distinct(key, len(votes.annotators) * places**2 * 3)
    outcome = np.where(turned & (votes.outcome != TIE), 1 - votes.outcome, votes.outcome)
    won = np.bincount(outcome * len(keys) + number, votes.count, minlength=3 * len(keys))
    pair, side = np.divmod(keys, 3)
    annotator, pair = np.divmod(pair, places**2)
    first, second = np.divmod(pair, places)
    return Cells(
        first,
        second,
        annotator,
        won.reshape(3, -1).astype(np.float64),
        1.0 - side.astype(np.float64),
    )


def distinct(key: Index, size: int) -> tuple[Index, Index]:
    """The different ones of keys below `size`, ascending, and which of them each is."""
    if size > 40 * len(key):
        keys, number = np.unique(key, return_inverse=True)
        return keys.astype(np.int64), number.astype(np.int64)
    seen = np.zeros(size, dtype=bool)  # a table of all is faster than sorting
    seen[key] = True
    keys = np.flatnonzero(seen)
    place = np.empty(size, dtype=np.int32)  # half the pages to fetch of one of 64 bits
    place[keys] = np.arange(len(keys), dtype=np.int32)
    return keys.astype(np.int64), place[key].astype(np.int64)
