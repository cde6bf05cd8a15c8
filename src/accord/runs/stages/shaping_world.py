"""What kinds of reward shaping do to the optimum of grids, solved exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import means, over_worlds
from accord.seeds import generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.control.tabular.gridworld import GridWorld

MOVE_COST = 0.05
"""Most that entering a cell costs; reaching the goal is worth 1."""
WRONG_DISCOUNT = 0.8
"""A potential's discount where it is not the world's."""


class ShapingWorldConfig(StageConfig):
    """Settings of a shaping_world stage."""

    kind: Literal["shaping_world"]
    worlds: int = Field(20, ge=1, description="Grids, of which the mean is told.")
    side: int = Field(6, ge=3, le=15, description="Cells of a grid's side.")
    discount: float = Field(0.95, gt=0, lt=1, description="Discount of the world, per step.")
    slip: float = Field(0.1, ge=0, lt=1, description="Probability that chance moves instead.")
    strengths: list[float] = Field(
        [0.1, 1.0], min_length=1, description="Sizes of what is added; the goal is worth 1."
    )
    horizon: int = Field(12, ge=1, description="Steps of an episode where episodes end.")


class ShapingWorld(Stage):
    """Adds each kind of shaping to the reward of random grids and tells what is lost by it."""

    kind = "shaping_world"
    Config = ShapingWorldConfig
    about = "reward shaping that leaves the optimum and shaping that does not, by exact solution"

    def plan(self, config: ShapingWorldConfig, context: StageContext) -> Plan:
        solved = config.worlds * len(config.strengths)
        seconds = solved * (config.side / 6) ** 6 * 0.03
        return Plan(rows=config.worlds, seconds=(seconds / 2, 1 + 4 * seconds))

    def run(self, config: ShapingWorldConfig, context: StageContext) -> StageResult:
        found = over_worlds(
            config.worlds,
            lambda number: _measured(config, generator(context.seed, "shaping", number)),
            context,
        )
        values = means(found)
        kept = max(v for name, rows in found.items() if name.endswith(".random") for v in rows)
        told = f"most lost by a potential {kept:.2g} %, by a bonus for coming nearer"
        return StageResult(
            f"{told} {values[f'regret_{config.strengths[-1]:g}.nearer']:.3g} %", values
        )


def _measured(config: ShapingWorldConfig, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one grid: regret in percent by strength, and the share of states in which
    the best action moved at the last strength."""
    from accord.control.tabular.gridworld import grid_world, open_grid
    from accord.control.tabular.shaping import horizon_regret, potential_shaping, regret

    end = int(rng.integers(config.side)), int(rng.integers(config.side))
    grid = grid_world(open_grid(config.side), config.discount, config.slip, ends=[end])
    mdp, goal = grid.mdp, grid.state(*end)
    going_S11 = (np.arange(mdp.states) != goal)[:, None, None]
    paid_S = np.where(np.arange(mdp.states) == goal, 1.0, -MOVE_COST * rng.random(mdp.states))
    true_SA = mdp.expected(going_S11 * paid_S)
    added = _shapings(grid, goal, config, rng)
    potential_S = rng.normal(size=mdp.states)
    for strength in config.strengths:
        for name, shaping_SAS in added.items():
            lost = regret(mdp, true_SA, true_SA + mdp.expected(strength * shaping_SAS))
            yield f"regret_{strength:g}.{name}", 100 * lost.most
            if strength == config.strengths[-1]:
                yield f"moved.{name}", 100 * lost.moved
        shaped_SA = true_SA + mdp.expected(
            potential_shaping(strength * potential_S, config.discount)
        )
        for name, last_S in (("cut", 0 * potential_S), ("settled", -strength * potential_S)):
            lost_by = horizon_regret(mdp, true_SA, shaped_SA, config.horizon, last_S)
            yield f"regret_{strength:g}.{name}", 100 * lost_by


def _shapings(
    grid: GridWorld, goal: int, config: ShapingWorldConfig, rng: np.random.Generator
) -> dict[str, Array]:
    """What is added per transition, at strength 1, by the name of its row: [S, A, S] each, of which
    the actions broadcast."""
    from accord.control.tabular.shaping import potential_shaping

    states, actions, discount = grid.mdp.states, grid.mdp.actions, config.discount
    steps_S = grid.steps()[:, goal]
    near_S = -steps_S / steps_S.max()
    random_S = rng.normal(size=states)
    going_S11 = (np.arange(states) != goal)[:, None, None]
    nearer_SS = np.maximum(0.0, near_S[None, :] - near_S[:, None])
    waypoint_S = np.eye(states)[rng.integers(states)]
    entered_S11 = np.ones((states, 1, 1))
    return {
        "random": potential_shaping(random_S, discount),
        "distance": potential_shaping(near_S, discount),
        "nothing_at_end": going_S11
        * potential_shaping(np.where(going_S11[:, 0, 0], random_S, 0), discount),
        "kept_at_end": going_S11 * potential_shaping(random_S, discount),
        "undiscounted": potential_shaping(random_S, 1.0),
        "wrong_discount": potential_shaping(random_S, WRONG_DISCOUNT),
        "nearer": going_S11 * nearer_SS[:, None, :],
        "state": entered_S11 * random_S,
        "waypoint": entered_S11 * waypoint_S,
        "action": np.broadcast_to(
            rng.normal(size=actions)[None, :, None], (states, actions, states)
        ),
    }
