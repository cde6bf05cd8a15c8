"""Who writes better: scores of producers (models) from comparisons across prompts, with annotator effects.

Annotator k compares producer i, shown first, with producer j:

    d = exp(a_k) (s_i - s_j) + gamma        P(i) = sigmoid(d) without ties, Davidson's model with them

s ~ N(0, score_sd^2) are the scores, a_k ~ N(0, log_reliability_sd^2) the annotators' log-reliabilities, gamma the pull of
what is shown first, the same for all (Bradley and Terry 1952; reliability as in noisy Bradley-Terry, Bugakova et al.
2019). Everything is fitted at once by maximum a posteriori; errors come from the curvature there (Laplace).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from accord.errors import DataError
from accord.feedback.records import Comparison, Feedback

Array = NDArray[np.float64]
Index = NDArray[np.int64]
FIRST, SECOND, TIE = 0, 1, 2
Z95 = 1.959964


@dataclass(frozen=True)
class Votes:
    """Comparisons as arrays [M]: producers by place shown, annotator, outcome (FIRST, SECOND, TIE), how many alike."""

    first: Index
    second: Index
    annotator: Index
    outcome: Index
    count: Array
    producers: list[str]
    annotators: list[str]

    @property
    def total(self) -> int:
        """Number of votes."""
        return int(self.count.sum())

    def where(self, keep: NDArray[np.bool_]) -> Votes:
        """The votes at which `keep` is true; names stay."""
        parts = {name: getattr(self, name)[keep] for name in ("first", "second", "annotator", "outcome", "count")}
        return replace(self, **parts)


@dataclass(frozen=True)
class RatingSettings:
    """reliability, side: fit these effects; ties: Davidson's model (else ties are left out and counted);
    score_sd, log_reliability_sd: standard deviations of the priors."""

    reliability: bool = True
    side: bool = True
    ties: bool = True
    score_sd: float = 1.0
    log_reliability_sd: float = 0.7


@dataclass(frozen=True)
class Ratings:
    """score_P and its standard error, centred on 0 (logits); log_reliability_A (0: typical) with errors; side gamma with
    error (positive favours what is shown first); log_nu of Davidson's ties; log_likelihood in nats; votes used."""

    producers: list[str]
    annotators: list[str]
    score_P: Array
    score_error_P: Array
    log_reliability_A: Array
    log_reliability_error_A: Array
    side: float
    side_error: float
    log_nu: float
    log_likelihood: float
    votes: int
    settings: RatingSettings

    @property
    def side_z(self) -> float:
        """Side bias in standard errors: an alarm beyond 1.96."""
        return self.side / self.side_error if self.side_error else 0.0

    def log_probability(self, votes: Votes) -> Array:
        """log P of the outcome of each vote: [M] (nats). Producers and annotators must be those fitted."""
        x = np.concatenate([self.score_P, self.log_reliability_A, [self.side, self.log_nu]])
        d = _gaps(x, votes, len(self.producers), len(self.annotators))[0]
        return _choice(d, votes.outcome, self.log_nu, self.settings.ties)[0]

    def rank_intervals(self, draws: int = 2000, seed: int = 0) -> list[tuple[int, int]]:
        """95 % interval of each producer's rank (1 is best), scores drawn independently from their errors."""
        rng = np.random.default_rng(seed)
        drawn = self.score_P + self.score_error_P * rng.standard_normal((draws, len(self.producers)))
        ranks = (-drawn).argsort(1).argsort(1) + 1
        low, high = np.percentile(ranks, [2.5, 97.5], axis=0)
        return [(int(a), int(b)) for a, b in zip(np.floor(low), np.ceil(high), strict=True)]


def votes_of(records: Sequence[Feedback]) -> tuple[Votes, dict[str, int]]:
    """Votes between named producers, and how many records were left out, by reason. Raises DataError without any."""
    left_out: Counter[str] = Counter()
    rows: Counter[tuple[str, str, str, int]] = Counter()
    for record in records:
        choice = record.choice
        if not isinstance(choice, Comparison):
            left_out[f"{record.kind} is no comparison"] += 1
            continue
        first, second = sorted(record.options, key=lambda o: o.shown_at)
        if not first.producer or not second.producer:
            left_out["an option without a producer"] += 1
        elif first.producer == second.producer:
            left_out["both options by the same producer"] += 1
        else:
            outcome = TIE if choice.preferred is None else FIRST if choice.preferred == first.id else SECOND
            rows[first.producer, second.producer, record.annotator, outcome] += 1
    if not rows:
        raise DataError(
            f"there is no comparison of two named producers: {dict(left_out)}", "give each option its producer"
        )
    return _votes(rows), dict(left_out)


def _votes(rows: Counter[tuple[str, str, str, int]]) -> Votes:
    producers = sorted({name for row in rows for name in row[:2]})
    annotators = sorted({row[2] for row in rows})
    number, who = {n: i for i, n in enumerate(producers)}, {n: i for i, n in enumerate(annotators)}
    table = np.array([(number[a], number[b], who[k], outcome) for a, b, k, outcome in sorted(rows)], dtype=np.int64)
    counts = np.array([rows[row] for row in sorted(rows)], dtype=np.float64)
    first, second, annotator, outcome = table.T
    return Votes(first, second, annotator, outcome, counts, producers, annotators)


def together(votes: Votes) -> Votes:
    """Equal votes counted once with their number: what a fit costs depends on different votes only."""
    columns = np.column_stack([votes.first, votes.second, votes.annotator, votes.outcome])
    rows, place = np.unique(columns, axis=0, return_inverse=True)
    return replace(
        votes, first=rows[:, 0], second=rows[:, 1], annotator=rows[:, 2], outcome=rows[:, 3],
        count=np.bincount(place.ravel(), votes.count, minlength=len(rows)).astype(np.float64),
    )  # fmt: skip


def fit(votes: Votes, settings: RatingSettings | None = None) -> Ratings:
    """Fit all parameters. Raises DataError when there are only ties and they are left out."""
    settings = settings or RatingSettings()
    used = together(votes if settings.ties else votes.where(votes.outcome != TIE))
    if not used.total:
        raise DataError("there are only ties", "model them (ties) or collect decided comparisons")
    producers, annotators = len(votes.producers), len(votes.annotators)
    free = _free(producers, annotators, settings, bool((used.outcome == TIE).any()))
    start = np.zeros(producers + annotators + 2)
    start[-1] = -1.0 if free[-1] else -30.0

    def objective(part: Array) -> tuple[float, Array]:
        x = start.copy()
        x[free] = part
        value, gradient = _posterior(x, used, producers, annotators, settings)
        return -value, -gradient[free]

    found = minimize(objective, start[free], jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-10})
    x = start.copy()
    x[free] = found.x
    errors = np.zeros_like(x)
    errors[free] = np.sqrt(
        np.diag(np.linalg.inv(_curvature(x, used, producers, annotators, settings)[np.ix_(free, free)]))
    )
    value = float((used.count * _likelihood(x, used, producers, annotators, settings.ties)[0]).sum())
    middle = slice(producers, producers + annotators)
    return Ratings(
        votes.producers, votes.annotators, x[:producers] - x[:producers].mean(), errors[:producers], x[middle],
        errors[middle], float(x[-2]), float(errors[-2]), float(x[-1]), value, used.total, settings,
    )  # fmt: skip


def _free(producers: int, annotators: int, settings: RatingSettings, ties: bool) -> NDArray[np.bool_]:
    """Which parameters are fitted; the others stay at their start."""
    return np.array(
        [True] * producers + [settings.reliability] * annotators + [settings.side, settings.ties and ties], dtype=bool
    )


def _gaps(x: Array, votes: Votes, producers: int, annotators: int) -> tuple[Array, Array, Array]:
    """(d, exp(a_k), s_i - s_j) of each vote: [M] each."""
    scale = np.exp(x[producers : producers + annotators][votes.annotator])
    difference = x[votes.first] - x[votes.second]
    return scale * difference + x[-2], scale, difference


def _choice(d_M: Array, outcome_M: Index, log_nu: float, ties: bool) -> tuple[Array, Array, Array]:
    """log P of each outcome, its slope in d, and in log nu."""
    if not ties:
        sign = np.where(outcome_M == FIRST, 1.0, -1.0)
        return log_expit(sign * d_M), sign * expit(-sign * d_M), np.zeros_like(d_M)
    logits = np.stack([d_M / 2, -d_M / 2, np.full_like(d_M, log_nu)], axis=1)
    top = logits.max(1, keepdims=True)
    weights = np.exp(logits - top)
    p = weights / weights.sum(1, keepdims=True)
    chosen = np.take_along_axis(logits - top, outcome_M[:, None], 1)[:, 0] - np.log(weights.sum(1))
    half = np.choose(outcome_M, [0.5, -0.5, 0.0])
    return chosen, half - (p[:, 0] - p[:, 1]) / 2, (outcome_M == TIE) - p[:, 2]


def _likelihood(x: Array, votes: Votes, producers: int, annotators: int, ties: bool) -> tuple[Array, Array]:
    """log P [M], and the slopes of each vote's log P in its own (s_i, s_j, a_k, gamma, log nu): [M, 5]."""
    d, scale, difference = _gaps(x, votes, producers, annotators)
    logp, slope, slope_nu = _choice(d, votes.outcome, float(x[-1]), ties)
    return logp, np.stack([slope * scale, -slope * scale, slope * scale * difference, slope, slope_nu], axis=1)


def _places(votes: Votes, producers: int, annotators: int) -> Index:
    """Where a vote's five slopes belong among the parameters: [M, 5]."""
    end = producers + annotators
    fixed = np.broadcast_to(np.array([end, end + 1]), (len(votes.first), 2))
    return np.column_stack([votes.first, votes.second, producers + votes.annotator, fixed])


def _prior(producers: int, annotators: int, settings: RatingSettings) -> Array:
    """Precision of each parameter's prior; side bias and ties have none."""
    return np.concatenate([
        np.full(producers, settings.score_sd**-2.0), np.full(annotators, settings.log_reliability_sd**-2.0), [0.0, 0.0],
    ])  # fmt: skip


def _posterior(
    x: Array, votes: Votes, producers: int, annotators: int, settings: RatingSettings
) -> tuple[float, Array]:
    """Log-posterior (up to a constant) and its gradient."""
    logp, slopes = _likelihood(x, votes, producers, annotators, settings.ties)
    places, precision = _places(votes, producers, annotators), _prior(producers, annotators, settings)
    weights = slopes * votes.count[:, None]
    gradient = np.bincount(places.ravel(), weights.ravel(), minlength=len(x)) - precision * x
    return float((votes.count * logp).sum() - (precision * x * x).sum() / 2), gradient


def _curvature(x: Array, votes: Votes, producers: int, annotators: int, settings: RatingSettings) -> Array:
    """Negative second derivative of the log-posterior, exact.

    With d = exp(a) (s_i - s_j) + gamma: H = - l''(d) grad d grad d^T - l'(d) hess d, log nu as a second argument of l.
    """
    d, scale, difference = _gaps(x, votes, producers, annotators)
    one, none = np.ones_like(d), np.zeros_like(d)
    grad_d = np.stack([scale, -scale, scale * difference, one, none], axis=1)
    grad_nu = np.stack([none, none, none, none, one], axis=1)
    slope, dd, dn, nn = _second(d, votes.outcome, float(x[-1]), settings.ties)
    local = -(
        dd[:, None, None] * grad_d[:, :, None] * grad_d[:, None, :]
        + dn[:, None, None] * (grad_d[:, :, None] * grad_nu[:, None, :] + grad_nu[:, :, None] * grad_d[:, None, :])
        + nn[:, None, None] * grad_nu[:, :, None] * grad_nu[:, None, :]
    )
    for row, column, bend in ((0, 2, scale), (1, 2, -scale), (2, 0, scale), (2, 1, -scale), (2, 2, scale * difference)):
        local[:, row, column] -= slope * bend
    places, size = _places(votes, producers, annotators), len(x)
    flat = (places[:, :, None] * size + places[:, None, :]).ravel()
    weights = (local * votes.count[:, None, None]).ravel()
    matrix = np.bincount(flat, weights, minlength=size * size).reshape(size, size)
    precise: Array = matrix.astype(np.float64)
    return precise + np.diag(_prior(producers, annotators, settings))


def _second(d_M: Array, outcome_M: Index, log_nu: float, ties: bool) -> tuple[Array, Array, Array, Array]:
    """l'(d), l''(d), d2 l / dd dlog nu, d2 l / dlog nu2 of each vote's log P."""
    _, slope, _ = _choice(d_M, outcome_M, log_nu, ties)
    if not ties:
        none = np.zeros_like(d_M)
        return slope, -expit(d_M) * expit(-d_M), none, none
    first, second, tie = (
        np.exp(_choice(d_M, np.full_like(outcome_M, o), log_nu, True)[0]) for o in (FIRST, SECOND, TIE)
    )
    mean = (first - second) / 2
    return slope, -((first + second) / 4 - mean**2), mean * tie, -tie * (1 - tie)
