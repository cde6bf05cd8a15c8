"""How each annotator uses the levels of a rating scale: thresholds of the scale, and an offset, a
scale and a noise of each annotator.

    P(annotator a gives item u at most level k) = sigmoid((tau_k - o_a - s_a t_u) / psi_a)
    t_u ~ N(0, 1),  o_a ~ N(0, w_o^2),  asinh s_a ~ N(m, w_s^2),  log psi_a ~ N(0, w_n^2)

the graded response model (Samejima 1969; `choice_model.graded`), the same that rewards are learned
by, with thresholds that an annotator may stretch (psi). Ends of the scale are ends here: nobody is
thought to have meant a 6.

t is averaged over on a grid (marginal likelihood: Bock and Aitkin 1981; curvature: Louis 1982);
the widths w are learned and their uncertainty is in all errors (`statistics/populations.py`). What
is told is in points of the scale, by the expected rating

    E_a(t) = v_0 + sum_k (v_k+1 - v_k) sigmoid((o_a + s_a t - tau_k) / psi_a)

of values v: offset E_a(0), scale (E_a(1) - E_a(-1)) / 2, of an item what the typical annotator
(mean o, asinh s, log psi) would give it. Their intervals are those of draws from the posterior.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from accord.feedback.choice_model import graded
from accord.seeds import generator
from accord.statistics.intervals import Z95, Array, Index, Interval
from accord.statistics.marginal import add_slopes, equal_counts
from accord.statistics.populations import Expansion, Population, fit_populations
from accord.statistics.resampling import intervals_of_draws

REACH = 5.0
"""The grid of t ends so many standard deviations out."""
NODES_PER_ERROR = 0.8
"""Grid points in one posterior standard deviation of an item that was rated most often."""
AT_ONCE = 1 << 15
"""Ratings times grid points worked on at once."""
LEAST_NOISE = 0.3
"""Of the start, in levels: that of rounding alone."""
DRAWS, ITEM_DRAWS = 1000, 32
"""Of the annotators' parameters: for their own intervals, and for those of items."""
THRESHOLD_SD = UNKNOWN = 20.0
"""Next to nothing is known of thresholds, and of the means of offsets and noise: these are held."""
HELD = 1e4
"""Curvature that holds sums of offsets and of log noise at 0: with thresholds or scales they say
the same, and the mode of a scale that two populations share is too small."""


@dataclass(frozen=True)
class Levels:
    """Ratings in the order of their items: item, annotator and level of each [M]; values of the
    levels, ascending [L + 1]."""

    item: Index
    annotator: Index
    level: Index
    values: Array
    items: int
    annotators: int


@dataclass(frozen=True)
class GradedScales:
    """In points of the scale: of each annotator the offset, the scale and the standard deviation of
    what is left; of each item what the typical annotator would give it; the typical offset and
    scale; what each rating alone says of t, in standard deviations of items: [M]."""

    offsets: list[Interval]
    scales: list[Interval]
    noise_A: Array
    items: list[Interval]
    offset: float
    scale: float
    corrected_M: Array


def fit_graded(data: Levels, start: tuple[Array, Array, Array]) -> GradedScales:
    """Fit. start: offset, scale and standard deviation of noise of each annotator in points [A], of
    a fit that takes levels for points."""
    model = _GradedLikelihood(data, start)
    people = data.annotators
    blocks = [slice(n * people, (n + 1) * people) for n in range(3)]
    populations = [
        Population("offsets", blocks[0], usual=1.0, mean_sd=UNKNOWN),
        Population("scales", blocks[1], usual=0.3, mean=1.5, mean_sd=1.0),
        Population("noise", blocks[2], usual=0.3, mean_sd=UNKNOWN),
        Population("thresholds", slice(3 * people, model.size), THRESHOLD_SD),
    ]
    found = fit_populations(model.expand, model.start, populations)
    x, covariance = found.x, found.covariance
    if x[blocks[1]].mean() < 0:  # t is known up to its sign: most scales point upwards
        turn = np.ones(model.size)
        turn[blocks[1]] = -1.0
        x, covariance = x * turn, covariance * np.outer(turn, turn)
    return _told(model, x, covariance)


class _GradedLikelihood:
    """x: offsets, asinh of the scales, log noise [A] each, thresholds [L]. What is known of a scale
    is a factor, and of one near 0 a difference: its asinh has a posterior that is nearly normal
    (the mode of the scale itself was 5 % too small)."""

    def __init__(self, data: Levels, start: tuple[Array, Array, Array]) -> None:
        self.data = data
        self.size = 3 * data.annotators + len(data.values) - 1
        self.forms = equal_counts(data.item)
        offset, scale, noise = start
        noise = np.maximum(noise, LEAST_NOISE * float(np.diff(data.values).mean()))
        unit = np.pi / np.sqrt(3) / float(np.exp(np.log(noise).mean()))  # points to logits
        middle = (data.values[1:] + data.values[:-1]) / 2
        self.start = np.concatenate(
            [
                (offset - offset.mean()) * unit,
                np.arcsinh(scale * unit),
                np.log(noise) - np.log(noise).mean(),
                (middle - offset.mean()) * unit,
            ]
        )
        self.grid = _grid(data, self.start)

    def expand(self, x: Array, safe: bool = False) -> Expansion:
        """See `statistics.marginal`; safe: without the expected curvature."""
        value, slope = 0.0, np.zeros(self.size)
        curvature = np.zeros((self.size, self.size))
        if (np.diff(x[3 * self.data.annotators :]) <= 0).any():  # thresholds that are out of order
            return self._held(x, -np.inf, slope, curvature)
        for _, part in self.parts(x):
            value += part.value
            add_slopes(slope, curvature, part.slopes, part.places, part.weight_NQ, safe)
            if not safe:
                part.add_expected(curvature)
        at = slice(self.data.annotators, 2 * self.data.annotators)
        curvature[at] *= np.cosh(x[at])[:, None]
        curvature[:, at] *= np.cosh(x[at])
        if not safe:
            curvature[at, at] -= np.diag(slope[at] * np.sinh(x[at]))
        slope[at] *= np.cosh(x[at])
        return self._held(x, value, slope, curvature)

    def parts(self, x: Array) -> Iterator[tuple[Index, _Part]]:
        """Items in parts that fit a processor's cache, with their numbers."""
        for items_N, rows_NJ in self.forms:
            step = max(1, AT_ONCE // (rows_NJ.shape[1] * len(self.grid.t)))
            for at in range(0, len(items_N), step):
                chosen = slice(at, at + step)
                yield items_N[chosen], _Part(self.data, rows_NJ[chosen], x, self.grid)

    def _held(self, x: Array, value: float, slope: Array, curvature: Array) -> Expansion:
        people = self.data.annotators
        for block in (slice(0, people), slice(2 * people, 3 * people)):
            total = x[block].sum()
            value -= HELD * total**2 / 2
            slope[block] -= HELD * total
            curvature[block, block] += HELD
        return Expansion(value, slope, curvature, np.zeros((self.size, 0)), np.zeros(0))


@dataclass(frozen=True)
class _Grid:
    t: Array
    log_weight: Array


def _grid(data: Levels, x: Array) -> _Grid:
    """Even points, close enough that a sum over them is the integral (the trapezoid rule errs by
    exp(-2 pi^2 (sd / step)^2) of a normal posterior)."""
    most = np.bincount(data.item).max()
    steep = float(np.quantile(np.abs(np.sinh(x[data.annotators : 2 * data.annotators])), 0.9))
    error = 1 / np.sqrt(1 + most * steep**2 / 3)
    half = int(np.ceil(REACH * NODES_PER_ERROR / error))
    t = np.linspace(-REACH, REACH, 2 * max(half, 8) + 1)
    log_weight = -(t**2) / 2
    return _Grid(t, log_weight - np.log(np.exp(log_weight).sum()))


class _Part:
    """N items rated by J annotators each, at all Q points of t."""

    def __init__(self, data: Levels, rows_NJ: Index, x: Array, grid: _Grid) -> None:
        self.people, self.t = data.annotators, grid.t
        self.who, self.level = data.annotator[rows_NJ], data.level[rows_NJ]
        offset, scale, log_noise = (
            x[n * self.people : (n + 1) * self.people][self.who][..., None] for n in range(3)
        )
        scale = np.sinh(scale)
        edges = np.concatenate([[-np.inf], x[3 * self.people :], [np.inf]])
        self.unit = np.exp(-log_noise)
        middle = offset + scale * grid.t
        top, bottom = edges[self.level + 1][..., None], edges[self.level][..., None]
        self.upper = (top - middle) * self.unit  # [N, J, Q]
        self.lower = (bottom - middle) * self.unit
        self.terms = graded(self.upper, self.lower, (top - bottom) * self.unit)
        log_NQ = self.terms.log_p.sum(1) + grid.log_weight
        top_N = log_NQ.max(1)
        self.weight_NQ = np.exp(log_NQ - top_N[:, None])
        total_N = self.weight_NQ.sum(1)
        self.weight_NQ /= total_N[:, None]
        self.value = float((top_N + np.log(total_N)).sum())
        # An infinite edge stays where it is, whatever the noise.
        self.upper[~np.isfinite(self.upper)] = 0.0
        self.lower[~np.isfinite(self.lower)] = 0.0
        self.levels = len(edges) - 1

    @property
    def _own_places(self) -> list[Index]:
        return [self.who + n * self.people for n in range(3)]

    @property
    def places(self) -> Index:
        """Of offset, scale, noise of each annotator, then of all thresholds: [N, S]."""
        thresholds = 3 * self.people + np.arange(self.levels - 1)
        shape = len(self.who), len(thresholds)
        return np.concatenate([*self._own_places, np.broadcast_to(thresholds, shape)], axis=1)

    @property
    def slopes(self) -> Array:
        """[N, S, Q]."""
        up, down = self.terms.slope_upper, self.terms.slope_lower
        both = -(up + down) * self.unit
        noise = -up * self.upper - down * self.lower
        shape = len(self.who), self.levels + 1, len(self.t)
        edges = np.zeros(shape)  # with the two that are infinite
        number = np.arange(len(self.who))[:, None]
        np.add.at(edges, (number, self.level + 1), up * self.unit)
        np.add.at(edges, (number, self.level), down * self.unit)
        return np.concatenate([both, both * self.t, noise, edges[:, 1:-1]], axis=1)

    def add_expected(self, curvature: Array) -> None:
        """The complete likelihood's negative curvature, expected over t: a table of five parameters
        for each rating (offset, scale, log noise, upper and lower edge)."""
        up, down, unit, t = self.terms.slope_upper, self.terms.slope_lower, self.unit, self.t
        nothing, shift = np.zeros_like(up), np.broadcast_to(unit, up.shape)
        of_upper = [-shift, -shift * t, -self.upper, shift, nothing]
        of_lower = [-shift, -shift * t, -self.lower, nothing, shift]
        uu, ul, ll = self.terms.bend
        # z = (tau - o - s t) / psi bends too: by -dz/dp in log psi and any p.
        turned = [up * a + down * b for a, b in zip(of_upper, of_lower, strict=True)]
        thresholds = 3 * self.people + self.level
        places = [*self._own_places, thresholds, thresholds - 1]
        real = [np.ones_like(self.who, dtype=bool)] * 3
        real += [self.level < self.levels - 1, self.level > 0]
        for p in range(5):
            for q in range(p, 5):
                bend = uu * of_upper[p] * of_upper[q] + ll * of_lower[p] * of_lower[q]
                bend += ul * (of_upper[p] * of_lower[q] + of_lower[p] * of_upper[q])
                if 2 in (p, q):
                    bend += turned[q if p == 2 else p]
                expected = np.einsum("njq,nq->nj", bend, self.weight_NQ)
                keep = real[p] & real[q]
                one, other, value = places[p][keep], places[q][keep], expected[keep]
                np.add.at(curvature, (one, other), value)
                if p != q:
                    np.add.at(curvature, (other, one), value)


@dataclass(frozen=True)
class _Draw:
    """Parameters, one row per draw: offset, scale, noise [D, A], thresholds [D, L]."""

    offset: Array
    scale: Array
    noise: Array
    thresholds: Array
    steps: Array = field(repr=False)
    least: float = 0.0

    @classmethod
    def of(cls, x: Array, data: Levels) -> _Draw:
        """x: [D, N]."""
        n = data.annotators
        return cls(
            x[:, :n],
            np.sinh(x[:, n : 2 * n]),
            np.exp(x[:, 2 * n : 3 * n]),
            x[:, 3 * n :],
            np.diff(data.values),
            float(data.values[0]),
        )

    @property
    def typical(self) -> _Draw:
        """The typical annotator alone: A = 1."""
        offset = self.offset.mean(1, keepdims=True)
        scale = np.sinh(np.arcsinh(self.scale).mean(1, keepdims=True))
        noise = np.exp(np.log(self.noise).mean(1, keepdims=True))
        return _Draw(offset, scale, noise, self.thresholds, self.steps, self.least)

    def expected(self, t: Array | float, power: int = 1) -> Array:
        """E of the rating to this power at t, [D, A] or broadcast with it."""
        values = self.least + np.concatenate([[0.0], np.cumsum(self.steps)])
        total = np.full(np.broadcast(self.offset, t).shape, values[0] ** power)
        for k, step in enumerate(np.diff(values**power)):
            threshold = self.thresholds[:, k : k + 1]
            total += step * expit((self.offset + self.scale * t - threshold) / self.noise)
        return total

    @property
    def slope(self) -> Array:
        """Half of what lies between items one above and one below the average: [D, A]."""
        found: Array = (self.expected(1.0) - self.expected(-1.0)) / 2
        return found


def _told(model: _GradedLikelihood, x: Array, covariance: Array) -> GradedScales:
    data = model.data
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    normal = generator(0, "graded scales").standard_normal((DRAWS // 2, len(x)))
    normal = np.concatenate([normal, -normal])  # in pairs, so that means are exact to first order
    drawn_DN = x + normal @ root.T
    drawn_DN[:, 3 * data.annotators :].sort(axis=1)
    drawn, best = _Draw.of(drawn_DN, data), _Draw.of(x[None], data)
    typical = best.typical
    return GradedScales(
        intervals_of_draws(drawn.expected(0.0)),
        intervals_of_draws(drawn.slope),
        _noise(best),
        _items(model, best, drawn_DN[:: DRAWS // ITEM_DRAWS]),
        float(typical.expected(0.0)[0, 0]),
        float(typical.slope[0, 0]),
        _alone(model, x),
    )


def _noise(best: _Draw) -> Array:
    """Standard deviation of a rating given its item, over items: [A]."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    variances = [best.expected(t, 2)[0] - best.expected(t)[0] ** 2 for t in nodes]
    found: Array = np.sqrt(weights @ np.array(variances) / weights.sum())
    return found


def _items(model: _GradedLikelihood, best: _Draw, drawn_DN: Array) -> list[Interval]:
    """What the typical annotator would give each item: over t, and over draws of everybody's
    parameters. As the t at which the best fit expects as much it is nearly normal, and stays on the
    scale."""
    data, t = model.data, model.grid.t
    curve_Q = best.typical.expected(t)[0]
    sums_3U = np.zeros((3, data.items))
    for x in drawn_DN:
        expected_Q = _Draw.of(x[None], data).typical.expected(t)[0]
        same_Q = np.interp(expected_Q, curve_Q, t)
        told_3Q = np.stack([expected_Q, same_Q, same_Q**2])
        for items_N, part in model.parts(x):
            sums_3U[:, items_N] += told_3Q @ part.weight_NQ.T
    mean_U, t_U, square_U = sums_3U / len(drawn_DN)
    reach_U = Z95 * np.sqrt(np.maximum(square_U - t_U**2, 0))
    low_U, high_U = (np.interp(t_U + side * reach_U, t, curve_Q) for side in (-1, 1))
    return [Interval(*map(float, part)) for part in zip(mean_U, low_U, high_U, strict=True)]


def _alone(model: _GradedLikelihood, x: Array) -> Array:
    """E[t | this one rating]: [M]."""
    found = np.zeros(len(model.data.item))
    rows = np.arange(len(found))[:, None]
    step = max(1, AT_ONCE // len(model.grid.t))
    for at in range(0, len(rows), step):
        part = _Part(model.data, rows[at : at + step], x, model.grid)
        found[at : at + step] = part.weight_NQ @ model.grid.t
    return found
