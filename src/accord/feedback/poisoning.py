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

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit
from scipy.stats import binom, norm

from accord.errors import DataError
from accord.feedback.agreement import pair_votes
from accord.feedback.choice_model import FIRST, TIE, comparison, decided_log_p
from accord.feedback.leaving_out import FitsToOthers
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
    one_for_all = good is not None or len(votes.producers) > MANY
    others = None if one_for_all else FitsToOthers(votes, start)
    by_annotator: dict[int, tuple[list[TargetScore], float]] = {}
    for k in tested:
        mine, fitted = votes.where(votes.annotator == k), others.than(k) if others else start
        by_annotator[k] = target_scores(fitted, mine), martingale(fitted, mine)
    tests = max(1, sum(len(scores) for scores, _ in by_annotator.values()))
    limit = float(norm.isf(rate / (2 * tests)))
    if good is not None:
        limit = max(
            limit, _usual(good, start, np.nonzero(trust & (counts >= LEAST_VOTES))[0], rate)
        )
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
    largest = []
    others = None if len(good.producers) > MANY else FitsToOthers(good, start)
    for k in people:
        fitted = others.than(int(k)) if others else start
        scores = target_scores(fitted, good.where(good.annotator == k))
        largest.append(max((abs(s.z) for s in scores), default=0.0))
    return float(np.sort(largest)[-needed])


def _suspects(
    votes: Votes,
    by_annotator: dict[int, tuple[list[TargetScore], float]],
    limit: float,
    counts: Array,
) -> tuple[list[Suspect], dict[str, float]]:
    suspects, contrary = [], {}
    for k, (scores, bet) in by_annotator.items():
        top = max(scores, key=lambda s: abs(s.z), default=None)
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


def target_scores(reference: Ratings, votes: Votes) -> list[TargetScore]:
    """Z of one annotator's votes on every producer with enough of them. The uncertainty of the
    reference's scores is
    part of the variance: Var = sum Var y + g' C g, g the slopes of sum p in the scores and C their
    covariance."""
    gap = reference.score_P[votes.first] - reference.score_P[votes.second]
    log_nu = reference.log_nu if reference.settings.ties else -np.inf
    terms = comparison(gap, votes.outcome, log_nu)
    beyond, variance = terms.slope, -terms.curvature[0]  # a win counts 1, a tie 1/2
    excesses = []
    targets = np.unique(np.concatenate([votes.first, votes.second]))
    for m in targets:
        here = (votes.first == m) | (votes.second == m)
        count = votes.count[here]
        if count.sum() < LEAST_VOTES:
            continue
        sign = np.where(votes.first[here] == m, 1.0, -1.0)
        excess = float((count * sign * beyond[here]).sum())
        slope = np.zeros(len(reference.score_P))
        np.add.at(slope, votes.first[here], count * sign * variance[here])
        np.add.at(slope, votes.second[here], -count * sign * variance[here])
        spread = float(
            (count * variance[here]).sum() + slope @ reference.score_covariance_PP @ slope
        )
        excesses.append((int(m), round(count.sum()), excess / np.sqrt(spread)))
    who = votes.annotators[int(votes.annotator[0])]
    return [TargetScore(who, votes.producers[m], n, float(z)) for m, n, z in excesses]


def martingale(reference: Ratings, votes: Votes) -> float:
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
    same: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    own: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for votes in pair_votes(records).values():
        for a, b in combinations(sorted(votes), 2):
            for tally in (same[a, b], own[a], own[b]):
                tally[0] += 1
                tally[1] += votes[a] == votes[b]
    pairs = sorted(pair for pair, tally in same.items() if tally[0] >= least)
    if not pairs:
        return []
    crowd = _logit(sum(t[1] for t in own.values()), sum(t[0] for t in own.values()))
    expected = []
    for a, b in pairs:  # without what the two have in common
        alone = (_logit(own[k][1] - same[a, b][1], own[k][0] - same[a, b][0]) for k in (a, b))
        expected.append(float(expit(sum(alone) - crowd)))
    p = [
        float(binom.sf(same[pair][1] - 1, same[pair][0], chance))
        for pair, chance in zip(pairs, expected, strict=True)
    ]
    alike = [
        VotesAlike(pair, same[pair][0], same[pair][1], chance, value)
        for pair, chance, value, yes in zip(pairs, expected, p, discoveries(p, rate), strict=True)
        if yes
    ]
    return sorted(alike, key=lambda v: v.p_value)


def _logit(count: float, total: float) -> float:
    share = (count + 1) / (total + 2)
    return float(np.log(share / (1 - share)))
