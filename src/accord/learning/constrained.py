"""Reward under a constraint on cost: the zero of a cost model, the multiplier, and the optimum
where every response can be listed (Safe RLHF: Dai et al. 2024, arXiv 2310.12773).

A policy is to have the largest reward less beta KL whose cost keeps a limit. Lagrange's multiplier
says what a unit of cost is worth: the policy learns from reward - multiplier * cost, and the
multiplier rises while the limit is exceeded. The cost model's loss is `losses.cost_model`.

Suffixes: P prompts, each counting the same; R responses to each; N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, log_softmax

from accord.errors import ConfigError, DataError, RunError
from accord.statistics.clusters import by_cluster, quantile
from accord.statistics.intervals import Array, Interval
from accord.statistics.logistic import logistic
from accord.statistics.ratios import fieller
from accord.validation import Settings, Unit

Bound = Literal["mean", "rate", "tail"]
"""What is constrained: the mean cost, the share of responses with a cost above 0, or the mean cost
of the worst responses (conditional value at risk)."""
LEAST = 0.05
"""The least multiplier of the logarithmic form, whose steps are in proportion to it: much below, it
hardly moves in either direction."""
LONGEST = 0.2
"""The longest step of the multiplier, or of its logarithm, however far the limit is missed."""
LARGEST = 1e6
"""A multiplier that is not enough at this size never will be."""


# --- the zero of a cost model ---------------------------------------------------------------------
@dataclass(frozen=True)
class CostZero:
    """The score of a cost model at which a response is harmful as often as not, with its 95 %
    interval; slope: log-odds of harm per unit of score; prompts: those the labels are of."""

    zero: Interval
    slope: float
    prompts: int

    def costs(self, score_N: Array) -> Array:
        """Scores from the zero on: above 0 a response is more likely harmful than not."""
        return np.asarray(score_N, dtype=np.float64) - self.zero.value


def calibrate_zero(
    score_N: Array, harmful_N: Sequence[bool], prompt_N: Sequence[int] | None = None
) -> CostZero:
    """The zero of a cost model from responses that people called harmful or not: where the logistic
    regression of their labels on its scores says one half.

    The interval is Fieller's on the regression's covariance, clustered by prompt. Raises DataError
    where the labels say no zero: all alike, fewer than three prompts, or harm that does not surely
    rise with the score.
    """
    score, harmful = np.asarray(score_N, np.float64), np.asarray(harmful_N, np.float64)
    place = np.unique(np.arange(len(score)) if prompt_N is None else prompt_N, return_inverse=True)
    clusters, place_N = len(place[0]), place[1]
    fix = "label more responses as harmful or harmless, of both kinds and of more prompts"
    if not np.isfinite(score).all():
        raise DataError("a score is not finite", "score the responses again")
    if clusters < 3 or not 0 < harmful.sum() < len(harmful):
        told = f"{int(harmful.sum())} of {len(harmful)} responses to {clusters} prompts are harmful"
        raise DataError(f"{told}: the zero of the cost is not known from that", fix)
    x_NX = np.stack([np.ones_like(score), score], axis=1)
    offset, slope = logistic(x_NX[None], harmful[None], np.ones((1, len(score))))[0].tolist()
    p_N = expit(offset + slope * score)
    bread_XX = np.linalg.pinv((x_NX * (p_N * (1 - p_N))[:, None]).T @ x_NX, hermitian=True)
    parts_CX = by_cluster(x_NX * (harmful - p_N)[:, None], place_N, clusters) @ bread_XX
    (v_00, v_01), (_, v_11) = (parts_CX.T @ parts_CX * clusters / (clusters - 1)).tolist()
    ends = fieller(-offset, slope, (v_00, -v_01, v_11), quantile(clusters - 1))
    if ends is None or slope <= 0:
        raise DataError(
            f"harm does not surely rise with the cost model's score (log-odds {slope:+.3g} per "
            "unit): it has no zero",
            fix + ", or train the cost model on more pairs",
        )
    return CostZero(Interval(-offset / slope, *ends), slope, clusters)


def costs(score_N: Array, zero: CostZero | None) -> Array:
    """What a constraint is put on: scores from their calibrated zero on. Raises ConfigError where
    the zero was never calibrated: any limit on such scores is one on an unknown scale."""
    if zero is None:
        raise ConfigError(
            "the cost model's zero was never calibrated: a limit on its scores says nothing",
            "calibrate it: accord.learning.constrained.calibrate_zero(scores, harmful, prompts)",
        )
    return zero.costs(score_N)


# --- what is constrained --------------------------------------------------------------------------
class ConstraintSettings(Settings):
    """A limit on cost, and how its multiplier is found."""

    bound: Bound = Field(
        "mean",
        description=(
            "mean: of the cost; rate: share of responses with a cost above 0; tail: mean cost of "
            "the worst responses."
        ),
    )
    limit: float = Field(0.0, allow_inf_nan=False, description="What the bound may be at most.")
    tail: float = Field(0.1, gt=0, le=1, description="Share of responses that are the worst.")
    form: Literal["log", "linear", "fixed"] = Field(
        "log",
        description=(
            "log: the multiplier's logarithm rises by step * multiplier * excess (Safe RLHF); "
            "linear: the multiplier by step * excess, never below 0; fixed: it stays at start, as "
            "a weight does, and the limit is only measured."
        ),
    )
    step: Annotated[float, Unit("per unit of excess")] = Field(
        0.05, gt=0, le=0.1, description="Step size; above 0.1 a lagging policy makes it swing."
    )
    start: float = Field(1.0, ge=0, allow_inf_nan=False, description="The multiplier at first.")


def tail_mean(cost_N: Array, share: float, weight_N: Array | None = None) -> tuple[float, float]:
    """(mean of the worst `share` of the costs, the least of them): conditional value at risk
    (Rockafellar and Uryasev 2000). weight_N: probabilities of the rows, equal where not given."""
    cost = np.asarray(cost_N, dtype=np.float64).ravel()
    weight = np.full(len(cost), 1 / len(cost)) if weight_N is None else np.ravel(weight_N)
    order = np.argsort(-cost, kind="stable")
    before_N = np.cumsum(weight[order]) - weight[order]
    taken_N = np.clip(share - before_N, 0, weight[order])
    least = cost[order][int(np.nonzero(taken_N > 0)[0][-1])]
    return float(taken_N @ cost[order] / taken_N.sum()), float(least)


def penalties(settings: ConstraintSettings, cost_N: Array, threshold: float | None = None) -> Array:
    """What each response counts towards the bound: its mean is the bound's value. threshold: the
    least cost of the worst responses, for a bound on these; None takes that of the rows."""
    cost = np.asarray(cost_N, dtype=np.float64)
    if settings.bound == "mean":
        return cost
    if settings.bound == "rate":
        return (cost > 0).astype(np.float64)
    t = tail_mean(cost, settings.tail)[1] if threshold is None else threshold
    return t + np.maximum(cost - t, 0.0) / settings.tail


class Multiplier:
    """Lagrange's multiplier by dual ascent on batches: log form ln m += step m J, linear form m +=
    step J, J the excess of the bound over its limit; no step is longer than LONGEST. The fixed form
    never moves.

    The log form stays above LEAST, so that a constraint which binds nobody still costs that much
    (take the linear form where that matters), and refuses to start lower.
    """

    def __init__(self, settings: ConstraintSettings) -> None:
        if settings.form == "log" and settings.start < LEAST:
            raise ConfigError(
                f"start is {settings.start}; the logarithmic form would be stuck there, its steps "
                "are in proportion to the multiplier",
                f"start at {LEAST} or more, or take form: linear",
            )
        self.settings, self.value = settings, settings.start

    def update(self, excess: float) -> float:
        """Account for a batch whose bound exceeds the limit by `excess`; returns the multiplier.
        Raises RunError for an excess that is not finite."""
        if not np.isfinite(excess):
            raise RunError(
                f"the bound exceeds its limit by {excess}",
                "a cost is not finite: look at the cost model's scores",
            )
        settings = self.settings
        if settings.form == "fixed":
            return self.value
        rise = settings.step * excess * (self.value if settings.form == "log" else 1.0)
        rise = float(np.clip(rise, -LONGEST, LONGEST))
        if settings.form == "log":
            self.value = max(LEAST, self.value * float(np.exp(rise)))
        else:
            self.value = max(0.0, self.value + rise)
        return self.value

    def reward(self, reward_N: Array, penalty_N: Array) -> Array:
        """(reward - m penalty) / (1 + m): what the policy learns from, on the scale of one of them
        whatever the multiplier."""
        mixed: Array = (reward_N - self.value * penalty_N) / (1 + self.value)
        return mixed

    def state(self) -> float:
        """What a checkpoint keeps."""
        return self.value

    def load(self, state: float) -> None:
        """Continue from `state()`."""
        self.value = state


# --- the optimum where responses can be listed ----------------------------------------------------
@dataclass(frozen=True)
class ConstrainedOptimum:
    """The multiplier at which the limit is kept, 0 where nobody exceeds it, and the policy's
    log-probabilities."""

    multiplier: float
    logp_PR: Array


def tilted(base_PR: Array, score_PR: Array, beta: float) -> Array:
    """log of p0 exp(score / beta), normalised for each prompt: the policy with the largest mean
    score less beta KL(policy || p0)."""
    logp: Array = log_softmax(base_PR + score_PR / beta, axis=1)
    return logp


def mean_of(value_PR: Array, logp_PR: Array) -> float:
    """The mean of a value under the policy, over prompts."""
    return float((np.exp(logp_PR) * value_PR).sum(1).mean())


def constrained_optimum(
    base_PR: Array, reward_PR: Array, cost_PR: Array, beta: float, settings: ConstraintSettings
) -> ConstrainedOptimum:
    """The policy p0 exp((reward - m penalty) / beta) whose bound keeps the limit, exactly: base_PR
    are p0's log-probabilities.

    A bound on the worst is a bound on the mean penalty at one threshold (Rockafellar and Uryasev
    2000); the threshold whose policy has the largest reward less beta KL is searched for. Raises
    ConfigError for a limit that no policy on p0's support keeps.
    """
    held_PR = np.isfinite(base_PR)

    def at(threshold: float | None) -> ConstrainedOptimum | None:
        penalty_PR = penalties(settings, cost_PR, threshold)
        return _optimum(base_PR, reward_PR, penalty_PR, beta, settings.limit)

    def lost(threshold: float) -> float:
        found = at(threshold)
        if found is None:
            return float("inf")
        kl_PR = np.where(held_PR, found.logp_PR, 0.0) - np.where(held_PR, base_PR, 0.0)
        return -mean_of(reward_PR - beta * kl_PR, found.logp_PR)

    threshold = None
    if settings.bound == "tail":
        highest = max(float(cost_PR.min()), min(settings.limit, float(cost_PR.max())))
        threshold = _least(lost, float(cost_PR.min()), highest)
    found = at(threshold)
    if found is None:
        raise ConfigError(
            f"no policy on these responses keeps the limit {settings.limit:g}", "raise the limit"
        )
    return found


def _least(lost: Callable[[float], float], low: float, high: float, points: int = 25) -> float:
    """Where a function of one number, perhaps with several valleys, is least."""
    line = np.linspace(low, high, points)
    lost_T = [lost(float(t)) for t in line]
    best = int(np.argmin(lost_T))
    around = (float(line[max(0, best - 1)]), float(line[min(points - 1, best + 1)]))
    if not np.isfinite(lost_T[best]) or around[0] == around[1]:
        return float(line[best])
    closer = minimize_scalar(lost, bounds=around, method="bounded")
    return float(closer.x) if closer.fun < lost_T[best] else float(line[best])


def _optimum(
    base_PR: Array, reward_PR: Array, penalty_PR: Array, beta: float, limit: float
) -> ConstrainedOptimum | None:
    """None where no multiplier up to LARGEST is enough."""

    def policy(multiplier: float) -> Array:
        return tilted(base_PR, reward_PR - multiplier * penalty_PR, beta)

    def excess(multiplier: float) -> float:
        return mean_of(penalty_PR, policy(multiplier)) - limit

    if excess(0.0) <= 0:
        return ConstrainedOptimum(0.0, policy(0.0))
    most = 1.0
    while excess(most) > 0:
        most *= 2
        if most > LARGEST:
            return None
    multiplier = float(brentq(excess, 0.0, most, xtol=1e-10))
    return ConstrainedOptimum(multiplier, policy(multiplier))
