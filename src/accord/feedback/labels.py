"""One label per item out of several annotators' votes: the majority, and Dawid and Skene's (1979),
side by side.

Dawid and Skene give each annotator a full confusion matrix pi_a[l, k] = P(says k | truth l), found
by EM together with
the truth: T_i(l) ~ p_l prod_{a, k} pi_a[l, k]^{n_iak}, pi_a[l, k] ~ sum_i T_i(l) n_iak. The
one-coin form (one number per annotator) breaks down where annotators err to both sides at different
rates, so it is not offered. Rows of pi_a are drawn, by `smoothing` pseudo-votes, to an annotator as
accurate as the crowd that errs to all sides alike. Without that the likelihood is flat between
class shares and confusions, and with few raters per item the labels drift below the majority's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import DataError
from accord.feedback.agreement import pair_votes
from accord.feedback.agreement_kinds import Unit, Votes, scale_votes
from accord.feedback.records import Feedback
from accord.statistics.intervals import Array, Index, Interval, share

FLOOR = 1e-10
SMOOTHING = 10.0
"""Measured on simulated crowds (tests): less loses up to 1.5 points to the majority where
annotators are alike, more fails with two votes per item where some press one side."""
FEW_RATERS = 3
DOMINANT = 0.9


@dataclass(frozen=True)
class LabelTable:
    """Votes as arrays [M] over items, annotators and classes (ascending values). Comparisons: 1
    first, 0 tie, -1 second, the two options in the order of their ids."""

    what: str
    items: list[Unit]
    annotators: list[str]
    classes: list[float]
    item: Index
    annotator: Index
    label: Index


@dataclass(frozen=True)
class ItemLabel:
    """One item: how many voted, the majority's value and its share (the smaller value on a draw),
    Dawid and Skene's value and probability, and the probabilities of all classes (the soft
    label)."""

    item: Unit
    votes: int
    majority: float
    majority_share: float
    dawid_skene: float
    probability: float
    soft: list[float]


@dataclass(frozen=True)
class AnnotatorConfusion:
    """pi_a[l][k] = P(says class k | truth is class l); accuracy: expected share of votes equal to
    the truth, with the interval it would have if the truth were known."""

    annotator: str
    judgements: int
    confusion: list[list[float]]
    accuracy: Interval


@dataclass(frozen=True)
class Labels:
    """items in order; differ: on how many the two methods do not agree; warnings: when not to trust
    the weighting."""

    what: str
    classes: list[float]
    class_shares: list[float]
    items: list[ItemLabel]
    annotators: list[AnnotatorConfusion]
    differ: int
    iterations: int
    warnings: list[str]


def label_tables(records: Sequence[Feedback]) -> list[LabelTable]:
    """One table per thing that was judged: "choice" (comparisons, rankings, best/worst as pairs),
    "thumb", "step", "flag NAME", "rating NAME". Raises DataError when there is none."""
    tables: dict[str, Votes] = {}
    if pairs := pair_votes(records):
        tables["choice"] = {(*key,): votes for key, votes in pairs.items()}
    for (what, level), votes in scale_votes(records).items():
        if level != "interval":  # the same votes again
            tables[what] = votes
    if not tables:
        raise DataError(
            "nothing was judged that has a label",
            "labels come from choices, ratings, thumbs, steps and flags",
        )
    return [table(what, votes) for what, votes in sorted(tables.items())]


def table(what: str, votes: Votes) -> LabelTable:
    """Votes (item -> annotator -> value) as arrays. Items, annotators and classes are sorted."""
    items = sorted(votes)
    annotators = sorted({a for given in votes.values() for a in given})
    classes = sorted({v for given in votes.values() for v in given.values()})
    who, which = {a: i for i, a in enumerate(annotators)}, {c: i for i, c in enumerate(classes)}
    rows = [
        (i, who[a], which[v])
        for i, item in enumerate(items)
        for a, v in sorted(votes[item].items())
    ]
    item, annotator, label = np.array(rows, dtype=np.int64).T
    return LabelTable(what, items, annotators, classes, item, annotator, label)


def majority(table: LabelTable) -> Array:
    """Share of votes for each class: [I, C]."""
    counts = np.zeros((len(table.items), len(table.classes)))
    np.add.at(counts, (table.item, table.label), 1)
    shares: Array = counts / counts.sum(1, keepdims=True)
    return shares


def dawid_skene(
    table: LabelTable, smoothing: float = SMOOTHING, iterations: int = 500, tolerance: float = 1e-6
) -> tuple[Array, Array, Array, int]:
    """(P(truth) [I, C], confusion matrices [A, C, C], class shares [C], iterations done), by EM
    from the majority.

    smoothing: pseudo-votes per row of an annotator's matrix; 0 is the plain maximum-likelihood
    algorithm. Stops when no probability moves by more than `tolerance`.
    """
    truth_IC = majority(table)
    shares_C, confusion_ACC = _maximise(table, truth_IC, smoothing)
    done, moved = 0, np.inf
    while done < iterations and moved >= tolerance:
        log_p = np.tile(np.log(np.maximum(shares_C, FLOOR)), (len(table.items), 1))
        np.add.at(log_p, table.item, np.log(confusion_ACC)[table.annotator, :, table.label])
        p = np.exp(log_p - log_p.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        moved, truth_IC, done = float(np.abs(p - truth_IC).max()), p, done + 1
        shares_C, confusion_ACC = _maximise(table, truth_IC, smoothing)
    return truth_IC, confusion_ACC, shares_C, done


def _maximise(table: LabelTable, truth_IC: Array, smoothing: float) -> tuple[Array, Array]:
    """Class shares and confusion matrices given P(truth)."""
    classes = len(table.classes)
    counts_AKC = np.zeros((len(table.annotators), classes, classes))  # said, truth
    np.add.at(counts_AKC, (table.annotator, table.label), truth_IC[table.item])
    counts_ACC = counts_AKC.transpose(0, 2, 1)
    if smoothing:
        right = (np.trace(counts_ACC.sum(0)) + 1) / (counts_ACC.sum() + 1 + 1 / classes)
        crowd = np.full((classes, classes), (1 - right) / max(1, classes - 1))
        np.fill_diagonal(crowd, right)
        counts_ACC = counts_ACC + smoothing * crowd
    floored = np.maximum(counts_ACC, FLOOR)
    return truth_IC.mean(0), floored / floored.sum(2, keepdims=True)


def aggregate(table: LabelTable, smoothing: float = SMOOTHING) -> Labels:
    """Both labels of every item, and every annotator's confusion matrix."""
    shares_IC, (truth_IC, confusion_ACC, shares_C, done) = (
        majority(table),
        dawid_skene(table, smoothing),
    )
    votes_I, votes_A = np.bincount(table.item), np.bincount(table.annotator)
    items = [
        ItemLabel(
            item,
            int(votes_I[i]),
            table.classes[int(shares_IC[i].argmax())],
            float(shares_IC[i].max()),
            table.classes[int(truth_IC[i].argmax())],
            float(truth_IC[i].max()),
            truth_IC[i].tolist(),
        )
        for i, item in enumerate(table.items)
    ]
    right_A = np.bincount(table.annotator, truth_IC[table.item, table.label])
    annotators = [
        AnnotatorConfusion(
            name, int(votes_A[a]), confusion_ACC[a].tolist(), share(right_A[a], votes_A[a])
        )
        for a, name in enumerate(table.annotators)
    ]
    differ = sum(i.majority != i.dawid_skene for i in items)
    return Labels(
        table.what,
        table.classes,
        shares_C.tolist(),
        items,
        annotators,
        differ,
        done,
        _warnings(votes_I, shares_C),
    )


def _warnings(votes_I: Index, shares_C: Array) -> list[str]:
    warnings = []
    if votes_I.mean() < FEW_RATERS:
        warnings.append(
            f"{votes_I.mean():.1f} votes per item: with fewer than {FEW_RATERS} the weighting rests"
            " on little"
        )
    if shares_C.max() > DOMINANT:
        warnings.append(
            f"{shares_C.max():.0%} of the items have one class: the rare ones are hard to tell from"
            " errors"
        )
    return warnings
