"""What to ask next: pairs chosen by what is known of the scores, always beside a random arm.

- goal "ranking": expected information, 1/2 log(1 + p (1 - p) Var(d)) for a pair with score
difference d, taken greedily: each
  pick lowers the variance of what it would teach, so a batch does not ask the same thing twice.
  "uncertainty" asks where p is nearest one half; it is here to be compared with.
- goal "best": double Thompson sampling (Wu and Liu 2016): two draws from the posterior, each names
its best, the two meet.

Active choice may teach nothing ("Random Is Hard to Beat", 2026) and always makes a biased sample.
So at least a fifth of the picks are random, they are marked, and `saving` measures on them what the
active arm was worth, including nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from accord.errors import ConfigError, DataError
from accord.feedback.choice_model import FIRST, TIE, decided_log_p, decided_p
from accord.feedback.ratings import Ratings, RatingSettings, fit
from accord.feedback.records import Feedback, content_id
from accord.feedback.votes import Objects, Votes, object_name
from accord.seeds import generator
from accord.statistics.intervals import Array, Interval
from accord.statistics.resampling import percentile_interval

Goal = Literal["ranking", "best", "uncertainty"]
LEAST_RANDOM = 0.2
SCALES = np.geomspace(0.25, 4.0, 17)
ONE_SPREAD = RatingSettings(reliability=False, side=False, ties=False, score_sd=1.0)
"""Of fits whose scores are scaled afterwards: their spread need not be learned a thousand times."""


@dataclass(frozen=True)
class Candidate:
    """A pair that can be asked: the prompt's id, two options by id, and what each counts for
    (producer or option)."""

    prompt: str
    options: tuple[str, str]
    objects: tuple[str, str]


@dataclass(frozen=True)
class Pick:
    """A candidate to ask next; arm: keep it with the record (`meta["selected_by"]`: "random" or the
    goal); value: nats expected (0 for the random arm)."""

    candidate: Candidate
    arm: Literal["random", "active"]
    value: float
    reason: str


@dataclass(frozen=True)
class Selection:
    """Picks in the order to ask them, the arms mixed; candidates: out of how many."""

    picks: list[Pick]
    goal: Goal
    random_share: float
    candidates: int


@dataclass(frozen=True)
class Posterior:
    """What is known of the scores: mean [P] and covariance [P, P]."""

    names: list[str]
    mean_P: Array
    covariance_PP: Array


def posterior(ratings: Ratings | None, names: Sequence[str]) -> Posterior:
    """The fitted scores, and for names that no vote has named yet the spread that they have
    (without any scores a spread of 1)."""
    known = {name: i for i, name in enumerate(ratings.producers)} if ratings else {}
    every = sorted({*names, *known})
    spread = ratings.score_sd.value if ratings else 1.0
    mean, covariance = np.zeros(len(every)), spread**2 * np.eye(len(every))
    if ratings is not None:
        at = np.array([i for i, name in enumerate(every) if name in known])
        mean[at] = ratings.score_P  # both sorted by name
        covariance[np.ix_(at, at)] = ratings.score_covariance_PP
    return Posterior(every, mean, covariance)


def candidates_of(
    records: Sequence[Feedback], objects: Objects = "producer"
) -> tuple[list[Candidate], Counter[str]]:
    """All pairs of options that records show for one prompt and that count for different things,
    and how often each prompt was judged."""
    options: dict[str, dict[str, str]] = {}
    judged: Counter[str] = Counter()
    for record in records:
        prompt = content_id(record.prompt)
        judged[prompt] += 1
        for option in record.options:
            if name := object_name(record, option, objects):
                options.setdefault(prompt, {})[option.id] = name
    candidates = [
        Candidate(prompt, (a, b), (named[a], named[b]))
        for prompt, named in sorted(options.items())
        for a, b in combinations(sorted(named), 2)
        if named[a] != named[b]
    ]
    return candidates, judged


def check_random_share(share: float) -> None:
    """Raise ConfigError for a random arm below a fifth: what is chosen is biased, and only what is
    drawn at random can tell how much."""
    if not LEAST_RANDOM <= share <= 1:
        raise ConfigError(
            f"the random arm is {share:.0%}",
            f"use {LEAST_RANDOM:.0%} to 100 %: the saving is measured on it",
        )


def select(
    known: Posterior,
    candidates: Sequence[Candidate],
    count: int,
    goal: Goal = "ranking",
    random_share: float = 0.25,
    judged: Counter[str] | None = None,
    disagreement: Sequence[float] | None = None,
    seed: int = 0,
) -> Selection:
    """Choose `count` candidates without repetition.

    judged: judgements per prompt so far; among pairs that teach the same, prompts with fewer come
    first. disagreement: per candidate, the variance between a reward-model ensemble's margins; it
    adds to Var(d). Raises ConfigError for a random arm below a fifth, DataError when there are too
    few candidates.
    """
    check_random_share(random_share)
    if count > len(candidates):
        raise DataError(
            f"{count:,} wanted, {len(candidates):,} pairs to choose from",
            "ask for fewer or add responses",
        )
    if disagreement is not None and len(disagreement) != len(candidates):
        raise DataError(f"{len(disagreement):,} disagreements for {len(candidates):,} candidates")
    rng = generator(seed, "select")
    at_random = int(np.ceil(random_share * count))
    by_chance = rng.permutation(len(candidates))[:at_random]
    picks = [Pick(candidates[c], "random", 0.0, "drawn at random") for c in by_chance]
    pool = _Pool(known, candidates, set(by_chance.tolist()), judged or Counter(), disagreement)
    choose = {"ranking": _informative, "uncertainty": _uncertain, "best": _thompson}[goal]
    for _ in range(count - at_random):
        picks.append(choose(pool, rng))
    return Selection(
        [picks[i] for i in rng.permutation(len(picks))], goal, random_share, len(candidates)
    )


class _Pool:
    """Candidates left, by pair of objects, with the covariance as picks have lowered it."""

    def __init__(
        self,
        known: Posterior,
        candidates: Sequence[Candidate],
        taken: set[int],
        judged: Counter[str],
        disagreement: Sequence[float] | None,
    ) -> None:
        place = {name: i for i, name in enumerate(known.names)}
        self.candidates, self.mean, self.judged = candidates, known.mean_P, judged.copy()
        self.covariance = known.covariance_PP.copy()
        self.extra = (
            np.zeros(len(candidates))
            if disagreement is None
            else np.asarray(disagreement, dtype=np.float64)
        )
        ends = np.array([sorted(place[o] for o in c.objects) for c in candidates], dtype=np.int64)
        self.pairs, self.pair_of = np.unique(ends, axis=0, return_inverse=True)
        self.pair_of = self.pair_of.ravel()
        self.left: list[list[int]] = [[] for _ in self.pairs]
        for c, pair in enumerate(self.pair_of.tolist()):
            if c not in taken:
                self.left[pair].append(c)
        self.open = np.array([bool(left) for left in self.left])
        self.best_extra = np.array(
            [max((self.extra[c] for c in left), default=0.0) for left in self.left]
        )

    def odds(self) -> tuple[Array, Array]:
        """p and Var(d) of every pair of objects."""
        i, j = self.pairs.T
        variance = self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j]
        return decided_p(self.mean[i] - self.mean[j]), np.maximum(variance, 0) + self.best_extra

    def take(self, pair: int, value: float, reason: str) -> Pick:
        """The candidate of a pair whose members disagree most and whose prompt was judged least;
        learn from asking it."""
        left = self.left[pair]
        chosen = min(
            left, key=lambda c: (-self.extra[c], self.judged[self.candidates[c].prompt], c)
        )
        left.remove(chosen)
        self.open[pair], self.judged[self.candidates[chosen].prompt] = (
            bool(left),
            self.judged[self.candidates[chosen].prompt] + 1,
        )
        self.best_extra[pair] = max((self.extra[c] for c in left), default=0.0)
        i, j = self.pairs[pair]
        column = self.covariance[:, i] - self.covariance[:, j]
        p = float(decided_p(self.mean[i] - self.mean[j]))
        weight = p * (1 - p) / (1 + p * (1 - p) * float(column[i] - column[j]))
        self.covariance -= weight * np.outer(column, column)
        return Pick(self.candidates[chosen], "active", value, reason)


def information(p: Array, variance: Array) -> Array:
    """Nats that one vote is expected to teach: 1/2 log(1 + p (1 - p) Var(d)) (Houlsby et al. 2011,
    Laplace)."""
    return 0.5 * np.log1p(p * (1 - p) * variance)


def _informative(pool: _Pool, rng: np.random.Generator) -> Pick:
    p, variance = pool.odds()
    value = np.where(pool.open, information(p, variance), -np.inf)
    pair = int((value + 1e-12 * rng.random(len(value))).argmax())
    return pool.take(
        pair,
        float(value[pair]),
        f"p = {p[pair]:.2f}, sd of the difference {np.sqrt(variance[pair]):.2f}",
    )


def _uncertain(pool: _Pool, rng: np.random.Generator) -> Pick:
    p, variance = pool.odds()
    value = np.where(pool.open, -np.abs(p - 0.5), -np.inf)
    pair = int((value + 1e-12 * rng.random(len(value))).argmax())
    return pool.take(pair, float(information(p, variance)[pair]), f"p = {p[pair]:.2f}")


def _thompson(pool: _Pool, rng: np.random.Generator) -> Pick:
    """Two draws; where both name the same best, the second is drawn again, at last without the
    first's best."""
    values, vectors = np.linalg.eigh(pool.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    i, j = pool.pairs.T
    reachable = np.zeros(len(pool.mean), dtype=bool)
    reachable[i[pool.open]] = reachable[j[pool.open]] = True

    def draw() -> Array:
        drawn: Array = pool.mean + root @ rng.standard_normal(len(pool.mean))
        return np.where(reachable, drawn, -np.inf)

    champion = int(draw().argmax())
    for _ in range(20):
        rival_scores = draw()
        if int(rival_scores.argmax()) != champion:
            break
    with_champion = pool.open & ((i == champion) | (j == champion))
    rival = np.where(i == champion, j, i)
    pair = int(np.where(with_champion, rival_scores[rival], -np.inf).argmax())
    p, variance = pool.odds()
    return pool.take(pair, float(information(p, variance)[pair]), "both may be the best")


@dataclass(frozen=True)
class Saving:
    """share: of labels that the active arm saved against the random one, for the same error on
    random votes, with its interval; negative: it cost more; votes of each arm; verdict in words."""

    share: Interval
    random_votes: int
    active_votes: int
    verdict: str


def saving(random: Votes, active: Votes, draws: int = 60, seed: int = 0) -> Saving:
    """What the active arm was worth, measured on votes of the random arm.

    Half of the random votes, drawn anew each time, test; learned from are n votes of the other
    half, or n of which a fifth are of that half and the rest active, as they are collected. The
    loss is at the best scale of the scores: how votes spread is not what was asked. With loss(n) =
    a + b / n, a and b by the random votes and b of the mixed ones at the same a, the saving is 1 -
    b_mixed / b_random. Raises DataError when there are fewer than 60 decided votes in either arm.
    """
    random, active = (v.where(v.outcome != TIE) for v in (random, active))
    if min(random.total, active.total) < 60:
        raise DataError(
            f"{random.total} decided random votes and {active.total} active ones; a saving needs 60"
            " of each",
            "collect more picks of `accord feedback select`, with their arm",
        )
    rng, ratios = generator(seed, "saving"), []
    for _ in range(draws):
        order = rng.permutation(len(random.first))
        test, train = random.at(order[: len(order) // 2]), random.at(order[len(order) // 2 :])
        most = min(len(train.first), len(active.first))
        sizes = np.maximum(10, np.round(most * np.array([0.125, 0.25, 0.5, 1.0]))).astype(int)
        loss_R, loss_A = np.zeros(len(sizes)), np.zeros(len(sizes))
        for at, n in enumerate(sizes):
            mixed = round(LEAST_RANDOM * n)
            drawn, chosen = (rng.permutation(len(votes.first)) for votes in (train, active))
            loss_R[at] = _loss(train.at(drawn[:n]), test)
            loss_A[at] = _loss(
                _joined(train.at(drawn[:mixed]), active.at(chosen[: n - mixed])), test
            )
        by_random, floor = np.polyfit(1 / sizes, loss_R, 1)
        if by_random > 0:
            ratios.append(
                1 - float(((loss_A - floor) / sizes).sum() / (1 / sizes**2).sum()) / by_random
            )
    if len(ratios) < draws / 2:
        raise DataError(
            "more random votes did not lower the loss; no saving can be measured",
            "collect more votes",
        )
    low, high = percentile_interval(ratios)
    share = Interval(float(np.median(ratios)), low, high)
    verdict = (
        f"saves {share.value:.0%} of the labels"
        if low > 0
        else f"costs {-share.value:.0%} more"
        if high < 0
        else ("no saving shown")
    )
    return Saving(share, random.total, active.total, verdict)


def _loss(learned: Votes, test: Votes) -> float:
    """Mean negative log-likelihood (nats) at the best of several scales of the scores."""
    score = fit(learned, ONE_SPREAD).score_P
    gap = np.where(test.outcome == FIRST, 1.0, -1.0) * (score[test.first] - score[test.second])
    losses = -decided_log_p(gap[:, None] * SCALES)
    return float((test.count @ losses / test.count.sum()).min())


def _joined(a: Votes, b: Votes) -> Votes:
    return replace(
        a,
        first=np.append(a.first, b.first),
        second=np.append(a.second, b.second),
        count=np.append(a.count, b.count),
        annotator=np.append(a.annotator, b.annotator),
        outcome=np.append(a.outcome, b.outcome),
        placed=np.append(a.known_M, b.known_M),
    )
