"""How likely one option is better than another, given everything that was said about a prompt: the
one function by which votes become labels.

The model is `annotator_model`'s: scores theta with its prior, annotators with their rationality and
side bias. Averaged over are the scores, on quasi-random points, and each annotator's rationality,
on three Gauss-Hermite nodes of its asinh. Adding up rationalities as log-odds instead takes the
size of the difference for known (one standard deviation), and a rationality of 20 for a certainty
of 1 - 2e-9 where the model's is .98: many pairs hardly differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from accord.feedback.crowd_likelihood import (
    CrowdJudgement,
    DistinctJudgements,
    distinct_judgements,
    heavy,
    log_probabilities,
    points,
)
from accord.statistics.intervals import Array

POINTS = 2048
AT_ONCE = 256
"""Prompts worked on at once."""
ENOUGH = 60.0
"""Points' worth of posterior (Kish's effective number) below which points are drawn where it is."""
ROUNDS = 6
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)


@dataclass(frozen=True)
class Voters:
    """What is known of the annotators: rationality (median) and the standard deviation of its
    asinh, side bias [A] each; log nu of ties; the tail of scores (`crowd_likelihood.points`)."""

    rationality_A: Array
    doubt_A: Array
    side_bias_A: Array
    log_nu: float
    tail: float = 0.0


def better_probabilities(
    rows: Sequence[CrowdJudgement],
    prompt_M: Sequence[int],
    options: Sequence[int],
    voters: Voters,
    counts: Sequence[float] | None = None,
) -> list[Array]:
    """P(option i is better than option j | all judgements on its prompt): [K, K] for each prompt.

    rows, prompt_M: judgements [M], each on one of the prompts, counting so often (None: once);
    options: how many each prompt has.
    """
    order = np.argsort(prompt_M, kind="stable")
    prompt = np.asarray(prompt_M, dtype=np.int64)[order]
    count = np.ones(len(rows)) if counts is None else np.asarray(counts, dtype=np.float64)
    found: list[Array] = []
    for start in range(0, len(options), AT_ONCE):
        part = slice(*np.searchsorted(prompt, [start, start + AT_ONCE]))
        size = min(AT_ONCE, len(options) - start)
        mine = [rows[m] for m in order[part]]
        if not mine:
            found += [np.full((k, k), 0.5) for k in options[start : start + size]]
            continue
        data = distinct_judgements(
            mine,
            (prompt[part] - start).tolist(),
            size,
            len(voters.rationality_A),
            count[order[part]].tolist(),
        )
        z_KQ = points(max(options[start : start + size]), POINTS)
        log_PQ = _log_likelihood(data, z_KQ, voters)
        for p, k in enumerate(options[start : start + size]):
            weight_Q, z = _weights(log_PQ[p]), z_KQ[:k]
            if 1 / (weight_Q @ weight_Q) < ENOUGH:
                of_prompt = [m for m, n in enumerate(prompt[part]) if n == start + p]
                alone = distinct_judgements(
                    [mine[m] for m in of_prompt],
                    [0] * len(of_prompt),
                    1,
                    len(voters.rationality_A),
                    count[order[part]][of_prompt].tolist(),
                )
                weight_Q, z = _closer(alone, z, weight_Q, voters)
            above = (z[:, None] > z[None]) + 0.5 * (z[:, None] == z[None])
            found.append(above @ weight_Q)
    return found


def _weights(log_Q: Array) -> Array:
    weight: Array = np.exp(log_Q - log_Q.max())
    weight /= weight.sum()
    return weight


def _closer(
    data: DistinctJudgements, z_KQ: Array, weight_Q: Array, voters: Voters
) -> tuple[Array, Array]:
    """Points where the posterior of one prompt is: normal ones about the weighted mean, drawn again
    until they are worth enough (adaptive importance sampling: Cappe et al. 2004)."""
    base_KQ = points(len(z_KQ), POINTS)
    for _ in range(ROUNDS):
        mean = z_KQ @ weight_Q
        apart = z_KQ - mean[:, None]
        spread = (weight_Q * apart) @ apart.T + 1e-3 * np.eye(len(z_KQ))
        root = np.linalg.cholesky(1.5 * spread)
        z_KQ = mean[:, None] + root @ base_KQ
        log_Q = _log_likelihood(data, z_KQ, voters)[0]
        log_Q = log_Q - (z_KQ**2).sum(0) / 2 + (base_KQ**2).sum(0) / 2
        weight_Q = _weights(log_Q)
        if 1 / (weight_Q @ weight_Q) > ENOUGH:
            break
    return weight_Q, z_KQ


def _log_likelihood(data: DistinctJudgements, z_KQ: Array, voters: Voters) -> Array:
    """log P of what was said about each prompt at each point, rationalities averaged over per
    annotator and prompt: [P, Q]."""
    prompt_G, _, counts = data.pairs
    theta_KQ = heavy(z_KQ, voters.tail)
    log_GQ = np.full((len(prompt_G), z_KQ.shape[1]), -np.inf)
    for node, weight in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True):
        beta = np.sinh(np.arcsinh(voters.rationality_A) + node * voters.doubt_A)
        x = np.concatenate([beta, voters.side_bias_A, [voters.log_nu]])
        log_TQ = log_probabilities(x, data, theta_KQ)
        log_GQ = np.logaddexp(log_GQ, np.log(weight) + counts @ log_TQ)
    together = csr_matrix(
        (np.ones(len(prompt_G)), (prompt_G, np.arange(len(prompt_G)))),
        shape=(data.prompts, len(prompt_G)),
    )
    total: Array = together @ log_GQ
    return total
