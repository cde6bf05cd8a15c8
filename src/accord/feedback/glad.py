"""GLAD (Whitehill, Ruvolo, Wu, Bergsma and Movellan 2009): annotators differ in ability, items in
difficulty.

    P(a says the truth of i) = sigmoid(alpha_a beta_i),   wrong to all other sides alike

beta_i = exp(b_i) > 0; alpha_a, b_i ~ N(1, 1), the authors' priors; truth uniform. Found by EM,
whose M-step climbs by L-BFGS; or sampled, which gives the abilities their intervals. Suffixes: I
items, A annotators, C classes, M votes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from accord.feedback.dawid_skene import draw_rows, right_or_wrong
from accord.feedback.label_table import LabelTable
from accord.seeds import generator
from accord.statistics.intervals import Array, Index, Interval
from accord.statistics.resampling import intervals_of_draws

PRIOR_MEAN = 1.0
SWEEPS, WARM_UP = 1200, 400


@dataclass(frozen=True)
class GladFit:
    """truth_IC: P(truth); ability_A: alpha; log_ease_I: b, the lower the harder; iterations done;
    objective: log-posterior of alpha and b, labels summed out, up to a constant."""

    truth_IC: Array
    ability_A: Array
    log_ease_I: Array
    iterations: int
    objective: float


def glad(table: LabelTable, iterations: int = 200, tolerance: float = 1e-6) -> GladFit:
    """Two classes or more. Stops when the log-posterior grows by less than `tolerance` per vote."""
    items, annotators, _ = table.sizes
    point = np.full(annotators + items, PRIOR_MEAN)
    truth_IC, objective, done, gained = *_truth(table, point), 0, np.inf
    while done < iterations and gained > tolerance:
        right_M = truth_IC[table.item, table.label]
        found = minimize(_loss, point, (table, right_M), "L-BFGS-B", True, options={"maxiter": 25})
        point, done = found.x, done + 1
        truth_IC, now = _truth(table, point)
        gained, objective = (now - objective) / len(table.item), now
    return GladFit(truth_IC, point[:annotators], point[annotators:], done, objective)


def _logits(table: LabelTable, point: Array) -> tuple[Array, Array]:
    """alpha beta and beta of every vote."""
    ability_A, log_ease_I = np.split(point, [len(table.annotators)])
    ease_M = np.exp(log_ease_I[table.item])
    return ability_A[table.annotator] * ease_M, ease_M


def _truth(table: LabelTable, point: Array) -> tuple[Array, float]:
    """P(truth), and the log-posterior of the parameters."""
    eta_M, _ = _logits(table, point)
    log_wrong_M = log_expit(-eta_M) - np.log(len(table.classes) - 1)
    truth_IC, log_likelihood = right_or_wrong(table, log_expit(eta_M), log_wrong_M)
    return truth_IC, log_likelihood - 0.5 * float(((point - PRIOR_MEAN) ** 2).sum())


def _loss(point: Array, table: LabelTable, right_M: Array) -> tuple[float, Array]:
    """Minus the expected log-posterior given P(right) of each vote, and its slope."""
    items, annotators, _ = table.sizes
    eta_M, ease_M = _logits(table, point)
    expected = right_M * log_expit(eta_M) + (1 - right_M) * log_expit(-eta_M)
    slope_M = right_M - expit(eta_M)
    slope = np.concatenate(
        [
            np.bincount(table.annotator, slope_M * ease_M, annotators),
            np.bincount(table.item, slope_M * eta_M, items),
        ]
    )
    away = point - PRIOR_MEAN
    return float(0.5 * (away @ away) - expected.sum()), away - slope


def sample_glad(table: LabelTable, seed: int = 0) -> tuple[Array, list[Interval]]:
    """(P(truth) [I, C], abilities with 95 % intervals), by Metropolis steps within Gibbs sampling:
    annotators given items, items given annotators, each all at once. (Laplace's interval at EM's
    joint mode of abilities and ease covers 85 %: an item's ease rests on a handful of votes.)"""
    items, annotators, classes = table.sizes
    rng = generator(seed, "glad", "sample")
    point = np.full(annotators + items, PRIOR_MEAN)
    parts = ((slice(0, annotators), table.annotator), (slice(annotators, None), table.item))
    step = np.full(len(point), 1.0)
    truth_IC, _ = _truth(table, point)
    total_IC, draws = np.zeros((items, classes)), []
    for sweep in range(SWEEPS):
        right_M = draw_rows(truth_IC, rng)[table.item] == table.label
        sign_M = np.where(right_M, 1.0, -1.0)
        for part, place_M in parts:
            accepted = _metropolis(table, point, part, place_M, sign_M, step, rng)
            if sweep < WARM_UP:  # towards accepting 44 %, the best for one number
                step[part] *= np.exp(0.2 * (accepted - 0.44))
        truth_IC, _ = _truth(table, point)
        if sweep >= WARM_UP:
            total_IC += truth_IC
            draws.append(point[:annotators].copy())
    return total_IC / len(draws), intervals_of_draws(draws)


def _metropolis(
    table: LabelTable,
    point: Array,
    part: slice,
    place_M: Index,
    sign_M: Array,
    step: Array,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """One step of all parameters of a part, in place; which were accepted. sign: 1 for a right
    vote, -1 for a wrong one."""
    moved = point.copy()
    moved[part] += step[part] * rng.normal(size=len(point[part]))
    ratios = [log_expit(sign_M * _logits(table, at)[0]) for at in (moved, point)]
    gain = np.bincount(place_M, ratios[0] - ratios[1], len(point[part])) - 0.5 * (
        (moved[part] - PRIOR_MEAN) ** 2 - (point[part] - PRIOR_MEAN) ** 2
    )
    accepted: NDArray[np.bool_] = np.log(rng.random(len(gain))) < gain
    point[part] = np.where(accepted, moved[part], point[part])
    return accepted
