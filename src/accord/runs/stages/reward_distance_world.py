"""Distances between rewards, beside what it costs to act on one of them where the other is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.errors import ConfigError
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.worlds import Measured, over_worlds
from accord.seeds import generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.control.tabular.mdp import FiniteMdp

SCALE = 3.0
"""Factor of a reward that is scaled, and deviation of what equivalents add."""


class RewardDistanceWorldConfig(StageConfig):
    """Settings of a reward_distance_world stage."""

    kind: Literal["reward_distance_world"]
    worlds: int = Field(20, ge=3, description="Worlds, of which the mean is told.")
    states: int = Field(16, ge=2, le=100, description="States of a world.")
    actions: int = Field(4, ge=2, description="Actions in each.")
    leads_to: int = Field(3, ge=1, description="States that an action can lead to.")
    discount: float = Field(0.9, ge=0, lt=1, description="Discount, per step.")
    noises: list[float] = Field(
        [0.1, 0.3, 1.0], description="Deviations of what is added, that of the reward being 1."
    )
    samples: list[int] = Field(
        [64, 1024], min_length=1, description="Transitions by which EPIC is estimated."
    )
    pairs: int = Field(10, ge=2, description="Pairs of rewards per world that are ranked.")


class RewardDistanceWorld(Stage):
    """EPIC, DARD and STARC between a reward and changed ones, and their order against regret."""

    kind = "reward_distance_world"
    Config = RewardDistanceWorldConfig
    about = "EPIC, DARD and STARC, exactly and by samples, against regret"

    def plan(self, config: RewardDistanceWorldConfig, context: StageContext) -> Plan:
        if config.leads_to > config.states:
            raise ConfigError(
                f"leads_to = {config.leads_to} of {config.states} states",
                "give at most all of them",
            )
        compared = config.worlds * (6 + len(config.noises) + config.pairs)
        seconds = compared * (config.states / 16) ** 4 * 0.005
        return Plan(rows=config.worlds, seconds=(seconds / 2, 2 + 4 * seconds))

    def run(self, config: RewardDistanceWorldConfig, context: StageContext) -> StageResult:
        from scipy.stats import spearmanr

        def measure(number: int) -> Measured:
            rng = generator(context.seed, "reward distance", number)
            yield from _rows(config, rng).items()
            yield from _pairs(config, rng)

        found = over_worlds(config.worlds, measure, context)
        values: dict[str, Value] = {
            name: float(np.sqrt(np.mean(np.square(v))) if name.startswith("error") else np.mean(v))
            for name, v in found.items()
            if name not in RANKED
        }
        for name in DISTANCES:
            values[f"rank.{name}"] = float(spearmanr(found[name], found["regret"]).statistic)
        told = ", ".join(f"{name.upper()} {values[f'rank.{name}']:.2f}" for name in DISTANCES)
        return StageResult(f"rank correlation with regret: {told}", values)


DISTANCES = ("epic", "dard", "starc")
RANKED = (*DISTANCES, "regret")
"""What is told of pairs that are ranked."""


def _compared(mdp: FiniteMdp, true_SAS: Array, other_SAS: Array) -> dict[str, float]:
    from accord.control.tabular.distances import dard, epic, starc
    from accord.control.tabular.shaping import regret

    return {
        "epic": epic(true_SAS, other_SAS, mdp.discount),
        "dard": dard(true_SAS, other_SAS, mdp),
        "starc": starc(true_SAS, other_SAS, mdp),
        "regret": 100 * regret(mdp, mdp.expected(true_SAS), mdp.expected(other_SAS)).most,
    }


def _drawn(
    config: RewardDistanceWorldConfig, rng: np.random.Generator
) -> tuple[FiniteMdp, Array, dict[str, Array]]:
    """A world, its reward, and what leaves it the same one, all [S, A, S]: a potential's
    differences, where the same is paid, and what is paid where nothing leads."""
    from accord.control.tabular.gridworld import random_mdp
    from accord.control.tabular.shaping import potential_shaping

    mdp = random_mdp(config.states, config.actions, config.leads_to, config.discount, rng)
    shape = mdp.transition_SAS.shape
    reward_SAS, moved_SAS, nowhere_SAS = rng.normal(size=(3, *shape))
    led_SAS = mdp.transition_SAS > 0
    moved_SAS = led_SAS * (moved_SAS - mdp.expected(moved_SAS)[:, :, None])
    potential_S = rng.normal(size=config.states)
    same = {
        "shaped": np.broadcast_to(potential_shaping(potential_S, config.discount), shape),
        "redistributed": moved_SAS,
        "unreachable": ~led_SAS * nowhere_SAS,
    }
    return mdp, reward_SAS, {name: SCALE * part for name, part in same.items()}


def _rows(config: RewardDistanceWorldConfig, rng: np.random.Generator) -> dict[str, float]:
    """KEY.ROW -> value of one world; error_N.ROW: of EPIC by N samples."""
    from accord.control.tabular.distances import sampled_epic

    mdp, reward_SAS, same = _drawn(config, rng)
    other_SAS = rng.normal(size=reward_SAS.shape)
    changed = {"scaled": SCALE * reward_SAS}
    changed |= {name: reward_SAS + part for name, part in same.items()}
    changed |= {f"noise_{size:g}": reward_SAS + size * other_SAS for size in config.noises}
    changed |= {"unrelated": other_SAS, "flipped": -reward_SAS}
    found: dict[str, float] = {}
    for row, changed_SAS in changed.items():
        exact = _compared(mdp, reward_SAS, changed_SAS)
        found |= {f"{name}.{row}": value for name, value in exact.items()}
        for count in config.samples:
            seen = sampled_epic(reward_SAS, changed_SAS, config.discount, count, rng)
            found[f"error_{count}.{row}"] = seen - exact["epic"]
    return found


def _pairs(config: RewardDistanceWorldConfig, rng: np.random.Generator) -> Measured:
    """Distances and regret (RANKED) of pairs that differ by more or less, with more or less of all
    that does not matter added."""
    mdp, reward_SAS, same = _drawn(config, rng)
    for _ in range(config.pairs):
        angle, sizes = rng.uniform(0, np.pi), rng.uniform(size=len(same))
        turned_SAS = np.cos(angle) * reward_SAS + np.sin(angle) * rng.normal(size=reward_SAS.shape)
        turned_SAS += sum(size * part for size, part in zip(sizes, same.values(), strict=True))
        yield from _compared(mdp, reward_SAS, turned_SAS).items()
