"""The likelihood of `annotator_model`, with the options' unknown scores integrated out on
quasi-random points.

Equal judgements (the same annotator, options by number, places and outcome, whatever the prompt)
have the same probability at every point, so each distinct one is computed once: thousands of
comparisons of two options come down to six per annotator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import norm, qmc

from accord.feedback.choice_model import (
    FIRST,
    TIE,
    best_worst,
    best_worst_bend,
    best_worst_log_p,
    comparison,
    comparison_log_p,
    ranking,
    ranking_bend,
    ranking_log_p,
    utility,
)
from accord.statistics.intervals import Array, Index
from accord.statistics.marginal import add_slopes, equal_counts
from accord.statistics.populations import (
    Expansion,
    Population,
    PopulationPosterior,
    fit_populations,
)
from accord.statistics.softmax import softmax

POINTS = 256
CHUNK = 128
"""Rows worked on at once: arrays of CHUNK x POINTS stay in a processor's cache."""
LOG_NU_NONE = -30.0
"""log nu where nobody tied."""


@dataclass(frozen=True)
class CrowdJudgement:
    """One judgement, its options best first, by number within the prompt: [K]; place: 1/2 - p / (K
    - 1) of each; of best/worst choices the first is the best and the last the worst."""

    option: tuple[int, ...]
    place: tuple[float, ...]
    tied: bool
    annotator: int
    best_worst: bool


@dataclass(frozen=True)
class _Block:
    """T distinct judgements of one form with the same number of options."""

    best_worst: bool
    option_KT: Index
    place_KT: Array
    tied_T: NDArray[np.bool_]
    annotator_T: Index


class PromptAnnotators(NamedTuple):
    """Every (prompt, annotator) pair G with a judgement, by prompt: [G], [G], and how often each
    distinct judgement is theirs [G, T]."""

    prompt_G: Index
    annotator_G: Index
    counts: csr_matrix


@dataclass(frozen=True)
class DistinctJudgements:
    """Distinct judgements in blocks, numbered through; entry e: prompt e has judgement e so often
    [E]."""

    blocks: list[_Block]
    prompt_E: Index
    row_E: Index
    count_E: Array
    prompts: int
    annotators: int
    ties: bool

    @cached_property
    def annotator_T(self) -> Index:
        """Of each distinct judgement."""
        return np.concatenate([block.annotator_T for block in self.blocks])

    @cached_property
    def counts(self) -> csr_matrix:
        """How often each prompt has each distinct judgement: [P, T]."""
        return csr_matrix(
            (self.count_E, (self.prompt_E, self.row_E)), shape=(self.prompts, len(self.annotator_T))
        )

    @cached_property
    def pairs(self) -> PromptAnnotators:
        """Who judged which prompt."""
        pair_E = self.prompt_E * self.annotators + self.annotator_T[self.row_E]
        pairs, of_pair_E = np.unique(pair_E, return_inverse=True)
        shape = len(pairs), len(self.annotator_T)
        counts = csr_matrix((self.count_E, (of_pair_E, self.row_E)), shape=shape)
        return PromptAnnotators(*np.divmod(pairs, self.annotators), counts)


def distinct_judgements(
    rows: Sequence[CrowdJudgement],
    prompt_M: Sequence[int],
    prompts: int,
    annotators: int,
    counts: Sequence[float] | None = None,
) -> DistinctJudgements:
    """Judgements [M], each on one of the prompts, counting so often (None: once)."""
    distinct = sorted(
        set(rows),
        key=lambda r: (len(r.option), r.best_worst, r.annotator, r.option, r.place, r.tied),
    )
    forms: dict[tuple[int, bool], list[CrowdJudgement]] = {}
    for row in distinct:
        forms.setdefault((len(row.option), row.best_worst), []).append(row)
    blocks = [
        _Block(
            form,
            np.array([r.option for r in of_form], dtype=np.int64).T,
            np.array([r.place for r in of_form]).T,
            np.array([r.tied for r in of_form]),
            np.array([r.annotator for r in of_form], dtype=np.int64),
        )
        for (_, form), of_form in forms.items()
    ]
    number = {row: t for t, row in enumerate(row for of_form in forms.values() for row in of_form)}
    key = np.array(prompt_M, dtype=np.int64) * len(number) + np.array(
        [number[row] for row in rows], dtype=np.int64
    )
    entries, entry_M = np.unique(key, return_inverse=True)
    prompt, row_of = np.divmod(entries, len(number))
    return DistinctJudgements(
        blocks,
        prompt,
        row_of,
        np.bincount(entry_M, counts).astype(np.float64),
        prompts,
        annotators,
        any(row.tied for row in distinct),
    )


def points(options: int, count: int = POINTS, tail: float = 0.0) -> Array:
    """Quasi-random scores of options, mean 0 and variance 1: [options, count]. tail: h of Tukey's
    distribution z exp(h z^2 / 2), 0 the normal one; of .2 the tails are those of Student's t with
    about 4 degrees of freedom."""
    sobol = qmc.Sobol(options, scramble=True, seed=0).random(count)
    z: Array = norm.ppf(np.clip(sobol, 1e-9, 1 - 1e-9)).T
    return np.ascontiguousarray(heavy(z, tail))


def heavy(z: Array, tail: float) -> Array:
    """Normal scores with the tails of Tukey's h, their variance kept at 1."""
    found: Array = z * np.exp(tail * z**2 / 2) * (1 - 2 * tail) ** 0.75
    return found


class CrowdLikelihood:
    """The marginal log-likelihood of x = asinh of the rationalities [A], side biases [A], log nu
    where anybody tied. What is known of a large rationality is a factor, of one near 0 a
    difference: their asinh has a posterior that is nearly normal, which they have not."""

    def __init__(self, data: DistinctJudgements, theta_KQ: Array) -> None:
        self.data, self.theta_KQ, self.people = data, theta_KQ, data.annotators
        self.size = 2 * data.annotators + data.ties
        self.forms = equal_counts(data.pairs.prompt_G)

    def expand(self, x: Array, safe: bool = False) -> Expansion:
        """See `statistics.marginal`; safe: without the expected curvature."""
        data, people = self.data, self.people
        tables = _tables(self._full(x), data, self.theta_KQ, bends=not safe)
        value, weight_PQ = _evidence(data, tables[0])
        slope_G = [data.pairs.counts @ table for table in tables[1:3]]  # [G, Q] of beta, of gamma
        slope_P = data.counts @ tables[3] if data.ties else None
        slope, curvature = np.zeros(self.size), np.zeros((self.size, self.size))
        for prompts_N, pairs_NJ in self.forms:
            who = data.pairs.annotator_G[pairs_NJ]
            parts, places = [part[pairs_NJ] for part in slope_G], [who, people + who]
            if slope_P is not None:
                parts.append(slope_P[prompts_N][:, None])
                places.append(np.full((len(who), 1), 2 * people))
            slope_NSQ, place_NS = np.concatenate(parts, axis=1), np.concatenate(places, axis=1)
            add_slopes(slope, curvature, slope_NSQ, place_NS, weight_PQ[prompts_N], safe)
        if not safe:
            self._add_expected(curvature, tables[4:], weight_PQ)
        turn = np.concatenate([np.cosh(x[:people]), np.ones(self.size - people)])  # dbeta / dx
        curvature *= np.outer(turn, turn)
        if not safe:
            beta = np.arange(people)
            curvature[beta, beta] -= slope[:people] * np.sinh(x[:people])
        slope *= turn
        nothing = np.zeros((self.size, 0))
        return Expansion(value, slope, curvature, nothing, np.zeros(0))

    def _full(self, x: Array) -> Array:
        """Rationalities, side biases, log nu."""
        rest = x[self.people :] if self.data.ties else np.append(x[self.people :], LOG_NU_NONE)
        return np.concatenate([np.sinh(x[: self.people]), rest])

    def _add_expected(self, curvature: Array, bends: list[Array], weight_PQ: Array) -> None:
        data, people = self.data, self.people
        weight_TQ = data.counts.T @ weight_PQ
        expected = [np.einsum("tq,tq->t", weight_TQ, bend) for bend in bends]
        by_person = [np.bincount(data.annotator_T, part, minlength=people) for part in expected]
        beta = np.arange(people)
        gamma = people + beta
        curvature[beta, beta] += by_person[0]
        curvature[beta, gamma] += by_person[1]
        curvature[gamma, beta] += by_person[1]
        curvature[gamma, gamma] += by_person[2]
        if data.ties:
            for rows, part in ((beta, by_person[3]), (gamma, by_person[4])):
                curvature[rows, -1] += part
                curvature[-1, rows] += part
            curvature[-1, -1] += expected[5].sum()


TAILS = (0.0, 0.1, 0.2, 0.3)
"""Weights of the tails of rewards (Tukey's h), as likely as each other before anything is seen."""


def fit_crowd(data: DistinctJudgements, options: int) -> tuple[PopulationPosterior, float]:
    """The posterior of `CrowdLikelihood`'s x, over widths and tails, and the mean tail. `options`:
    the most that a prompt has. Rewards are known up to their sign: most annotators are taken to be
    honest."""
    people = data.annotators
    populations = [
        Population("rationality", slice(0, people), usual=0.5, mean=1.2, mean_sd=1.0),
        Population("side bias", slice(people, 2 * people), usual=0.3, mean_sd=0.5),
    ]
    x = np.concatenate([np.full(people, np.arcsinh(1.0)), np.zeros(people)])
    if data.ties:
        populations.append(Population("ties", slice(2 * people, 2 * people + 1), 3.0, mean=-1.0))
        x = np.append(x, -1.0)
    models = [CrowdLikelihood(data, points(options, tail=tail)).expand for tail in TAILS]
    found = fit_populations(models, x, populations)
    if np.median(found.x[:people]) < 0:
        turned = np.concatenate([-found.x[:people], found.x[people:]])
        found = fit_populations(models, turned, populations)
    return found, float(found.models @ np.array(TAILS))


def log_probabilities(x: Array, data: DistinctJudgements, theta_KQ: Array) -> Array:
    """log P of every distinct judgement at every point, by x = rationalities, side biases and log
    nu: [T, Q]."""
    parts = [_log_p(x, block, theta_KQ, data.annotators) for block in data.blocks]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _log_p(x: Array, block: _Block, theta_KQ: Array, people: int) -> Array:
    log_p = np.empty((len(block.tied_T), theta_KQ.shape[1]))
    for part, _, _, u_KTQ in _utilities(x, block, theta_KQ, people):
        if block.best_worst:
            log_p[part] = best_worst_log_p(u_KTQ)
        elif len(u_KTQ) == 2:
            gap = u_KTQ[0] - u_KTQ[1]
            log_p[part] = comparison_log_p(gap, _outcome(block, part), float(x[-1]))
        else:
            log_p[part] = ranking_log_p(u_KTQ)
    return log_p


def _outcome(block: _Block, part: slice) -> Index:
    """Of comparisons: [T, 1]."""
    return np.where(block.tied_T[part, None], TIE, FIRST)


def _utilities(
    x: Array, block: _Block, theta_KQ: Array, people: int
) -> Iterator[tuple[slice, Array, Array, Array]]:
    """By chunks of judgements: which, their options' rewards [K, T, Q], places [K, T, 1] and
    utilities [K, T, Q]."""
    beta, gamma = x[:people], x[people : 2 * people]
    for start in range(0, len(block.tied_T), CHUNK):
        part = slice(start, start + CHUNK)
        theta, place = theta_KQ[block.option_KT[:, part]], block.place_KT[:, part, None]
        who = block.annotator_T[part]
        yield part, theta, place, utility(theta, place, beta[who][:, None], gamma[who][:, None])


def _evidence(data: DistinctJudgements, logp_TQ: Array) -> tuple[float, Array]:
    """(log-likelihood, P(point) given what was said about a prompt: [P, Q])."""
    weight_PQ, total_P = softmax(data.counts @ logp_TQ, 1)
    return float((total_P - np.log(logp_TQ.shape[1])).sum()), weight_PQ


def _tables(x: Array, data: DistinctJudgements, theta_KQ: Array, bends: bool) -> list[Array]:
    """Of every distinct judgement at every point [T, Q]: log P; its slopes in beta, gamma and log
    nu; where asked for, its negative curvatures (beta beta, beta gamma, gamma gamma, beta nu, gamma
    nu, nu nu)."""
    parts = [_table(x, block, theta_KQ, data.annotators, bends) for block in data.blocks]
    return [np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)]


def _table(x: Array, block: _Block, theta_KQ: Array, people: int, bends: bool) -> list[Array]:
    size = len(block.tied_T), theta_KQ.shape[1]
    tables = [np.zeros(size) for _ in range(10 if bends else 4)]
    for part, theta, place, u_KTQ in _utilities(x, block, theta_KQ, people):
        if len(u_KTQ) == 2 and not block.best_worst:
            terms = comparison(u_KTQ[0] - u_KTQ[1], _outcome(block, part), float(x[-1]))
            apart, placed = theta[0] - theta[1], place[0] - place[1]
            found = [terms.log_p, terms.slope * apart, terms.slope * placed, terms.slope_nu]
            if bends:
                dd, dn, nn = (-bend for bend in terms.curvature)
                found += [dd * apart**2, dd * apart * placed, dd * placed**2]
                found += [dn * apart, dn * placed, nn]
        else:
            choice, bent = (
                (best_worst, best_worst_bend) if block.best_worst else (ranking, ranking_bend)
            )
            log_p, slope = choice(u_KTQ)
            found = [log_p, (slope * theta).sum(0), (slope * place).sum(0)]
            if bends:
                found += [np.zeros(1), *bent(u_KTQ, theta, np.broadcast_to(place, theta.shape))]
        for into, values in zip(tables, found, strict=False):
            into[part] = values
    return tables
