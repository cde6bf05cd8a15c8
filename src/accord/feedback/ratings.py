"""Who writes better: scores of producers (models) from comparisons across prompts, with annotator
effects.

Annotator k compares producer i, shown first, with producer j:

    d = exp(a_k) (s_i - s_j) + gamma        P(i) = sigmoid(d) without ties, Davidson's model with them

s ~ N(0, score_sd^2) are the scores, a_k ~ N(0, log_reliability_sd^2) the annotators'
log-reliabilities, with mean 0 (scores and reliabilities share a scale, which the typical annotator
fixes; left free, the mode shrinks one and blows up the other: intervals of 95 % then cover 76 %),
gamma the pull of what is shown first, the same for all (Bradley and Terry 1952; reliability as in
noisy Bradley-Terry, Bugakova et al. 2019). Where it is not known which was shown first there is no
gamma: such votes say what producers are worth, not what the side does. Everything is fitted at once
by maximum a posteriori, by Newton steps on counts per (first, second, annotator); errors come from
the curvature there (Laplace).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from accord.errors import DataError, RunError
from accord.feedback.choice_model import OUTCOMES, TIE, Compared, comparison
from accord.feedback.votes import Cells, Votes, cells
from accord.seeds import generator
from accord.statistics.intervals import Array
from accord.statistics.resampling import percentile_interval

MOST_OBJECTS = 3000
"""Producers and annotators together beyond which the dense curvature is too large."""


@dataclass(frozen=True)
class RatingSettings:
    """reliability, side: fit these effects; ties: Davidson's model (else ties are left out and
    counted);
    score_sd, log_reliability_sd: standard deviations of the priors."""

    reliability: bool = True
    side: bool = True
    ties: bool = True
    score_sd: float = 1.0
    log_reliability_sd: float = 0.7


@dataclass(frozen=True)
class Ratings:
    """score_P and its standard error, centred on 0 (logits), with their covariance [P, P];
    log_reliability_A (0: typical) with errors; side gamma with error (positive favours what is
    shown first); log_nu of Davidson's ties; log_likelihood in nats; votes used."""

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
    score_covariance_PP: Array

    @property
    def side_z(self) -> float:
        """Side bias in standard errors: an alarm beyond 1.96."""
        return self.side / self.side_error if self.side_error else 0.0

    def log_probability(self, votes: Votes) -> Array:
        """log P of the outcome of each vote: [M] (nats). Producers and annotators must be those
        fitted."""
        x = np.concatenate([self.score_P, self.log_reliability_A, [self.side, self.log_nu]])
        d = _gaps(x, votes, len(self.producers))[0]
        if not self.settings.ties and (votes.outcome == TIE).any():
            raise ValueError("a tie has no probability in a fit without ties")
        log_nu = self.log_nu if self.settings.ties else -np.inf
        return comparison(d, votes.outcome, log_nu).log_p

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Scores drawn from their approximate posterior: [count, P]."""
        values, vectors = np.linalg.eigh(self.score_covariance_PP)
        root = vectors * np.sqrt(np.maximum(values, 0))
        drawn: Array = self.score_P + rng.standard_normal((count, len(self.producers))) @ root.T
        return drawn

    def rank_intervals(self, draws: int = 2000, seed: int = 0) -> list[tuple[int, int]]:
        """95 % interval of each producer's rank (1 is best), scores drawn from their joint
        distribution."""
        drawn = self.draws(draws, generator(seed, "ranks"))
        ranks = (-drawn).argsort(1).argsort(1).astype(np.float64) + 1
        ends = [percentile_interval(ranks[:, producer]) for producer in range(ranks.shape[1])]
        return [(math.floor(low), math.ceil(high)) for low, high in ends]


def fit(
    votes: Votes, settings: RatingSettings | None = None, start: Ratings | None = None
) -> Ratings:
    """Fit all parameters. `start`: a fit with the same names to begin from (a refit after few new
    votes).

    Raises DataError when there are only ties and they are left out, or too many different things.
    """
    settings = settings or RatingSettings()
    used = votes if settings.ties else votes.where(votes.outcome != TIE)
    if not used.total:
        raise DataError("there are only ties", "model them (ties) or collect decided comparisons")
    producers, annotators = len(votes.producers), len(votes.annotators)
    if producers + annotators > MOST_OBJECTS:
        raise DataError(
            f"{producers:,} things to score and {annotators:,} annotators; {MOST_OBJECTS:,} together can be fitted at once",
            "score producers instead of options, or a part of the prompts",
        )
    # Without reliabilities all annotators are alike: fewer cells.
    counts = cells(
        used if settings.reliability else replace(used, annotator=np.zeros_like(used.annotator))
    )
    free = _free(
        producers, annotators, settings, bool(counts.side.any()), bool(counts.won[:, TIE].any())
    )
    x = _start(producers, annotators, bool(free[-1]), start)
    x, value, curvature = _newton(x, free, counts, producers, annotators, settings)
    covariance = np.zeros((len(x), len(x)))
    covariance[np.ix_(free, free)] = np.linalg.inv(curvature[np.ix_(free, free)])
    centre = np.eye(producers) - 1 / producers
    scores = centre @ covariance[:producers, :producers] @ centre
    errors = np.sqrt(np.diag(covariance))
    middle = slice(producers, producers + annotators)
    precision = _prior(producers, annotators, settings)
    return Ratings(
        votes.producers,
        votes.annotators,
        x[:producers] - x[:producers].mean(),
        np.sqrt(np.diag(scores)),
        x[middle],
        errors[middle],
        float(x[-2]),
        float(errors[-2]),
        float(x[-1]),
        value + float(x @ precision @ x) / 2,
        used.total,
        settings,
        scores,
    )


def _free(
    producers: int, annotators: int, settings: RatingSettings, placed: bool, ties: bool
) -> NDArray[np.bool_]:
    """Which parameters are fitted; the others stay at their start."""
    effects = [settings.side and placed, settings.ties and ties]
    return np.array([True] * producers + [settings.reliability] * annotators + effects, dtype=bool)


def _start(producers: int, annotators: int, ties: bool, before: Ratings | None) -> Array:
    if before is None:
        x = np.zeros(producers + annotators + 2)
    else:
        x = np.concatenate([before.score_P, before.log_reliability_A, [before.side, before.log_nu]])
    if not ties:
        x[-1] = -30.0
    elif before is None or x[-1] < -20:
        x[-1] = -1.0
    return x


ITERATIONS = 200
LONGEST = 2.0
"""Logits by which one step may move any parameter: exp(a) overflows otherwise."""


def _newton(
    x: Array,
    free: NDArray[np.bool_],
    counts: Cells,
    producers: int,
    annotators: int,
    settings: RatingSettings,
) -> tuple[Array, float, Array]:
    """Newton steps with halving; where the exact curvature is not positive, the expected one (which
    is) is used.

    Returns the parameters, the log-posterior and its exact negative curvature.
    """
    value, gradient, curvature, expected = _posterior(x, counts, producers, annotators, settings)
    for _ in range(ITERATIONS):
        step = np.zeros_like(x)
        try:
            step[free] = cho_solve(cho_factor(curvature[np.ix_(free, free)]), gradient[free])
        except LinAlgError:
            step[free] = cho_solve(cho_factor(expected[np.ix_(free, free)]), gradient[free])
        decrement = float(gradient[free] @ step[free])
        if decrement < 1e-9:
            return x, value, curvature
        size, attempt = min(1.0, LONGEST / float(np.abs(step).max())), None
        while size > 1e-10:
            attempt = _posterior(x + size * step, counts, producers, annotators, settings)
            if attempt[0] >= value + 1e-4 * size * decrement or abs(size * decrement) < 1e-12 * abs(
                value
            ):
                break
            size /= 2
        assert attempt is not None
        x = x + size * step
        value, gradient, curvature, expected = attempt
    raise RunError(
        f"scores did not settle in {ITERATIONS} Newton steps",
        "check the votes for a single annotator or pair",
    )


def _gaps(x: Array, votes: Votes | Cells, producers: int) -> tuple[Array, Array, Array]:
    """(d, exp(a_k), s_i - s_j) of each vote or cell: [M] each."""
    scale = np.exp(x[producers:-2])[votes.annotator]
    difference = x[votes.first] - x[votes.second]
    side = votes.side if isinstance(votes, Cells) else votes.known_M
    return scale * difference + x[-2] * side, scale, difference


def _compared(d_M: Array, log_nu: float, ties: bool) -> Compared:
    """Terms of each outcome at each gap: [3, M]; without ties of the first two."""
    if ties:
        return comparison(d_M, OUTCOMES, log_nu)
    return comparison(d_M, OUTCOMES[:TIE], -np.inf)


def _cell_terms(
    d: Array, won: Array, log_nu: float, ties: bool
) -> tuple[float, Array, Array, list[Array]]:
    """Log-likelihood of all cells, and per cell its slopes in d and log nu and its curvatures (d d,
    d nu, nu nu)."""
    terms = _compared(d, log_nu, ties)
    won_OM = won.T[: len(terms.log_p)]
    return (
        float((won_OM * terms.log_p).sum()),
        (won_OM * terms.slope).sum(0),
        (won_OM * terms.slope_nu).sum(0),
        [won_OM.sum(0) * bend for bend in terms.curvature],
    )


MEAN_PRECISION = 1e6
"""Of the annotators' mean log-reliability: it is 0 to within a thousandth."""


def _prior(producers: int, annotators: int, settings: RatingSettings) -> Array:
    """Precision matrix of the prior; side bias and ties have none."""
    end = producers + annotators
    precision = np.diag(
        np.concatenate(
            [
                np.full(producers, settings.score_sd**-2.0),
                np.full(annotators, settings.log_reliability_sd**-2.0),
                [0.0, 0.0],
            ]
        )
    )
    precision[producers:end, producers:end] += MEAN_PRECISION / annotators**2
    return precision


def _posterior(
    x: Array, counts: Cells, producers: int, annotators: int, settings: RatingSettings
) -> tuple[float, Array, Array, Array]:
    """Log-posterior (up to a constant), its gradient, its negative curvature: exact, and without
    the terms in l'(d).

    With d = exp(a) (s_i - s_j) + gamma: H = - l''(d) grad d grad d^T - l'(d) hess d, log nu as a
    second argument of l.
    """
    d, scale, difference = _gaps(x, counts, producers)
    value, slope, slope_nu, (dd, dn, nn) = _cell_terms(d, counts.won, float(x[-1]), settings.ties)
    i, j, k = counts.first, counts.second, counts.annotator
    pull, side = scale * difference, counts.side

    def score(weights: Array) -> Array:  # a term of s_i with its opposite in s_j: [P]
        gained, lost = (np.bincount(place, weights, minlength=producers) for place in (i, j))
        return (gained - lost).astype(np.float64)

    def person(weights: Array) -> Array:
        return np.bincount(k, weights, minlength=annotators).astype(np.float64)

    def score_person(weights: Array) -> Array:  # [P, A]
        size = producers * annotators
        gained, lost = (
            np.bincount(place * annotators + k, weights, minlength=size) for place in (i, j)
        )
        return (gained - lost).astype(np.float64).reshape(producers, annotators)

    bend = -dd
    pairs = np.bincount(i * producers + j, bend * scale**2, minlength=producers**2).reshape(
        producers, producers
    )
    pairs = pairs + pairs.T
    precision, end = _prior(producers, annotators, settings), producers + annotators
    expected = precision.copy()
    expected[:producers, :producers] += np.diag(pairs.sum(1)) - pairs
    borders = (  # the columns of (a_k), gamma, log nu
        (score_person(bend * scale * pull), score(bend * scale * side), score(-dn * scale)),
        (np.diag(person(bend * pull**2)), person(bend * pull * side), person(-dn * pull)),
    )
    expected[:producers, producers:end], expected[:producers, -2], expected[:producers, -1] = (
        borders[0]
    )
    expected[producers:end, producers:end] += borders[1][0]
    expected[producers:end, -2], expected[producers:end, -1] = borders[1][1:]
    expected[-2, -2], expected[-2, -1], expected[-1, -1] = (
        (bend * side).sum(),
        -(dn * side).sum(),
        -nn.sum(),
    )
    expected = np.triu(expected) + np.triu(expected, 1).T
    exact = expected.copy()
    cross = score_person(slope * scale)
    exact[:producers, producers:end] -= cross
    exact[producers:end, :producers] -= cross.T
    exact[producers:end, producers:end] -= np.diag(person(slope * pull))
    gradient = np.concatenate(
        [score(slope * scale), person(slope * pull), [(slope * side).sum(), slope_nu.sum()]]
    )
    pulled = precision @ x
    return value - float(x @ pulled) / 2, gradient - pulled, exact, expected
