"""Pairs of responses, one better than the other, as judged groups say them: for preference losses,
and for reward models that read one pair per row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from accord.feedback.better import Voters, better_probabilities
from accord.feedback.choice_model import place_of
from accord.feedback.crowd_likelihood import CrowdJudgement
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, pairs_said
from accord.learning.preference import Pair
from accord.statistics.intervals import Array

LEAST_LOG_ODDS = 0.5
"""Below it a pair is undecided."""


def preference_pairs(groups: Sequence[JudgedGroup], sources: Sequence[str] = ()) -> list[Pair]:
    """Every strict pair said by the judgements, as DPO pairs (chosen first); disagreement stays in
    the data.

    The pairs of one ranking share its weight: it counts as much as a comparison of the same weight.
    sources: of each annotator, where they are told apart.
    """
    return [
        replace(
            _pair(groups[p.group], p.better, p.worse, p.weight, p.doubt),
            source=sources[p.annotator] if sources else "",
        )
        for p in pairs_said(groups)
    ]


def one_pair_per_row(groups: Sequence[JudgedGroup]) -> list[JudgedGroup]:
    """Every strict pair as a group of its own, judged by the same annotator: how pairwise reward
    models are trained. The pairs of one judgement share its weight; those of equal responses are
    left out (see `equal_pairs`)."""
    return [
        JudgedGroup(
            g.group.only(better, worse),
            (
                Judgement(
                    (0, 1),
                    None,
                    said.annotator,
                    weight=said.weight / len(said.pairs),
                    doubt=said.doubt,
                ),
            ),
            g.row,
        )
        for g in groups
        for said in g.judgements
        for better, worse in said.pairs
        if not g.same(better, worse)
    ]


def without_pair(groups: Sequence[JudgedGroup]) -> int:
    """Judgements that say of no two responses which is better."""
    return sum(not judgement.pairs for group in groups for judgement in group.judgements)


def equal_pairs(groups: Sequence[JudgedGroup]) -> int:
    """Strict pairs whose responses are equal, so that nothing can be learned from them."""
    said = sum(len(judgement.pairs) for group in groups for judgement in group.judgements)
    return said - len(pairs_said(groups))


def decided_pairs(
    groups: Sequence[JudgedGroup], effects: AnnotatorEffects, least: float = LEAST_LOG_ODDS
) -> tuple[list[Pair], int]:
    """(one DPO pair per two responses, decided by the votes of all annotators together; how many
    stay undecided).

    P("i is better than j") is its posterior probability given all that was said about the prompt
    (`feedback/better.py`): reliable annotators count more, a contrarian's vote counts the other way
    and a side-picker's hardly at all. A vote with doubt e is 1 - e of a vote and e of its opposite;
    only ratios of weights count. The doubt that remains becomes a soft label; pairs with log-odds
    below `least` are undecided and left out. A pair's weight is the mean of its voters', whose
    rankings share theirs among their pairs.
    """
    pairs, undecided = [], 0
    for group, p_KK in zip(groups, posterior_labels(groups, effects), strict=True):
        found = [p for p in decided(group.judgements, p_KK) if not group.same(p.better, p.worse)]
        clear = [p for p in found if p.clear(least)]  # equal ones: counted by `equal_pairs`
        undecided += len(found) - len(clear)
        pairs += [_pair(group, p.better, p.worse, p.weight, p.doubt) for p in clear]
    return pairs, undecided


class Decided(NamedTuple):
    """Of two responses of a prompt, by number: the one that is better with probability 1 - doubt;
    weight: the mean of the voters'."""

    better: int
    worse: int
    weight: float
    doubt: float

    def clear(self, least: float = LEAST_LOG_ODDS) -> bool:
        """Whether the log-odds are at least so large."""
        return self.doubt <= 1 / (1 + math.exp(least))


def decided(judgements: Sequence[Judgement], p_KK: Array) -> list[Decided]:
    """Every pair that the judgements of one prompt compare, by P(i is better than j)."""
    shares: dict[tuple[int, int], list[float]] = {}
    for judgement in judgements:
        said = judgement.pairs
        for one, other in said:
            key = min(one, other), max(one, other)
            shares.setdefault(key, []).append(judgement.weight / len(said))
    found = []
    for (i, j), cast in shares.items():
        better, worse = (i, j) if p_KK[i, j] >= p_KK[j, i] else (j, i)
        found.append(Decided(better, worse, sum(cast) / len(cast), float(p_KK[worse, better])))
    return found


LEAST_DOUBT = 1e-4
"""The points cannot tell smaller ones."""


def posterior_labels(groups: Sequence[JudgedGroup], effects: AnnotatorEffects) -> list[Array]:
    """`labels_of` judged groups: [K, K] each."""
    sizes = [len(group.group.responses) for group in groups]
    return labels_of([group.judgements for group in groups], sizes, effects)


def labels_of(
    said: Sequence[Sequence[Judgement]], sizes: Sequence[int], effects: AnnotatorEffects
) -> list[Array]:
    """P(response i is better than response j | all judgements of its prompt), of prompts with so
    many responses: [K, K] each."""
    rows, prompts, counts = [], [], []
    for number, judgements in enumerate(said):
        weights = [j.weight for j in judgements]
        unit = sum(weights) / (sum(w * w for w in weights) or 1.0)
        for judgement in judgements:
            for row, count in _crowd_judgements(judgement):
                rows.append(row)
                prompts.append(number)
                counts.append(count * judgement.weight * unit)
    known = effects.rationality_A.detach().double().numpy()
    doubt = np.zeros(len(known)) if effects.doubt_A is None else effects.doubt_A.double().numpy()
    side = effects.side_bias_A.detach().double().numpy()
    voters = Voters(known, doubt, side, float(effects.log_nu), effects.tail)
    found = better_probabilities(rows, prompts, sizes, voters, counts)
    return [np.clip(p, LEAST_DOUBT, 1 - LEAST_DOUBT) for p in found]


def _crowd_judgements(judgement: Judgement) -> list[tuple[CrowdJudgement, float]]:
    """As `crowd_likelihood` reads them, and how often each counts; what has no likelihood there
    (rankings with ties, one chosen over several that are not compared) by its pairs, K - 1 votes in
    all at most."""
    options, shown, who = judgement.options, judgement.shown_at, judgement.annotator
    places = dict.fromkeys(options, 0.0)
    if shown is not None:
        places = dict(zip(options, place_of(np.array(shown), len(options)).tolist(), strict=True))

    def row(ordered: Sequence[int], tied: bool = False, best_worst: bool = False) -> CrowdJudgement:
        return CrowdJudgement(
            tuple(ordered), tuple(places[o] for o in ordered), tied, who, best_worst
        )

    if judgement.facet is not None:
        return []
    if judgement.kind == "tie":
        return [(row(options, tied=True), 1.0)]
    if judgement.kind == "best_worst":
        return [(row(options, best_worst=True), 1.0)]
    if judgement.kind == "order" and not judgement.tied:
        e = judgement.doubt or 0.0
        both = [(row(options), 1 - e)]
        return [*both, (row(options[::-1]), e)] if e else both
    share = min(1.0, 2 / len(options))
    return [(row(pair), share) for pair in judgement.pairs]


def _pair(group: JudgedGroup, better: int, worse: int, weight: float, doubt: float) -> Pair:
    both = group.group.only(better, worse)
    return Pair(
        both.prompt, both.responses[0], both.responses[1], group.row, doubt, weight, both.masks
    )
