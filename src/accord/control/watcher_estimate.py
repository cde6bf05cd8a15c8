"""What somebody who compares clips is like, where what they like is known: as in a simulation, or
of people who were asked about what the environment pays.

A comparison of clips 1 and 2 is decided by d = sum over their steps of memory^(steps left) times
what is liked: P(first) = mistakes + (1 - 2 mistakes) sigmoid(rationality d), the model of
`watchers.SimulatedWatcher`. A lapse that falls on either answer alike is half of it mistakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.control.watchers import remembered
from accord.errors import DataError
from accord.feedback.choice_model import decided_p
from accord.feedback.records import Comparison, Feedback, Skip
from accord.statistics.intervals import Array, Interval

MEMORY = np.linspace(0.5, 1, 26)
MISTAKES = np.linspace(0, 0.48, 25)
CERTAINTY = np.geomspace(0.05, 200, 84)
"""Rationality times the deviation of d."""


def _half_at(value_V: Array, plain: float) -> Array:
    """log of a prior: half of it at what plain people are like, the rest even: [V]."""
    even = np.log(0.5 / (len(value_V) - 1))
    log_p_V = np.full(len(value_V), even)
    log_p_V[value_V == plain] = np.log(0.5)
    return log_p_V


@dataclass(frozen=True)
class WatcherEstimate:
    """rationality, mistakes, memory: posterior medians and 95 % intervals. Before anything is said
    it is even whether somebody errs at all, and whether they forget; else all values are alike, of
    rationality its logarithm. (Were none more likely than others, who never errs would be taken for
    somebody surer who does.) skipped: of the questions; equal: of the answers; sure_from: the
    greatest difference that was called equal and the least that was not, as it was remembered,
    between which the threshold lies where there is one."""

    decided: int
    rationality: Interval
    mistakes: Interval
    memory: Interval
    skipped: float
    equal: float
    sure_from: tuple[float, float]


def estimate_watcher(
    records: Sequence[Feedback], liked: Sequence[tuple[Array, Array]]
) -> WatcherEstimate:
    """records: comparisons of two clips, and skips; liked: of the two options of each, in their
    order, what is liked of every step. Raises DataError where nothing was decided."""
    first, gaps = [], list[Array]()
    equal, skipped = list[Array](), 0
    for record, (one, other) in zip(records, liked, strict=True):
        gap_G = _gaps(one, other)
        match record.choice:
            case Skip():
                skipped += 1
            case Comparison(preferred=None):
                equal.append(gap_G)
            case Comparison(preferred=better):
                first.append(better == record.options[0].id)
                gaps.append(gap_G)
            case _:
                raise DataError(f"record {record.id} is a {record.kind}", "give comparisons")
    if not gaps:
        raise DataError(f"none of {len(records):,} comparisons is decided", "ask more")
    gap_GP = np.stack(gaps, 1)
    scale_G = np.maximum(gap_GP.std(1), 1e-12)
    log_p_GBM = _log_likelihood(np.where(first, gap_GP, -gap_GP) / scale_G[:, None])
    log_p_GBM += _half_at(MISTAKES, 0.0) + _half_at(MEMORY, 1.0)[:, None, None]
    p_GBM = np.exp(log_p_GBM - log_p_GBM.max())
    p_GBM /= p_GBM.sum()
    place = int(p_GBM.sum((1, 2)).argmax())
    rationality_GB = CERTAINTY / scale_G[:, None]
    same = np.abs(np.stack(equal, 1)[place]) if equal else np.zeros(0)
    return WatcherEstimate(
        len(gaps),
        _interval(rationality_GB.ravel(), p_GBM.sum(2).ravel()),
        _interval(MISTAKES, p_GBM.sum((0, 1))),
        _interval(MEMORY, p_GBM.sum((1, 2))),
        skipped / len(records),
        len(equal) / (len(records) - skipped),
        (float(same.max(initial=0.0)), float(np.abs(gap_GP[place]).min())),
    )


def _gaps(one: Array, other: Array) -> Array:
    """By each memory: [G]."""
    gap_G: Array = np.array([
        one @ remembered(len(one), memory) - other @ remembered(len(other), memory)
        for memory in MEMORY
    ])  # fmt: skip
    return gap_G


def _log_likelihood(right_GP: Array) -> Array:
    """Of all answers, for each memory, certainty B and share of mistakes M; right_GP: how far the
    chosen clip is ahead, in deviations: [G, B, M]."""
    found = np.zeros((len(MEMORY), len(CERTAINTY), len(MISTAKES)))
    for g, right_P in enumerate(right_GP):
        p_BP = decided_p(CERTAINTY[:, None] * right_P)
        for m, share in enumerate(MISTAKES):
            mixed_BP = share + (1 - 2 * share) * p_BP
            found[g, :, m] = np.log(np.maximum(mixed_BP, 1e-300)).sum(1)
    return found


def _interval(value_V: Array, p_V: Array) -> Interval:
    """The median, and the ends that leave 2.5 % on either side."""
    order = np.argsort(value_V, kind="stable")
    places = np.searchsorted(np.cumsum(p_V[order]), (0.5, 0.025, 0.975))
    return Interval(*value_V[order][places].tolist())
