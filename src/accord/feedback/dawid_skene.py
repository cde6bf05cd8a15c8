"""Dawid and Skene's (1979) model: each annotator has a full confusion matrix
pi_a[l, k] = P(says k | truth l). By EM at a fixed smoothing, or sampled with the smoothing learned.

How much a row of pi_a is drawn to the crowd is itself a question to the votes (Paun et al. 2018
compare such hierarchies):

    row l of pi_a ~ Dirichlet(s_a * ideal(c_a)),  ideal(c)[l, k] = c if k = l else (1 - c) / (C - 1)
    c_a ~ Beta(u q, u (1 - q)),  q > 1 / C
    s_a ~ w,  w ~ Dirichlet(h / 2)

c_a: an annotator's competence; s_a: pseudo-votes per row, how alike an annotator's rows are (of one
who always says the same they are not, beside others of whom they are); u and q: how alike
annotators are, and how good on average, which is better than chance: turned round, all labels would
explain two classes as well. w: shares of a grid of s; a weight of one half lets all annotators have
one s that their votes choose, h ~ exp(-(log s / 10)^2 / 8). Everything is sampled (Gibbs; w as it
is, s, c, u, q on grids, s and c with pi integrated out), so that no pseudo-count has to be chosen,
and the intervals of the annotators carry all that is not known: labels, the others' matrices, w, u
and q.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from accord.feedback.label_table import LabelTable, majority
from accord.seeds import generator
from accord.statistics.intervals import Array, Index, Interval
from accord.statistics.resampling import intervals_of_draws
from accord.statistics.softmax import softmax

FLOOR = 1e-10
SMOOTHING = 10.0
"""Pseudo-votes per row of the EM form: where its result is no more than a starting point."""
CHAINS, SWEEPS, WARM_UP = 3, 300, 100
"""Of the sampler: chains, each from one random vote per item, sweeps of each, and how many
of these are thrown away."""
COMPETENCES = (np.arange(32) + 0.5) / 32
SMOOTHINGS = np.geomspace(1, 500, 8)
USUAL_SMOOTHING, USUAL_ALIKENESS, SPREAD = 10.0, 10.0, 2.0
"""Medians of s and u before a vote is seen, and the standard deviation of their logarithms."""
CONCENTRATION = 0.5
"""Of w: the sum of its Dirichlet's weights."""
MOST_ROWS = 4096
"""Distinct counts whose gamma functions are kept."""
ALIKENESSES = np.geomspace(1, 500, 16)
START = 22
"""Place of the first competence, .70."""


@dataclass(frozen=True)
class DawidSkene:
    """truth_IC: P(truth); confusion_ACC: posterior means; shares_C: of the classes; accuracy_A: the
    expected share of an annotator's votes equal to the truth, sum_l p_l pi_a[l, l]; smoothing:
    posterior mean (geometric) of s over annotators."""

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


# --- sampling -------------------------------------------------------------------------------------
def sample(table: LabelTable, seed: int = 0, chains: int = CHAINS) -> DawidSkene:
    """The posterior of truth and confusion matrices (two classes or more), the smoothing learned.

    Intervals hold 95 % of the draws. Time: about (votes x classes + 256 annotators x distinct
    counts) per sweep; the same seed gives the same digits.
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
    """log density of log value ~ N(log centre, SPREAD^2), up to a constant."""
    return -0.5 * (np.log(value / centre) / SPREAD) ** 2


def _populations(classes: int) -> tuple[Array, Array]:
    """log P(c | u, q) on the grid of competences, [U * Q, G], and the prior of (u, q), [U * Q]:
    log u ~ N(log 10, SPREAD^2), q ~ Beta(3, 1) above chance: crowds are rather right than wrong."""
    u, q = (part.ravel()[:, None] for part in np.meshgrid(ALIKENESSES, COMPETENCES))
    log_beta = (u * q - 1) * np.log(COMPETENCES) + (u * (1 - q) - 1) * np.log1p(-COMPETENCES)
    log_beta -= np.logaddexp.reduce(log_beta, axis=1, keepdims=True)
    prior = _log_normal(u, USUAL_ALIKENESS) + np.where(q > 1 / classes, 2 * np.log(q), -np.inf)
    return log_beta, prior[:, 0]


class _Rising:
    """log Gamma(base + n) / Gamma(base) at the counts n that turn up, for every base [X]."""

    def __init__(self, base_X: Array) -> None:
        self.base_X, self.zero_X = base_X, gammaln(base_X)
        self.known = np.zeros(0, dtype=np.int64)
        self.rows = np.zeros((0, len(base_X)))

    def summed(self, count_AK: Index) -> Array:
        """The sum over K: [A, X]."""
        values, at_AK = np.unique(count_AK, return_inverse=True)
        size = len(count_AK), len(values)
        cell_AK = at_AK.reshape(count_AK.shape) + size[1] * np.arange(size[0])[:, None]
        often_AV = np.bincount(cell_AK.ravel(), minlength=size[0] * size[1]).reshape(size)
        total: Array = often_AV.astype(np.float64) @ self._of(values)
        return total

    def _of(self, values: Index) -> Array:
        if len(self.known) > MOST_ROWS:
            self.known, self.rows = self.known[:0], self.rows[:0]
        new = np.setdiff1d(values, self.known)
        if len(new):
            rows = np.concatenate([self.rows, gammaln(self.base_X + new[:, None]) - self.zero_X])
            known = np.concatenate([self.known, new])
            order = np.argsort(known)
            self.known, self.rows = known[order], rows[order]
        found: Array = self.rows[np.searchsorted(self.known, values)]
        return found


class _Chain:
    """One Gibbs chain. State: truth of each item, competence and smoothing of each annotator as
    places on their grids. Suffixes: S smoothings, G competences, X both."""

    def __init__(self, table: LabelTable, rng: np.random.Generator) -> None:
        self.table, self.rng = table, rng
        _, annotators, classes = table.sizes
        self.population, self.population_prior = _populations(classes)
        self.right_X = (SMOOTHINGS[:, None] * COMPETENCES).ravel()
        self.wrong_X = (SMOOTHINGS[:, None] * (1 - COMPETENCES) / (classes - 1)).ravel()
        self.right, self.wrong = _Rising(self.right_X), _Rising(self.wrong_X)
        self.row = _Rising(np.repeat(SMOOTHINGS, len(COMPETENCES)))
        usual_S = np.exp(_log_normal(SMOOTHINGS, USUAL_SMOOTHING))
        self.share_prior_S = CONCENTRATION * usual_S / usual_S.sum()
        self.diagonal = np.eye(classes, dtype=bool)
        self.competence_A = np.full(annotators, START)
        self.smoothing_A = np.full(annotators, len(SMOOTHINGS) // 2)
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
            logs.append(np.log(SMOOTHINGS[self.smoothing_A]).mean())
        draws = SWEEPS - WARM_UP
        return _Draws(
            truth_IC / draws,
            confusion_ACC / draws,
            shares_C / draws,
            np.array(accuracies),
            float(np.mean(logs)),
        )

    def _sweep(self) -> tuple[Array, Array, Array]:
        """New w, (u, q), s and c, then pi, p and the truth: returns pi, p and P(truth | pi, p)."""
        counts_ACC = self._counts()
        place_A = self._draw_annotators(counts_ACC)
        right_A11, wrong_A11 = (x[place_A][:, None, None] for x in (self.right_X, self.wrong_X))
        prior_ACC = np.where(self.diagonal, right_A11, wrong_A11)
        gamma_ACC = np.maximum(self.rng.standard_gamma(counts_ACC + prior_ACC), 1e-30)
        pi_ACC = gamma_ACC / gamma_ACC.sum(2, keepdims=True)
        p_C = self.rng.dirichlet(np.bincount(self.truth_I, minlength=len(self.diagonal)) + 1.0)
        log_IC = vote_likelihoods(self.table, np.log(pi_ACC)) + np.log(np.maximum(p_C, 1e-300))
        p_IC, _ = softmax(log_IC, 1)
        self.truth_I = draw_rows(p_IC, self.rng)
        return pi_ACC, p_C, p_IC

    def _counts(self) -> Index:
        """Votes by annotator, truth and class: [A, C, C]."""
        _, annotators, classes = self.table.sizes
        truth_M = self.truth_I[self.table.item]
        cell_M = (self.table.annotator * classes + truth_M) * classes + self.table.label
        flat = np.bincount(cell_M, minlength=annotators * classes**2)
        return flat.reshape(annotators, classes, classes)

    def _draw_annotators(self, counts_ACC: Index) -> Index:
        """w and (u, q) given every s and c, then these, pi integrated out
        (Dirichlet-multinomial): places X of annotators."""
        used_S = np.bincount(self.smoothing_A, minlength=len(SMOOTHINGS))
        share_S = np.maximum(self.rng.dirichlet(self.share_prior_S + used_S), 1e-300)
        tally_G = np.bincount(self.competence_A, minlength=len(COMPETENCES))
        log_Q = self.population @ tally_G + self.population_prior
        population_G = self.population[_draw_logs(log_Q[None], self.rng)[0]]
        log_AX = (
            (np.log(share_S)[:, None] + population_G).ravel()
            + self.right.summed(counts_ACC[:, self.diagonal])
            + self.wrong.summed(counts_ACC[:, ~self.diagonal])
            - self.row.summed(counts_ACC.sum(2))
        )
        place_A = _draw_logs(log_AX, self.rng)
        self.smoothing_A, self.competence_A = np.divmod(place_A, len(COMPETENCES))
        return place_A


def _draw_logs(log_RX: Array, rng: np.random.Generator) -> Index:
    """A place of each row, with probability ~ exp."""
    return draw_rows(softmax(log_RX, 1)[0], rng)
