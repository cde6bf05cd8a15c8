"""What shrinking annotators is worth to what is trained on their votes: `python -m benchmarks.weighting`.

Simulated crowds of twelve judge prompts of four responses, three annotators per prompt comparing two
pairs each. A response has six features, its reward is linear in them (variance 1 within a prompt). On
the same votes, once by the *maximum*, the rationalities that maximise the marginal likelihood, up to
20 and raw, as they were used before; and once *shrunk*, by `annotator_model`'s posterior:

reward  a linear reward in the likelihood of the choices, rationality and side bias of each annotator
        given, with a normal prior of variance 1 on its weights;
DPO     the same on one soft label per two responses, as `preference` stages train on (the implicit
        reward of a policy linear in the features): the sum of the voters' rationalities as log-odds,
        or the posterior probability (`feedback/better.py`); below log-odds of .5 a pair is left out.

Accuracy is that of the order of pairs of new responses. Prints per crowd the mean over seeds, and of
the difference, paired, the 95 % interval (t). `--out FILE` keeps every seed's accuracies, `--docs PAGE`
writes the table between the page's marks; `--seeds 0` only writes.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from accord.feedback.better import Voters, better_probabilities
from accord.feedback.crowd_likelihood import (
    LOG_NU_NONE,
    CrowdJudgement,
    CrowdLikelihood,
    distinct_judgements,
    fit_crowd,
    points,
)
from accord.files import write_text
from accord.learning.judged_pairs import LEAST_DOUBT, LEAST_LOG_ODDS
from accord.seeds import generator
from accord.statistics.intervals import Array, Index
from accord.statistics.means import student_mean
from benchmarks.coverage.__main__ import write_between

PEOPLE, OPTIONS, FEATURES, HELD_OUT = 12, 4, 6, 4000
LARGEST = 20.0
"""The bound that rationalities had."""
SEEDS = 30
BEGIN, END = "<!-- weighting: begin -->", "<!-- weighting: end -->"


@dataclass(frozen=True)
class Crowd:
    """each: votes of an annotator; clickers: how many answer at random; freedom: of Student's t that
    rewards have (inf: normal)."""

    each: int
    clickers: int = 0
    freedom: float = np.inf


CROWDS = {
    "honest, 15 votes each": Crowd(15),
    "honest, 60 votes each": Crowd(60),
    "honest, 200 votes each": Crowd(200),
    "heavy-tailed rewards, 15 votes each": Crowd(15, freedom=3.0),
    "heavy-tailed rewards, 60 votes each": Crowd(60, freedom=3.0),
    "a third click at random, 15 votes each": Crowd(15, clickers=4),
    "a third click at random, 60 votes each": Crowd(60, clickers=4),
}


@dataclass(frozen=True)
class Accuracies:
    """Of the order of new pairs, on the same votes."""

    reward_maximum: float
    reward_shrunk: float
    dpo_maximum: float
    dpo_shrunk: float


@dataclass(frozen=True)
class _Votes:
    """Judgements, the prompt of each, and their arrays [M]: the features by which the preferred
    response differs, the place by which it does, the annotator."""

    rows: list[CrowdJudgement]
    prompt: list[int]
    apart_MF: Array
    place_M: Array
    annotator_M: Index
    features_PKF: Array


def features(rng: np.random.Generator, crowd: Crowd, prompts: int) -> Array:
    """Of the responses: [P, K, F]; a heavy tail is common to all features of a response."""
    drawn = rng.normal(size=(prompts, OPTIONS, FEATURES))
    if np.isfinite(crowd.freedom):
        scale = rng.chisquare(crowd.freedom, size=(prompts, OPTIONS, 1)) / (crowd.freedom - 2)
        drawn /= np.sqrt(scale)
    return drawn


def votes_of(rng: np.random.Generator, crowd: Crowd, weight_F: Array) -> _Votes:
    """What a crowd says."""
    beta = np.exp(0.4 + 0.35 * rng.normal(size=PEOPLE))
    beta[: crowd.clickers] = 0.0
    side = 0.2 * rng.normal(size=PEOPLE)
    features_PKF = features(rng, crowd, PEOPLE * crowd.each // 6)
    rows, prompt_of, said = [], [], []
    for prompt, features_KF in enumerate(features_PKF):
        for who in rng.permutation(PEOPLE)[:3]:
            for _ in range(2):
                a, b = rng.permutation(OPTIONS)[:2].tolist()
                gap = beta[who] * ((features_KF[a] - features_KF[b]) @ weight_F) + side[who]
                first = gap + rng.logistic() > 0
                order, place = ((a, b), (0.5, -0.5)) if first else ((b, a), (-0.5, 0.5))
                rows.append(CrowdJudgement(order, place, False, int(who), False))
                prompt_of.append(prompt)
                said.append((*(features_KF[order[0]] - features_KF[order[1]]), 2 * place[0], who))
    table = np.array(said)
    who_M = table[:, -1].astype(np.int64)
    return _Votes(rows, prompt_of, table[:, :-2], table[:, -2], who_M, features_PKF)


def maximum(votes: _Votes) -> tuple[Array, Array]:
    """(rationalities, side biases) at the maximum of the marginal likelihood, rewards normal."""
    data = distinct_judgements(votes.rows, votes.prompt, len(votes.features_PKF), PEOPLE)
    likelihood, end = CrowdLikelihood(data, points(OPTIONS)), float(np.arcsinh(LARGEST))

    def down(x: Array) -> tuple[float, Array]:
        there = likelihood.expand(x, True)
        return -there.value, -there.slope

    start = np.concatenate([np.full(PEOPLE, np.arcsinh(1.0)), np.zeros(PEOPLE)])
    bounds = [(-end, end)] * PEOPLE + [(-LARGEST, LARGEST)] * PEOPLE
    found = minimize(down, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.asarray(np.sinh(found[:PEOPLE])), np.asarray(found[PEOPLE:])


def shrunk(votes: _Votes) -> Voters:
    """As estimates of annotators are made."""
    data = distinct_judgements(votes.rows, votes.prompt, len(votes.features_PKF), PEOPLE)
    found, tail = fit_crowd(data, OPTIONS)
    asinh, side = found.x[:PEOPLE], found.x[PEOPLE : 2 * PEOPLE]
    return Voters(np.sinh(asinh), found.errors[:PEOPLE], side, LOG_NU_NONE, tail)


def fitted(apart_MF: Array, scale_M: Array, offset_M: Array, doubt_M: Array) -> Array:
    """Weights [F] of a linear reward: the mode of the choices' likelihood and a normal prior. Of
    each choice: the difference of features, what multiplies and what is added to it, and the
    probability of its opposite."""

    def down(weight_F: Array) -> tuple[float, Array]:
        gap = scale_M * (apart_MF @ weight_F) + offset_M
        value = (1 - doubt_M) @ log_expit(gap) + doubt_M @ log_expit(-gap)
        slope = apart_MF.T @ (scale_M * (1 - doubt_M - expit(gap)))
        return float(weight_F @ weight_F / 2 - value), weight_F - slope

    found: Array = minimize(down, np.zeros(FEATURES), jac=True, method="L-BFGS-B").x
    return found


def rewarded(votes: _Votes, beta_A: Array, side_A: Array) -> Array:
    """A reward in the likelihood of the votes, annotators as given."""
    who, none = votes.annotator_M, np.zeros(len(votes.annotator_M))
    return fitted(votes.apart_MF, beta_A[who], side_A[who] * votes.place_M, none)


def preferred(votes: _Votes, log_odds: dict[tuple[int, int, int], float]) -> Array:
    """The implicit reward of DPO on one soft label per two responses of a prompt."""
    clear = {key: odds for key, odds in log_odds.items() if abs(odds) >= LEAST_LOG_ODDS}
    if not clear:
        return np.zeros(FEATURES)
    prompt, one, other = np.array(list(clear)).T
    odds = np.array(list(clear.values()))
    apart = votes.features_PKF[prompt, one] - votes.features_PKF[prompt, other]
    doubt = np.clip(expit(-odds), LEAST_DOUBT, 1 - LEAST_DOUBT)
    return fitted(apart, np.ones(len(odds)), np.zeros(len(odds)), doubt)


def summed(votes: _Votes, beta_A: Array) -> dict[tuple[int, int, int], float]:
    """Log-odds of (prompt, one response, another) as sums of the voters' rationalities."""
    found: dict[tuple[int, int, int], float] = {}
    for row, prompt in zip(votes.rows, votes.prompt, strict=True):
        better, worse = row.option
        key = prompt, min(better, worse), max(better, worse)
        found[key] = found.get(key, 0.0) + beta_A[row.annotator] * (1 if better < worse else -1)
    return found


def posterior(votes: _Votes, voters: Voters) -> dict[tuple[int, int, int], float]:
    """The same from posterior probabilities."""
    sizes = [OPTIONS] * len(votes.features_PKF)
    better = better_probabilities(votes.rows, votes.prompt, sizes, voters)
    p = {key: float(better[key[0]][key[1], key[2]]) for key in summed(votes, voters.rationality_A)}
    kept = {key: min(max(value, LEAST_DOUBT), 1 - LEAST_DOUBT) for key, value in p.items()}
    return {key: float(np.log(value / (1 - value))) for key, value in kept.items()}


def accuracies(name: str, seed: int) -> Accuracies:
    """Of one crowd."""
    crowd, rng = CROWDS[name], generator(seed, "weighting", name)
    weight_F = rng.normal(size=FEATURES)
    weight_F /= np.linalg.norm(weight_F)
    votes = votes_of(rng, crowd, weight_F)
    new_PKF = features(rng, crowd, HELD_OUT)
    apart_PF = new_PKF[:, 0] - new_PKF[:, 1]
    raw, voters = maximum(votes), shrunk(votes)
    trained = (
        rewarded(votes, *raw),
        rewarded(votes, voters.rationality_A, voters.side_bias_A),
        preferred(votes, summed(votes, raw[0])),
        preferred(votes, posterior(votes, voters)),
    )
    right = [float(((apart_PF @ w > 0) == (apart_PF @ weight_F > 0)).mean()) for w in trained]
    return Accuracies(*(round(value, 5) for value in right))


def difference(seeds: list[list[float]], what: str) -> tuple[float, float, float]:
    """Shrunk less maximum of "reward" or "dpo" over seeds, paired: mean, 95 % interval (t)."""
    at = [field.name for field in fields(Accuracies)].index(f"{what}_maximum")
    apart = [seed[at + 1] - seed[at] for seed in seeds]
    mean = student_mean(apart)
    if mean is None or mean.low is None or mean.high is None:
        return float(np.mean(apart)), float("nan"), float("nan")
    return mean.value, mean.low, mean.high


def page(kept: dict[str, list[list[float]]]) -> str:
    """As Markdown."""
    lines = [
        "| crowd | reward, maximum | shrunk | difference in points | DPO, maximum | shrunk | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, seeds in kept.items():
        means = [f"{value:.1%}" for value in np.mean(seeds, axis=0)]
        said = [
            f"{100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
            for mean, low, high in (difference(seeds, what) for what in ("reward", "dpo"))
        ]
        lines.append(f"| {' | '.join([name, *means[:2], said[0], *means[2:], said[1]])} |")
    seeds_each = sorted({len(seeds) for seeds in kept.values()})
    return "\n".join([*lines, "", f"Seeds per crowd: {', '.join(map(str, seeds_each))}."])


def main() -> None:
    """Print the table, and keep it where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.weighting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each crowd; 0: only write")
    parser.add_argument("--only", nargs="*", choices=CROWDS, default=list(CROWDS), help="crowds")
    parser.add_argument("--out", type=Path, help="JSON of every seed's accuracies")
    parser.add_argument("--docs", type=Path, help="page whose table is written")
    options = parser.parse_args()
    kept: dict[str, list[list[float]]] = {}
    if options.out and options.out.is_file():
        kept = json.loads(options.out.read_text("utf-8"))
    for name in options.only if options.seeds else []:
        kept[name] = [list(vars(accuracies(name, s)).values()) for s in range(options.seeds)]
    kept = {name: kept[name] for name in CROWDS if name in kept}
    print(told := page(kept))
    if options.out:
        write_text(options.out, json.dumps(kept, separators=(",", ":")) + "\n")
    if options.docs:
        write_between(options.docs, BEGIN, END, told)


if __name__ == "__main__":
    main()
