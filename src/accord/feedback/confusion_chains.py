"""Gibbs chains over the truth and every annotator's confusion matrix, with the smoothing learned.

How much a row of pi_a is drawn to the crowd is itself a question to the votes (Paun et al. 2018
compare such hierarchies):

    row l of pi_a ~ Dirichlet(s_a * ideal(c_a)),  ideal(c)[l, k] = c if k = l else (1 - c) / (C - 1)
    c_a ~ Beta(u q, u (1 - q)),  q > 1 / C
    s_a ~ w,  w ~ Dirichlet(h / 2)

c_a: an annotator's competence; s_a: pseudo-votes per row, how alike an annotator's rows are (of one
who always says the same they are not, beside others of whom they are); u and q: how alike
annotators are, and how good on average, which is better than chance: turned round, all labels would
explain two classes as well. w: shares of a grid of s; a weight of one half lets all annotators have
one s that their votes choose, h ~ exp(-(log s / 10)^2 / 8). Everything is sampled (w as it is, s,
c, u, q on grids, s and c with pi integrated out), so that no pseudo-count has to be chosen, and the
intervals of the annotators carry all that is not known: labels, the others' matrices, w, u and q.

`CommunityChain` lets annotators also have one matrix in common (Venanzi et al. 2014, CommunityBCC),
drawn as above for all votes of such a community together:

    z_a = 0: a matrix of their own, with chance 1 - b;  z_a = k: that of community k, b v_k
    b ~ Beta(1/2, 1/2),  v ~ GEM(1) cut at COMMUNITIES (stick-breaking, Ishwaran and James 2001)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from accord.feedback.dawid_skene import draw_rows, vote_likelihoods
from accord.feedback.label_table import LabelTable, majority
from accord.statistics.intervals import Array, Index
from accord.statistics.softmax import log_total, softmax

SWEEPS, WARM_UP = 300, 100
"""Of a chain, from one random vote per item, and how many of these are thrown away."""
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
COMMUNITIES = 8
"""At most so many matrices are shared."""
TINY = 1e-300


@dataclass(frozen=True)
class Draws:
    """Means over a chain's draws (D), and every draw of the accuracies; expected: log P(the votes
    on an item | those on the others), by WAIC (Watanabe 2010), summed over items."""

    truth_IC: Array
    confusion_ACC: Array
    shares_C: Array
    accuracy_DA: Array
    log_smoothing: float
    expected: float


def _log_normal(value: Array, centre: float) -> Array:
    """log density of log value ~ N(log centre, SPREAD^2), up to a constant."""
    return -0.5 * (np.log(value / centre) / SPREAD) ** 2


def populations(classes: int) -> tuple[Array, Array]:
    """log P(c | u, q) on the grid of competences, [U * Q, G], and the prior of (u, q), [U * Q]:
    log u ~ N(log 10, SPREAD^2), q ~ Beta(3, 1) above chance: crowds are rather right than wrong."""
    u, q = (part.ravel()[:, None] for part in np.meshgrid(ALIKENESSES, COMPETENCES))
    log_beta = (u * q - 1) * np.log(COMPETENCES) + (u * (1 - q) - 1) * np.log1p(-COMPETENCES)
    log_beta -= np.logaddexp.reduce(log_beta, axis=1, keepdims=True)
    prior = _log_normal(u, USUAL_ALIKENESS) + np.where(q > 1 / classes, 2 * np.log(q), -np.inf)
    return log_beta, prior[:, 0]


class Rising:
    """log Gamma(base + n) / Gamma(base) at the counts n that turn up, for every base [X]."""

    def __init__(self, base_X: Array) -> None:
        self.base_X, self.zero_X = base_X, gammaln(base_X)
        self._forget()

    def _forget(self) -> None:
        self.rows = np.zeros((0, len(self.base_X)))
        self.row_of = np.full(0, -1)  # by count; -1: none yet

    def summed(self, count_AK: Index) -> Array:
        """The sum over K: [A, X]."""
        values = np.flatnonzero(np.bincount(count_AK.ravel()))  # ascending
        place = np.empty(values[-1] + 1, dtype=np.int64)
        place[values] = np.arange(len(values))
        size = len(count_AK), len(values)
        cell_AK = place[count_AK] + size[1] * np.arange(size[0])[:, None]
        often_AV = np.bincount(cell_AK.ravel(), minlength=size[0] * size[1]).reshape(size)
        total: Array = often_AV.astype(np.float64) @ self._of(values)
        return total

    def _of(self, values: Index) -> Array:
        """Rows of ascending counts."""
        if len(self.rows) > MOST_ROWS:
            self._forget()
        if values[-1] >= len(self.row_of):
            more = np.full(values[-1] + 1 - len(self.row_of), -1)
            self.row_of = np.concatenate([self.row_of, more])
        new = values[self.row_of[values] < 0]
        if len(new):
            self.row_of[new] = len(self.rows) + np.arange(len(new))
            made = gammaln(self.base_X + new[:, None]) - self.zero_X
            self.rows = np.concatenate([self.rows, made])
        found: Array = self.rows[self.row_of[values]]
        return found


class _Evidence:
    """log P(votes on an item) over draws, from which what other items would say of it is told."""

    def __init__(self, items: int) -> None:
        self.draws = 0
        self.total_I, self.sum_I, self.square_I = np.full(items, -np.inf), *np.zeros((2, items))

    def add(self, log_I: Array) -> None:
        self.draws += 1
        self.total_I = np.logaddexp(self.total_I, log_I)
        self.sum_I += log_I
        self.square_I += log_I**2

    def expected(self) -> float:
        """The mean's logarithm, less the variance of the logarithms, summed."""
        variance_I = (self.square_I - self.sum_I**2 / self.draws) / (self.draws - 1)
        return float((self.total_I - np.log(self.draws) - variance_I).sum())


class AnnotatorChain:
    """One Gibbs chain. State: truth of each item, competence and smoothing of each annotator as
    places on their grids. Suffixes: S smoothings, G competences, X both, N matrices."""

    def __init__(self, table: LabelTable, rng: np.random.Generator) -> None:
        self.table, self.rng = table, rng
        _, annotators, classes = table.sizes
        self.population, self.population_prior = populations(classes)
        self.right_X = (SMOOTHINGS[:, None] * COMPETENCES).ravel()
        self.wrong_X = (SMOOTHINGS[:, None] * (1 - COMPETENCES) / (classes - 1)).ravel()
        self.right, self.wrong = Rising(self.right_X), Rising(self.wrong_X)
        self.row = Rising(np.repeat(SMOOTHINGS, len(COMPETENCES)))
        usual_S = np.exp(_log_normal(SMOOTHINGS, USUAL_SMOOTHING))
        self.share_prior_S = CONCENTRATION * usual_S / usual_S.sum()
        self.diagonal = np.eye(classes, dtype=bool)
        self.competence_A = np.full(annotators, START)
        self.smoothing_A = np.full(annotators, len(SMOOTHINGS) // 2)
        self.truth_I = draw_rows(majority(table), rng)

    def run(self) -> Draws:
        """All sweeps."""
        items, annotators, classes = self.table.sizes
        truth_IC, confusion_ACC = (
            np.zeros((items, classes)),
            np.zeros((annotators,) + (classes,) * 2),
        )
        shares_C, accuracies, logs, evidence = np.zeros(classes), [], [], _Evidence(items)
        for number in range(SWEEPS):
            pi_ACC, p_C, p_IC, log_I = self._sweep()
            if number < WARM_UP:
                continue
            truth_IC += p_IC
            confusion_ACC += pi_ACC
            shares_C += p_C
            accuracies.append(np.einsum("acc,c->a", pi_ACC, p_C))
            logs.append(np.log(SMOOTHINGS[self.smoothing_A]).mean())
            evidence.add(log_I)
        draws = SWEEPS - WARM_UP
        return Draws(
            truth_IC / draws,
            confusion_ACC / draws,
            shares_C / draws,
            np.array(accuracies),
            float(np.mean(logs)),
            evidence.expected(),
        )

    def _sweep(self) -> tuple[Array, Array, Array, Array]:
        """New matrices pi with all behind them, then p and the truth: returns pi, p, P(truth | pi,
        p) and log P(votes on each item | pi, p)."""
        pi_ACC = self._draw_matrices(self._counts())
        p_C = self.rng.dirichlet(np.bincount(self.truth_I, minlength=len(self.diagonal)) + 1.0)
        log_IC = vote_likelihoods(self.table, np.log(pi_ACC)) + np.log(np.maximum(p_C, TINY))
        p_IC, log_I = softmax(log_IC, 1)
        self.truth_I = draw_rows(p_IC, self.rng)
        return pi_ACC, p_C, p_IC, log_I

    def _counts(self) -> Index:
        """Votes by annotator, truth and class: [A, C, C]."""
        _, annotators, classes = self.table.sizes
        truth_M = self.truth_I[self.table.item]
        cell_M = (self.table.annotator * classes + truth_M) * classes + self.table.label
        flat = np.bincount(cell_M, minlength=annotators * classes**2)
        return flat.reshape(annotators, classes, classes)

    def _draw_matrices(self, counts_ACC: Index) -> Array:
        """w and (u, q), every annotator's s and c, and pi: [A, C, C]."""
        prior_X = self._draw_population(self.smoothing_A, self.competence_A)
        place_A = _draw_logs(prior_X + self._log_votes(counts_ACC), self.rng)
        self.smoothing_A, self.competence_A = np.divmod(place_A, len(COMPETENCES))
        return self._matrices(place_A, counts_ACC)

    def _draw_population(self, smoothing_N: Index, competence_N: Index) -> Array:
        """w and (u, q) given every s and c: the logarithm of their prior, [X]."""
        used_S = np.bincount(smoothing_N, minlength=len(SMOOTHINGS))
        share_S = np.maximum(self.rng.dirichlet(self.share_prior_S + used_S), TINY)
        tally_G = np.bincount(competence_N, minlength=len(COMPETENCES))
        log_Q = self.population @ tally_G + self.population_prior
        population_G = self.population[_draw_logs(log_Q[None], self.rng)[0]]
        prior_X: Array = (np.log(share_S)[:, None] + population_G).ravel()
        return prior_X

    def _log_votes(self, counts_NCC: Index) -> Array:
        """log P(votes | s, c), pi integrated out (Dirichlet-multinomial): [N, X]."""
        return (
            self.right.summed(counts_NCC[:, self.diagonal])
            + self.wrong.summed(counts_NCC[:, ~self.diagonal])
            - self.row.summed(counts_NCC.sum(2))
        )

    def _matrices(self, place_N: Index, counts_NCC: Index) -> Array:
        """pi given s, c and the votes: [N, C, C]."""
        right_N11, wrong_N11 = (x[place_N][:, None, None] for x in (self.right_X, self.wrong_X))
        prior_NCC = np.where(self.diagonal, right_N11, wrong_N11)
        gamma_NCC = np.maximum(self.rng.standard_gamma(counts_NCC + prior_NCC), 1e-30)
        matrices: Array = gamma_NCC / gamma_NCC.sum(2, keepdims=True)
        return matrices


class CommunityChain(AnnotatorChain):
    """A chain whose annotators may share matrices. State besides: the community of each annotator
    (K communities; 0: a matrix of their own). An annotator's own s and c are drawn for members too,
    who may leave. At first nobody has a community: from labels that are one random vote each, a few
    communities, not many annotators, would have to be better than chance, and in some chains all
    labels would turn round."""

    def __init__(self, table: LabelTable, rng: np.random.Generator) -> None:
        super().__init__(table, rng)
        self.community_A = np.zeros(len(table.annotators), dtype=np.int64)
        self.places_K = np.zeros(COMMUNITIES, dtype=np.int64)
        self.waits = WARM_UP // 2

    def _draw_matrices(self, counts_ACC: Index) -> Array:
        if self.waits:
            self.waits -= 1
            return super()._draw_matrices(counts_ACC)
        prior_X = self._draw_used_population()
        shared_KCC = self._draw_shared(prior_X, counts_ACC)
        log_AX = prior_X + self._log_votes(counts_ACC)
        self._draw_communities(counts_ACC, shared_KCC, log_total(log_AX, 1))
        place_A = _draw_logs(log_AX, self.rng)
        self.smoothing_A, self.competence_A = np.divmod(place_A, len(COMPETENCES))
        own_ACC = self._matrices(place_A, counts_ACC)
        alone_A11 = (self.community_A == 0)[:, None, None]
        return np.where(alone_A11, own_ACC, shared_KCC[np.maximum(self.community_A - 1, 0)])

    def _draw_used_population(self) -> Array:
        """From the s and c of those alone and of communities that have members."""
        alone_A = self.community_A == 0
        peopled_K = np.bincount(self.community_A, minlength=COMMUNITIES + 1)[1:] > 0
        smoothing_K, competence_K = np.divmod(self.places_K[peopled_K], len(COMPETENCES))
        return self._draw_population(
            np.concatenate([self.smoothing_A[alone_A], smoothing_K]),
            np.concatenate([self.competence_A[alone_A], competence_K]),
        )

    def _draw_shared(self, prior_X: Array, counts_ACC: Index) -> Array:
        """Each community's matrix, from the votes of its members: [K, C, C]."""
        pooled_KCC = np.zeros((COMMUNITIES, *counts_ACC.shape[1:]), dtype=np.int64)
        member_A = self.community_A > 0
        np.add.at(pooled_KCC, self.community_A[member_A] - 1, counts_ACC[member_A])
        self.places_K = _draw_logs(prior_X + self._log_votes(pooled_KCC), self.rng)
        return self._matrices(self.places_K, pooled_KCC)

    def _draw_communities(self, counts_ACC: Index, shared_KCC: Array, log_alone_A: Array) -> None:
        """b, v, then everybody's community; an annotator's own s, c and pi are integrated out."""
        members_K = np.bincount(self.community_A, minlength=COMMUNITIES + 1)
        alone, members_K = members_K[0], members_K[1:]
        later_K = members_K[::-1].cumsum()[::-1] - members_K
        stick_K = self.rng.beta(1.0 + members_K, 1.0 + later_K)
        stick_K[-1] = 1.0
        left_K = np.concatenate([[1.0], np.cumprod(1 - stick_K[:-1])])
        share = self.rng.beta(0.5 + members_K.sum(), 0.5 + alone)
        flat_AY = counts_ACC.reshape(len(counts_ACC), -1).astype(np.float64)
        log_AK = flat_AY @ np.log(shared_KCC).reshape(COMMUNITIES, -1).T
        log_AK += np.log(np.maximum(share * stick_K * left_K, TINY))
        log_A1 = (log_alone_A + np.log(max(1 - share, TINY)))[:, None]
        self.community_A = _draw_logs(np.concatenate([log_A1, log_AK], axis=1), self.rng)


def _draw_logs(log_RX: Array, rng: np.random.Generator) -> Index:
    """A place of each row, with probability ~ exp."""
    return draw_rows(softmax(log_RX, 1)[0], rng)
