"""Dawid and Skene's (1979) model: each annotator has a full confusion matrix
pi_a[l, k] = P(says k | truth l). By EM at a fixed smoothing, or sampled with the smoothing learned.

How much a row of pi_a is drawn to the crowd is itself a question to the votes (Paun et al. 2018
compare such hierarchies):

    row l of pi_a ~ Dirichlet(s * ideal(c_a)),   ideal(c)[l, k] = c if k = l else (1 - c) / (C - 1)
    c_a ~ Beta(u q, u (1 - q))

s: pseudo-votes per row (how alike an annotator's rows are), c_a: an annotator's competence, u and
q: how alike annotators are, and how good on average. Everything is sampled (Gibbs; s, c, u, q on
grids, s and c with pi integrated out), so that no pseudo-count has to be chosen, and the intervals
of the annotators carry all that is not known: labels, the others' matrices, s, u and q.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from accord.feedback.label_table import LabelTable, majority
from accord.seeds import generator
from accord.statistics.intervals import Array, Index, Interval
from accord.statistics.resampling import intervals_of_draws

FLOOR = 1e-10
SMOOTHING = 10.0
"""Pseudo-votes per row of the EM form: where its result is no more than a starting point."""
CHAINS, SWEEPS, WARM_UP = 3, 300, 100
"""Of the sampler: chains, each from one random vote per item, sweeps of each, and how many
of these are thrown away."""
COMPETENCES = (np.arange(32) + 0.5) / 32
SMOOTHINGS = np.geomspace(1, 500, 18)
ALIKENESSES = np.geomspace(1, 500, 16)
START = 22
"""Place of the first competence, .70."""


@dataclass(frozen=True)
class DawidSkene:
    """truth_IC: P(truth); confusion_ACC: posterior means; shares_C: of the classes; accuracy_A: the
    expected share of an annotator's votes equal to the truth, sum_l p_l pi_a[l, l]; smoothing:
    posterior mean (geometric) of s."""

    truth_IC: Array
    confusion_ACC: Array
    shares_C: Array
    accuracy_A: list[Interval]
    smoothing: float


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


def normalised(log_IC: Array) -> Array:
    """Rows of logarithms as probabilities."""
    p_IC = np.exp(log_IC - log_IC.max(1, keepdims=True))
    shares: Array = p_IC / p_IC.sum(1, keepdims=True)
    return shares


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
    return normalised(log_IC), float(np.logaddexp.reduce(log_IC, axis=1).sum())


# --- EM -------------------------------------------------------------------------------------------
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
        p_IC = normalised(log_IC + np.log(np.maximum(shares_C, FLOOR)))
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


# --- sampling -------------------------------------------------------------------------------------
def sample(table: LabelTable, seed: int = 0, chains: int = CHAINS) -> DawidSkene:
    """The posterior of truth and confusion matrices (two classes or more), the smoothing learned.

    Intervals hold 95 % of the draws. Time: about (votes x classes + 32 annotators x classes^2) per
    sweep; the same seed gives the same digits.
    """
    runs = [_Chain(table, generator(seed, "dawid-skene", k)).run() for k in range(chains)]
    accuracy_DA = np.concatenate([run.accuracy_DA for run in runs])
    return DawidSkene(
        np.mean([run.truth_IC for run in runs], axis=0),
        np.mean([run.confusion_ACC for run in runs], axis=0),
        np.mean([run.shares_C for run in runs], axis=0),
        intervals_of_draws(accuracy_DA),
        float(np.exp(np.mean([run.log_smoothing for run in runs]))),
    )


@dataclass(frozen=True)
class _Draws:
    """Means over a chain's draws (D), and every draw of the accuracies."""

    truth_IC: Array
    confusion_ACC: Array
    shares_C: Array
    accuracy_DA: Array
    log_smoothing: float


def _log_normal(value: Array, centre: float) -> Array:
    """log density of log value ~ N(log centre, 1), up to a constant."""
    return -0.5 * np.log(value / centre) ** 2


def _populations() -> tuple[Array, Array]:
    """log P(c | u, q) on the grid of competences, [U * Q, G], and the prior of (u, q), [U * Q]:
    log u ~ N(log 10, 1), q ~ Beta(3, 1), since crowds are rather right than wrong."""
    u, q = (part.ravel()[:, None] for part in np.meshgrid(ALIKENESSES, COMPETENCES))
    log_beta = (u * q - 1) * np.log(COMPETENCES) + (u * (1 - q) - 1) * np.log1p(-COMPETENCES)
    log_beta -= np.logaddexp.reduce(log_beta, axis=1, keepdims=True)
    return log_beta, (_log_normal(u, 10) + 2 * np.log(q))[:, 0]


class _Chain:
    """One Gibbs chain. State: truth of each item, competence and smoothing as places on their
    grids. Suffixes: S smoothings, G competences."""

    def __init__(self, table: LabelTable, rng: np.random.Generator) -> None:
        self.table, self.rng = table, rng
        _, annotators, classes = table.sizes
        self.population, self.population_prior = _populations()
        self.right_SG = SMOOTHINGS[:, None] * COMPETENCES
        self.wrong_SG = SMOOTHINGS[:, None] * (1 - COMPETENCES) / (classes - 1)
        self.norm_SG = classes * (
            gammaln(SMOOTHINGS)[:, None]
            - gammaln(self.right_SG)
            - (classes - 1) * gammaln(self.wrong_SG)
        )
        self.smoothing_prior = _log_normal(SMOOTHINGS, 30)
        self.diagonal = np.eye(classes, dtype=bool)
        self.competence_A = np.full(annotators, START)
        self.smoothing = len(SMOOTHINGS) // 2
        self.truth_I = draw_rows(majority(table), rng)

    def run(self) -> _Draws:
        """All sweeps."""
        items, annotators, classes = self.table.sizes
        truth_IC, confusion_ACC = (
            np.zeros((items, classes)),
            np.zeros((annotators,) + (classes,) * 2),
        )
        shares_C, accuracies, logs = np.zeros(classes), [], []
        for number in range(SWEEPS):
            pi_ACC, p_C, p_IC = self._sweep()
            if number < WARM_UP:
                continue
            truth_IC += p_IC
            confusion_ACC += pi_ACC
            shares_C += p_C
            accuracies.append(np.einsum("acc,c->a", pi_ACC, p_C))
            logs.append(np.log(SMOOTHINGS[self.smoothing]))
        draws = SWEEPS - WARM_UP
        return _Draws(
            truth_IC / draws,
            confusion_ACC / draws,
            shares_C / draws,
            np.array(accuracies),
            float(np.mean(logs)),
        )

    def _sweep(self) -> tuple[Array, Array, Array]:
        """New s, (u, q), c, then pi, p and the truth: returns pi, p and P(truth | pi, p)."""
        counts_ACC = self._counts()
        right_AC, wrong_AK = counts_ACC[:, self.diagonal], counts_ACC[:, ~self.diagonal]
        self._draw_smoothing(right_AC, wrong_AK, counts_ACC.sum(2))
        self._draw_competences(right_AC, wrong_AK)
        at = (self.smoothing, self.competence_A)
        right_A11, wrong_A11 = (g[at][:, None, None] for g in (self.right_SG, self.wrong_SG))
        prior_ACC = np.where(self.diagonal, right_A11, wrong_A11)
        gamma_ACC = np.maximum(self.rng.standard_gamma(counts_ACC + prior_ACC), 1e-30)
        pi_ACC = gamma_ACC / gamma_ACC.sum(2, keepdims=True)
        p_C = self.rng.dirichlet(np.bincount(self.truth_I, minlength=len(self.diagonal)) + 1.0)
        log_IC = vote_likelihoods(self.table, np.log(pi_ACC)) + np.log(np.maximum(p_C, 1e-300))
        p_IC = normalised(log_IC)
        self.truth_I = draw_rows(p_IC, self.rng)
        return pi_ACC, p_C, p_IC

    def _counts(self) -> Index:
        """Votes by annotator, truth and class: [A, C, C]."""
        _, annotators, classes = self.table.sizes
        truth_M = self.truth_I[self.table.item]
        cell_M = (self.table.annotator * classes + truth_M) * classes + self.table.label
        flat = np.bincount(cell_M, minlength=annotators * classes**2)
        return flat.reshape(annotators, classes, classes)

    def _draw_smoothing(self, right_AC: Index, wrong_AK: Index, rows_AC: Index) -> None:
        """s given competences, pi integrated out (Dirichlet-multinomial)."""
        at = (slice(None), self.competence_A)
        log_S = self.smoothing_prior + self.norm_SG[at].sum(1)
        log_S += gammaln(self.right_SG[at][..., None] + right_AC).sum((1, 2))
        log_S += gammaln(self.wrong_SG[at][..., None] + wrong_AK).sum((1, 2))
        log_S -= gammaln(SMOOTHINGS[:, None] + rows_AC.ravel()).sum(1)
        self.smoothing = int(_draw_logs(log_S[None], self.rng)[0])

    def _draw_competences(self, right_AC: Index, wrong_AK: Index) -> None:
        """(u, q) given competences, then these given s, pi integrated out."""
        tally_G = np.bincount(self.competence_A, minlength=len(COMPETENCES))
        log_Q = self.population @ tally_G + self.population_prior
        population_G = self.population[_draw_logs(log_Q[None], self.rng)[0]]
        s = self.smoothing
        log_AG = population_G + self.norm_SG[s]
        log_AG = log_AG + gammaln(self.right_SG[s] + right_AC[..., None]).sum(1)
        log_AG = log_AG + gammaln(self.wrong_SG[s] + wrong_AK[..., None]).sum(1)
        self.competence_A = _draw_logs(log_AG, self.rng)


def _draw_logs(log_RX: Array, rng: np.random.Generator) -> Index:
    """A place of each row, with probability ~ exp."""
    return draw_rows(normalised(log_RX), rng)
