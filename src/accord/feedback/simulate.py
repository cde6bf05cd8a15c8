"""Simulated annotators with known parameters: the truth that estimates are checked against.

An option with reward r shown at place p of K has utility u = beta * r + gamma * (1/2 - p / (K -
1)). A comparison is Davidson's choice with ties, a ranking is Plackett-Luce's, a rating Samejima's:
the level reached by sharpness * r + offset among a scale's thresholds; a thumb has one threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accord.errors import ConfigError
from accord.feedback.choice_model import OUTCOMES, TIE, comparison, decided_p, place_of, utility
from accord.feedback.records import (
    Behaviour,
    BestWorst,
    Choice,
    Comparison,
    Content,
    Feedback,
    Option,
    Ranking,
    Rating,
    Thumb,
    asked_fields,
    content_id,
)  # fmt: skip
from accord.feedback.votes import Votes
from accord.seeds import derive_seed, generator


@dataclass(frozen=True)
class SimulatedAnnotator:
    """rationality: beta per unit of reward (negative votes against it); side_bias: gamma, > 0
    favours what is shown first; tie: Davidson's nu >= 0; sharpness, offset: kappa and o of ratings
    and thumbs; seconds: mean active time per judgement."""

    id: str
    rationality: float
    side_bias: float = 0.0
    tie: float = 0.3
    sharpness: float = 1.0
    offset: float = 0.0
    seconds: float = 20.0

    def utilities(
        self, rewards_K: NDArray[np.float64], shown_at_K: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Utility of each option as this annotator sees it: [K]."""
        places = place_of(shown_at_K, len(rewards_K))
        return utility(rewards_K, places, self.rationality, self.side_bias)

    def compare(
        self, rewards: Sequence[float], shown_at: Sequence[int], rng: np.random.Generator
    ) -> int | None:
        """Index of the preferred one of two options, None for a tie."""
        u = self.utilities(np.asarray(rewards, dtype=np.float64), np.asarray(shown_at))
        log_nu = np.log(self.tie) if self.tie > 0 else -np.inf
        drawn = int(rng.choice(3, p=comparison(u[0] - u[1], TIE, log_nu).p))
        return None if drawn == TIE else drawn

    def rank(
        self, rewards: Sequence[float], shown_at: Sequence[int], rng: np.random.Generator
    ) -> list[int]:
        """Indices from best to worst (Gumbel noise on utilities draws exactly from
        Plackett-Luce)."""
        u = self.utilities(np.asarray(rewards, dtype=np.float64), np.asarray(shown_at))
        return [int(i) for i in np.argsort(-(u + rng.gumbel(size=len(u))), kind="stable")]

    def rate(self, reward: float, thresholds: Sequence[float], rng: np.random.Generator) -> int:
        """Level 0..L on a scale with L ascending thresholds: P(level <= k) = sigmoid(tau_k - kappa
        r - o)."""
        return int(
            np.searchsorted(thresholds, self.sharpness * reward + self.offset + rng.logistic())
        )

    def thumb(self, reward: float, threshold: float, rng: np.random.Generator) -> bool:
        """Up or down: the rating with one threshold."""
        return self.rate(reward, [threshold], rng) == 1


def simulated_votes(
    rng: np.random.Generator,
    count: int,
    score_P: NDArray[np.float64],
    log_reliability_A: NDArray[np.float64],
    side: float = 0.0,
    log_nu: float = -0.7,
) -> Votes:
    """Votes drawn from the model of `ratings.py`: random pairs and annotators, Davidson's
    choice."""
    first = rng.integers(len(score_P), size=count)
    second = (first + rng.integers(1, len(score_P), size=count)) % len(score_P)
    annotator = rng.integers(len(log_reliability_A), size=count)
    gap = np.exp(log_reliability_A[annotator]) * (score_P[first] - score_P[second]) + side
    log_p = comparison(gap, OUTCOMES, log_nu).log_p
    outcome = (log_p + rng.gumbel(size=log_p.shape)).argmax(0)
    names = [f"m{i}" for i in range(len(score_P))], [f"a{k}" for k in range(len(log_reliability_A))]
    return Votes(first, second, annotator, outcome, np.ones(count), *names)


def simulated_tastes(
    rng: np.random.Generator,
    score_GP: NDArray[np.float64],
    group_A: NDArray[np.int64],
    each: int,
    log_reliability_A: NDArray[np.float64] | None = None,
) -> Votes:
    """`each` decided votes of every annotator on random pairs, by the scores of the annotator's
    group."""
    people, producers = len(group_A), score_GP.shape[1]
    annotator = np.repeat(np.arange(people), each)
    first = rng.integers(producers, size=people * each)
    second = (first + rng.integers(1, producers, size=people * each)) % producers
    scores = score_GP[group_A[annotator]]
    gap = (
        np.take_along_axis(scores, first[:, None], 1)[:, 0]
        - np.take_along_axis(scores, second[:, None], 1)[:, 0]
    )
    if log_reliability_A is not None:
        gap = np.exp(log_reliability_A)[annotator] * gap
    outcome = (rng.random(people * each) >= decided_p(gap)).astype(np.int64)
    names = [f"m{i}" for i in range(producers)], [f"a{k:02d}" for k in range(people)]
    return Votes(first, second, annotator, outcome, np.ones(people * each), *names)


def simulated_drifter(
    rng: np.random.Generator, count: int, after: int, turned: float = 0.3, spread: float = 2.0
) -> NDArray[np.float64]:
    """P(answer given), as the others see it, of somebody who agrees with them in 78 % (74 % at a
    spread of 1.5), as people do, and turns round `turned` of the answers from number `after` on:
    [count]."""
    p = decided_p(spread * np.abs(rng.normal(size=count)))
    agreed = (rng.random(count) < p) ^ ((np.arange(count) >= after) & (rng.random(count) < turned))
    seen: NDArray[np.float64] = np.where(agreed, p, 1 - p)
    return seen


def with_sybils(
    votes: Votes,
    target: int,
    share: float,
    rng: np.random.Generator,
    each: int = 50,
    score_P: NDArray[np.float64] | None = None,
) -> Votes:
    """Votes and those of sybils ("sybil0", ...) of `each` votes, `share` of the result, for
    producer `target`.

    Without `score_P` every one of them names the target. With it the rigging is omnipresent and
    camouflaged: random pairs; for the target where it occurs, against the ten ranked above it, else
    as an honest annotator with these scores would.
    """
    count, producers = round(share * votes.total / (1 - share)), len(votes.producers)
    favoured = np.full(count, target) if score_P is None else rng.integers(producers, size=count)
    other = (favoured + rng.integers(1, producers, size=count)) % producers
    if score_P is not None:
        rank = (-score_P).argsort().argsort()
        rivals = (rank < rank[target]) & (rank >= rank[target] - 10)
        wins = rng.random(count) < decided_p(score_P[favoured] - score_P[other])
        wins = np.where(
            rivals[other] & ~rivals[favoured],
            True,
            np.where(rivals[favoured] & ~rivals[other], False, wins),
        )
        wins = np.where(favoured == target, True, np.where(other == target, False, wins))
        favoured, other = np.where(wins, favoured, other), np.where(wins, other, favoured)
    swap = rng.random(count) < 0.5
    number = max(1, round(count / each))
    return Votes(
        np.append(votes.first, np.where(swap, other, favoured)),
        np.append(votes.second, np.where(swap, favoured, other)),
        np.append(votes.annotator, len(votes.annotators) + np.arange(count) % number),
        np.append(votes.outcome, swap.astype(np.int64)),
        np.append(votes.count, np.ones(count)),
        votes.producers,
        [*votes.annotators, *(f"sybil{i}" for i in range(number))],
        None if votes.placed is None else np.append(votes.placed, np.ones(count, dtype=bool)),
    )


HONEST = [(0.8, 0.0), (1.2, 0.15), (1.6, 0.0), (2.0, -0.15), (2.6, 0.1), (3.2, 0.0)]
BAD = [(0.0, 3.0), (-1.8, 0.0)]
"""(rationality, side bias): six who try, one who prefers the left side whatever it says, one
contrarian."""


def simulated_crowd(seed: int, bad: bool = True) -> list[SimulatedAnnotator]:
    """Six honest annotators of differing rationality, and two bad ones if asked for.

    Ids are shuffled by `seed`, so they give nothing away.
    """
    truth = HONEST + BAD if bad else HONEST
    order = generator(seed, "crowd").permutation(len(truth))
    return [
        SimulatedAnnotator(
            f"ann-{place + 1:02d}",
            truth[who][0],
            side_bias=truth[who][1],
            seconds=14.0 + 2 * int(who),
        )
        for place, who in enumerate(order)
    ]


def assign(items: int, annotators: int, overlap: int, seed: int) -> list[list[int]]:
    """Which annotators judge each item: `overlap` different ones, workloads equal to within one."""
    if not 1 <= overlap <= annotators:
        raise ConfigError(
            f"overlap is {overlap} with {annotators} annotators", f"use 1 to {annotators}"
        )
    rng = generator(seed, "assign")
    load = np.zeros(annotators)
    result = []
    for _ in range(items):
        chosen = np.lexsort((rng.random(annotators), load))[:overlap]
        load[chosen] += 1
        result.append(sorted(int(a) for a in chosen))
    return result


@dataclass(frozen=True)
class Offered:
    """One prompt's responses as offered to annotators, with the hidden reward of each; finished:
    ended by EOS;
    session: which collection it belongs to (equal texts of two collections make different records).
    prompt: as `Feedback.asked`."""

    prompt: Any
    contents: Sequence[Content | Behaviour]
    rewards: Sequence[float]
    producer: str
    finished: Sequence[bool]
    session: str | None = None

    @property
    def ids(self) -> list[str]:
        """Ids of the options: content and place, so that equal texts stay different options."""
        return [content_id(self.prompt, content, i) for i, content in enumerate(self.contents)]


def judge_ranking(
    offered: Offered, annotator: SimulatedAnnotator, seed: int, guideline: str
) -> Feedback:
    """A full ranking of all responses, shown in an order of its own."""
    rng = generator(seed, "judgement")
    count = len(offered.contents)
    shown_at = [int(p) for p in rng.permutation(count)]
    order = annotator.rank(offered.rewards, shown_at, rng)
    choice = Ranking(order=[[offered.ids[i]] for i in order])
    return _record("ranking", offered, range(count), shown_at, choice, annotator, guideline, rng)


def judge_comparison(
    offered: Offered,
    pair: tuple[int, int],
    annotator: SimulatedAnnotator,
    seed: int,
    guideline: str,
) -> Feedback:
    """A comparison of two of the responses, sides drawn at random."""
    rng = generator(seed, "judgement")
    shown_at = [int(p) for p in rng.permutation(2)]
    preferred = annotator.compare([offered.rewards[i] for i in pair], shown_at, rng)
    tied = preferred is None
    choice = Comparison(
        preferred=None if preferred is None else offered.ids[pair[preferred]],
        tie=tied,
        strength=None,
    )
    return _record("comparison", offered, pair, shown_at, choice, annotator, guideline, rng)


def judge_best_worst(
    offered: Offered, annotator: SimulatedAnnotator, seed: int, guideline: str
) -> Feedback:
    """The best of all responses by exp(u), then the worst of the rest by exp(-u)."""
    rng = generator(seed, "judgement")
    shown_at = [int(p) for p in rng.permutation(len(offered.contents))]
    u = annotator.utilities(np.asarray(offered.rewards, dtype=np.float64), np.asarray(shown_at))
    best = int((u + rng.gumbel(size=len(u))).argmax())
    bad = -u + rng.gumbel(size=len(u))
    bad[best] = -np.inf
    choice = BestWorst(best=offered.ids[best], worst=offered.ids[int(bad.argmax())])
    return _record(
        "best_worst", offered, range(len(u)), shown_at, choice, annotator, guideline, rng
    )


def flip(record: Feedback, share: float, seed: int) -> Feedback:
    """Turn the judgement round with probability `share`: the other one preferred, the ranking
    reversed, best and worst exchanged, scores mirrored on their scale, the other thumb.

    A tie stays a tie. Noise of this kind does not depend on how different the options are (Coste et
    al. 2023).
    """
    if not share or generator(seed, "flip").random() >= share:
        return record
    return record.model_copy(update={"choice": _turned(record)})


def _turned(record: Feedback) -> Choice:
    """What was said, turned round."""
    choice = record.choice
    if isinstance(choice, Ranking):
        return Ranking(order=choice.order[::-1])
    if isinstance(choice, Comparison) and choice.preferred is not None:
        other = next(o.id for o in record.options if o.id != choice.preferred)
        return choice.model_copy(update={"preferred": other})
    if isinstance(choice, BestWorst):
        return BestWorst(best=choice.worst, worst=choice.best)
    if isinstance(choice, Rating):
        mirrored = {name: choice.low + choice.high - one for name, one in choice.scores.items()}
        return choice.model_copy(update={"scores": mirrored})
    return Thumb(up=not choice.up) if isinstance(choice, Thumb) else choice


def drifting(
    records: Sequence[Feedback], annotator: str, after: int, share: float, seed: int
) -> list[Feedback]:
    """The records, those of `annotator` from the `after`-th on turned round with probability
    `share`."""
    result, seen = [], 0
    for record in records:
        if record.annotator == annotator:
            record = (
                flip(record, share, derive_seed(seed, "drifting", seen))
                if seen >= after
                else record
            )
            seen += 1
        result.append(record)
    return result


def judge_rating(
    offered: Offered,
    which: int,
    annotator: SimulatedAnnotator,
    seed: int,
    guideline: str,
    thresholds: Sequence[float] = (-2.0, -0.7, 0.7, 2.0),
    attribute: str = "overall",
) -> Feedback:
    """A rating of one response on the scale 0..L of L thresholds."""
    rng = generator(seed, "judgement")
    level = annotator.rate(offered.rewards[which], thresholds, rng)
    choice = Rating(scores={attribute: float(level)}, low=0.0, high=float(len(thresholds)))
    return _record("rating", offered, [which], [0], choice, annotator, guideline, rng)


def judge_thumb(
    offered: Offered,
    which: int,
    annotator: SimulatedAnnotator,
    seed: int,
    guideline: str,
    threshold: float = 0.0,
) -> Feedback:
    """A thumb for one response."""
    rng = generator(seed, "judgement")
    choice = Thumb(up=annotator.thumb(offered.rewards[which], threshold, rng))
    return _record("thumb", offered, [which], [0], choice, annotator, guideline, rng)


def _record(
    kind: str,
    offered: Offered,
    which: Sequence[int],
    shown_at: Sequence[int],
    choice: Comparison | Ranking | BestWorst | Rating | Thumb,
    annotator: SimulatedAnnotator,
    guideline: str,
    rng: np.random.Generator,
) -> Feedback:
    options = [
        Option(
            id=offered.ids[i],
            content=offered.contents[i],
            producer=offered.producer,
            shown_at=place,
        )
        for i, place in zip(which, shown_at, strict=True)
    ]
    return Feedback.model_validate(
        {
            "id": content_id(
                offered.prompt, kind, sorted(o.id for o in options), annotator.id, offered.session
            ),
            "kind": kind,
            **asked_fields(offered.prompt),
            "options": options,
            "choice": choice,
            "annotator": annotator.id,
            "session": offered.session,
            "guideline": guideline,
            "active_seconds": round(float(annotator.seconds * rng.lognormal(0, 0.4)), 1),
            "meta": {"finished": {offered.ids[i]: offered.finished[i] for i in which}},
        }
    )
