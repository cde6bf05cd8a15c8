"""Do annotators want different things? A mixture of tastes: groups with scores of their own, their
number by BIC.

Annotator k belongs to group g with probability pi_g and has log-reliability a ~ N(0, .7^2); a
decided vote is

    P(i over j) = sigmoid(exp(a) (s_gi - s_gj)),    s_g ~ N(0, 1)

fitted by EM over (g, a), a on a grid: who clicks at random is unreliable in every group and makes
none of its own. BIC counts the effective number of scores, tr H (H + 1)^-1. A second group is a
finding about people, not an error to vote down: soft labels keep the minority's share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from accord.errors import DataError
from accord.feedback.choice_model import FIRST, TIE, decided_log_p, decided_p
from accord.feedback.records import Feedback
from accord.feedback.votes import Objects, Votes, votes_of
from accord.seeds import generator
from accord.statistics.intervals import Array, Index, Interval, around, share
from accord.statistics.softmax import softmax

RELIABILITY_SD = 0.7
LOG_RELIABILITY = np.linspace(-2.1, 1.4, 8)
MOST_OBJECTS = 1500
STARTS = 4


@dataclass(frozen=True)
class GroupScore:
    """What one group thinks of one producer (logits of its typical annotator)."""

    producer: str
    score: Interval


@dataclass(frozen=True)
class TasteGroup:
    """share: of the annotators (exact interval around the expected number); members: those most
    likely in it."""

    share: Interval
    members: list[str]
    scores: list[GroupScore]


@dataclass(frozen=True)
class TasteMembership:
    """P(group) of one annotator."""

    annotator: str
    votes: int
    probabilities: list[float]


@dataclass(frozen=True)
class SoftLabel:
    """A pair: votes for the first among the decided ones, P(first) in each group and over the crowd
    (group shares)."""

    first: str
    second: str
    votes: int
    share_first: float
    by_group: list[float]
    crowd: float


@dataclass(frozen=True)
class Tastes:
    """groups, the largest first; bic by number of groups (the smallest wins); disputed: pairs on
    which groups prefer differently, the widest first; votes used and ties left out."""

    groups: list[TasteGroup]
    members: list[TasteMembership]
    bic: dict[int, float]
    disputed: list[SoftLabel]
    votes: int
    ties_left_out: int


@dataclass(frozen=True)
class _PairCounts:
    """Distinct (winner, loser) pairs [Q] and how often each annotator decided so: [A, Q]."""

    winner: Index
    loser: Index
    counts_AQ: csr_matrix
    producers: int
    annotators: int
    votes: float


@dataclass
class _Fit:
    scores_GP: Array
    errors_GP: Array
    shares_G: Array
    member_AG: Array
    log_likelihood: float
    freedom: float

    def bic(self, votes: float) -> float:
        return float(-2 * self.log_likelihood + self.freedom * np.log(votes))


def tastes(
    records: Sequence[Feedback], objects: Objects = "producer", most: int = 4, seed: int = 0
) -> Tastes:
    """Groups of annotators by what they prefer. Raises DataError without decided votes or a second
    annotator, or with too many things scored."""
    return tastes_of_several(votes_of(records, objects)[0], most, seed)


def tastes_of_several(votes: Votes, most: int = 4, seed: int = 0) -> Tastes:
    """The same from the records' votes."""
    if len(votes.annotators) < 2:
        raise DataError(
            "only one annotator voted: groups are of several", "collect from more people"
        )
    return tastes_of(votes, most, seed)


def tastes_of(votes: Votes, most: int = 4, seed: int = 0) -> Tastes:
    """The same from arrays. Groups are added until BIC rises."""
    data, ties = _data(votes)
    fits = {1: _best(data, 1, seed)}
    for groups in range(2, most + 1):
        fits[groups] = _best(data, groups, seed)
        if fits[groups].bic(data.votes) > fits[groups - 1].bic(data.votes):
            break
    bic = {groups: fitted.bic(data.votes) for groups, fitted in fits.items()}
    return _result(votes, data, fits[min(bic, key=lambda g: bic[g])], bic, ties)


def _data(votes: Votes) -> tuple[_PairCounts, int]:
    decided = votes.where(votes.outcome != TIE)
    if not decided.total:
        raise DataError("there are only ties", "tastes show in decided comparisons")
    producers, annotators = len(votes.producers), len(votes.annotators)
    if producers > MOST_OBJECTS:
        raise DataError(
            f"{producers:,} things to score; groups can be told for {MOST_OBJECTS:,}",
            "score producers, or fewer prompts",
        )
    first_won = decided.outcome == FIRST
    key = np.where(first_won, decided.first, decided.second) * producers + np.where(
        first_won, decided.second, decided.first
    )
    pairs, place = np.unique(key, return_inverse=True)
    counts = csr_matrix((decided.count, (decided.annotator, place)), shape=(annotators, len(pairs)))
    winner, loser = np.divmod(pairs, producers)
    ties = votes.total - decided.total
    return _PairCounts(
        winner, loser, counts, producers, annotators, float(decided.count.sum())
    ), ties


def _best(data: _PairCounts, groups: int, seed: int) -> _Fit:
    """The best of several starts: random ones, and one from the directions in which annotators
    differ most."""
    rng = generator(seed, "tastes", groups)
    if groups == 1:
        return _em(data, np.ones((data.annotators, 1)))
    starts = [
        _split(data, groups, rng),
        *(rng.dirichlet(np.ones(groups), data.annotators) for _ in range(STARTS - 1)),
    ]
    return max((_em(data, start) for start in starts), key=lambda fitted: fitted.log_likelihood)


def _split(data: _PairCounts, groups: int, rng: np.random.Generator) -> Array:
    """Annotators by the leading directions of their residuals from the common scores."""
    common = _em(data, np.ones((data.annotators, 1))).scores_GP[0]
    surprise = 1 - decided_p(common[data.winner] - common[data.loser])
    weighed = data.counts_AQ.multiply(surprise[None, :]).tocsr()
    directions = csr_matrix(
        (np.ones(len(data.winner)), (np.arange(len(data.winner)), data.winner)),
        (len(data.winner), data.producers),
    ) - csr_matrix(
        (np.ones(len(data.loser)), (np.arange(len(data.loser)), data.loser)),
        (len(data.loser), data.producers),
    )
    residual = (weighed @ directions).toarray()
    residual /= np.sqrt(np.maximum(np.asarray(data.counts_AQ.sum(1)), 1))
    left = np.linalg.svd(residual - residual.mean(0), full_matrices=False)[0][:, : groups - 1]
    side = (left - left.mean(0)) / np.maximum(left.std(0), 1e-12)
    logits = np.column_stack([side, -side.sum(1)]) + 0.01 * rng.normal(
        size=(data.annotators, groups)
    )
    return softmax(2 * logits, 1)[0]


def _em(
    data: _PairCounts, member_AG: Array, iterations: int = 200, tolerance: float = 1e-4
) -> _Fit:
    groups, grid = member_AG.shape[1], LOG_RELIABILITY
    log_prior = -((grid / RELIABILITY_SD) ** 2) / 2
    log_prior = log_prior - logsumexp(log_prior)
    joint = member_AG[:, :, None] * np.exp(log_prior)  # [A, G, R]
    scores, before = np.zeros((groups, data.producers)), -np.inf
    curvatures: list[Array] = []
    for _ in range(iterations):
        shares = joint.sum((0, 2)) / data.annotators
        fitted = [_newton(data, joint[:, g].T @ data.counts_AQ, scores[g]) for g in range(groups)]
        scores, curvatures = np.array([s for s, _ in fitted]), [h for _, h in fitted]
        gap = scores[:, data.winner] - scores[:, data.loser]  # [G, Q]
        table = decided_log_p(np.exp(grid)[None, :, None] * gap[:, None, :]).reshape(
            -1, len(data.winner)
        )
        log_joint = (data.counts_AQ @ table.T).reshape(data.annotators, groups, len(grid))
        log_joint = log_joint + log_prior + np.log(np.maximum(shares, 1e-12))[None, :, None]
        evidence = logsumexp(log_joint, axis=(1, 2))
        joint = np.exp(log_joint - evidence[:, None, None])
        value = float(evidence.sum() - (scores**2).sum() / 2)
        if value - before < tolerance:
            break
        before = value
    inverse = [np.linalg.inv(h + np.eye(data.producers)) for h in curvatures]
    freedom = (
        sum(float(np.trace(h @ i)) for h, i in zip(curvatures, inverse, strict=True)) + groups - 1
    )
    errors = np.array([np.sqrt(np.diag(i)) for i in inverse])
    return _Fit(scores, errors, shares, joint.sum(2), float(evidence.sum()), freedom)


def _newton(data: _PairCounts, weight_RQ: Array, start: Array) -> tuple[Array, Array]:
    """Scores of one group (concave), and the curvature of its likelihood. weight: votes expected at
    each reliability."""
    scale, s, size = np.exp(LOG_RELIABILITY)[:, None], start, data.producers
    for _ in range(50):
        lost = decided_p(-scale * (s[data.winner] - s[data.loser]))
        pull = (weight_RQ * scale * lost).sum(0)
        gradient = (
            np.bincount(data.winner, pull, minlength=size)
            - np.bincount(data.loser, pull, minlength=size)
            - s
        )
        bend = (weight_RQ * scale**2 * lost * (1 - lost)).sum(0)
        pairs = np.bincount(data.winner * size + data.loser, bend, minlength=size * size).reshape(
            size, size
        )
        both: Array = (pairs + pairs.T).astype(np.float64)
        curvature: Array = np.diag(both.sum(1)) - both
        step = np.linalg.solve(curvature + np.eye(size), gradient)
        s = s + step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-6:
            break
    return s, curvature


def _result(
    votes: Votes, data: _PairCounts, best: _Fit, bic: dict[int, float], ties: int
) -> Tastes:
    order = np.argsort(-best.shares_G)
    member, scores, errors = (
        best.member_AG[:, order],
        best.scores_GP[order],
        best.errors_GP[order],
    )
    likely = member.argmax(1)
    groups = [
        TasteGroup(
            share(float(member[:, g].sum()), data.annotators),
            [name for k, name in enumerate(votes.annotators) if likely[k] == g],
            [
                GroupScore(name, around(scores[g, p], errors[g, p]))
                for p, name in enumerate(votes.producers)
            ],
        )
        for g in range(len(order))
    ]
    judged = np.asarray(data.counts_AQ.sum(1)).ravel()
    members = [
        TasteMembership(name, round(float(judged[k])), member[k].tolist())
        for k, name in enumerate(votes.annotators)
    ]
    labels = _soft_labels(votes, data, scores, best.shares_G[order])
    disputed = [s for s in labels if min(s.by_group) < 0.5 < max(s.by_group)]
    disputed.sort(key=lambda s: min(s.by_group) - max(s.by_group))
    return Tastes(groups, members, bic, disputed, round(data.votes), ties)


def _soft_labels(
    votes: Votes, data: _PairCounts, scores_GP: Array, shares_G: Array
) -> list[SoftLabel]:
    """Every judged pair, the smaller name first."""
    totals: dict[tuple[int, int], list[float]] = {}
    counts = np.asarray(data.counts_AQ.sum(0)).ravel()
    for won, lost, n in zip(
        data.winner.tolist(), data.loser.tolist(), counts.tolist(), strict=True
    ):
        tally = totals.setdefault((min(won, lost), max(won, lost)), [0.0, 0.0])
        tally[0 if won < lost else 1] += n
    labels = []
    for (i, j), (first, second) in sorted(totals.items()):
        p = decided_p(scores_GP[:, i] - scores_GP[:, j])
        labels.append(
            SoftLabel(
                votes.producers[i],
                votes.producers[j],
                round(first + second),
                first / (first + second),
                p.tolist(),
                float(p @ shares_G),
            )
        )
    return labels


def soft_labels(votes: Votes, mixture: Tastes) -> list[SoftLabel]:
    """Every judged pair with each group's preference: what a reward model that keeps minorities
    learns from."""
    data, _ = _data(votes)
    scores = np.array([[s.score.value for s in group.scores] for group in mixture.groups])
    return _soft_labels(
        votes, data, scores, np.array([group.share.value for group in mixture.groups])
    )
