"""Scores by the votes of all but one annotator, for each in turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accord.feedback.choice_model import TIE
from accord.feedback.ratings import Ratings, fit
from accord.feedback.votes import Votes
from accord.statistics.intervals import Array


class FitsToOthers:
    """Exact refits, from counts.

    Without reliabilities the scores depend only on how often each pair, in each order, went each
    way. Without one annotator these counts are the total less their own, so a refit costs the same
    whatever the number of votes.
    """

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

    def than(self, annotator: int) -> Ratings:
        """The scores that the others' votes give; everybody's where there are none."""
        mine = self._votes.annotator == annotator
        own = np.bincount(self._way[mine], self._votes.count[mine], minlength=len(self._counts))
        left = np.maximum(self._counts - own, 0.0)
        if not left.any():
            return self._together
        rest = replace(self._all, count=left).where(left > 0)
        return fit(rest, self._together.held(), self._begin)
