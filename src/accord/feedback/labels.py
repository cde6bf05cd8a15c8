"""One label per item out of several annotators' votes, beside the majority: Dawid and Skene's,
MACE's or GLAD's, with what each says of the annotators.

The one-coin form of Dawid and Skene (one number per annotator) breaks down where annotators err to
both sides at different rates, so it is not offered; MACE and GLAD are one number per annotator too,
and say so in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from accord.feedback import sampled_confusions as confusions
from accord.feedback.agreement_kinds import Unit
from accord.feedback.glad import sample_glad
from accord.feedback.label_table import LabelTable, majority, vote_counts
from accord.feedback.mace import sample_mace
from accord.statistics.intervals import Array, Interval, share

Method = Literal["majority", "dawid-skene", "mace", "glad"]
QUALITY: dict[Method, str] = {
    "majority": "agrees with the others' majority",
    "dawid-skene": "accuracy",
    "mace": "competence",
    "glad": "ability",
}
"""What is said of each annotator: a share of votes; the expected share of votes equal to the truth;
P(knows the truth); the logit at an item of typical difficulty."""
FEW_RATERS = 3
DOMINANT = 0.9


@dataclass(frozen=True)
class ItemLabel:
    """One item: how many voted, the majority's class and its share, whether it is a draw (then the
    smaller class stands for it), the method's class and probability, and the probabilities of all
    classes (the soft label). Classes are places in `Labels.classes`."""

    item: Unit
    votes: int
    majority: int
    majority_share: float
    draw: bool
    label: int
    probability: float
    soft: list[float]


@dataclass(frozen=True)
class AnnotatorLabels:
    """quality: see QUALITY, None where nothing tells; confusion: pi_a[l][k] = P(says class k |
    truth is class l), of Dawid and Skene only."""

    annotator: str
    judgements: int
    quality: Interval | None
    confusion: list[list[float]] | None = None


@dataclass(frozen=True)
class Labels:
    """items in order; differ: on how many the method and the majority do not agree, draws left out;
    draws, single: items whose majority is a draw, and those with one vote; smoothing: pseudo-votes
    per row that Dawid and Skene's model learned; communities: how much it believes that annotators
    share matrices, 0 to 1; warnings: when not to trust the weighting."""

    what: str
    method: Method
    quality: str
    classes: list[float]
    class_shares: list[float]
    items: list[ItemLabel]
    annotators: list[AnnotatorLabels]
    differ: int
    draws: int
    single: int
    smoothing: float | None
    communities: float | None
    warnings: list[str]


@dataclass(frozen=True)
class _Found:
    """What a method found: P(truth) [I, C] and the annotators' numbers."""

    truth_IC: Array
    quality_A: list[Interval | None]
    confusion_ACC: Array | None = None
    smoothing: float | None = None
    communities: float | None = None


def aggregate(table: LabelTable, method: Method = "dawid-skene", seed: int = 0) -> Labels:
    """The label of every item by this method and by the majority, and every annotator's quality.
    Where only one class occurs there is nothing to weigh: the majority's labels, and a warning."""
    if len(table.classes) == 1:
        method = "majority"
    found = _METHODS[method](table, seed)
    counts_IC, shares_IC = vote_counts(table), majority(table)
    votes_I, most_I = counts_IC.sum(1), counts_IC.max(1)
    draw_I = (counts_IC == most_I[:, None]).sum(1) > 1
    items = [
        ItemLabel(
            item,
            int(votes_I[i]),
            int(shares_IC[i].argmax()),
            float(shares_IC[i].max()),
            bool(draw_I[i]),
            int(found.truth_IC[i].argmax()),
            float(found.truth_IC[i].max()),
            found.truth_IC[i].tolist(),
        )
        for i, item in enumerate(table.items)
    ]
    votes_A = np.bincount(table.annotator)
    matrices = None if found.confusion_ACC is None else found.confusion_ACC.tolist()
    annotators = [
        AnnotatorLabels(
            name, int(votes_A[a]), found.quality_A[a], None if matrices is None else matrices[a]
        )
        for a, name in enumerate(table.annotators)
    ]
    shares_C = found.truth_IC.mean(0)
    return Labels(
        table.what,
        method,
        QUALITY[method],
        table.classes,
        shares_C.tolist(),
        items,
        annotators,
        sum(i.majority != i.label and not i.draw for i in items),
        int(draw_I.sum()),
        int((votes_I == 1).sum()),
        found.smoothing,
        found.communities,
        _warnings(votes_I, shares_C),
    )


def _by_majority(table: LabelTable, seed: int) -> _Found:
    """Shares of votes, and how often each annotator says what most of the others do (items on which
    these draw, or are not, say nothing)."""
    del seed
    others_MC = vote_counts(table)[table.item]
    others_MC[np.arange(len(table.item)), table.label] -= 1
    most_M = others_MC.max(1)
    clear_M = (most_M > 0) & ((others_MC == most_M[:, None]).sum(1) == 1)
    same_M = clear_M & (others_MC.argmax(1) == table.label)
    met_A, same_A = (
        np.bincount(table.annotator, part, len(table.annotators)) for part in (clear_M, same_M)
    )
    quality = [share(s, n) if n else None for s, n in zip(same_A, met_A, strict=True)]
    return _Found(majority(table), quality)


def _by_dawid_skene(table: LabelTable, seed: int) -> _Found:
    fit = confusions.sample(table, seed)
    return _Found(
        fit.truth_IC, [*fit.accuracy_A], fit.confusion_ACC, fit.smoothing, fit.communities
    )


def _by_mace(table: LabelTable, seed: int) -> _Found:
    truth_IC, competences = sample_mace(table, seed)
    return _Found(truth_IC, [*competences])


def _by_glad(table: LabelTable, seed: int) -> _Found:
    truth_IC, abilities = sample_glad(table, seed)
    return _Found(truth_IC, [*abilities])


_METHODS: dict[Method, Callable[[LabelTable, int], _Found]] = {
    "majority": _by_majority,
    "dawid-skene": _by_dawid_skene,
    "mace": _by_mace,
    "glad": _by_glad,
}


def _warnings(votes_I: Array, shares_C: Array) -> list[str]:
    warnings = []
    if len(shares_C) == 1:
        warnings.append(
            "only one label occurs: there is nothing to weigh, and no errors to learn from"
        )
    if votes_I.mean() < FEW_RATERS:
        warnings.append(
            f"{votes_I.mean():.1f} votes per item: with fewer than {FEW_RATERS} the weighting rests"
            " on little"
        )
    if len(shares_C) > 1 and shares_C.max() > DOMINANT:
        warnings.append(
            f"{shares_C.max():.0%} of the items have one class: the rare ones are hard to tell from"
            " errors"
        )
    return warnings
