"""A robot that must find out which of several cells a person wants it to stand on, by what it hears
and what it asks, solved exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.errors import ConfigError
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import means, over_worlds
from accord.seeds import generator

if TYPE_CHECKING:
    from accord.control.tabular.assistance import AssistanceGame


class AssistanceWorldConfig(StageConfig):
    """Settings of an assistance_world stage."""

    kind: Literal["assistance_world"]
    games: int = Field(3, ge=1, description="Games, of which the mean is told.")
    side: int = Field(4, ge=2, le=8, description="Cells of a grid's side.")
    goals: int = Field(3, ge=2, le=4, description="Cells that may be meant, each alike.")
    horizon: int = Field(8, ge=1, le=12, description="Steps of a game.")
    shows: float = Field(0.5, ge=0, description="Rationality of what a person shows unasked.")
    answers: float = Field(2.0, ge=0, description="Rationality of answers.")
    costs: list[float] = Field([0.0, 0.3], min_length=1, description="Costs of a question.")
    first: list[int] = Field(
        [0, 1, 2, 3], min_length=1, description="Questions asked first by who learns, then acts."
    )


class AssistanceWorld(Stage):
    """What is lost, against a robot that is told, by one that plans with what it will hear and by
    ones that learn first and then act."""

    kind = "assistance_world"
    Config = AssistanceWorldConfig
    about = "assistance games over beliefs, solved exactly"

    def plan(self, config: AssistanceWorldConfig, context: StageContext) -> Plan:
        if config.goals > config.side**2:
            raise ConfigError(
                f"{config.goals} goals on {config.side**2} cells", "give a larger side, or fewer"
            )
        seconds = config.games * len(config.costs) * (config.horizon / 8) ** 6
        return Plan(rows=config.games, seconds=(seconds / 4, 2 + 5 * seconds))

    def run(self, config: AssistanceWorldConfig, context: StageContext) -> StageResult:
        found = over_worlds(
            config.games, lambda number: _measured(config, context.seed, number), context, "games"
        )
        values, last = means(found), f"reward_{config.costs[-1]:g}"
        best = max(float(np.mean(found[f"{last}.first_{n}"])) for n in config.first)
        planned = values[f"{last}.plans"]
        return StageResult(
            f"reward by planning {planned:.2f}, best of learning first {best:.2f}", values
        )


def _measured(config: AssistanceWorldConfig, seed: int, number: int) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one game at each cost of a question."""
    from accord.control.tabular.assistance import choosers, play, told

    for cost in config.costs:
        game = _game(config, cost, generator(seed, "assistance", number))
        horizon, start_X = config.horizon, game.mdp.start_S
        known_X = np.tensordot(game.prior_G, told(game, horizon)[:, 0].max(2), 1)
        yield f"reward_{cost:g}.told", float(start_X @ known_X)
        for row, choose in choosers(game, horizon, config.first, game.mdp.actions - 1).items():
            yield f"reward_{cost:g}.{row}", float(start_X @ play(game, horizon, choose))


def _game(config: AssistanceWorldConfig, cost: float, rng: np.random.Generator) -> AssistanceGame:
    """The cell that is meant pays 1 in each step, the others that might be cost 1; the last action
    is to ask, which costs and stays."""
    from accord.control.tabular.assistance import AssistanceGame
    from accord.control.tabular.gridworld import ACTIONS, grid_world, open_grid
    from accord.control.tabular.mdp import FiniteMdp, boltzmann

    world = grid_world(open_grid(config.side), 0.9).mdp
    asked_SAS = np.concatenate([world.transition_SAS, np.eye(world.states)[:, None]], axis=1)
    cells_G = rng.permutation(world.states)[: config.goals]
    start_S = np.eye(world.states)[rng.integers(world.states)]
    at_GS = np.eye(world.states)[cells_G]
    paid_GS = 2 * at_GS - at_GS.sum(0)
    reward_GXA = np.repeat(paid_GS[:, :, None], ACTIONS + 1, axis=2)
    reward_GXA[:, :, -1] -= cost
    # A Boltzmann speaker, for whom the word for the goal is worth 1: [G, G].
    channels = tuple(
        np.exp(boltzmann(np.eye(config.goals), rationality))
        for rationality in (config.shows, config.answers)
    )
    return AssistanceGame(
        FiniteMdp(asked_SAS, start_S, 1.0),
        reward_GXA,
        np.full(config.goals, 1 / config.goals),
        channels,
        np.array([0] * ACTIONS + [1]),
    )
