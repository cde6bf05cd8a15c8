"""Dawid and Skene's (1979) model: each annotator has a full confusion matrix
pi_a[l, k] = P(says k | truth l). By EM at a fixed smoothing; `sampled_confusions` learns it.
"""

from __future__ import annotations

import numpy as np

from accord.feedback.label_table import LabelTable, majority
from accord.statistics.intervals import Array, Index
from accord.statistics.softmax import softmax

FLOOR = 1e-10
SMOOTHING = 10.0
"""Pseudo-votes per row of the EM form: where its result is no more than a starting point."""


def vote_likelihoods(table: LabelTable, log_pi_ACC: Array) -> Array:
    """log P(votes on an item | truth): [I, C]."""
    items, _, classes = table.sizes
    return np.stack(
        [
            np.bincount(table.item, log_pi_ACC[table.annotator, truth, table.label], items)
            for truth in range(classes)
        ],
        axis=1,
    )


def draw_rows(p_RX: Array, rng: np.random.Generator) -> Index:
    """A place of each row of probabilities."""
    below_RX = np.cumsum(p_RX, axis=1) < rng.random((len(p_RX), 1))
    places: Index = np.minimum(below_RX.sum(1), p_RX.shape[1] - 1)
    return places


def right_or_wrong(
    table: LabelTable, log_right_M: Array, log_wrong_M: Array
) -> tuple[Array, float]:
    """P(truth) [I, C], uniform before, and the log-likelihood of all votes, from the logarithms of
    each vote's chance where it is right and where it is wrong."""
    items, _, classes = table.sizes
    base_I = np.bincount(table.item, log_wrong_M, items)
    cell_M = table.item * classes + table.label
    gain_IC = np.bincount(cell_M, log_right_M - log_wrong_M, items * classes)
    log_IC = gain_IC.reshape(items, classes) + base_I[:, None] - np.log(classes)
    p_IC, total_I = softmax(log_IC, 1)
    return p_IC, float(total_I.sum())


def dawid_skene(
    table: LabelTable, smoothing: float = SMOOTHING, iterations: int = 500, tolerance: float = 1e-6
) -> tuple[Array, Array, Array, int]:
    """(P(truth) [I, C], confusion matrices [A, C, C], class shares [C], iterations done), by EM
    from the majority: T_i(l) ~ p_l prod_{a, k} pi_a[l, k]^{n_iak}, pi_a[l, k] ~ sum_i T_i(l) n_iak.

    smoothing: pseudo-votes per row of an annotator's matrix, for one as accurate as the crowd that
    errs to all sides alike; 0 is the plain maximum-likelihood algorithm. Stops when no probability
    moves by more than `tolerance`.
    """
    truth_IC = majority(table)
    shares_C, confusion_ACC = _maximise(table, truth_IC, smoothing)
    done, moved = 0, np.inf
    while done < iterations and moved >= tolerance:
        log_IC = vote_likelihoods(table, np.log(confusion_ACC))
        p_IC, _ = softmax(log_IC + np.log(np.maximum(shares_C, FLOOR)), 1)
        moved, truth_IC, done = float(np.abs(p_IC - truth_IC).max()), p_IC, done + 1
        shares_C, confusion_ACC = _maximise(table, truth_IC, smoothing)
    return truth_IC, confusion_ACC, shares_C, done


def _maximise(table: LabelTable, truth_IC: Array, smoothing: float) -> tuple[Array, Array]:
    """Class shares and confusion matrices given P(truth)."""
    _, annotators, classes = table.sizes
    cell_M = table.annotator * classes + table.label
    by_truth = [
        np.bincount(cell_M, truth_IC[table.item, truth], annotators * classes)
        for truth in range(classes)
    ]
    counts_ACC = np.stack(by_truth).reshape(classes, annotators, classes).transpose(1, 0, 2)
    right = (np.trace(counts_ACC.sum(0)) + 1) / (counts_ACC.sum() + 1 + 1 / classes)
    floored = np.maximum(counts_ACC + smoothing * _ideal(float(right), classes), FLOOR)
    return truth_IC.mean(0), floored / floored.sum(2, keepdims=True)


def _ideal(right: float, classes: int) -> Array:
    """Right with this probability, else wrong to all sides alike: [C, C]."""
    rows = np.full((classes, classes), (1 - right) / max(1, classes - 1))
    np.fill_diagonal(rows, right)
    return rows
