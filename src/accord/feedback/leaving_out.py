"""Scores by the votes of all but one annotator, for each in turn.

Exactly, by a refit; or, of somebody whose votes say little beside all others', by the influence
function: one Newton step from the fit to everybody's votes. With g and B the slope and the negative
curvature of the annotator's own log-likelihood there, and C the inverse negative curvature of
everybody's posterior, the others' scores are

    x - (C^-1 - B)^-1 g = x - C (1 + (1 - B C)^-1 B C) g

(Cook and Weisberg 1982), where B is 0 but among the producers that they voted on (Woodbury): no sum
over the others' votes. What this leaves out is of the order of the step's square.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from accord.feedback.choice_model import TIE, comparison
from accord.feedback.ratings import Ratings, ScorePosterior, fit, posterior
from accord.feedback.votes import Votes
from accord.statistics.intervals import Array, Index

LITTLE = 0.05
"""Logits by which leaving somebody out may move any parameter for one step to be enough: what that
leaves out is about a twentieth of the move."""


@dataclass(frozen=True)
class Scores:
    """What a fit says of other votes: score_P centred on 0 (logits), their covariance [P, P],
    log_nu of Davidson's ties (-inf: not in the model)."""

    score_P: Array
    covariance_PP: Array
    log_nu: float

    @classmethod
    def of(cls, fitted: Ratings) -> Scores:
        """Of a whole fit."""
        log_nu = fitted.log_nu if fitted.settings.ties else -np.inf
        return cls(fitted.score_P, fitted.score_covariance_PP, log_nu)


class FitsToOthers:
    """Without reliabilities the scores depend only on how often each pair, in each order, went each
    way. Without one annotator these counts are the total less their own, so that even a refit costs
    the same whatever the number of votes."""

    def __init__(self, votes: Votes, together: Ratings) -> None:
        """together: the fit to everybody's votes; raises ValueError if it has reliabilities."""
        if together.settings.reliability:
            raise ValueError("reliabilities of annotators are not to be had from counts of pairs")
        if not together.settings.ties:
            votes = votes.where(votes.outcome != TIE)
        names = len(votes.producers)
        shape = (names, names, 3, 2)
        places = (votes.first, votes.second, votes.outcome, votes.known_M.astype(np.int64))
        ways, self._way = np.unique(np.ravel_multi_index(places, shape), return_inverse=True)
        first, second, outcome, placed = np.unravel_index(ways, shape)
        self._counts: Array = np.bincount(self._way, votes.count, minlength=len(ways)).astype(
            np.float64
        )
        self._all = Votes(
            first,
            second,
            np.zeros_like(first),
            outcome,
            self._counts,
            votes.producers,
            ["the others"],
            None if votes.placed is None else placed.astype(bool),
        )
        self._votes, self._together = votes, together
        self._begin = replace(
            together,
            annotators=self._all.annotators,
            log_reliability_A=together.log_reliability_A[:1],
            log_reliability_error_A=together.log_reliability_error_A[:1],
        )
        self._own = places_of(votes)

    def than(self, annotator: int) -> Ratings:
        """The scores that the others' votes give, refitted; everybody's where there are none."""
        mine = self._own[annotator]
        own = np.bincount(self._way[mine], self._votes.count[mine], minlength=len(self._counts))
        left = np.maximum(self._counts - own, 0.0)
        if not left.any():
            return self._together
        rest = replace(self._all, count=left).where(left > 0)
        return fit(rest, self._together.held(), self._begin)

    def near(self, annotator: int) -> Scores:
        """The same by one step, or refitted where that moves a parameter by more than LITTLE."""
        moved = self._step(annotator)
        return Scores.of(self.than(annotator)) if moved is None else moved

    def _step(self, annotator: int) -> Scores | None:
        """None where it is too long."""
        all_of_them, mine = self._posterior, self._votes.at(self._own[annotator])
        size, inverse = len(mine.producers), all_of_them.inverse
        at, slope, bend = _own_terms(mine, all_of_them)
        across = inverse[:, at]
        inner = np.linalg.solve(np.eye(len(at)) - bend @ across[at], bend)
        step = across @ (slope + inner @ (across[at] @ slope))
        if np.abs(step).max() > LITTLE:
            return None
        moved = replace(all_of_them, x=all_of_them.x - step)
        covariance = inverse[:size, :size] + across[:size] @ inner @ across[:size].T
        covariance = covariance - covariance.mean(0)  # centred, as the scores are
        return Scores(moved.x[:size], covariance - covariance.mean(1)[:, None], moved.log_nu)

    @cached_property
    def _posterior(self) -> ScorePosterior:
        """Of everybody, at the widths that are held in refits."""
        return posterior(self._all, fit(self._all, self._together.held(), self._begin))


def places_of(votes: Votes) -> list[Index]:
    """Of each annotator: where in the arrays their votes are."""
    order = np.argsort(votes.annotator, kind="stable")
    ends = np.cumsum(np.bincount(votes.annotator, minlength=len(votes.annotators)))
    return np.split(order, ends[:-1])


def _own_terms(votes: Votes, around: ScorePosterior) -> tuple[Index, Array, Array]:
    """Of some votes: the parameters J that they are about, and their log-likelihood's slope [J] and
    negative curvature [J, J] in these."""
    named = np.unique(np.concatenate([votes.first, votes.second]))
    at = np.concatenate([named, [*around.places.values()]]).astype(np.int64)
    column = {name: len(named) + number for number, name in enumerate(around.places)}
    design, row = np.zeros((len(votes.first), len(at))), np.arange(len(votes.first))
    design[row, np.searchsorted(named, votes.first)] = 1.0
    design[row, np.searchsorted(named, votes.second)] = -1.0
    if "side" in column:
        design[:, column["side"]] = votes.known_M
    terms = comparison(design @ around.x[at], votes.outcome, around.log_nu)
    dd, dn, nn = (-votes.count * part for part in terms.curvature)
    slope, bend = (votes.count * terms.slope) @ design, design.T @ (dd[:, None] * design)
    if "tie" in column:
        tie = column["tie"]
        slope[tie] = votes.count @ terms.slope_nu
        bend[tie] = bend[:, tie] = dn @ design
        bend[tie, tie] = nn.sum()
    return at, slope, bend
