"""What mining is worth, where a failure is unseen in static data: `python -m benchmarks.loop`.

A response has nine features, its reward is linear in them. One response in two hundred has the ninth: a
fault that costs, in a response that otherwise looks better than most, so that a policy that picks the
best of 64 by what it learned meets it far more often than who draws at random. Five rounds of 80
comparisons, each by a rational choice on the true reward; after each round the reward is learned from
all comparisons so far (logistic, normal prior; its ensemble are draws from the Laplace posterior).

static        both responses drawn at random, in every round
best-random   the best of 64 by what was learned so far, against one drawn at random
targeted      `accord.oversight.failures.mine`: of the best 16 of 64 the pair whose order is known
              least; a quarter of the items drawn at random

Prints the mean reward of the best of 64 of new prompts at the end, the oracle's, and each arm less the
static one, paired by seed, with 95 % intervals (t over seeds).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.special import expit

from accord.oversight.failures import DeployedCase, mine
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.statistics.means import student_mean

Arm = Literal["static", "best-random", "targeted"]
ARMS: tuple[Arm, ...] = get_args(Arm)
PLAIN, NORM, FAULTY, COST, LOOKS = 8, 1.4, 0.005, 3.0, 1.5
"""Features beside the fault; length of their weights; share of responses with the fault; what it costs;
how far the others of a faulty response are moved along their weights."""
POOL, TOP, MEMBERS, ROUNDS, LABELS, NEW = 64, 16, 8, 5, 80, 400
PRIOR = 1.0
"""Variance of the weights' prior."""


@dataclass(frozen=True)
class World:
    """Weights of the true reward: [F], the fault's last."""

    weight_F: Array

    @classmethod
    def of(cls, seed: int) -> World:
        plain = generator(seed, "weights").normal(size=PLAIN)
        return cls(np.append(NORM * plain / np.linalg.norm(plain), -COST))

    def responses(self, seed: int, prompts: int) -> Array:
        """[prompts, POOL, F]."""
        rng = generator(seed, "responses")
        x = rng.normal(size=(prompts, POOL, PLAIN))
        fault = rng.random((prompts, POOL, 1)) < FAULTY
        x = x + fault * LOOKS * self.weight_F[:-1] / NORM
        return np.concatenate([x, fault], -1)


def fit(difference_NF: Array, won_N: Array) -> tuple[Array, Array]:
    """Mode and covariance of the weights' posterior (Newton; Laplace)."""
    size = difference_NF.shape[1]
    weight_F, precision_FF = np.zeros(size), np.eye(size) / PRIOR
    for _ in range(25):
        p_N = expit(difference_NF @ weight_F)
        slope_F = difference_NF.T @ (won_N - p_N) - weight_F / PRIOR
        curved_FF = (difference_NF * (p_N * (1 - p_N))[:, None]).T @ difference_NF + precision_FF
        weight_F = weight_F + np.linalg.solve(curved_FF, slope_F)
    return weight_F, np.linalg.inv(curved_FF)


def pairs(arm: Arm, x_BKF: Array, weights_EF: Array | None, mode_F: Array, seed: int) -> Array:
    """Differences of the pairs that an arm asks about: [LABELS, F]."""
    rng = generator(seed, "pairs")
    chosen = np.array([rng.permutation(POOL)[:2] for _ in range(len(x_BKF))])
    at = np.arange(len(x_BKF))
    if weights_EF is not None and arm == "best-random":
        best_B = (x_BKF @ mode_F).argmax(1)
        chosen = np.stack([best_B, np.where(chosen[:, 0] == best_B, *chosen.T[::-1])], 1)
    if weights_EF is not None and arm == "targeted":
        scores_EBK = np.einsum("bkf,ef->ebk", x_BKF, weights_EF)
        cases = [DeployedCase(str(b), POOL, scores_EBK[:, b]) for b in at]
        items = mine(cases, LABELS, signals=["uncertain"], top=TOP, seed=seed)
        at, chosen = np.array([i.case for i in items]), np.array([i.pair for i in items])
    at, chosen = at[:LABELS], chosen[:LABELS]
    return x_BKF[at, chosen[:, 0]] - x_BKF[at, chosen[:, 1]]


def gold(world: World, weight_F: Array, seed: int) -> float:
    """Mean true reward of the best of POOL by `weight_F`, on prompts of their own."""
    x_BKF = world.responses(derive_seed(seed, "new"), NEW)
    best_B = (x_BKF @ weight_F).argmax(1)
    return float((x_BKF[np.arange(NEW), best_B] @ world.weight_F).mean())


def run(arm: Arm, seed: int) -> float:
    """Gold at the end of the rounds."""
    world = World.of(seed)
    asked, won, weights_EF = list[Array](), list[Array](), None
    mode_F = np.zeros(PLAIN + 1)
    for number in range(ROUNDS):
        own = derive_seed(seed, "round", number)
        x_BKF = world.responses(own, 2 * LABELS)
        asked.append(pairs(arm, x_BKF, weights_EF, mode_F, own))
        luck_N = generator(own, "judgements").random(LABELS)
        won.append((luck_N < expit(asked[-1] @ world.weight_F)).astype(np.float64))
        mode_F, covariance_FF = fit(np.concatenate(asked), np.concatenate(won))
        rng = generator(own, "ensemble")
        weights_EF = rng.multivariate_normal(mode_F, covariance_FF, MEMBERS)
    return gold(world, mode_F, seed)


def measure(seeds: Sequence[int]) -> dict[str, list[float]]:
    """Gold at the end of each arm, and the oracle's, by seed."""
    found: dict[str, list[float]] = {arm: [run(arm, seed) for seed in seeds] for arm in ARMS}
    worlds = [(World.of(seed), seed) for seed in seeds]
    return found | {"oracle": [gold(world, world.weight_F, seed) for world, seed in worlds]}


def table(found: dict[str, list[float]]) -> str:
    """The arms beside each other."""
    lines = [
        f"{len(found['static'])} seeds, {ROUNDS} rounds of {LABELS} comparisons, best of {POOL}",
        "",
    ]
    lines += ["| arm | reward | less static | oracle less it |", "|---|---|---|---|"]
    for arm, values in found.items():
        beside = [
            student_mean(np.subtract(values, found["static"]).tolist()) if arm != "static" else "–",
            student_mean(np.subtract(found["oracle"], values).tolist()) if arm != "oracle" else "–",
        ]
        lines.append(f"| {arm} | {student_mean(values)} | {beside[0]} | {beside[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="seeds 1 to N")
    print(table(measure(range(1, parser.parse_args().seeds + 1))))


if __name__ == "__main__":
    main()
