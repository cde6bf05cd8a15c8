"""How many random clickers are found, beside the most that could be: `python -m benchmarks.clickers`.

Crowds of 30 annotators, six of them clickers, the others of rationality exp(N(.4, .35^2)); three
annotators per prompt of four options compare two pairs each. Per number of votes, as JSON: the share
of clickers that is found; the same of an oracle who knows everybody's rationality, the honest ones'
population and the share of clickers, and names by the same rule at the same false discovery rate
(the likelihood-ratio test); the share of honest ones among the named of either; and the power that
the product says it has, of the median annotator.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.special import expit, logsumexp

from accord.feedback.clickers import GRID, ZERO, Clickers, evidence_of, find_clickers, named_of
from accord.feedback.crowd_likelihood import (
    LOG_NU_NONE,
    CrowdJudgement,
    DistinctJudgements,
    distinct_judgements,
    fit_crowd,
    points,
)
from accord.statistics.intervals import Array

PEOPLE, CLICKERS, OPTIONS = 30, 6, 4
CENTRE, WIDTH = 0.4, 0.35
"""Of the honest ones' log-rationality."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, nargs="+", default=[30, 90], help="of each annotator")
    parser.add_argument("--crowds", type=int, default=40, help="simulated per number of votes")
    options = parser.parse_args()
    for votes in options.votes:
        print(json.dumps(clicker_power(votes, options.crowds)), flush=True)


def clicker_power(votes: int, crowds: int) -> dict[str, float]:
    """Means over simulated crowds of annotators with so many votes each."""
    rows = [_crowd(votes, np.random.default_rng([votes, number])) for number in range(crowds)]
    found, said, best = (np.array(column) for column in zip(*rows, strict=True))
    clicks = np.arange(PEOPLE) < CLICKERS
    told = {"votes": votes, "crowds": crowds}
    for name, named in (("", found), ("oracle_", best)):
        told[f"{name}found"] = round(float(named[:, clicks].mean()), 3)
        every = np.maximum(1, named.sum(1))
        told[f"{name}false"] = round(float((named[:, ~clicks].sum(1) / every).mean()), 3)
    told["found_error"] = round(float(found[:, clicks].mean(1).std() / np.sqrt(crowds)), 3)
    return told | {"said": round(float(said.mean()), 3)}


def _crowd(votes: int, rng: np.random.Generator) -> tuple[Array, float, Array]:
    """(who is named, the power that is said, whom the oracle names)."""
    honest = np.exp(CENTRE + WIDTH * rng.normal(size=PEOPLE - CLICKERS))
    beta = np.concatenate([np.zeros(CLICKERS), honest])
    data = judgements_of(rng, beta, PEOPLE * votes // 6)
    found, tail = fit_crowd(data, OPTIONS)
    rationality, side = np.sinh(found.x[:PEOPLE]), found.x[PEOPLE : 2 * PEOPLE]
    x = np.concatenate([rationality, side, [LOG_NU_NONE]])
    ours: Clickers = find_clickers(data, x, tail, OPTIONS)
    known = np.concatenate([beta, np.zeros(PEOPLE), [LOG_NU_NONE]])
    log_AK = evidence_of(data, known, points(OPTIONS))
    return ours.named_A, float(np.median(ours.power_A)), named_of(_honest(log_AK))


def judgements_of(rng: np.random.Generator, beta: Array, prompts: int) -> DistinctJudgements:
    """Two comparisons by each of three annotators per prompt."""
    rows, prompt_of = [], []
    for prompt in range(prompts):
        theta = rng.normal(size=OPTIONS)
        for who in rng.permutation(len(beta))[:3]:
            for _ in range(2):
                a, b = rng.permutation(OPTIONS)[:2].tolist()
                first = beta[who] * (theta[a] - theta[b]) + rng.logistic() > 0
                order, place = ((a, b), (0.5, -0.5)) if first else ((b, a), (-0.5, 0.5))
                rows.append(CrowdJudgement(order, place, False, int(who), False))
                prompt_of.append(prompt)
    return distinct_judgements(rows, prompt_of, prompts, len(beta))


def _honest(log_AK: Array) -> Array:
    """P(honest | votes) where the crowd is known: [A]."""
    edges = np.concatenate([[-np.inf], (GRID[1:] + GRID[:-1]) / 2, [np.inf]])
    drawn = np.exp(CENTRE + WIDTH * np.random.default_rng(0).normal(size=100_000))
    share_K = np.histogram(np.arcsinh(drawn), edges)[0] / len(drawn)
    with np.errstate(divide="ignore"):
        honest = logsumexp(log_AK + np.log(share_K), axis=1)
    odds = np.log((PEOPLE - CLICKERS) / CLICKERS)
    found: Array = expit(odds + honest - log_AK[:, ZERO])
    return found


if __name__ == "__main__":
    main()
