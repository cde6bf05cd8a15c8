"""MACE (Hovy, Berg-Kirkpatrick, Vaswani and Hovy 2013): an annotator either knows the truth and
says it, or spams by a taste of their own.

    truth_i ~ uniform,   P(a says k | truth l) = theta_a [k = l] + (1 - theta_a) xi_a[k]

By EM as published, or sampled (Gibbs) under the priors of their variational form,
theta_a ~ Beta(1/2, 1/2) and xi_a ~ Dirichlet(10, ..., 10), which gives the competences their
intervals. Suffixes: I items, A annotators, C classes, M votes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accord.feedback.dawid_skene import draw_rows, right_or_wrong
from accord.feedback.label_table import LabelTable, majority
from accord.seeds import generator
from accord.statistics.intervals import Array, Interval
from accord.statistics.resampling import intervals_of_draws

SMOOTHING = 0.01
"""Added to expected counts, a C-th of it to each."""
KNOWING, TASTE = 0.5, 10.0
SWEEPS, WARM_UP = 900, 300


@dataclass(frozen=True)
class MaceFit:
    """truth_IC: P(truth); competence_A: theta; taste_AC: xi; log_likelihood: of the votes."""

    truth_IC: Array
    competence_A: Array
    taste_AC: Array
    log_likelihood: float


def mace(table: LabelTable, restarts: int = 10, iterations: int = 50, seed: int = 0) -> MaceFit:
    """By EM from random starts, the one of the greatest likelihood."""
    _, annotators, classes = table.sizes
    fits = []
    for number in range(restarts):
        rng = generator(seed, "mace", number)
        competence_A = rng.uniform(0.4, 0.6, annotators)
        taste_AC = rng.uniform(1, 1.5, (annotators, classes))
        taste_AC /= taste_AC.sum(1, keepdims=True)
        fits.append(mace_from(table, competence_A, taste_AC, iterations))
    return max(fits, key=lambda fit: fit.log_likelihood)


def mace_from(table: LabelTable, competence_A: Array, taste_AC: Array, iterations: int) -> MaceFit:
    """So many iterations of EM from these parameters, and the truth that follows."""
    _, annotators, classes = table.sizes
    smoothing = SMOOTHING / classes
    who, cell = table.annotator, table.annotator * classes + table.label
    for _ in range(iterations):
        truth_IC, _ = _truth(table, competence_A, taste_AC)
        knew_M = truth_IC[table.item, table.label] * _knew(table, competence_A, taste_AC)
        knew_A = np.bincount(who, knew_M, annotators) + smoothing
        spam_A = np.bincount(who, 1 - knew_M, annotators) + smoothing
        spam_AC = smoothing + np.bincount(cell, 1 - knew_M, annotators * classes).reshape(
            -1, classes
        )
        taste_AC = spam_AC / spam_AC.sum(1, keepdims=True)
        competence_A = knew_A / (knew_A + spam_A)
    truth_IC, log_likelihood = _truth(table, competence_A, taste_AC)
    return MaceFit(truth_IC, competence_A, taste_AC, log_likelihood)


def _knew(table: LabelTable, competence_A: Array, taste_AC: Array) -> Array:
    """P(the annotator knew | the vote is right): [M]."""
    knew_M = competence_A[table.annotator]
    spam_M = (1 - knew_M) * taste_AC[table.annotator, table.label]
    share: Array = knew_M / np.maximum(knew_M + spam_M, 1e-300)
    return share


def _truth(table: LabelTable, competence_A: Array, taste_AC: Array) -> tuple[Array, float]:
    """P(truth), and the log-likelihood of all votes."""
    knew_M = competence_A[table.annotator]
    wrong_M = np.maximum((1 - knew_M) * taste_AC[table.annotator, table.label], 1e-300)
    return right_or_wrong(table, np.log(wrong_M + knew_M), np.log(wrong_M))


def sample_mace(table: LabelTable, seed: int = 0) -> tuple[Array, list[Interval]]:
    """(P(truth) [I, C], competences with 95 % intervals), by Gibbs sampling."""
    _, annotators, classes = table.sizes
    rng = generator(seed, "mace", "sample")
    who, cell = table.annotator, table.annotator * classes + table.label
    competence_A, taste_AC = np.full(annotators, 0.5), np.full((annotators, classes), 1 / classes)
    truth_IC, draws, total_IC = majority(table), [], np.zeros((len(table.items), classes))
    for sweep in range(SWEEPS):
        right_M = draw_rows(truth_IC, rng)[table.item] == table.label
        knew_M = right_M & (rng.random(len(cell)) < _knew(table, competence_A, taste_AC))
        knew_A = np.bincount(who, knew_M, annotators)
        spam_AC = np.bincount(cell, ~knew_M, annotators * classes).reshape(-1, classes)
        competence_A = rng.beta(KNOWING + knew_A, KNOWING + spam_AC.sum(1))
        gamma_AC = rng.standard_gamma(TASTE + spam_AC)
        taste_AC = gamma_AC / gamma_AC.sum(1, keepdims=True)
        truth_IC, _ = _truth(table, competence_A, taste_AC)
        if sweep >= WARM_UP:
            total_IC += truth_IC
            draws.append(competence_A)
    return total_IC / len(draws), intervals_of_draws(draws)
