"""The off-switch game over many acts, and again and again for one act, solved exactly."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import generator

RATIONAL = "rational"
"""The row of a person who never errs."""


class OffSwitchWorldConfig(StageConfig):
    """Settings of an off_switch_world stage."""

    kind: Literal["off_switch_world"]
    acts: int = Field(
        200, ge=2, description="Acts; what each is thought to be worth has deviation 1."
    )
    rationalities: list[float] = Field(
        [4.0, 2.0, 1.0, 0.5], description="Rationalities of people who err."
    )
    deviations: list[float] = Field(
        [0.25, 1.0, 4.0], min_length=1, description="How little the robot knows an act's worth."
    )
    repeated: int = Field(8, ge=1, description="Acts that are met again and again.")
    rounds: int = Field(10, ge=1, le=30, description="How often an act is met.")
    cost: float = Field(0.2, ge=0, description="Cost of a question there.")
    points: int = Field(41, ge=3, description="Values that a repeated act may be worth.")
    first: list[int] = Field(
        [0, 1, 2, 3], min_length=1, description="Questions asked first by who learns, then acts."
    )


class OffSwitchWorld(Stage):
    """What deferring to a person is worth by their rationality and the robot's uncertainty, and
    what planning for their later answers is."""

    kind = "off_switch_world"
    Config = OffSwitchWorldConfig
    about = "the off-switch game: acting, being off, and deferring to a person"

    def plan(self, config: OffSwitchWorldConfig, context: StageContext) -> Plan:
        rows = 1 + len(config.rationalities)
        seconds = rows * (config.acts * len(config.deviations) / 8e3 + config.repeated * 0.03)
        return Plan(rows=config.acts, seconds=(seconds / 2, 2 + 8 * seconds))

    def run(self, config: OffSwitchWorldConfig, context: StageContext) -> StageResult:
        from accord.control.tabular.off_switch import incentive

        people = {RATIONAL: float("inf")} | {f"{r:g}": r for r in config.rationalities}
        means = generator(context.seed, "acts").normal(size=config.acts).tolist()
        values: dict[str, Value] = {}
        for number, (row, rationality) in enumerate(people.items()):
            for deviation in config.deviations:
                gains = np.array([incentive(mean, deviation, rationality) for mean in means])
                values[f"gain_{deviation:g}.{row}"] = float(gains.mean())
                values[f"defers_{deviation:g}.{row}"] = float((gains > 0).mean())
            values |= {
                f"{name}.{row}": value
                for name, value in _repeated(config, rationality, means[: config.repeated]).items()
            }
            context.checkpoint(number + 1, len(people), "people")
        least = values[f"gain_{config.deviations[0]:g}.{row}"]
        first = values[f"gain_{config.deviations[0]:g}.{RATIONAL}"]
        return StageResult(
            f"deferring is worth {first:+.3f} with a rational person, {least:+.3f} with one of "
            f"rationality {row}, where the robot is surest",
            values,
        )


def _repeated(
    config: OffSwitchWorldConfig, rationality: float, worths: list[float]
) -> dict[str, float]:
    """Mean reward over all rounds by planning, and how much less it is by taking what is best now,
    and by learning first: with the best number of questions for these acts together."""
    from accord.control.tabular.assistance import choosers, play
    from accord.control.tabular.off_switch import ASK, repeated

    games = [repeated(m, 1.0, rationality, config.cost, 1.0, config.points) for m in worths]
    rows = [
        {
            name: float(play(game, config.rounds, choose)[0])
            for name, choose in choosers(game, config.rounds, config.first, ASK).items()
        }
        for game in games
    ]
    got = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {
        "planned": got["plans"],
        "less_myopic": got["plans"] - got["myopic"],
        "less_first": got["plans"] - max(got[f"first_{n}"] for n in config.first),
    }
