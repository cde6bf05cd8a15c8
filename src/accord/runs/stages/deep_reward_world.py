"""Rewards of demonstrations in grids, linear in features and by a network, tried on other grids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import means, over_worlds
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.control.tabular.mdp import FiniteMdp

FEATURES = 2
KINDS = ("linear", "product")
"""What the true reward is of two features of a cell: a weighted sum, or their product."""
ROWS = ("cloning", "mce", "deep")
RATIONALITY = 3.0
"""Of the demonstrator."""


class DeepRewardWorldConfig(StageConfig):
    """Settings of a deep_reward_world stage."""

    kind: Literal["deep_reward_world"]
    worlds: int = Field(3, ge=1, description="Grids that are shown, of which the mean is told.")
    unseen: int = Field(3, ge=1, description="Other grids in which each reward is tried.")
    side: int = Field(6, ge=3, le=12, description="Cells of a grid's side.")
    discount: float = Field(0.9, gt=0, lt=1, description="Discount of the world, per step.")
    slip: float = Field(0.1, ge=0, lt=1, description="Probability that chance moves instead.")
    shown: int = Field(64, ge=1, description="Episodes demonstrated.")
    steps: int = Field(10, ge=1, description="Steps of an episode.")
    updates: int = Field(150, ge=1, description="Updates of the network.")


class DeepRewardWorld(Stage):
    """Maximum causal entropy with a linear reward, deep maximum entropy, and cloning: what acting
    on each loses where it was shown and on grids with other features."""

    kind = "deep_reward_world"
    Config = DeepRewardWorldConfig
    about = "rewards inferred by a network and by a sum, tried on grids that were not shown"

    def plan(self, config: DeepRewardWorldConfig, context: StageContext) -> Plan:
        seconds = config.worlds * (config.side / 6) ** 4 * config.updates / 150
        return Plan(rows=config.worlds, seconds=(seconds / 2, 2 + 5 * seconds))

    def run(self, config: DeepRewardWorldConfig, context: StageContext) -> StageResult:
        found = over_worlds(
            config.worlds,
            lambda number: (
                one
                for kind in KINDS
                for one in _measured(config, kind, derive_seed(context.seed, kind, number))
            ),
            context,
        )
        values = means(found)
        told = ", ".join(
            f"{row} {values[f'elsewhere_{kind}.{row}']:.2g} % ({kind})"
            for kind in KINDS
            for row in ROWS
        )
        return StageResult(f"lost on grids not shown: {told}", values)


def _measured(config: DeepRewardWorldConfig, kind: str, seed: int) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, percent lost) of one grid: here, and on the mean of the unseen ones."""
    from accord.control.tabular.deep_irl import NetTraining, fit_reward_net
    from accord.control.tabular.gridworld import grid_world, open_grid
    from accord.control.tabular.irl import clone, fit_reward
    from accord.control.tabular.mdp import (
        best_actions,
        boltzmann,
        optimal_q,
        sample,
        uniform,
    )

    rng = generator(seed, "grids")
    mdp = grid_world(open_grid(config.side), config.discount, config.slip).mdp
    grids = [rng.uniform(-1, 1, (mdp.states, FEATURES)) for _ in range(1 + config.unseen)]
    weights_F = rng.normal(size=FEATURES)

    def truth(features_SF: Array) -> Array:
        """What entering each state pays: at most 1 in size."""
        paid_S: Array = features_SF @ weights_F if kind == "linear" else features_SF.prod(1)
        entered_SA: Array = mdp.transition_SAS @ (paid_S / np.abs(paid_S).max())
        return entered_SA

    expert_SA = np.exp(boltzmann(optimal_q(mdp, truth(grids[0])), RATIONALITY))
    shown = sample(mdp, expert_SA, config.steps, config.shown, rng)
    linear = fit_reward(mdp, mdp.transition_SAS @ grids[0], shown)
    net = fit_reward_net(
        mdp, grids[0], shown, derive_seed(seed, "net"), NetTraining(updates=config.updates)
    )
    copied_SA = clone(mdp, shown)
    for number, features_SF in enumerate(grids):
        key = f"elsewhere_{kind}" if number else f"lost_{kind}"
        rewards = {"mce": features_SF @ linear.weights_F, "deep": net.of(features_SF)}
        for row, reward_S in rewards.items():
            best_SA = best_actions(optimal_q(mdp, mdp.transition_SAS @ reward_S))
            yield f"{key}.{row}", _lost(mdp, truth(features_SF), uniform(best_SA))
        yield f"{key}.cloning", _lost(mdp, truth(features_SF), copied_SA)


def _lost(mdp: FiniteMdp, true_SA: Array, policy_SA: Array) -> float:
    """In percent of the way from the best to the worst policy."""
    from accord.control.tabular.shaping import best_and_worst, share_lost

    return 100 * share_lost(*best_and_worst(mdp, true_SA), mdp.value(true_SA, policy_SA))
