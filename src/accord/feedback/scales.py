"""How each annotator uses a rating scale: an offset and a scale of one's own, and ratings corrected
for them. Ratings on few levels are modelled as levels (`graded_scales`), others as points: here.

Annotator a rates item u

    y_ua = o_a + s_a t_u + e
    t_u ~ N(0, 1),  e ~ N(0, psi_a),  o_a ~ N(mu_o, tau_o^2),  s_a ~ N(mu_s, tau_s^2)

a factor model with one factor, fitted by variational EM over t, o_a and s_a; drawing o_a and s_a to
the crowd's is James and Stein's shrinkage with its strength learned from the data. Errors come from
the expected information of the marginal likelihood plus that of the crowd. Bounded scales are
treated as if they went on: near an end of the scale offsets are too small, and intervals of ratings
from 1 to 5 hold the truth too seldom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from accord.errors import DataError
from accord.feedback.agreement_kinds import Unit, Votes, scale_votes
from accord.feedback.graded_scales import GradedScales, Levels, fit_graded
from accord.feedback.records import Feedback
from accord.statistics.intervals import Array, Index, Interval, around
from accord.statistics.krippendorff import alpha_of_moments, squared_differences

NOISE_VOTES = 4.0
"""Votes that the crowd's noise is worth in an annotator's own: keeps psi_a above 0."""
MOST_LEVELS = 11
"""Different ratings, evenly spaced, that are taken for levels: 0 to 10."""
MOST_PEOPLE = 300
"""Annotators beyond which levels are not modelled unasked: the fit grows with their cube."""

ScaleModel = Literal["levels", "points"]


@dataclass(frozen=True)
class AnnotatorScale:
    """offset: mean rating given to an average item (points); scale: points per standard deviation
    of items (of levels: half of what lies between the mean ratings of items one above and one below
    the average); noise: standard deviation of what is left (points); plain_mean: of the raw
    ratings."""

    annotator: str
    judgements: int
    offset: Interval
    scale: Interval
    noise: float
    plain_mean: float


@dataclass(frozen=True)
class CalibratedItem:
    """plain: mean of the raw ratings; calibrated: what the typical annotator would give, with its
    interval."""

    item: Unit
    votes: int
    plain: float
    calibrated: Interval


@dataclass(frozen=True)
class AnnotatorScales:
    """The crowd's typical offset and scale, every annotator's and every item's; alpha (interval
    level) of the ratings as given and as each predicts its item after correction, None where it is
    undefined; model: whether ratings were taken for levels or for points, and why."""

    attribute: str
    offset: float
    scale: float
    annotators: list[AnnotatorScale]
    items: list[CalibratedItem]
    alpha_plain: float | None
    alpha_corrected: float | None
    judgements: int
    model: ScaleModel
    why: str


@dataclass(frozen=True)
class _ScaleVotes:
    item: Index
    annotator: Index
    value: Array
    items: int
    annotators: int


@dataclass
class _State:
    """Per annotator the posterior of (offset, scale) by mean and covariance, and the noise
    variance: [A] each; the crowd's
    mean and variance of the first two: [2] each."""

    offset: Array
    scale: Array
    noise: Array
    covariance: tuple[Array, Array, Array]  # of offset; of both; of scale
    centre: Array
    spread: Array


def attributes(records: Sequence[Feedback]) -> list[str]:
    """Rated attributes."""
    return sorted(
        {w.removeprefix("rating ") for w, _ in scale_votes(records) if w.startswith("rating ")}
    )


def rating_scales(
    records: Sequence[Feedback], attribute: str, model: ScaleModel | None = None
) -> AnnotatorScales:
    """Offsets and scales from all ratings of `attribute`. Raises DataError when nothing was rated
    by two."""
    votes = scale_votes(records).get((f"rating {attribute}", "interval"), {})
    return fit_scales(attribute, votes, model=model)


def fit_scales(
    attribute: str,
    votes: Votes,
    iterations: int = 2000,
    tolerance: float = 1e-6,
    model: ScaleModel | None = None,
) -> AnnotatorScales:
    """Fit votes (item -> annotator -> rating). model: of levels or of points; None: of levels where
    there are few, evenly spaced."""
    names, items = sorted({a for given in votes.values() for a in given}), sorted(votes)
    if not any(len(given) >= 2 for given in votes.values()):
        raise DataError(
            f"no item's {attribute} was rated by two annotators",
            "collect with an overlap of 2 or more",
        )
    who = {name: a for a, name in enumerate(names)}
    rows = [(u, who[a], v) for u, item in enumerate(items) for a, v in sorted(votes[item].items())]
    item, annotator, value = (np.array(column) for column in zip(*rows, strict=True))
    if np.ptp(value) == 0:
        raise DataError(
            f"every rating of {attribute} is {value[0]:g}",
            "a scale that nobody uses cannot be corrected",
        )
    data = _ScaleVotes(item, annotator, value.astype(np.float64), len(items), len(names))
    state = _start(data)
    for _ in range(iterations):
        before = np.concatenate([state.offset, state.scale])
        state = _step(data, state)
        if np.abs(np.concatenate([state.offset, state.scale]) - before).max() < tolerance * np.std(
            value
        ):
            break
    state = _with_positive_scales(state)
    found = _result(attribute, data, state, names, items)
    used, why = _model_of(data) if model is None else (model, "asked for")
    if used == "points":
        return replace(found, why=why)
    values, level = np.unique(data.value, return_inverse=True)
    levels = Levels(item, annotator, level, values, len(items), len(names))
    graded = fit_graded(levels, (state.offset, state.scale, np.sqrt(state.noise)))
    return _of_levels(found, data, graded, why)


def _model_of(data: _ScaleVotes) -> tuple[ScaleModel, str]:
    """Levels are few and evenly spaced: 1 to 5, or 0, .25, ... 1."""
    values = np.unique(data.value)
    if len(values) > MOST_LEVELS:
        return "points", f"{len(values):,} different ratings"
    steps = np.diff(values) / np.diff(values).min()
    if np.abs(steps - steps.round()).max() > 1e-6:
        return "points", f"{len(values)} different ratings, unevenly spaced"
    if data.annotators > MOST_PEOPLE:
        return "points", f"{data.annotators:,} annotators; up to {MOST_PEOPLE} unasked"
    return "levels", f"{len(values)} different ratings, evenly spaced"


def _of_levels(
    points: AnnotatorScales, data: _ScaleVotes, graded: GradedScales, why: str
) -> AnnotatorScales:
    annotators = [
        replace(row, offset=offset, scale=scale, noise=float(noise))
        for row, offset, scale, noise in zip(
            points.annotators, graded.offsets, graded.scales, graded.noise_A, strict=True
        )
    ]
    items = [
        replace(item, calibrated=interval)
        for item, interval in zip(points.items, graded.items, strict=True)
    ]
    return replace(
        points,
        offset=graded.offset,
        scale=graded.scale,
        annotators=annotators,
        items=items,
        alpha_corrected=_alpha(data, graded.corrected_M),
        model="levels",
        why=why,
    )


def _start(data: _ScaleVotes) -> _State:
    mean = np.bincount(data.annotator, data.value) / np.bincount(data.annotator)
    deviation = float(np.std(data.value))
    return _State(
        mean,
        np.full(data.annotators, 0.7 * deviation),
        np.full(data.annotators, 0.5 * deviation**2),
        (np.zeros(data.annotators), np.zeros(data.annotators), np.zeros(data.annotators)),
        np.array([mean.mean(), 0.7 * deviation]),
        np.full(2, 0.1 * deviation**2),
    )


def _with_positive_scales(state: _State) -> _State:
    """The same fit with t turned round where most scales are negative: its sign is not known."""
    if state.scale.mean() >= 0:
        return state
    of_offset, both, of_scale = state.covariance
    centre = state.centre * np.array([1.0, -1.0])
    covariance = of_offset, -both, of_scale
    return replace(state, scale=-state.scale, covariance=covariance, centre=centre)


def _quality(data: _ScaleVotes, state: _State) -> tuple[Array, Array]:
    """Posterior mean and variance of each t_u: [U] each."""
    s, psi = state.scale[data.annotator], state.noise[data.annotator]
    _, both, of_scale = (part[data.annotator] for part in state.covariance)
    variance = 1 / (1 + np.bincount(data.item, (s**2 + of_scale) / psi, minlength=data.items))
    part = s * (data.value - state.offset[data.annotator]) - both
    return variance * np.bincount(data.item, part / psi, minlength=data.items), variance


def _step(data: _ScaleVotes, state: _State) -> _State:
    """One iteration. Offsets and scales keep their uncertainty: as plain maxima they would take
    from the spread of t."""
    mean_U, variance_U = _quality(data, state)
    t, t2 = mean_U[data.item], (mean_U**2 + variance_U)[data.item]

    def total(weights: Array) -> Array:
        return np.bincount(data.annotator, weights, minlength=data.annotators).astype(np.float64)

    n, st, stt = total(np.ones_like(t)), total(t), total(t2)
    # Ridge regression of y on (1, t) for each annotator: the crowd is its prior.
    inverse = 1 / np.maximum(state.spread, 1e-9 * state.noise.mean())
    a11, a12, a22 = n / state.noise + inverse[0], st / state.noise, stt / state.noise + inverse[1]
    b1 = total(data.value) / state.noise + inverse[0] * state.centre[0]
    b2 = total(data.value * t) / state.noise + inverse[1] * state.centre[1]
    determinant = a11 * a22 - a12**2
    offset, scale = (a22 * b1 - a12 * b2) / determinant, (a11 * b2 - a12 * b1) / determinant
    residual = data.value - offset[data.annotator] - scale[data.annotator] * t
    of_offset, both, of_scale = a22 / determinant, -a12 / determinant, a11 / determinant
    squares = total(residual**2 + scale[data.annotator] ** 2 * variance_U[data.item])
    squares += n * of_offset + 2 * st * both + stt * of_scale
    pooled = squares.sum() / n.sum()
    noise = (squares + NOISE_VOTES * pooled) / (n + NOISE_VOTES)
    centre = np.array([offset.mean(), scale.mean()])
    # A - 3, not A: the spread is itself estimated, and too small a one would shrink too much
    # (Morris 1983).
    freedom = max(1, data.annotators - 3)
    spread = (
        np.array(
            [
                ((offset - centre[0]) ** 2 + of_offset).sum(),
                ((scale - centre[1]) ** 2 + of_scale).sum(),
            ]
        )
        / freedom
    )
    least = 1e-9 * float(np.var(data.value))
    return _State(
        offset, scale, np.maximum(noise, least), (of_offset, both, of_scale), centre, spread
    )


def _errors(data: _ScaleVotes, state: _State) -> tuple[Array, Array]:
    """Standard errors of offsets and scales: [A] each, from the expected information of the
    marginal Gaussian.

    Ratings of one item have covariance S = s s^T + diag(psi); with W its inverse and w = W s:
    information W for offsets, w w^T + (s^T w) W for scales, half W^2 (elementwise) for psi, W_ab
    w_b between s_a and psi_b.
    """
    order = np.argsort(data.item, kind="stable")
    counts = np.bincount(data.item, minlength=data.items)
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])
    left = np.repeat(np.arange(len(order)), counts[data.item[order]])
    within = np.arange(len(left)) - np.repeat(np.cumsum(counts**2) - counts**2, counts**2)
    unit = data.item[order][left]
    right = start[unit] + within % counts[unit]
    a, b = data.annotator[order][left], data.annotator[order][right]
    variance = _quality(data, state)[1][unit]
    s, psi = state.scale, state.noise
    w_ab = (left == right) / psi[a] - variance * s[a] * s[b] / (psi[a] * psi[b])
    w_a, w_b = variance * s[a] / psi[a], variance * s[b] / psi[b]
    size = data.annotators

    def block(weights: Array) -> Array:
        return (
            np.bincount(a * size + b, weights, minlength=size * size)
            .reshape(size, size)
            .astype(np.float64)
        )

    inverse = 1 / np.maximum(state.spread, 1e-9 * psi.mean())
    around_mean = np.eye(size) - 1 / size  # the crowd's mean is unknown, so its prior is flat
    offset = np.linalg.inv(block(w_ab) + inverse[0] * around_mean)
    cross, noise = block(w_ab * w_b), block(w_ab**2 / 2)
    prior = np.diag(NOISE_VOTES / (2 * psi**2))
    scale = block(w_a * w_b + (1 - variance) * w_ab) + inverse[1] * around_mean
    joint = np.linalg.inv(scale - cross @ np.linalg.solve(noise + prior, cross.T))
    return np.sqrt(np.diag(offset)), np.sqrt(np.diag(joint))


def _result(
    attribute: str, data: _ScaleVotes, state: _State, names: list[str], items: list[Unit]
) -> AnnotatorScales:
    offset_error, scale_error = _errors(data, state)
    judged, means = (
        np.bincount(data.annotator),
        np.bincount(data.annotator, data.value) / np.bincount(data.annotator),
    )
    annotators = [
        AnnotatorScale(
            name,
            int(judged[a]),
            around(state.offset[a], offset_error[a]),
            around(state.scale[a], scale_error[a]),
            float(np.sqrt(state.noise[a])),
            float(means[a]),
        )
        for a, name in enumerate(names)
    ]
    quality, variance = _quality(data, state)
    typical_offset, typical_scale = float(state.centre[0]), float(state.centre[1])
    votes, plain = (
        np.bincount(data.item),
        np.bincount(data.item, data.value) / np.bincount(data.item),
    )
    calibrated = [
        CalibratedItem(
            item,
            int(votes[u]),
            float(plain[u]),
            around(
                typical_offset + typical_scale * quality[u],
                typical_scale * float(np.sqrt(variance[u])),
            ),
        )
        for u, item in enumerate(items)
    ]
    # The expected t given one rating alone: dividing by a small scale would blow up its noise
    # instead.
    s, psi = state.scale[data.annotator], state.noise[data.annotator]
    corrected = s * (data.value - state.offset[data.annotator]) / (s**2 + psi)
    return AnnotatorScales(
        attribute,
        typical_offset,
        typical_scale,
        annotators,
        calibrated,
        _alpha(data, data.value),
        _alpha(data, corrected),
        len(data.value),
        "points",
        "",
    )


def _alpha(data: _ScaleVotes, value: Array) -> float | None:
    """Krippendorff's alpha (interval) from moments per item: corrected ratings are not
    categories."""
    counts = np.bincount(data.item, minlength=data.items)
    keep = counts[data.item] > 1
    total_U = np.bincount(data.item[keep], value[keep], minlength=data.items)
    squares_U = np.bincount(data.item[keep], value[keep] ** 2, minlength=data.items)
    twice = counts > 1
    observed = squared_differences(counts[twice], total_U[twice], squares_U[twice]).sum()
    alpha = alpha_of_moments(observed, int(keep.sum()), total_U.sum(), squares_U.sum())
    return alpha if np.isfinite(alpha) else None
