"""Parameters drawn from normal populations whose widths are learned from the same data.

    y ~ p(y | x),    x_k ~ N(m, w^2) for every parameter k of a population,   m ~ N(mean, mean_sd^2)

Given the widths, x is found by Newton steps and its posterior taken as normal there (Laplace). The
widths have the prior log w ~ N(log usual, spread^2) and, by Laplace again, the marginal likelihood

    log p(y | w) = log p(y, x^ | w) - 1/2 log |H(x^)| + constant               H: negative curvature

(empirical Bayes: Morris 1983; Kass and Steffey 1989). Their uncertainty is not thrown away: x is
fitted again at Gauss-Hermite nodes of each log width, weighed by that marginal likelihood, and the
law of total variance puts the means and covariances of all nodes together (as INLA does: Rue,
Martino and Chopin 2009), one width at a time.

Parameters come in two parts, N = D + K: dense ones, and light ones that have no curvature among
each other (as annotators have none given the scores), so that a thousand of them cost no more than
a table [D, K].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from accord.errors import RunError
from accord.statistics.intervals import Array, Interval, around


@dataclass(frozen=True)
class Population:
    """Parameters `at` (within one part) that are alike. width: their standard deviation, None where
    it is learned; usual, spread: of its log-normal prior; mean, mean_sd: what is known of their
    mean (0: it is known; light ones need that); zero_sum: they sum to 0 (of light ones)."""

    name: str
    at: slice
    width: float | None = None
    usual: float = 1.0
    spread: float = 1.0
    mean: float = 0.0
    mean_sd: float = 0.0
    zero_sum: bool = False


@dataclass(frozen=True)
class Expansion:
    """A log-likelihood (nats) around a point: value, slope [N], and the negative curvature in
    parts: dense [D, D], border [D, K], light [K]."""

    value: float
    slope: Array
    dense: Array
    border: Array
    light: Array


Likelihood = Callable[[Array, bool], Expansion]
"""(x, safe) -> the expansion at x; safe: with a curvature that is positive wherever x is (the
expected information), for steps where the exact one is not."""


@dataclass(frozen=True)
class PopulationPosterior:
    """x: mean [N]; covariance of the dense ones [D, D]; variance of the light ones [K];
    log_likelihood at the mode; widths by population, those given as points; models: probability of
    each of the likelihoods."""

    x: Array
    covariance: Array
    light_variance: Array
    log_likelihood: float
    widths: dict[str, Interval]
    models: Array

    @property
    def errors(self) -> Array:
        """Standard deviations: [N]."""
        found: Array = np.sqrt(np.concatenate([np.diag(self.covariance), self.light_variance]))
        return found


STEPS = 200
LONGEST = 2.0
"""What one step may move any parameter by."""
SETTLED = 1e-7
"""Nats that the next step would gain, below which it is the last."""
NEAR = 1e-3
"""The same while widths are still looked for."""
CLOSE = 0.1
"""Standard errors of a log width to which its most likely value is found."""
MANY = 20.0
"""Information on a log width from which it is as good as normal, and three nodes are enough."""
KNOWN = 400.0
"""Information from which a log width is known to a twentieth, and moves no error that is seen."""
FEW_NODES, NODES = 3, 5


def fit_populations(
    likelihoods: Likelihood | Sequence[Likelihood],
    x: Array,
    populations: Sequence[Population],
    prior: Sequence[float] = (),
) -> PopulationPosterior:
    """The posterior of x, all learned widths integrated out. `x`: where to begin. Several
    `likelihoods` are models with these `prior` probabilities: they are averaged over too. Raises
    RunError where the search does not settle."""
    learned = [p for p in populations if p.width is None]
    models = [likelihoods] if callable(likelihoods) else list(likelihoods)
    searches = [_Search(likelihood, populations) for likelihood in models]
    search = searches[0]
    centre, information = search.centre(x)
    modes = [centre]
    for other in searches[1:]:
        modes.append(other.beside(max(modes, key=lambda mode: mode.evidence)))
    log_prior = np.log(np.array(prior or [1.0] * len(models)))
    best = int(np.argmax([mode.evidence for mode in modes] + log_prior))
    if best:
        search = searches[best]
        centre, information = search.centre(modes[best].x, modes[best].log_width)
        modes = [other.beside(centre) for other in searches]
        modes[best] = centre
    mean, covariance, light = centre.x, centre.covariance, centre.light_variance
    widths = {
        p.name: Interval(p.width, p.width, p.width) for p in populations if p.width is not None
    }
    lines = [
        search.line(centre, number, known)
        for number, known in enumerate(information)
        if known < KNOWN
    ]
    evidence = np.array([mode.evidence for mode in modes]) + log_prior
    weights = np.exp(evidence - evidence.max())
    between = _Line(modes, weights / weights.sum(), 0)
    every = [*lines, between] if len(modes) > 1 else lines
    if every:  # averaged, not added up: a sum of differences may be negative
        covariance = np.mean(
            [line.average([m.covariance for m in line.modes]) for line in every], 0
        )
        light = np.mean([line.average([m.light_variance for m in line.modes]) for line in every], 0)
    for line in every:
        average = line.weights @ line.x
        apart = line.x - average
        dense = len(covariance)
        mean = mean + average - centre.x
        covariance = covariance + (line.weights[:, None] * apart[:, :dense]).T @ apart[:, :dense]
        light = light + line.weights @ apart[:, dense:] ** 2
    for number, population in enumerate(learned):
        known = around(centre.log_width[number], information[number] ** -0.5)
        widths[population.name] = known.mapped(np.exp)
    for line in lines:
        widths[learned[line.number].name] = line.width
    return PopulationPosterior(mean, covariance, light, centre.value, widths, between.weights)


@dataclass(frozen=True)
class _Mode:
    """The maximum at given widths; evidence: its log marginal likelihood times the widths' prior
    (up to a constant)."""

    x: Array
    log_width: Array
    value: float
    evidence: float
    factor: _Factor

    @cached_property
    def covariance(self) -> Array:
        return self.factor.covariance

    @cached_property
    def light_variance(self) -> Array:
        return self.factor.light_variance


@dataclass(frozen=True)
class _Line:
    """Modes at the nodes of one log width, and how much each weighs (together 1)."""

    modes: list[_Mode]
    weights: Array
    number: int

    @property
    def x(self) -> Array:
        return np.array([mode.x for mode in self.modes])

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the log width."""
        at = np.array([mode.log_width[self.number] for mode in self.modes])
        mean = float(self.weights @ at)
        return mean, float(np.sqrt(self.weights @ (at - mean) ** 2))

    @property
    def width(self) -> Interval:
        return around(*self.moments).mapped(np.exp)

    def average(self, parts: Sequence[Array]) -> Array:
        total: Array = sum(w * part for w, part in zip(self.weights, parts, strict=True))
        return total


class _Factor:
    """A factorised curvature: the light part is eliminated (Schur). zero_sum: the light ones sum to
    0 (conditioning by kriging: Rue and Held 2005)."""

    def __init__(self, dense: Array, border: Array, light: Array, zero_sum: bool) -> None:
        if light.size and light.min() <= 0:
            raise LinAlgError("the light part is not positive")
        self.light, self.ratio = light, border / light
        self.chol = cho_factor(dense - self.ratio @ border.T, lower=True)
        self.pull: Array | None = None
        if zero_sum:
            along = np.concatenate([np.zeros(len(dense)), np.ones(len(light))])
            pull = self._solve(along)
            self.pull = pull / np.sqrt(pull[len(dense) :].sum())
            self.held = float(pull[len(dense) :].sum())

    def _solve(self, right: Array) -> Array:
        dense = len(self.ratio)
        top = cho_solve(self.chol, right[:dense] - self.ratio @ right[dense:])
        return np.concatenate([top, right[dense:] / self.light - top @ self.ratio])

    def solve(self, right: Array) -> Array:
        found = self._solve(right)
        if self.pull is None:
            return found
        free: Array = found - self.pull * (self.pull @ right)
        return free

    @cached_property
    def log_determinant(self) -> float:
        value = 2 * np.log(np.diag(self.chol[0])).sum() + np.log(self.light).sum()
        return float(value + (np.log(self.held) if self.pull is not None else 0.0))

    @cached_property
    def covariance(self) -> Array:
        """Of the dense ones: [D, D]."""
        found: Array = cho_solve(self.chol, np.eye(len(self.ratio)))
        if self.pull is not None:
            top = self.pull[: len(found)]
            found = found - np.outer(top, top)
        return found

    @cached_property
    def light_variance(self) -> Array:
        if not len(self.light):
            return np.zeros(0)
        found: Array = 1 / self.light + (self.ratio * cho_solve(self.chol, self.ratio)).sum(0)
        if self.pull is not None:
            found = found - self.pull[len(self.ratio) :] ** 2
        return found


class _Search:
    def __init__(self, likelihood: Likelihood, populations: Sequence[Population]) -> None:
        self.likelihood, self.populations = likelihood, populations
        self.learned = [p for p in populations if p.width is None]
        self.usual = np.log([p.usual for p in self.learned])
        self.spread = np.array([p.spread for p in self.learned])
        self.zero_sum = any(p.zero_sum for p in populations)

    def _widths(self, log_width: Array) -> list[float]:
        """Of all populations."""
        given = iter(np.exp(log_width).tolist())
        return [next(given) if p.width is None else p.width for p in self.populations]

    def _prior(self, x: Array, log_width: Array) -> tuple[float, Array]:
        """(log density, slope [N])."""
        value, slope = 0.0, np.zeros_like(x)
        for p, w in zip(self.populations, self._widths(log_width), strict=True):
            apart = x[p.at] - p.mean
            n, v = len(apart), p.mean_sd**2
            pulled = (apart - apart.sum() * v / (w**2 + n * v)) / w**2
            slope[p.at] -= pulled
            value -= float(apart @ pulled) / 2 + (n - p.zero_sum) * np.log(w)
            value -= np.log1p(n * v / w**2) / 2
        return value, slope

    def _factor(self, at: Expansion, log_width: Array) -> _Factor:
        dense, light = at.dense.copy(), at.light.copy()
        for p, w in zip(self.populations, self._widths(log_width), strict=True):
            if p.at.start < len(dense):
                block = dense[p.at, p.at]
                n, v = len(block), p.mean_sd**2
                block[np.diag_indices(n)] += w**-2.0
                block -= v / (w**2 * (w**2 + n * v))
            else:
                light[p.at.start - len(dense) : p.at.stop - len(dense)] += w**-2.0
        return _Factor(dense, at.border, light, self.zero_sum)

    def _positive(self, exact: Expansion, x: Array, log_width: Array) -> _Factor:
        try:
            return self._factor(exact, log_width)
        except LinAlgError:
            return self._factor(self.likelihood(x, True), log_width)

    def _climb(self, x: Array, log_width: Array, settled: float = SETTLED) -> _Mode:
        """The mode at these widths, by Newton steps with halving."""
        here = self.likelihood(x, False)
        prior, slope = self._prior(x, log_width)
        for _ in range(STEPS):
            factor = self._positive(here, x, log_width)
            step = factor.solve(here.slope + slope)
            gain = float((here.slope + slope) @ step) / 2
            size = min(1.0, LONGEST / max(1e-12, float(np.abs(step).max())))
            if gain < settled and size == 1.0:
                return self._mode(
                    x + step, log_width, here.value, here.value + prior + gain, factor
                )
            while True:
                tried = x + size * step
                there = self.likelihood(tried, False)
                prior_there, slope = self._prior(tried, log_width)
                better = there.value + prior_there - here.value - prior
                if better >= 1e-4 * size * gain or size * gain < 1e-12 * abs(here.value):
                    break
                size /= 2
            x, here, prior = tried, there, prior_there
        raise RunError(
            f"the fit did not settle in {STEPS} Newton steps",
            "check the votes for a single annotator or pair",
        )

    def _mode(
        self, x: Array, log_width: Array, value: float, posterior: float, factor: _Factor
    ) -> _Mode:
        hyper = -(((log_width - self.usual) / self.spread) ** 2).sum() / 2
        return _Mode(x, log_width, value, posterior - factor.log_determinant / 2 + hyper, factor)

    def _scored(self, mode: _Mode) -> tuple[Array, Array]:
        """One step of Fisher scoring of the log widths, the curvature held: the slope is sum (x -
        m)^2 / w^2 - n + tr C / w^2, the information 2 sum (1 - C_kk / w^2)^2."""
        variance = np.concatenate([np.diag(mode.covariance), mode.light_variance])
        step, information = np.zeros(len(self.learned)), np.ones(len(self.learned))
        for number, p in enumerate(self.learned):
            w2 = float(np.exp(2 * mode.log_width[number]))
            apart = mode.x[p.at] - p.mean
            n, v = len(apart), p.mean_sd**2
            apart = apart - apart.sum() * v / (w2 + n * v)
            freedom = n - 1 if v or p.zero_sum else n
            shrunk = np.clip(1 - variance[p.at] / w2, 0.0, 1.0)
            prior = self.spread[number] ** -2
            slope = float(apart @ apart + variance[p.at].sum()) / w2 - freedom
            slope -= prior * (mode.log_width[number] - self.usual[number])
            information[number] = 2 * float((shrunk**2).mean()) * freedom + prior
            step[number] = np.clip(slope / information[number], -1.0, 1.0)
        return step, information

    def beside(self, mode: _Mode) -> _Mode:
        """This model's mode at the widths of another's, close by."""
        return self._climb(mode.x, mode.log_width, NEAR)

    def centre(self, x: Array, log_width: Array | None = None) -> tuple[_Mode, Array]:
        """The mode at the most likely widths, and the information on each log width there."""
        start = self.usual.copy() if log_width is None else log_width
        mode = self._climb(x, start, NEAR if self.learned else SETTLED)
        for _ in range(STEPS):
            step, information = self._scored(mode)
            while np.abs(step * np.sqrt(information)).max(initial=0.0) > CLOSE:
                tried = self._climb(
                    self._towards(mode, mode.log_width + step), mode.log_width + step, NEAR
                )
                if tried.evidence > mode.evidence:
                    mode = tried
                    break
                step /= 2
            else:
                return mode, information
        raise RunError(f"the widths did not settle in {STEPS} steps", "give them (score_sd)")

    def line(self, centre: _Mode, number: int, information: float) -> _Line:
        """Nodes of one log width, the others as at the centre; anew where they turn out to lie
        badly."""
        mean, error = float(centre.log_width[number]), information**-0.5
        nodes, weight = np.polynomial.hermite_e.hermegauss(
            FEW_NODES if information > MANY else NODES
        )
        for attempt in range(3):
            modes: list[_Mode] = []
            for z in nodes:
                if not attempt and abs(z) < 1e-9:
                    modes.append(centre)
                    continue
                log_width = centre.log_width.copy()
                log_width[number] = mean + error * z
                modes.append(self._climb(self._towards(centre, log_width), log_width, NEAR))
            log_w = np.array([m.evidence for m in modes]) + nodes**2 / 2
            weights = weight * np.exp(log_w - log_w.max())
            line = _Line(modes, weights / weights.sum(), number)
            found, spread = line.moments
            if attempt == 2 or (abs(found - mean) < error and 0.6 < spread / error < 1.6):
                break
            mean, error = found, max(spread, error / 2)
        return line

    def _towards(self, centre: _Mode, log_width: Array) -> Array:
        """About where the mode moves to at other widths."""
        _, slope = self._prior(centre.x, log_width)
        step = centre.factor.solve(slope - self._prior(centre.x, centre.log_width)[1])
        moved: Array = centre.x + step * min(1.0, LONGEST / max(1e-9, float(np.abs(step).max())))
        return moved
