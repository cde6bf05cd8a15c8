"""Who writes better: scores of producers (models) from comparisons across prompts, with annotator
effects.

Annotator k compares producer i, shown first, with producer j:

    d = exp(a_k) (s_i - s_j) + gamma
    P(i) = sigmoid(d) without ties, Davidson's model with them

s ~ N(0, w_s^2) are the scores, a_k ~ N(0, w_a^2) the annotators' log-reliabilities, with mean 0
(scores and reliabilities share a scale, which the typical annotator fixes; left free, the mode
shrinks one and blows up the other: intervals of 95 % then cover 76 %), gamma the pull of what is
shown first, the same for all (Bradley and Terry 1952; reliability as in noisy Bradley-Terry,
Bugakova et al. 2019). Where it is not known which was shown first there is no gamma: such votes say
what producers are worth, not what the side does. The widths w_s and w_a are learned from the same
votes and their uncertainty is in all errors (`statistics/populations.py`); fixed ones that are too
small pull clear differences together (a spread of 2.5 under a prior of 1: 65 % cover). Everything
is fitted at once by Newton steps on counts per (annotator, pair, side).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from accord.errors import DataError
from accord.feedback.choice_model import AT_ONCE, TIE, comparison, counted
from accord.feedback.votes import Cells, Votes, cells, distinct
from accord.seeds import generator
from accord.statistics.intervals import Array, Index, Interval
from accord.statistics.populations import Expansion, Population, fit_populations
from accord.statistics.resampling import percentile_interval

MOST_OBJECTS = 3000
"""Producers and annotators together beyond which the curvature is too large."""
SIDE_SD = 5.0
TIE_SD = 3.0
"""Of gamma around 0 and log nu around -1: next to nothing is known of them."""


@dataclass(frozen=True)
class RatingSettings:
    """reliability, side: fit these effects; ties: Davidson's model (else ties are left out and
    counted); score_sd, log_reliability_sd: standard deviations of scores (logits) and of
    log-reliabilities; None: learned from the votes."""

    reliability: bool = True
    side: bool = True
    ties: bool = True
    score_sd: float | None = None
    log_reliability_sd: float | None = None


@dataclass(frozen=True)
class Ratings:
    """score_P and its standard error, centred on 0 (logits), with their covariance [P, P];
    log_reliability_A (0: typical) with errors; side gamma with error (positive favours what is
    shown first); log_nu of Davidson's ties with error; log_likelihood in nats; votes used;
    score_sd, log_reliability_sd: the widths that were used, learned (with 95 % intervals) or given
    (as points)."""

    producers: list[str]
    annotators: list[str]
    score_P: Array
    score_error_P: Array
    log_reliability_A: Array
    log_reliability_error_A: Array
    side: float
    side_error: float
    log_nu: float
    log_nu_error: float
    log_likelihood: float
    votes: int
    settings: RatingSettings
    score_covariance_PP: Array
    score_sd: Interval
    log_reliability_sd: Interval

    @property
    def side_z(self) -> float:
        """Side bias in standard errors: an alarm beyond 1.96."""
        return self.side / self.side_error if self.side_error else 0.0

    @property
    def widths(self) -> str:
        """In words, which spreads scores and reliabilities were drawn to."""
        used = [("scores", self.score_sd, self.settings.score_sd)]
        if self.settings.reliability:
            used.append(
                ("log-reliabilities", self.log_reliability_sd, self.settings.log_reliability_sd)
            )
        return "; ".join(
            f"spread of {what} {w.value:.2f} "
            + (f"[{w.low:.2f}, {w.high:.2f}], learned" if given is None else "(given)")
            for what, w, given in used
        )

    def held(self) -> RatingSettings:
        """The settings with the widths that were used, for fits to parts of the same votes."""
        return replace(
            self.settings,
            score_sd=self.score_sd.value,
            log_reliability_sd=self.log_reliability_sd.value,
        )

    def log_probability(self, votes: Votes) -> Array:
        """log P of the outcome of each vote: [M] (nats). Producers and annotators must be those
        fitted."""
        if not self.settings.ties and (votes.outcome == TIE).any():
            raise ValueError("a tie has no probability in a fit without ties")
        scale = np.exp(self.log_reliability_A)[votes.annotator]
        gap = scale * (self.score_P[votes.first] - self.score_P[votes.second])
        log_nu = self.log_nu if self.settings.ties else -np.inf
        return comparison(gap + self.side * votes.known_M, votes.outcome, log_nu).log_p

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
            f"{producers:,} things to score and {annotators:,} annotators; {MOST_OBJECTS:,}"
            " together can be fitted at once",
            "score producers instead of options, or a part of the prompts",
        )
    # Without reliabilities all annotators are alike: fewer cells.
    model = _VoteModel(
        cells(used if settings.reliability else replace(used, annotator=0 * used.annotator)),
        producers,
        annotators if settings.reliability else 0,
        settings,
    )
    found = fit_populations(model.expand, model.start(start), model.populations)
    scores, errors = found.x[:producers], found.errors
    centre = np.eye(producers) - 1 / producers
    covariance = centre @ found.covariance[:producers, :producers] @ centre
    at = model.places
    people = np.zeros(annotators), np.zeros(annotators)
    if settings.reliability:
        people = found.x[model.dense :], errors[model.dense :]
    return Ratings(
        votes.producers,
        votes.annotators,
        scores - scores.mean(),
        np.sqrt(np.diag(covariance)),
        *people,
        float(found.x[at["side"]]) if "side" in at else 0.0,
        float(errors[at["side"]]) if "side" in at else 0.0,
        float(found.x[at["tie"]]) if "tie" in at else NO_TIES,
        float(errors[at["tie"]]) if "tie" in at else 0.0,
        found.log_likelihood,
        used.total,
        settings,
        covariance,
        found.widths["scores"],
        found.widths.get("reliabilities", Interval(0.0, 0.0, 0.0)),
    )


@dataclass(frozen=True)
class ScorePosterior:
    """Of scores without reliabilities: its mode x, scores [P] and then the effects that are fitted
    (`places`: where "side" and "tie" are), and the inverse of its negative curvature there."""

    x: Array
    places: dict[str, int]
    inverse: Array
    ties: bool

    @property
    def log_nu(self) -> float:
        """Of Davidson's ties at x; -inf where they are not in the model."""
        if not self.ties:
            return -np.inf
        return float(self.x[self.places["tie"]]) if "tie" in self.places else NO_TIES


def posterior(votes: Votes, fitted: Ratings) -> ScorePosterior:
    """Around a fit to these votes at given widths. Raises ValueError if it has reliabilities."""
    if fitted.settings.reliability:
        raise ValueError("with reliabilities the posterior has more parameters than scores")
    used = votes if fitted.settings.ties else votes.where(votes.outcome != TIE)
    used = replace(used, annotator=0 * used.annotator)
    model = _VoteModel(cells(used), len(votes.producers), 0, fitted.held())
    x = model.start(fitted)
    curvature = model.expand(x, False).dense
    for population in model.populations:
        at = np.arange(len(x))[population.at]
        curvature[at, at] += (population.width or np.inf) ** -2.0
    inverse = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
    return ScorePosterior(x, model.places, inverse, fitted.settings.ties)


NO_TIES = -30.0
"""log nu where nobody tied."""
USUAL_RELIABILITY_SD = 0.5
"""Median of the width of log-reliabilities before a vote is seen (real crowds: .3 to .8); of scores
1 logit. The log widths themselves have standard deviation 1: a factor of 7 either way."""
EFFECTS = ("side", "tie")


class _Run(NamedTuple):
    """A run of cells: where, whose (annotators, where each one's begin, how many), and the places
    of both producers in a table of these annotators' scores."""

    at: slice
    who: Index
    start: Index
    number: Index
    corners: tuple[Index, Index]


@dataclass
class _Sums:
    """Over cells: the log-likelihood; slopes and negative curvatures of side and ties [2], [2, 2];
    by pair and by annotator the slope in the difference and the negative curvatures in it and the
    difference, the side, ties: [4, Q], [4, A]; curvature of reliabilities and scores [A, P]."""

    log_p: float
    slope_E: Array
    bend_EE: Array
    pair_Q: Array
    person_A: Array
    corner_AP: Array

    @classmethod
    def zero(cls, pairs: int, annotators: int, producers: int) -> _Sums:
        """Of no cells."""
        shapes = ((2,), (2, 2), (4, pairs), (4, annotators), (annotators, producers))
        return cls(0.0, *(np.zeros(shape) for shape in shapes))


class _VoteModel:
    """The likelihood of votes in cells. x: scores [P], gamma and log nu where they are fitted, then
    log-reliabilities [A] (those are its light part)."""

    def __init__(
        self, counts: Cells, producers: int, annotators: int, settings: RatingSettings
    ) -> None:
        self.counts, self.producers, self.annotators = counts, producers, annotators
        self.settings = settings
        effects = {
            "side": settings.side and bool(counts.side.any()),
            "tie": settings.ties and bool(counts.won[TIE].any()),
        }
        fitted = [name for name, is_fitted in effects.items() if is_fitted]
        self.places = {name: producers + number for number, name in enumerate(fitted)}
        self.dense = producers + len(fitted)
        self.pairs, self.pair_C = distinct(
            counts.first * producers + counts.second, producers * producers
        )
        self.ends = np.divmod(self.pairs, producers)

    @cached_property
    def populations(self) -> list[Population]:
        found = [Population("scores", slice(0, self.producers), self.settings.score_sd)]
        for name, at in self.places.items():
            mean, width = (0.0, SIDE_SD) if name == "side" else (-1.0, TIE_SD)
            found.append(Population(name, slice(at, at + 1), width, mean=mean))
        if self.annotators:
            found.append(
                Population(
                    "reliabilities",
                    slice(self.dense, self.dense + self.annotators),
                    self.settings.log_reliability_sd,
                    usual=USUAL_RELIABILITY_SD,
                    zero_sum=True,
                )
            )
        return found

    def start(self, before: Ratings | None) -> Array:
        """Of a fit before; else scores as all annotators together say them."""
        x = np.zeros(self.dense + self.annotators)
        if "tie" in self.places:
            x[self.places["tie"]] = -1.0
        if before is None:
            return x
        x[: self.producers] = before.score_P
        if self.annotators:
            x[self.dense :] = before.log_reliability_A - before.log_reliability_A.mean()
        if "side" in self.places:
            x[self.places["side"]] = before.side
        if "tie" in self.places and before.log_nu > NO_TIES:
            x[self.places["tie"]] = before.log_nu
        return x

    @cached_property
    def _runs(self) -> list[_Run]:
        """All cells, AT_ONCE at a time."""
        counts, found = self.counts, []
        for start in range(0, len(counts.first), AT_ONCE):
            at = slice(start, start + AT_ONCE)
            who, starts, number = np.unique(
                counts.annotator[at], return_index=True, return_counts=True
            )
            row = np.repeat(np.arange(len(who)) * self.producers, number)
            corners = row + counts.first[at], row + counts.second[at]
            found.append(_Run(at, who, starts, number, corners))
        return found

    def expand(self, x: Array, safe: bool) -> Expansion:
        """With d = exp(a) (s_i - s_j) + gamma: H = - l''(d) grad d grad d^T - l'(d) hess d, log nu
        as a second argument of l; safe: without the terms in l'(d)."""
        size, (i, j) = self.producers, self.ends
        sums = _Sums.zero(len(self.pairs), self.annotators, size)
        for run in self._runs:
            self._add(sums, run, x, safe)
        slope, dense = np.zeros(len(x)), np.zeros((self.dense, self.dense))
        slope[:size], bent = self._by_score(sums.pair_Q[0]), sums.pair_Q[1]
        dense[i, j] = dense[j, i] = -bent
        at_both = np.bincount(i, bent, minlength=size) + np.bincount(j, bent, minlength=size)
        dense[np.arange(size), np.arange(size)] = at_both
        fitted = [EFFECTS.index(name) for name in self.places]
        own = slice(size, self.dense)
        slope[own], dense[own, own] = sums.slope_E[fitted], sums.bend_EE[np.ix_(fitted, fitted)]
        for at, effect in zip(self.places.values(), fitted, strict=True):
            dense[:size, at] = dense[at, :size] = self._by_score(sums.pair_Q[2 + effect])
        if not self.annotators:
            return Expansion(sums.log_p, slope, dense, np.zeros((self.dense, 0)), np.zeros(0))
        slope[self.dense :], light = sums.person_A[:2]
        if not safe:
            light = light - slope[self.dense :]
        border = np.vstack([sums.corner_AP.T, sums.person_A[[2 + effect for effect in fitted]]])
        return Expansion(sums.log_p, slope, dense, border, light)

    def _add(self, sums: _Sums, run: _Run, x: Array, safe: bool) -> None:
        """What the cells of a run say."""
        pair, side, scale = self.pair_C[run.at], self.counts.side[run.at], np.ones(1)
        if self.annotators:
            scale = np.repeat(np.exp(x[self.dense :][run.who]), run.number)
        pull = (x[self.ends[0]] - x[self.ends[1]])[pair] * scale
        gap, log_nu = pull, -np.inf
        if "side" in self.places:
            gap = pull + x[self.places["side"]] * side
        if self.settings.ties:
            log_nu = float(x[self.places["tie"]]) if "tie" in self.places else NO_TIES
        terms = counted(gap, self.counts.won[:, run.at], log_nu)
        dd, dn, nn = terms.bend
        side_bend, both = dd * side, float(dn @ side)
        sums.log_p += terms.log_p
        sums.slope_E += terms.slope @ side, terms.slope_nu.sum()
        sums.bend_EE += np.array([[side_bend @ side, both], [both, nn.sum()]])
        # The slope in d, and the negative curvatures in d and the parameter's own d, gamma, log nu.
        for row, weight in zip(sums.pair_Q, (terms.slope, dd * scale, side_bend, dn), strict=True):
            row += np.bincount(pair, weight * scale, minlength=len(row))
        if not self.annotators:
            return
        across = dd * pull
        for row, weight in zip(sums.person_A, (terms.slope, across, side_bend, dn), strict=True):
            row[run.who] += np.add.reduceat(weight * pull, run.start)
        if not safe:
            across -= terms.slope
        across *= scale
        table = len(run.who) * self.producers
        won, lost = (np.bincount(at, across, minlength=table) for at in run.corners)
        sums.corner_AP[run.who] += (won - lost).reshape(-1, self.producers)

    def _by_score(self, pair_Q: Array) -> Array:
        """A term of s_i with its opposite in s_j: [P]."""
        gained, lost = (np.bincount(at, pair_Q, minlength=self.producers) for at in self.ends)
        return (gained - lost).astype(np.float64)
