"""The choice model in numpy: log P of what was chosen, its slope and its curvature.

Every kind of feedback is a choice of a noisily rational person, P(choice) proportional to exp(u)
(Jeon, Milli, Dragan 2020), with the utility of an option as its annotator sees it

    u = beta * r + gamma * (1/2 - p / (K - 1))                                 place_of, utility

(r its reward, p its place among the K shown, beta the rationality, gamma the pull of what is shown
first). With w_i = exp(u_i):

    decided      P(1 over 2) = w_1 / (w_1 + w_2)                    Bradley and Terry 1952
    comparison   P(1), P(2), P(tie) ~ w_1, w_2, nu sqrt(w_1 w_2)    Davidson 1970
    ranking      prod_s w_s / sum_(t >= s) w_t, best first          Luce 1959, Plackett 1975
    best_worst   w_b / sum_i w_i * w_l^-1 / sum_(i != b) w_i^-1     Marley and Louviere 2005
    rating       P(level <= k) = sigmoid(tau_k - u)                 Samejima 1969

Arrays broadcast; of several utilities the options come first, [K, ...]. log P in nats. All but the
rating are exponential families: the slope is what was chosen minus what is expected, the curvature
the negative covariance, so log P is concave in u (the rating's is as well). Training uses the same
model in torch, `learning/likelihoods.py`; tests hold the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from accord.statistics.intervals import Array, Index
from accord.statistics.softmax import log_total, softmax

FIRST, SECOND, TIE = 0, 1, 2
"""Outcomes of a comparison, in the order the options are passed."""
OUTCOMES = np.arange(3)[:, None]
"""All three, for a row of gaps."""
_LEAD = np.array([0.5, -0.5, 0.0])


def place_of(shown_at: Array | Index | int, options: int) -> Array:
    """1/2 for what is shown first of `options`, -1/2 for the last."""
    return np.asarray(0.5 - np.asarray(shown_at) / max(1, options - 1), dtype=np.float64)


def utility(
    reward: Array, place: Array, rationality: Array | float, side_bias: Array | float
) -> Array:
    """u of options with these rewards at these places (`place_of`); all broadcast."""
    return rationality * reward + side_bias * place


def decided_p(gap: Array) -> Array:
    """P(first) of a comparison without ties, gap = u_1 - u_2: p; log P has the slope 1 - p in the
    gap and the curvature -p (1 - p)."""
    p: Array = expit(gap)
    return p


def decided_log_p(gap: Array) -> Array:
    """log P(first) of a comparison without ties."""
    log_p: Array = log_expit(gap)
    return log_p


@dataclass(frozen=True)
class Compared:
    """Davidson's model at gaps d = u_1 - u_2: [...]. log_p of the outcomes, its slopes in d and in
    log nu; p [3, ...] of first, second and tie."""

    log_p: Array
    slope: Array
    slope_nu: Array
    p: Array

    @property
    def curvature(self) -> tuple[Array, Array, Array]:
        """Second derivatives of log P, the same for every outcome: in d twice, in d and log nu, in
        log nu twice."""
        first, second, tie = self.p
        lead = (first - second) / 2
        return lead**2 - (first + second) / 4, lead * tie, -tie * (1 - tie)


def comparison(gap: Array, outcome: Array | Index | int, log_nu: float) -> Compared:
    """Terms of each outcome (FIRST, SECOND, TIE) at each gap; both broadcast. log_nu -inf: nobody
    ties."""
    weights, total, log_p = _davidson(gap, outcome, log_nu)
    p = np.stack([weight / total for weight in weights])
    tied, lead = np.equal(outcome, TIE), _LEAD[outcome]
    return Compared(log_p, lead - (p[FIRST] - p[SECOND]) / 2, tied - p[TIE], p)


def comparison_log_p(gap: Array, outcome: Array | Index | int, log_nu: float) -> Array:
    """`comparison`'s log P alone."""
    return _davidson(gap, outcome, log_nu)[2]


def _davidson(
    gap: Array, outcome: Array | Index | int, log_nu: float
) -> tuple[tuple[Array, Array, Array], Array, Array]:
    """Weights of first, second and tie over the largest, so that none overflows; their sum; log P
    of the outcomes."""
    half = gap / 2
    top = np.maximum(np.abs(half), log_nu)
    weights = np.exp(half - top), np.exp(-half - top), np.exp(log_nu - top)
    total = weights[0] + weights[1] + weights[2]
    log_p = np.where(np.equal(outcome, TIE), log_nu, _LEAD[outcome] * gap) - (top + np.log(total))
    return weights, total, log_p


@dataclass(frozen=True)
class CountedComparisons:
    """Of comparisons counted by outcome: log P of all together, and per gap the slopes in d and log
    nu and the negative curvatures (d d, d nu, nu nu), summed over its outcomes: [C] each."""

    log_p: float
    slope: Array
    slope_nu: Array
    bend: tuple[Array, Array, Array]


AT_ONCE = 1 << 14
"""Gaps worked on at once, so that all arrays stay in a processor's cache."""
STEEPEST = 600.0
"""Half a gap beyond which an exponential would overflow; P there is 0 or 1 either way."""


def counted(gap: Array, won: Array, log_nu: float) -> CountedComparisons:
    """`comparison` at the gaps [C], each outcome so often as `won` [3, C] says. One exponential per
    gap: a million cells are fitted by this."""
    log_p, nu = 0.0, float(np.exp(log_nu))
    slope, slope_nu, dd, dn, nn = (np.empty(len(gap)) for _ in range(5))
    for start in range(0, len(gap), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        first, second, tied = won[:, part]
        half = np.clip(gap[part] / 2, -STEEPEST, STEEPEST)
        up = np.exp(half)
        down = 1 / up
        total = up + down
        total += nu
        count, ahead = first + second + tied, first - second
        log_p += float(ahead @ half - count @ np.log(total)) + (
            float(tied.sum()) * log_nu if nu else 0.0
        )
        lead, p_tie = (up - down) / total / 2, nu / total
        slope[part] = ahead / 2 - count * lead
        slope_nu[part] = tied - count * p_tie
        dd[part] = count * ((1 - p_tie) / 4 - lead * lead)
        dn[part] = -count * lead * p_tie
        nn[part] = count * p_tie * (1 - p_tie)
    return CountedComparisons(log_p, slope, slope_nu, (dd, dn, nn))


def ranking(u: Array) -> tuple[Array, Array]:
    """(log P [...], slopes [K, ...]) of utilities given from best to worst."""
    top = u.max(0)
    if _far(u, top):
        return _far_ranking(u)
    weight, left = _left(u, top)
    slope, share = np.empty_like(u), np.zeros_like(top)
    for place in range(len(u) - 1):
        share = share + 1 / left[place]
        slope[place] = 1 - weight[place] * share
    slope[-1] = -weight[-1] * share
    return _chosen(u, top, left), slope


def ranking_log_p(u: Array) -> Array:
    """`ranking`'s log P alone."""
    top = u.max(0)
    return _far_ranking(u)[0] if _far(u, top) else _chosen(u, top, _left(u, top)[1])


def _left(u: Array, top: Array) -> tuple[Array, Array]:
    """Weights over the largest, and of what remains at each place: [K, ...] each."""
    weight = np.exp(u - top)
    left = np.empty_like(u)
    left[-1] = weight[-1]
    for place in range(len(u) - 2, -1, -1):
        left[place] = left[place + 1] + weight[place]
    return weight, left


def _chosen(u: Array, top: Array, left: Array) -> Array:
    """log P of a ranking."""
    log_p: Array = (u[:-1] - top).sum(0) - np.log(left[:-1]).sum(0)
    return log_p


def ranking_bend(u: Array, one: Array, other: Array) -> tuple[Array, Array, Array]:
    """Minus the second derivatives of a ranking's log P along two directions of u, [K, ...] each:
    (one one, one other, other other), the sums over its choices of their covariances under P."""
    top = u.max(0)
    if _far(u, top):
        return _far_ranking_bend(u, one, other)
    weight = np.exp(u - top)
    bends = tuple(np.zeros(u.shape[1:]) for _ in range(3))
    total, mean, mean_other = weight[-1].copy(), weight[-1] * one[-1], weight[-1] * other[-1]
    square, cross, square_other = mean * one[-1], mean * other[-1], mean_other * other[-1]
    for w, a, b in zip(weight[-2::-1], one[-2::-1], other[-2::-1], strict=True):  # who remains
        wa, wb = w * a, w * b
        total += w
        mean += wa
        mean_other += wb
        square += wa * a
        cross += wa * b
        square_other += wb * b
        m, n = mean / total, mean_other / total
        bends[0][...] += square / total - m * m
        bends[1][...] += cross / total - m * n
        bends[2][...] += square_other / total - n * n
    return bends[0], bends[1], bends[2]


def _far(u: Array, top: Array) -> bool:
    """Whether a weight may vanish beside the largest of its ranking, `top`."""
    return u.size > 0 and float((top - u.min(0)).max()) > STEEPEST


def _choices(u: Array) -> list[Array]:
    """P of each of those that remain at every place of a ranking but the last: [K - s, ...]
    each."""
    remaining = (u[place:] for place in range(len(u) - 1))
    return [softmax(rest, 0)[0] for rest in remaining]


def _far_ranking(u: Array) -> tuple[Array, Array]:
    """`ranking`, each choice over its own largest weight: K^2 exponentials, and none vanishes."""
    log_p, slope = np.zeros(u.shape[1:]), np.zeros_like(u)
    for place, p in enumerate(_choices(u)):
        log_p += u[place] - log_total(u[place:], 0)
        slope[place] += 1
        slope[place:] -= p
    return log_p, slope


def _far_ranking_bend(u: Array, one: Array, other: Array) -> tuple[Array, Array, Array]:
    """`ranking_bend` in the same way."""
    bends = tuple(np.zeros(u.shape[1:]) for _ in range(3))
    for place, p in enumerate(_choices(u)):
        a, b = one[place:], other[place:]
        m, n = (p * a).sum(0), (p * b).sum(0)
        bends[0][...] += (p * a * a).sum(0) - m * m
        bends[1][...] += (p * a * b).sum(0) - m * n
        bends[2][...] += (p * b * b).sum(0) - n * n
    return bends[0], bends[1], bends[2]


def best_worst_bend(u: Array, one: Array, other: Array) -> tuple[Array, Array, Array]:
    """The same of a choice of the best, given first, and the worst, given last."""
    bends = [np.zeros(u.shape[1:]) for _ in range(3)]
    for logits, first in ((u, 0), (-u, 1)):
        p, _ = softmax(logits[first:], 0)
        a, b = one[first:], other[first:]
        m, n = (p * a).sum(0), (p * b).sum(0)
        for bend, part in zip(bends, (p * a * a, p * a * b, p * b * b), strict=True):
            bend += part.sum(0)
        bends[0] -= m * m
        bends[1] -= m * n
        bends[2] -= n * n
    return bends[0], bends[1], bends[2]


def best_worst(u: Array) -> tuple[Array, Array]:
    """(log P [...], slopes [K, ...]) of the best, given first, and the worst, given last."""
    (best, log_best), (worst, log_worst) = softmax(u, 0), softmax(-u[1:], 0)
    slope = -best
    slope[0] += 1
    slope[1:] += worst
    slope[-1] -= 1
    return u[0] - log_best - u[-1] - log_worst, slope


def best_worst_log_p(u: Array) -> Array:
    """`best_worst`'s log P alone."""
    log_p: Array = u[0] - log_total(u, 0) - u[-1] - log_total(-u[1:], 0)
    return log_p


@dataclass(frozen=True)
class Graded:
    """Of a level between two edges, both measured from u: log P = log(sigmoid(upper) -
    sigmoid(lower)), its slopes in the two, and its negative curvatures (upper twice, both, lower
    twice): [...] each."""

    log_p: Array
    slope_upper: Array
    slope_lower: Array
    bend: tuple[Array, Array, Array]


def graded(upper: Array, lower: Array, width: Array) -> Graded:
    """A level whose edges lie so far from u, the outermost at infinity; width: upper - lower > 0,
    which may broadcast. sigmoid(a) - sigmoid(b) is written as sigmoid(a) sigmoid(-b) (1 - exp(b -
    a)), so that far tails stay finite."""
    inside = -np.expm1(-width)
    log_p = log_expit(upper) + log_expit(-lower) + np.log(inside)
    over, under = expit(-upper), expit(lower)
    near = np.exp(-width) / inside
    bend = near / inside
    return Graded(
        log_p,
        over + near,
        -under - near,
        (over * (1 - over) + bend, -bend, under * (1 - under) + bend),
    )


def rating(u: Array, level: Index, thresholds_L: Array) -> tuple[Array, Array, Array]:
    """(log P, slope in u, curvature in u) of levels 0..L on a scale with L ascending thresholds; a
    thumb is the case L = 1."""
    edges = np.concatenate([[-np.inf], thresholds_L, [np.inf]])
    top, bottom = edges[np.add(level, 1)], edges[level]
    found = graded(top - u, bottom - u, top - bottom)
    upper, both, lower = found.bend
    return found.log_p, -found.slope_upper - found.slope_lower, -upper - 2 * both - lower
