"""Demonstrations that teach against demonstrations at best, on grids of smooth features."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import Measured, means, over_worlds
from accord.seeds import generator


class TeachingWorldConfig(StageConfig):
    """Settings of a teaching_world stage."""

    kind: Literal["teaching_world"]
    grids: int = Field(16, ge=1, description="Grids for each number of features.")
    side: int = Field(7, ge=3, le=12, description="Cells of a grid's side.")
    steps: int = Field(6, ge=1, le=7, description="Steps of the demonstration.")
    features: list[int] = Field([3, 10], min_length=1, description="Numbers of features.")
    width: float = Field(2.0, gt=0, description="Of a feature's bump, in cells.")
    pulls: list[float] = Field(
        [0.0, 0.1, 1.0, 10.0],
        min_length=1,
        description="How much the person minds what the robot infers; 0: not at all.",
    )


class TeachingWorld(Stage):
    """The regret of a robot that learns from one demonstration, by how much it is meant for it."""

    kind = "teaching_world"
    Config = TeachingWorldConfig
    about = "teaching by best response against expert demonstration"

    def plan(self, config: TeachingWorldConfig, context: StageContext) -> Plan:
        shown = config.grids * len(config.features) * len(config.pulls)
        seconds = shown * (0.02 + 5**config.steps / 1e6) * (config.side / 7) ** 4
        return Plan(rows=shown, seconds=(seconds / 2, 2 + 10 * seconds))

    def run(self, config: TeachingWorldConfig, context: StageContext) -> StageResult:
        from accord.control.tabular.choices import FeedbackGrid
        from accord.control.tabular.gridworld import grid_world, open_grid
        from accord.control.tabular.teaching import (
            demonstration,
            learned,
            regret_of_weights,
        )

        world = grid_world(open_grid(config.side), 0.9)
        middle = world.state(config.side // 2, config.side // 2)
        nowhere_S = np.zeros(world.mdp.states, dtype=np.int64)

        def measure(number: int) -> Measured:
            for count in config.features:
                rng = generator(context.seed, "teaching", number, count)
                centre_F2 = rng.uniform(0, config.side - 1, size=(count, 2))
                away_SF = ((np.array(world.cells)[:, None] - centre_F2) ** 2).sum(2)
                features_SF = np.exp(-away_SF / (2 * config.width**2))
                grid = FeedbackGrid(world.mdp, features_SF, config.steps, middle, nowhere_S)
                true_F, every_NT = rng.normal(size=count), grid.every_actions()
                for pull in config.pulls:
                    weights_F = learned(grid, demonstration(grid, true_F, pull, every_NT))
                    lost = regret_of_weights(grid, true_F, weights_F)
                    yield f"regret_{count}.pull_{pull:g}", lost
                    yield (
                        f"error_{count}.pull_{pull:g}",
                        float(((weights_F - true_F) ** 2).sum()),
                    )

        values = means(over_worlds(config.grids, measure, context, "grids"))
        last = max(config.features)
        told = ", ".join(f"{p:g}: {values[f'regret_{last}.pull_{p:g}']:.2f}" for p in config.pulls)
        return StageResult(f"regret with {last} features by pull: {told}", values)
