"""Mazes: the expert's search cloned round by round, and its steps alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import derive_seed, generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from accord.control.procedure_cloning import ActionModel, MazeTask, ProcedureModel, Training

    Learner = Callable[[list[MazeTask], Training], ProcedureModel | ActionModel]


class MazeCloningConfig(StageConfig):
    """Settings of a maze_cloning stage."""

    kind: Literal["maze_cloning"]
    side: int = Field(16, ge=3, le=32, description="Cells of a maze's side.")
    mazes: int = Field(20, ge=1, description="Mazes that are learned from.")
    goals: int = Field(4, ge=1, description="Goals in each.")
    unseen: int = Field(40, ge=1, description="Other mazes in which it is tried.")
    updates: int = Field(500, ge=1, description="Updates of each model.")
    batch: int = Field(32, ge=1, description="Examples of an update.")
    channels: int = Field(16, ge=1, description="Channels of a convolution.")
    step_size: float = Field(0.003, gt=0, description="Adam's step size.")


class MazeCloning(Stage):
    """How often procedure cloning and behavioural cloning find the goal, in mazes they saw and in
    others."""

    kind = "maze_cloning"
    Config = MazeCloningConfig
    about = "procedure cloning against behavioural cloning in mazes"

    def plan(self, config: MazeCloningConfig, context: StageContext) -> Plan:
        size = (config.side / 16) ** 2 * config.channels / 16
        seconds = size * (config.updates * config.batch / 6000 + config.unseen / 20)
        return Plan(rows=config.mazes, seconds=(seconds / 3, 3 + 5 * seconds))

    def run(self, config: MazeCloningConfig, context: StageContext) -> StageResult:
        from accord.control import procedure_cloning as cloning

        rng = generator(context.seed, "mazes")
        drawn = [cloning.draw_maze(config.side, rng) for _ in range(config.mazes + config.unseen)]
        shown = cloning.draw_tasks(drawn[: config.mazes], config.goals, rng)
        tried = {
            "seen": shown[:: config.goals],
            "unseen": cloning.draw_tasks(drawn[config.mazes :], 1, rng),
        }
        values: dict[str, Value] = {}
        learners: dict[str, Learner] = {
            "procedure": cloning.clone_procedure,
            "actions": cloning.clone_actions,
        }
        for number, (row, learn) in enumerate(learners.items()):
            training = cloning.Training(
                config.channels,
                config.updates,
                config.batch,
                config.step_size,
                derive_seed(context.seed, row),
            )
            model = learn(shown, training)
            for where, tasks in tried.items():
                found = [
                    cloning.solved(t, m) for t, m in zip(tasks, model.moves(tasks), strict=True)
                ]
                values[f"{where}.{row}"] = 100 * float(np.mean(found))
            context.checkpoint(number + 1, len(learners), "learners")
        told = ", ".join(f"{row} {values[f'unseen.{row}']:.0f} %" for row in learners)
        return StageResult(f"goal found in {config.unseen} unseen mazes: {told}", values)
