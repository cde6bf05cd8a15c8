"""Cells of what is estimated about producers and annotators from their votes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
                    )
                )
