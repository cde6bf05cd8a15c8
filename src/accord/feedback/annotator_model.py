"""How reliable each annotator is, estimated from the records alone.

Model: option scores theta ~ N(0, 1) within each prompt; annotator a sees utility
u = beta_a * theta + gamma_a * (1/2 - place); comparisons follow Davidson's model, rankings Plackett-Luce's, best/worst: the best by
exp(u), then the worst of the rest by exp(-u) (Marley and Louviere 2005).
The unknown scores are integrated out on quasi-random points, so beta (rationality, per standard deviation of
reward within a prompt) and gamma (side bias, > 0 favours what is shown first) are maximum-likelihood
estimates with standard errors, not by-products of fitted scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm, qmc

from accord.errors import DataError
from accord.feedback.records import BestWorst, Comparison, Feedback, Ranking

Array = NDArray[np.float64]
POINTS = 256
MAX_OPTIONS = 16
"""Options per prompt beyond which a quasi-random integral over their scores is no longer one."""
Z95 = 1.96


@dataclass(frozen=True)
class AnnotatorEstimate:
    """One annotator's parameters with standard errors, and what they amount to.

    flag: "side" (the place decides more than the content), "contrary" (votes against the others),
    "random" (nothing to be learnt from the votes), "ok".
    """

    annotator: str
    judgements: int
    rationality: float
    rationality_error: float
    side_bias: float
    side_bias_error: float
    flag: Literal["ok", "side", "contrary", "random"]
    reason: str


@dataclass(frozen=True)
class CrowdEstimate:
    """All annotators, Davidson's tie parameter nu, and the log-likelihood (nats) of the records used; left_out: what the
    model cannot use, by reason, and how many."""

    annotators: list[AnnotatorEstimate]
    tie: float
    log_likelihood: float
    records: int
    left_out: dict[str, int] = field(default_factory=dict)

    def effects(self) -> dict[str, tuple[float, float]]:
        """(rationality, side bias) per annotator id."""
        return {a.annotator: (a.rationality, a.side_bias) for a in self.annotators}


@dataclass(frozen=True)
class _Block:
    """Records of one form with the same number of options: columns best first; `tied` only among comparisons; of
    best/worst choices the first is the best and the last the worst."""

    best_worst: bool
    option: NDArray[np.int64]  # [M, K] option number within its prompt
    place: Array  # [M, K] 1/2 - p / (K - 1)
    tied: NDArray[np.bool_]  # [M]
    annotator: NDArray[np.int64]  # [M]
    prompt: NDArray[np.int64]  # [M]


def estimate(records: Sequence[Feedback]) -> CrowdEstimate:
    """Estimate every annotator from comparisons (with ties), strict rankings and best/worst choices.

    Other kinds are left out of this model and counted; raises DataError when there is nothing it can use.
    """
    left_out = Counter(reason for r in records if (reason := _unused(r)))
    usable = [r for r in records if not _unused(r)]
    if strengths := sum(isinstance(r.choice, Comparison) and r.choice.strength is not None for r in usable):
        left_out["strength of a preference (the preference counts)"] = strengths
    if not usable:
        raise DataError("there is no comparison or strict ranking to estimate annotators from")
    names = sorted({r.annotator for r in usable})
    blocks, prompts, width = _blocks(usable, names)
    if width > MAX_OPTIONS:
        raise DataError(
            f"a prompt has {width} different options; unknown scores are integrated out for up to {MAX_OPTIONS}",
            "for models compared across prompts fit their scores: accord feedback ratings",
        )
    sobol = qmc.Sobol(width, scramble=True, seed=0).random(POINTS)
    theta_QK = norm.ppf(np.clip(sobol, 1e-9, 1 - 1e-9))

    def objective(x: Array) -> tuple[float, Array]:
        value, gradient, _ = _log_likelihood(x, blocks, prompts, len(names), theta_QK)
        return -value, -gradient

    start = np.concatenate([np.ones(len(names)), np.zeros(len(names)), [-1.0]])
    has_ties = any(block.tied.any() for block in blocks)
    bounds = [(-20.0, 20.0)] * (2 * len(names)) + [(-8.0, 4.0) if has_ties else (-8.0, -8.0)]
    x = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    value, _, information = _log_likelihood(x, blocks, prompts, len(names), theta_QK)
    if np.median(x[: len(names)]) < 0:  # scores are known up to sign; most annotators are taken to be honest
        x[: len(names)] *= -1
    error = np.sqrt(np.diag(np.linalg.pinv(information)))
    counts = {name: sum(r.annotator == name for r in usable) for name in names}
    return CrowdEstimate(_verdicts(names, counts, x, error), float(np.exp(x[-1])), value, len(usable), dict(left_out))


def _unused(record: Feedback) -> str:
    """Why the model cannot use a record; empty when it can."""
    choice = record.choice
    if not isinstance(choice, (Comparison, Ranking, BestWorst)):
        return f"{record.kind} is no choice between options"
    tied = isinstance(choice, Ranking) and any(len(group) > 1 for group in choice.order)
    return "ranking with ties" if tied else ""


def _blocks(records: Sequence[Feedback], names: list[str]) -> tuple[list[_Block], int, int]:
    """Records as arrays, by number of options. Numbering by sorted ids makes the order of records irrelevant."""
    options: dict[str, set[str]] = {}
    for record in records:
        options.setdefault(repr(record.prompt), set()).update(o.id for o in record.options)
    prompt_of = {key: number for number, key in enumerate(sorted(options))}
    option_of = {key: {i: number for number, i in enumerate(sorted(ids))} for key, ids in options.items()}
    rows: dict[tuple[int, bool], list[tuple[list[int], list[float], bool, int, int]]] = {}
    for record in records:
        key = repr(record.prompt)
        places = {o.id: 0.5 - o.shown_at / (len(record.options) - 1) for o in record.options}
        order, tied = _order(record)
        index = [option_of[key][i] for i in order]
        row = (index, [places[i] for i in order], tied, names.index(record.annotator), prompt_of[key])
        rows.setdefault((len(order), isinstance(record.choice, BestWorst)), []).append(row)
    blocks = [
        _Block(form, *(np.array(column) for column in zip(*found, strict=True)))
        for (_, form), found in sorted(rows.items())
    ]
    return blocks, len(prompt_of), max(map(len, option_of.values()))


def _order(record: Feedback) -> tuple[list[str], bool]:
    """Option ids best first (as shown for a tie), and whether they are tied."""
    choice = record.choice
    if isinstance(choice, Ranking):
        return [group[0] for group in choice.order], False
    if isinstance(choice, BestWorst):
        rank = {choice.best: 0, choice.worst: 2}
        return sorted(record.shown, key=lambda i: rank.get(i, 1)), False
    if choice.preferred is None:
        return record.shown, True
    return sorted(record.shown, key=lambda i: i != choice.preferred), False


def _log_likelihood(
    x: Array, blocks: Sequence[_Block], prompts: int, annotators: int, theta_QK: Array
) -> tuple[float, Array, Array]:
    """Marginal log-likelihood, its gradient, and the information matrix (outer products of prompt scores)."""
    points = len(theta_QK)
    beta, gamma, log_nu = x[:annotators], x[annotators:-1], x[-1]
    logp_PQ = np.zeros((prompts, points))
    parts: list[tuple[_Block, Array, Array, Array]] = []
    for block in blocks:
        theta_QMK = theta_QK[:, block.option]
        u_QMK = beta[block.annotator][None, :, None] * theta_QMK + (gamma[block.annotator][:, None] * block.place)[None]
        logp_QM, slope_QMK, slope_nu_QM = _choice(u_QMK, block, log_nu)
        np.add.at(logp_PQ, block.prompt, logp_QM.T)
        parts.append((block, (slope_QMK * theta_QMK).sum(2), (slope_QMK * block.place[None]).sum(2), slope_nu_QM))
    evidence_P = logsumexp(logp_PQ, axis=1) - np.log(points)
    weight_PQ = np.exp(logp_PQ - logp_PQ.max(1, keepdims=True))
    weight_PQ /= weight_PQ.sum(1, keepdims=True)
    score_PX = np.zeros((prompts, len(x)))
    for block, d_beta_QM, d_gamma_QM, d_nu_QM in parts:
        weight_QM = weight_PQ[block.prompt].T
        np.add.at(score_PX, (block.prompt, block.annotator), (weight_QM * d_beta_QM).sum(0))
        np.add.at(score_PX, (block.prompt, annotators + block.annotator), (weight_QM * d_gamma_QM).sum(0))
        np.add.at(score_PX, (block.prompt, np.full(len(block.prompt), len(x) - 1)), (weight_QM * d_nu_QM).sum(0))
    return float(evidence_P.sum()), score_PX.sum(0), score_PX.T @ score_PX


def _choice(u_QMK: Array, block: _Block, log_nu: float) -> tuple[Array, Array, Array]:
    """log P of each record, its slope in each utility, and in log nu. Options come best first."""
    tied_M = block.tied
    if block.best_worst:
        return _best_worst(u_QMK)
    if u_QMK.shape[2] == 2:
        return _comparison(u_QMK, tied_M, log_nu)
    logp, slope = np.zeros(u_QMK.shape[:2]), np.zeros_like(u_QMK)
    for place in range(u_QMK.shape[2] - 1):
        rest = u_QMK[:, :, place:]
        log_p = rest - logsumexp(rest, axis=2, keepdims=True)
        logp += log_p[:, :, 0]
        slope[:, :, place] += 1
        slope[:, :, place:] -= np.exp(log_p)
    return logp, slope, np.zeros_like(logp)


def _comparison(u_QMK: Array, tied_M: NDArray[np.bool_], log_nu: float) -> tuple[Array, Array, Array]:
    """Davidson's weights exp(d/2), exp(-d/2), nu, all over the largest of them."""
    d = u_QMK[:, :, 0] - u_QMK[:, :, 1]
    half = np.abs(d) / 2
    top = np.maximum(half, log_nu)
    more, less, tie = np.exp(half - top), np.exp(-half - top), np.exp(log_nu - top)
    total = more + less + tie
    slope = np.where(tied_M, 0.0, 0.5) - np.sign(d) * (more - less) / (2 * total)
    logp = np.where(tied_M, log_nu, d / 2) - top - np.log(total)
    return logp, np.stack([slope, -slope], axis=2), tied_M - tie / total


def _best_worst(u_QMK: Array) -> tuple[Array, Array, Array]:
    best = u_QMK - logsumexp(u_QMK, axis=2, keepdims=True)
    rest = -u_QMK[:, :, 1:]
    worst = rest - logsumexp(rest, axis=2, keepdims=True)
    slope = -np.exp(best)
    slope[:, :, 0] += 1
    slope[:, :, 1:] += np.exp(worst)
    slope[:, :, -1] -= 1
    logp = best[:, :, 0] + worst[:, :, -1]
    return logp, slope, np.zeros_like(logp)


def _verdicts(names: list[str], counts: dict[str, int], x: Array, error: Array) -> list[AnnotatorEstimate]:
    n = len(names)
    typical = float(np.median(x[:n]))
    result = []
    for i, name in enumerate(names):
        beta, gamma, beta_error, gamma_error = x[i], x[n + i], error[i], error[n + i]
        flag, reason = _flag(beta, beta_error, gamma, gamma_error, typical)
        values: dict[str, Any] = {
            "rationality": float(beta), "rationality_error": float(beta_error),
            "side_bias": float(gamma), "side_bias_error": float(gamma_error),
        }  # fmt: skip
        result.append(AnnotatorEstimate(name, counts[name], **values, flag=flag, reason=reason))
    return result


def _flag(
    beta: float, beta_error: float, gamma: float, gamma_error: float, typical: float
) -> tuple[Literal["ok", "side", "contrary", "random"], str]:
    if beta + Z95 * beta_error < 0:
        return "contrary", f"votes against the others: rationality {beta:.2f} ± {Z95 * beta_error:.2f}"
    if abs(gamma) - Z95 * gamma_error > max(0.5, 2 * abs(beta)):
        side = "first" if gamma > 0 else "last"
        return "side", f"prefers what is shown {side}: side bias {gamma:.2f} ± {Z95 * gamma_error:.2f}"
    if beta + Z95 * beta_error < 0.25 * typical:
        return (
            "random",
            f"rationality {beta:.2f} ± {Z95 * beta_error:.2f} is below a quarter of the typical {typical:.2f}",
        )
    return "ok", f"rationality {beta:.2f}, side bias {gamma:.2f}"
