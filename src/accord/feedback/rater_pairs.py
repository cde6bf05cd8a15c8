"""Two annotators on what both judged: how far they agree beyond chance, and whether one of them
says "tie", or the higher of two values, more often."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from accord.feedback.agreement import TIE, pair_votes
from accord.feedback.agreement_kinds import MOST_CATEGORIES, scale_votes
from accord.feedback.records import Feedback
from accord.statistics.clusters import clustered_share
from accord.statistics.cohen import kappa
from accord.statistics.intervals import Interval
from accord.statistics.significance import discoveries, mcnemar

CHOICES = "choices"
FEWEST = 10
"""Items that two annotators share below which they are not compared."""


@dataclass(frozen=True)
class RaterPair:
    """what: "choices", or a scale as `agreement_kinds` names it; items: judged by both; kappa:
    Cohen's, not a number where both gave one and the same answer throughout; same: share of items
    with the same answer; marked: the answer that McNemar's test counts ("tie", or the higher of two
    values), None on other scales; first_marked, second_marked: prompts on which this one alone gave
    it (more often); p_value: of their difference by chance; differ: it is believed, with false
    discoveries among all pairs at most 5 %."""

    what: str
    first: str
    second: str
    items: int
    kappa: Interval
    same: Interval
    marked: str | None
    first_marked: int
    second_marked: int
    p_value: float | None
    differ: bool


@dataclass(frozen=True)
class RaterPairs:
    """pairs: that share enough items, those that agree least first; too_few: pairs of annotators
    that share something, but fewer items than `fewest`."""

    pairs: list[RaterPair]
    too_few: int
    fewest: int


Answers = list[tuple[str, float, float]]
"""(prompt, first annotator's answer, second's) of every item that both judged."""
Kind = Mapping[tuple[str, ...], Mapping[str, float]]
"""Answers per unit (its prompt first) and annotator."""


def rater_pairs(records: Sequence[Feedback], fewest: int = FEWEST) -> RaterPairs:
    """Every two annotators that share at least `fewest` items of a kind. Rankings and best/worst
    choices are taken apart into pairs of options, as for agreement; of several answers of one
    annotator the last counts. A rating agrees only where it is the same: scales of more than 32
    values are left to Krippendorff's alpha."""
    found: list[RaterPair] = []
    too_few = 0
    for what, votes in _kinds(records).items():
        categories = sorted({value for given in votes.values() for value in given.values()})
        if len(categories) > MOST_CATEGORIES:
            continue
        shared = _shared(votes)
        enough = {pair: answers for pair, answers in shared.items() if len(answers) >= fewest}
        too_few += len(shared) - len(enough)
        found += [_pair(what, *pair, answers, categories) for pair, answers in enough.items()]
    believed = iter(discoveries([row.p_value for row in found if row.p_value is not None]))
    rows = [row if row.p_value is None else replace(row, differ=next(believed)) for row in found]
    rows.sort(key=lambda row: (math.isnan(row.kappa.value), row.kappa.value, row.first, row.second))
    return RaterPairs(rows, too_few, fewest)


def _kinds(records: Sequence[Feedback]) -> dict[str, Kind]:
    choices: Kind = {tuple(unit): given for unit, given in pair_votes(records).items()}
    kinds = {CHOICES: choices} if choices else {}
    for (what, _), votes in sorted(scale_votes(records).items()):
        kinds[what] = votes  # a rating stands there once for each level of its scale
    return kinds


def _shared(votes: Kind) -> dict[tuple[str, str], Answers]:
    """What every two annotators both judged."""
    shared: dict[tuple[str, str], Answers] = defaultdict(list)
    for unit, given in sorted(votes.items()):
        for a, b in combinations(sorted(given), 2):
            shared[a, b].append((unit[0], given[a], given[b]))
    return shared


def _pair(
    what: str, first: str, second: str, answers: Answers, categories: Sequence[float]
) -> RaterPair:
    place = {prompt: i for i, prompt in enumerate(sorted({prompt for prompt, _, _ in answers}))}
    index = {value: i for i, value in enumerate(categories)}
    tables_PCC = np.zeros((len(place), len(categories), len(categories)))
    for prompt, a, b in answers:
        tables_PCC[place[prompt], index[a], index[b]] += 1
    same_P = np.trace(tables_PCC, axis1=1, axis2=2)
    marked = _marked(what, categories)
    alone = (0, 0)
    if marked is not None:
        at = index[marked]
        more_P = tables_PCC[:, at].sum(-1) - tables_PCC[:, :, at].sum(-1)
        alone = int((more_P > 0).sum()), int((more_P < 0).sum())
    return RaterPair(
        what,
        first,
        second,
        len(answers),
        kappa(tables_PCC),
        clustered_share(same_P, tables_PCC.sum((1, 2))),
        None if marked is None else "tie" if what == CHOICES else f"{marked:g}",
        *alone,
        None if marked is None else mcnemar(*alone),
        False,
    )


def _marked(what: str, categories: Sequence[float]) -> float | None:
    """The answer of which one annotator may give more than the other: a tie, the higher of two."""
    if what == CHOICES:
        return TIE if TIE in categories else None
    return categories[1] if len(categories) == 2 else None
