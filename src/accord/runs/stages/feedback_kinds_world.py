"""What one judgement of each kind tells about a reward, on grids, all by one likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    from accord.control.tabular.choices import FeedbackGrid

FEATURES = 3
WEIGHTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""What a feature's weight may be, each alike."""
SIDE = 5


class FeedbackKindsWorldConfig(StageConfig):
    """Settings of a feedback_kinds_world stage."""

    kind: Literal["feedback_kinds_world"]
    worlds: int = Field(10, ge=1, description="Grids, of which the mean is told.")
    steps: int = Field(5, ge=1, le=6, description="Steps of an episode that is judged.")
    judgements: int = Field(10, ge=1, description="Judgements of each kind.")
    rationality: float = Field(2.0, gt=0, description="Of whoever judges, per unit of reward.")
    lapse: float = Field(0.05, ge=0, lt=1, description="Share of judgements by chance.")


class FeedbackKindsWorld(Stage):
    """Bits that a judgement of each kind tells, and what is known and lost after some of them."""

    kind = "feedback_kinds_world"
    Config = FeedbackKindsWorldConfig
    about = "information per judgement of every kind of feedback, and of all kinds mixed"

    def plan(self, config: FeedbackKindsWorldConfig, context: StageContext) -> Plan:
        seconds = config.worlds * config.judgements * 5**config.steps / 25_000
        return Plan(rows=config.worlds, seconds=(1 + seconds / 3, 3 + 4 * seconds))

    def run(self, config: FeedbackKindsWorldConfig, context: StageContext) -> StageResult:
        from accord.control.tabular.choices import KINDS

        found = over_worlds(
            config.worlds, lambda number: _measured(config, context.seed, number), context
        )
        values = means(found)
        told = ", ".join(f"{row} {values[f'bits.{row}']:.2f}" for row in KINDS)
        return StageResult(f"bits of a first judgement: {told}", values)


def _measured(
    config: FeedbackKindsWorldConfig, seed: int, number: int
) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one grid, by kind and for all of them mixed."""
    from accord.control.tabular.choices import KINDS

    grid, weights_KF, true = _drawn(config, generator(seed, "kinds", number))
    for row, kinds in ({name: [name] for name in KINDS} | {"mixed": list(KINDS)}).items():
        rng = generator(seed, "kinds", number, row)
        for name, value in _judged(config, grid, weights_KF, true, kinds, rng):
            yield f"{name}.{row}", value


def _drawn(
    config: FeedbackKindsWorldConfig, rng: np.random.Generator
) -> tuple[FeedbackGrid, Array, int]:
    """A grid, all weights that could be true [K, F], and which are."""
    from accord.control.tabular.choices import FeedbackGrid, draw_features, every_weights
    from accord.control.tabular.gridworld import grid_world, open_grid

    grid = grid_world(open_grid(SIDE), 0.9)
    features_SF = draw_features(grid.mdp.states, FEATURES, rng)
    regions_S = np.array([2 * (2 * r >= SIDE) + (2 * c >= SIDE) for r, c in grid.cells])
    weights_KF = every_weights(WEIGHTS, FEATURES)
    start = grid.state(SIDE // 2, SIDE // 2)
    judged = FeedbackGrid(grid.mdp, features_SF, config.steps, start, regions_S)
    return judged, weights_KF, int(rng.integers(len(weights_KF)))


def _judged(
    config: FeedbackKindsWorldConfig,
    grid: FeedbackGrid,
    weights_KF: Array,
    true: int,
    kinds: Sequence[str],
    rng: np.random.Generator,
) -> Iterator[tuple[str, float]]:
    """(KEY, value): bits of the first judgement, on average over what could be said; then of what
    is known after all of them, drawn by kind in turn."""
    from accord.control.tabular.choices import KINDS, choice_log_p, entropy, information
    from accord.control.tabular.goals import credible_set
    from accord.control.tabular.mdp import draw
    from accord.control.tabular.shaping import regret

    prior_K = np.full(len(weights_KF), 1 / len(weights_KF))
    p_K, first = prior_K, []
    order = rng.permutation(len(kinds))
    for number in range(config.judgements):
        kind = kinds[order[number % len(kinds)]]
        options_CF = KINDS[kind](grid, weights_KF, rng)
        log_p_KC = choice_log_p(options_CF, weights_KF, config.rationality, config.lapse)
        first.append(information(log_p_KC, prior_K))
        said = int(draw(np.exp(log_p_KC[true : true + 1]), rng)[0])
        p_K = p_K * np.exp(log_p_KC[:, said])
        p_K = p_K / p_K.sum()
    yield "bits", float(np.mean(first))
    yield "left", entropy(p_K)
    yield "cover", float(credible_set(p_K[:, None])[true, 0])
    paid = (grid.reward(w) for w in (weights_KF[true], p_K @ weights_KF))
    yield "lost", 100 * regret(grid.mdp, *paid).most
