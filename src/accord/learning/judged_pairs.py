"""Pairs of responses, one better than the other, as judged groups say them: for preference losses,
and for reward models that read one pair per row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, pairs_said
from accord.learning.preference import Pair


def preference_pairs(groups: Sequence[JudgedGroup]) -> list[Pair]:
    """Every strict pair said by the judgements, as DPO pairs (chosen first); disagreement stays in
    the data.

    The pairs of one ranking share its weight: it counts as much as a comparison of the same weight.
    """
    return [
        _pair(groups[p.group], p.better, p.worse, p.weight, p.doubt) for p in pairs_said(groups)
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
    groups: Sequence[JudgedGroup], effects: AnnotatorEffects, least: float = 0.5
) -> tuple[list[Pair], int]:
    """(one DPO pair per two responses, decided by the votes of all annotators together; how many
    stay undecided).

    Log-odds of "i over j" are the sum of the voters' rationalities, so reliable annotators count
    more, a contrarian's vote counts the other way and a side-picker's hardly at all. A vote with
    doubt e counts 1 - 2e; among voters of different weight each has a say in proportion to its own.
    The doubt that remains becomes a soft label; pairs with log-odds below `least` are undecided and
    left out. A pair's weight is the mean of its voters', whose rankings share theirs among their
    pairs.
    """
    rationality = effects.rationality_A.tolist()
    pairs, undecided = [], 0
    for group in groups:
        votes: dict[
            tuple[int, int], list[tuple[float, float, float]]
        ] = {}  # log-odds, say, share of the weight
        for judgement in group.judgements:
            said = judgement.pairs
            vote = rationality[judgement.annotator] * (1 - 2 * judgement.doubt)
            for better, worse in said:
                key, sign = ((better, worse), 1) if better < worse else ((worse, better), -1)
                votes.setdefault(key, []).append(
                    (sign * vote, judgement.weight, judgement.weight / len(said))
                )
        for (i, j), cast in votes.items():
            if group.same(i, j):
                continue  # counted by `equal_pairs`
            value = sum(odds * say for odds, say, _ in cast) / (
                sum(say for _, say, _ in cast) / len(cast)
            )
            undecided += abs(value) < least
            if abs(value) >= least:
                better, worse = (i, j) if value > 0 else (j, i)
                share = sum(part for _, _, part in cast) / len(cast)
                pairs.append(
                    _pair(group, better, worse, share, doubt=1 / (1 + math.exp(abs(value))))
                )
    return pairs, undecided


def _pair(group: JudgedGroup, better: int, worse: int, weight: float, doubt: float) -> Pair:
    both = group.group.only(better, worse)
    return Pair(
        both.prompt, both.responses[0], both.responses[1], group.row, doubt, weight, both.masks
    )
