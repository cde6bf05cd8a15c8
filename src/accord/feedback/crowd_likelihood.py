"""The likelihood of `annotator_model`, with the options' unknown scores integrated out on
quasi-random points.

Equal judgements (the same annotator, options by number, places and outcome, whatever the prompt)
have the same probability at every point, so each distinct one is computed once: thousands of
comparisons of two options come down to six per annotator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import norm, qmc

from accord.feedback.choice_model import FIRST, TIE, comparison, ranking, utility
from accord.feedback.choice_model import best_worst as best_worst_choice
from accord.statistics.intervals import Array, Index

POINTS = 256
FEW_POINTS = 64
"""The first of the points, on which the search begins: they are spread as evenly."""
CHUNK = 128
"""Rows worked on at once: arrays of CHUNK x POINTS stay in a processor's cache."""
LARGEST = 20.0
LOG_NU = (-8.0, 4.0)


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


@dataclass(frozen=True)
class Maximum:
    """Parameters [2A + 1] (rationalities, side biases, log nu), their standard errors, the
    log-likelihood (nats)."""

    x: Array
    error: Array
    value: float


def maximise(data: DistinctJudgements, options: int) -> Maximum:
    """The maximum of the marginal likelihood; `options`: the most that a prompt has."""
    sobol = qmc.Sobol(options, scramble=True, seed=0).random(POINTS)
    theta_KQ = norm.ppf(np.clip(sobol, 1e-9, 1 - 1e-9)).T
    count = data.annotators
    x = np.concatenate([np.ones(count), np.zeros(count), [-1.0 if data.ties else LOG_NU[0]]])
    low = np.append(np.full(2 * count, -LARGEST), LOG_NU[0])
    high = np.append(np.full(2 * count, LARGEST), LOG_NU[1] if data.ties else LOG_NU[0])
    climbed = None
    if data.prompts >= ENOUGH * len(x):
        x = _search(x, data, np.ascontiguousarray(theta_KQ[:, :FEW_POINTS]), low, high, ROUGHLY)
        climbed = _climb(x, data, theta_KQ, low, high)
    if climbed is None:
        x = _search(x, data, theta_KQ, low, high, EXACTLY)
        climbed = x, *log_likelihood(x, data, theta_KQ)[::2]
    x, value, information = climbed
    # The pseudo-inverse gives nothing at all to what nothing is known of; no error is below one
    # over its own information.
    alone = 1 / np.maximum(np.diag(information), 1e-12)
    return Maximum(x, np.sqrt(np.maximum(np.diag(np.linalg.pinv(information)), alone)), value)


ROUGHLY, EXACTLY = 1e-7, 2e-9
"""Relative changes of the likelihood at which a search ends."""
ENOUGH = 3
"""Prompts per parameter from which their slopes say enough about the curvature."""
STEPS, LONGEST, NEAR = 25, 1.0, 1e-4


def _search(
    x: Array, data: DistinctJudgements, theta_KQ: Array, low: Array, high: Array, change: float
) -> Array:
    """L-BFGS-B: careful, so that of several maxima one near the start is found."""

    def down(x: Array) -> tuple[float, Array]:
        value, slope = value_and_slope(x, data, theta_KQ)
        return -value, -slope

    bounds, options = list(zip(low, high, strict=True)), {"ftol": change}
    best: Array = minimize(down, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return best


def _climb(
    x: Array, data: DistinctJudgements, theta_KQ: Array, low: Array, high: Array
) -> tuple[Array, float, Array] | None:
    """From close by: quasi-Newton steps (BFGS) that begin with the outer products of the prompts'
    slopes (Berndt et al. 1974) for the curvature, damped where they fail. Ends where slope' inverse
    slope, the squared distance to the maximum in standard errors, is below NEAR; None where it does
    not."""
    value, slope, information = log_likelihood(x, data, theta_KQ)
    damping, held = 1e-3, np.zeros(0, dtype=bool)
    inverse: Array = information
    for _ in range(STEPS):
        free = (low < high) & ~((x <= low) & (slope < 0)) & ~((x >= high) & (slope > 0))
        if not np.array_equal(free, held):
            inside = information[np.ix_(free, free)]
            held, inverse = (
                free,
                np.linalg.inv(inside + np.diag(damping * np.diag(inside) + 1e-9)).astype(
                    np.float64
                ),
            )
        step = np.zeros_like(x)
        step[free] = inverse @ slope[free]
        if float(slope @ step) < NEAR:
            return x, value, information
        tried = np.clip(x + step * min(1.0, LONGEST / float(np.abs(step).max())), low, high)
        attempt = log_likelihood(tried, data, theta_KQ)
        gain = attempt[0] - value
        if gain < 0:
            damping, held = max(10 * damping, 1e-1), np.zeros(0, dtype=bool)
            continue
        inverse = _updated(inverse, (tried - x)[free], (slope - attempt[1])[free])
        x, (value, slope, information) = tried, attempt
        if gain < NEAR / 100:
            return x, value, information
    return None


def _updated(inverse: Array, moved: Array, bent: Array) -> Array:
    """BFGS: the inverse curvature that explains how the slope changed over the step."""
    along = float(moved @ bent)
    if along <= 1e-12:
        return inverse
    turned = inverse @ bent
    gained = (1 + float(bent @ turned) / along) * np.outer(moved, moved) / along
    crossed = np.outer(turned, moved) / along
    return inverse + gained - crossed - crossed.T


def log_likelihood(
    x: Array, data: DistinctJudgements, theta_KQ: Array
) -> tuple[float, Array, Array]:
    """Marginal log-likelihood, its gradient, and the information matrix (outer products of prompt
    scores)."""
    people, tables = data.annotators, _tables(x, data, theta_KQ)
    value, weight_PQ = _evidence(data, tables[0])
    slopes_3E = np.empty((3, len(data.row_E)))
    for start in range(0, len(data.row_E), CHUNK):
        part = slice(start, start + CHUNK)
        weight_EQ = weight_PQ[data.prompt_E[part]]
        for place, table in enumerate(tables[1:]):
            slopes_3E[place, part] = np.einsum("eq,eq->e", weight_EQ, table[data.row_E[part]])
    slopes_3E *= data.count_E
    who = data.annotator_T[data.row_E]
    columns = np.concatenate([who, people + who, np.full(len(who), 2 * people)])
    scores = csr_matrix(
        (slopes_3E.ravel(), (np.tile(data.prompt_E, 3), columns)), shape=(data.prompts, len(x))
    )
    return value, np.asarray(scores.sum(0)).ravel(), (scores.T @ scores).toarray()


def value_and_slope(x: Array, data: DistinctJudgements, theta_KQ: Array) -> tuple[float, Array]:
    """The first two of them alone, which is faster."""
    tables = _tables(x, data, theta_KQ)
    value, weight_PQ = _evidence(data, tables[0])
    weight_TQ = data.counts.T @ weight_PQ
    of_beta, of_gamma, of_nu = (np.einsum("tq,tq->t", weight_TQ, table) for table in tables[1:])
    by_person = [
        np.bincount(data.annotator_T, slope, minlength=data.annotators)
        for slope in (of_beta, of_gamma)
    ]
    return value, np.concatenate([*by_person, [of_nu.sum()]])


def _evidence(data: DistinctJudgements, logp_TQ: Array) -> tuple[float, Array]:
    """(log-likelihood, P(point) given what was said about a prompt: [P, Q])."""
    logp_PQ = data.counts @ logp_TQ
    top_P = logp_PQ.max(1)
    weight_PQ: Array = np.exp(logp_PQ - top_P[:, None])
    total_P = weight_PQ.sum(1)
    weight_PQ /= total_P[:, None]
    return float((top_P + np.log(total_P / logp_TQ.shape[1])).sum()), weight_PQ


def _tables(x: Array, data: DistinctJudgements, theta_KQ: Array) -> list[Array]:
    """log P of every distinct judgement at every point, and its slopes in beta, gamma and log nu:
    [T, Q] each."""
    parts = [_table(x, block, theta_KQ, data.annotators) for block in data.blocks]
    return [np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)]


def _table(
    x: Array, block: _Block, theta_KQ: Array, people: int
) -> tuple[Array, Array, Array, Array]:
    """log P of each distinct judgement at each point, and its slopes in beta, gamma and log nu: [T,
    Q] each."""
    beta, gamma, log_nu = x[:people], x[people:-1], float(x[-1])
    tables = tuple(np.empty((len(block.tied_T), theta_KQ.shape[1])) for _ in range(4))
    for start in range(0, len(block.tied_T), CHUNK):
        part = slice(start, start + CHUNK)
        theta, place, who = (
            theta_KQ[block.option_KT[:, part]],
            block.place_KT[:, part, None],
            block.annotator_T[part],
        )
        u_KTQ = utility(theta, place, beta[who][:, None], gamma[who][:, None])
        logp, slope, of_nu = _choice(u_KTQ, block.tied_T[part, None], block.best_worst, log_nu)
        for into, values in zip(
            tables, (logp, (slope * theta).sum(0), (slope * place).sum(0), of_nu), strict=True
        ):
            into[part] = values
    return tables[0], tables[1], tables[2], tables[3]


def _choice(
    u_KTQ: Array, tied_T1: NDArray[np.bool_], best_worst: bool, log_nu: float
) -> tuple[Array, Array, Array | float]:
    """log P of each judgement, its slope in each utility, and in log nu. Options come best
    first."""
    if len(u_KTQ) == 2 and not best_worst:
        outcome = np.where(tied_T1, TIE, FIRST)
        outcome_terms = comparison(u_KTQ[0] - u_KTQ[1], outcome, log_nu)
        return (
            outcome_terms.log_p,
            np.stack([outcome_terms.slope, -outcome_terms.slope]),
            outcome_terms.slope_nu,
        )
    return (*(best_worst_choice if best_worst else ranking)(u_KTQ), 0.0)
