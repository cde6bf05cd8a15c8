"""Votes bought for one producer: a test per (annotator, producer), a second check per annotator,
and who votes alike.

The score test: over annotator k's votes on producer m, with y = 1 where m won (ties half) and p
what the scores say,

    Z = sum(y - p) / sqrt(sum Var y),    Var y = p (1 - p) without ties

The scores must come from votes that are known to be good: fitted to poisoned votes they follow the
poison (masking). The second check is FastChat's martingale over a voter's votes in order, M = prod
1 / (2 P(vote)), large for who votes against what all others prefer.

Honest people differ more than the scores allow: on real votes a fifth of them exceed what either
test promises. So |Z| must exceed both the Bonferroni bound over all tests and what 95 % of the
trusted annotators reach, each tested against the others (a conformal threshold: of honest people
like them 5 % are suspected). What is not found: votes for a target camouflaged by honest-looking
ones everywhere (omnipresent rigging).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, triu
from scipy.special import expit
from scipy.stats import binom, norm

from accord.errors import DataError
from accord.feedback.agreement import pair_votes
from accord.feedback.choice_model import FIRST, TIE, comparison, decided_log_p
from accord.feedback.leaving_out import FitsToOthers, Scores, places_of
from accord.feedback.ratings import Ratings, RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.votes import Objects, Votes, votes_of
from accord.statistics.intervals import Array, Index
from accord.statistics.significance import discoveries

LEAST_VOTES = 5
"""Votes of an annotator on a producer below which the normal approximation of Z says nothing."""
MARTINGALE = 20.0
"""1 / .05 (Ville's inequality): an honest voter's M ever exceeds it with probability .05 at
most."""
MANY = 200
"""Producers beyond which one fit serves all annotators: leaving each out costs too much and changes
little."""
CLOSE = 0.8
"""Of an alarm line: whom the influence function puts beyond this is tested by a refit."""
PLAIN = RatingSettings(reliability=False, side=False)


@dataclass(frozen=True)
class TargetScore:
    """One annotator on one producer: z > 0 favours it."""

    annotator: str
    producer: str
    votes: int
    z: float


@dataclass(frozen=True)
class Suspect:
    """Whom to keep aside and why: what was measured, never a verdict on the person. martingale: the
    second check."""

    annotator: str
    votes: int
    target: str
    z: float
    martingale: float
    reason: str


@dataclass(frozen=True)
class Poisoning:
    """quarantine: suspects, the clearest first; contrary: annotators whose martingale alone is
    large (with it): they vote against what the others prefer, for no producer in particular;
    threshold: of |Z|; reference: what the scores were fitted to; moved: producers whose rank
    changes without the suspects (with, without)."""

    quarantine: list[Suspect]
    contrary: dict[str, float]
    threshold: float
    tested: int
    annotators: int
    reference: str
    moved: dict[str, tuple[int, int]]
    warning: str | None


def check_poisoning(
    records: Sequence[Feedback],
    trusted: Collection[str] | None = None,
    objects: Objects = "producer",
    rate: float = 0.05,
) -> Poisoning:
    """Test every annotator's votes. trusted: annotators whose votes are known to be good (staff,
    those who passed gold).

    Without them the scores are fitted to the others' votes, and masking is possible: the warning
    says so. `rate`: share of honest annotators that may be suspected. Raises DataError when only
    one annotator or no trusted one voted.
    """
    return check_votes(votes_of(records, objects, weighted=False)[0], trusted, rate)


def check_votes(
    votes: Votes, trusted: Collection[str] | None = None, rate: float = 0.05
) -> Poisoning:
    """The same from arrays."""
    trust = np.array([name in (trusted or ()) for name in votes.annotators])
    if trusted is not None and not trust[votes.annotator].any():
        raise DataError(
            "none of the trusted annotators voted",
            f"name some of: {', '.join(votes.annotators[:5])}, ...",
        )
    if len(votes.annotators) < 2:
        raise DataError(
            "only one annotator voted: there are no other votes to test against", "collect more"
        )
    counts = np.bincount(votes.annotator, votes.count, minlength=len(votes.annotators)).astype(
        np.float64
    )
    tested = [k for k in range(len(votes.annotators)) if not trust[k] and counts[k] >= LEAST_VOTES]
    good = votes.where(trust[votes.annotator]) if trusted is not None else None
    start = fit(votes if good is None else good, PLAIN)
    tests = _Tests(votes, start, refitted=good is None)
    by_annotator = {k: tests.of(k) for k in tested}
    number = max(1, sum(len(one.scores) for one in by_annotator.values()))
    limit = float(norm.isf(rate / (2 * number)))
    if good is not None:
        limit = max(
            limit, _usual(good, start, np.nonzero(trust & (counts >= LEAST_VOTES))[0], rate)
        )
    for k, one in by_annotator.items():
        if one.largest > CLOSE * limit or one.bet > CLOSE * MARTINGALE:
            by_annotator[k] = tests.exactly(k)
    suspects, contrary = _suspects(votes, by_annotator, limit, counts)
    suspicious = {s.annotator for s in suspects}
    how = (
        f"fitted to {good.total:,} votes of {int(trust.sum())} trusted annotators"
        if good is not None
        else "fitted to everybody's votes but the tested one's"
    )
    warning = (
        None
        if good is not None
        else (
            "without trusted annotators poison beyond about 2 % of the votes moves the scores it is"
            " tested against"
        )
    )
    return Poisoning(
        suspects,
        contrary,
        limit,
        len(tested),
        len(votes.annotators),
        how,
        _moved(votes, suspicious),
        warning,
    )


def _usual(good: Votes, start: Ratings, people: Index, rate: float) -> float:
    """What a share `rate` of the trusted exceed in their largest |Z|, each against the others'
    scores; 0 when too few."""
    needed = int(np.floor(rate * (len(people) + 1)))
    if needed < 1 or len(people) < 2:
        return 0.0
    tests = _Tests(good, start, refitted=True)
    largest = np.array([tests.of(int(k)).largest for k in people])
    for place in np.flatnonzero(largest > CLOSE * np.sort(largest)[-needed]):
        largest[place] = tests.exactly(int(people[place])).largest
    return float(np.sort(largest)[-needed])


@dataclass(frozen=True)
class _Tested:
    """One annotator's scores on all producers, and the martingale."""

    scores: list[TargetScore]
    bet: float

    @property
    def largest(self) -> float:
        """|Z|."""
        return max((abs(s.z) for s in self.scores), default=0.0)


class _Tests:
    """Of one annotator at a time, against one fit, or against the others' votes (`refitted`)."""

    def __init__(self, votes: Votes, start: Ratings, refitted: bool) -> None:
        self._votes, self._own, self._start = votes, places_of(votes), Scores.of(start)
        leaving_out = refitted and len(votes.producers) <= MANY
        self._others = FitsToOthers(votes, start) if leaving_out else None

    def of(self, annotator: int) -> _Tested:
        """By the influence function where that is enough."""
        reference = self._start if self._others is None else self._others.near(annotator)
        return self._against(reference, annotator)

    def exactly(self, annotator: int) -> _Tested:
        """By a refit."""
        others = self._others
        return self._against(
            self._start if others is None else Scores.of(others.than(annotator)), annotator
        )

    def _against(self, reference: Scores, annotator: int) -> _Tested:
        mine = self._votes.at(self._own[annotator])
        return _Tested(target_scores(reference, mine), martingale(reference, mine))


def _suspects(
    votes: Votes,
    by_annotator: dict[int, _Tested],
    limit: float,
    counts: Array,
) -> tuple[list[Suspect], dict[str, float]]:
    suspects, contrary = [], {}
    for k, one in by_annotator.items():
        top, bet = max(one.scores, key=lambda s: abs(s.z), default=None), one.bet
        if top is not None and abs(top.z) > limit:
            way = "for" if top.z > 0 else "against"
            reason = (
                f"votes {way} {top.producer} beyond its worth: z = {top.z:.1f} over {top.votes}"
                f" votes (limit {limit:.1f})"
            )
            suspects.append(
                Suspect(top.annotator, round(counts[k]), top.producer, top.z, bet, reason)
            )
        elif bet > MARTINGALE:
            contrary[votes.annotators[k]] = bet
    suspects.sort(key=lambda s: -abs(s.z))
    return suspects, dict(sorted(contrary.items(), key=lambda item: -item[1]))


def target_scores(reference: Scores, votes: Votes) -> list[TargetScore]:
    """Z of one annotator's votes on every producer with enough of them. The uncertainty of the
    reference's scores is part of the variance: Var = sum Var y + g' C g, g the slopes of sum p in
    the scores and C their covariance."""
    targets, ends = np.unique(np.stack([votes.first, votes.second]), return_inverse=True)
    first, second = ends.reshape(2, -1)
    gap = reference.score_P[votes.first] - reference.score_P[votes.second]
    terms = comparison(gap, votes.outcome, reference.log_nu)
    beyond, variance = votes.count * terms.slope, -votes.count * terms.curvature[0]
    size = len(targets)  # a win counts 1, a tie 1/2
    excess_T = np.bincount(first, beyond, size) - np.bincount(second, beyond, size)
    judged_T = np.bincount(first, votes.count, size) + np.bincount(second, votes.count, size)
    between_TT = np.bincount(first * size + second, variance, size * size).reshape(size, size)
    between_TT = between_TT + between_TT.T
    own_T = between_TT.sum(1)
    slope_TT = np.diag(own_T) - between_TT
    covariance_TT = reference.covariance_PP[np.ix_(targets, targets)]
    z_T = excess_T / np.sqrt(own_T + ((slope_TT @ covariance_TT) * slope_TT).sum(1))
    who = votes.annotators[int(votes.annotator[0])]
    return [
        TargetScore(who, votes.producers[targets[t]], round(judged_T[t]), float(z_T[t]))
        for t in np.flatnonzero(judged_T >= LEAST_VOTES)
    ]


def martingale(reference: Scores, votes: Votes) -> float:
    """FastChat's M over one annotator's decided votes: its largest value in order (the arrays are
    taken to be ordered)."""
    decided = votes.where(votes.outcome != TIE)
    gap = reference.score_P[decided.first] - reference.score_P[decided.second]
    log_p = decided_log_p(np.where(decided.outcome == FIRST, gap, -gap))
    steps = np.repeat(-np.log(2) - log_p, np.maximum(1, np.round(decided.count)).astype(int))
    return (
        float(np.exp(np.clip(np.maximum.accumulate(np.cumsum(steps)), None, 700)[-1]))
        if len(steps)
        else 1.0
    )


def _moved(votes: Votes, suspects: Collection[str]) -> dict[str, tuple[int, int]]:
    out = [k for k, name in enumerate(votes.annotators) if name in suspects]
    without = votes.where(~np.isin(votes.annotator, out))
    if not out or not without.total:
        return {}
    ranks = [(-fit(v, PLAIN).score_P).argsort().argsort() + 1 for v in (votes, without)]
    return {
        name: (int(a), int(b)) for name, a, b in zip(votes.producers, *ranks, strict=True) if a != b
    }


@dataclass(frozen=True)
class VotesAlike:
    """Two annotators who gave the same answer on more common pairs of options than how much each
    agrees with everybody explains."""

    annotators: tuple[str, str]
    common: int
    same: int
    expected: float
    p_value: float


def votes_alike(
    records: Sequence[Feedback], least: int = 10, rate: float = 0.01
) -> list[VotesAlike]:
    """Hints of one person with two accounts or of collusion: pairs of annotators whose votes agree
    more than expected, logit expected = logit m_a + logit m_b - logit m, with m_a how much a agrees
    with everybody and m the crowd's agreement (binomial, false discoveries at most `rate`). A hint,
    not proof: two people of one taste agree as well."""
    votes = [given for given in pair_votes(records).values() if len(given) > 1]
    people, common, same = _met(votes)
    met = triu(common, 1).tocsr()
    met.sort_indices()
    pairs = met.tocoo()
    often = pairs.data >= least
    first, second = pairs.row[often], pairs.col[often]
    if not len(first):
        return []
    common_P, same_P = (np.asarray(table[first, second]).ravel() for table in (common, same))
    own_common, own_same = (
        np.asarray(table.sum(1)).ravel() - table.diagonal() for table in (common, same)
    )
    # Of each alone: without what the two have in common.
    alone = [_logit(own_same[k] - same_P, own_common[k] - common_P) for k in (first, second)]
    expected = expit(alone[0] + alone[1] - _logit(own_same.sum(), own_common.sum()))
    p = binom.sf(same_P - 1, common_P, expected)
    alike = [
        VotesAlike(
            (people[first[n]], people[second[n]]),
            int(common_P[n]),
            int(same_P[n]),
            float(expected[n]),
            float(p[n]),
        )
        for n in np.flatnonzero(discoveries(p.tolist(), rate))
    ]
    return sorted(alike, key=lambda v: v.p_value)


def _met(votes: Sequence[Mapping[str, float]]) -> tuple[list[str], csr_matrix, csr_matrix]:
    """Annotators by name, and of every two on how many units both answered, and answered the
    same."""
    people = sorted({name for given in votes for name in given})
    place = {name: number for number, name in enumerate(people)}
    who = np.array([place[name] for given in votes for name in given], dtype=np.int64)
    said = np.array([answer for given in votes for answer in given.values()])
    unit = np.repeat(np.arange(len(votes)), [len(given) for given in votes])

    def together(which: Index) -> csr_matrix:
        ones, shape = np.ones(len(which), dtype=np.int64), (len(people), len(votes))
        answered = csr_matrix((ones, (who[which], unit[which])), shape)
        return answered @ answered.T

    alike = (together(np.flatnonzero(said == answer)) for answer in np.unique(said))
    common = together(np.arange(len(who)))
    return people, common, sum(alike, csr_matrix(common.shape, dtype=np.int64))


def _logit(count: Array, total: Array) -> Array:
    share = (count + 1) / (total + 2)
    return np.log(share / (1 - share))
