"""Cells of what is estimated about producers and annotators from their votes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accord.feedback.crowd_likelihood import (
    CrowdJudgement,
    DistinctJudgements,
    distinct_judgements,
    fit_crowd,
)
from accord.feedback.ratings import Ratings, RatingSettings, fit
from accord.feedback.simulate import simulated_votes
from accord.feedback.votes import Votes
from accord.statistics.intervals import Interval, around
from benchmarks.coverage.registry import Cell, Drawn, add

Intervals = list[Interval]


def votes(
    producers: int, annotators: int, count: int, spread: float, people: float, what: str, ties: bool
) -> Callable[[np.random.Generator], Drawn]:
    """Votes of the model of `ratings`, and the true scores, log-reliabilities, side or ties."""

    def draw(rng: np.random.Generator) -> Drawn:
        scores, reliability = (
            spread * rng.normal(size=producers),
            people * rng.normal(size=annotators),
        )
        truth = {
            "score": scores - scores.mean(),
            "log-reliability": reliability - reliability.mean(),
            "side": [0.25],
            "tie": [-0.7],
        }
        log_nu = -0.7 if ties else -30.0
        drawn = simulated_votes(rng, count, scores, truth["log-reliability"], 0.25, log_nu)
        return drawn, truth[what]

    return draw


def fitted(what: str, ties: bool) -> Callable[[Votes], Intervals]:
    """The intervals of `ratings.fit`."""

    def intervals(drawn: Votes) -> Intervals:
        found: Ratings = fit(drawn, RatingSettings(ties=ties))
        values = {
            "score": (found.score_P, found.score_error_P),
            "log-reliability": (found.log_reliability_A, found.log_reliability_error_A),
            "side": ([found.side], [found.side_error]),
            "tie": ([found.log_nu], [found.log_nu_error]),
        }
        return [around(value, error) for value, error in zip(*values[what], strict=True)]

    return intervals


SIZES = ((4, 3, 100), (12, 10, 1500), (30, 40, 600))
"""Producers, annotators, votes: few of all; many votes; few votes of each."""
for producers, annotators, count in SIZES:
    for spread, people in ((1.0, 0.5), (0.3, 0.5), (2.5, 0.5), (1.0, 1.2)):
        for ties in (True, False):
            for what in ("score", "log-reliability", "side", "tie"):
                if (what == "tie" and not ties) or (what in ("side", "tie") and spread != 1.0):
                    continue
                setting = (
                    f"{producers} producers, {annotators} annotators, {count} votes, spread {spread:g}, "
                    f"of log-reliability {people:g}{', ties' if ties else ''}"
                )
                add(
                    Cell(
                        what if what != "tie" else "ties (log nu)",
                        setting,
                        annotators,
                        votes(producers, annotators, count, spread, people, what, ties),
                        fitted(what, ties),
                        slow=True,
                        tested=10,
                    )
                )


def judged(
    beta: tuple[float, ...], each: int, kind: str, tail: float | None, what: str
) -> Callable[[np.random.Generator], Drawn]:
    """Comparisons (two per prompt) or rankings of four options by three annotators per prompt, and
    the true rationalities or side biases; tail: degrees of freedom of the rewards."""

    def draw(rng: np.random.Generator) -> Drawn:
        gamma, people = 0.2 * rng.normal(size=len(beta)), len(beta)
        rows, prompt_of = [], []
        for prompt in range(max(8, each * people // (6 if kind == "comparisons" else 3))):
            theta = rng.normal(size=4) if tail is None else rng.standard_t(tail, size=4)
            theta = theta if tail is None else theta * np.sqrt((tail - 2) / tail)
            for who in rng.permutation(people)[:3]:
                for _ in range(2 if kind == "comparisons" else 1):
                    shown = rng.permutation(4)[: 2 if kind == "comparisons" else 4]
                    place = 0.5 - np.arange(len(shown)) / (len(shown) - 1)
                    u = beta[who] * theta[shown] + gamma[who] * place + rng.gumbel(size=len(shown))
                    best = np.argsort(-u)
                    order, places = tuple(shown[best].tolist()), tuple(place[best].tolist())
                    rows.append(CrowdJudgement(order, places, False, int(who), False))
                    prompt_of.append(prompt)
        data = distinct_judgements(rows, prompt_of, prompt_of[-1] + 1, people)
        return data, beta if what == "rationality" else gamma

    return draw


def estimated(what: str) -> Callable[[DistinctJudgements], Intervals]:
    """The intervals of `annotator_model.estimate`."""

    def intervals(data: DistinctJudgements) -> Intervals:
        found, _ = fit_crowd(data, 4)
        n = data.annotators
        pairs = list(zip(found.x, found.errors, strict=True))
        if what == "rationality":
            return [around(x, error).mapped(np.sinh) for x, error in pairs[:n]]
        return [around(x, error) for x, error in pairs[n : 2 * n]]

    return intervals


HONEST = (0.8, 1.2, 1.6, 2.0, 2.6, 3.2)
for what in ("rationality", "side bias"):
    for crowd, beta in (("honest", HONEST), ("two bad", (*HONEST, 0.0, -1.8))):
        for each, kind, tail in (
            (20, "comparisons", None),
            (60, "comparisons", None),
            (60, "rankings", None),
            (60, "comparisons", 3.0),
        ):
            tails = "" if tail is None else ", heavy-tailed rewards"
            setting = f"{len(beta)} annotators ({crowd}) of {each} {kind}{tails}"
            cell = (what, setting, len(beta), judged(beta, each, kind, tail, what), estimated(what))
            add(Cell(*cell, slow=True, tested=1 if kind == "rankings" else 2))
