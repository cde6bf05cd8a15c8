"""Demonstrations in grids where chance moves: rewards inferred from them, and policies copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.errors import ConfigError
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import means, over_worlds
from accord.seeds import generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.control.tabular.irl import Demonstrations
    from accord.control.tabular.mdp import FiniteMdp

FEATURES = 3
WEIGHTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""What a feature's weight may be, each alike: the grid on which the posterior is exact."""
ROUNDS = 3
"""Of DAgger, after the first demonstrations."""


class InverseRewardWorldConfig(StageConfig):
    """Settings of an inverse_reward_world stage."""

    kind: Literal["inverse_reward_world"]
    worlds: int = Field(10, ge=1, description="Grids, of which the mean is told.")
    side: int = Field(6, ge=3, le=12, description="Cells of a grid's side.")
    discount: float = Field(0.9, gt=0, lt=1, description="Discount of the world, per step.")
    slip: float = Field(0.3, ge=0, lt=1, description="Probability that chance moves instead.")
    rationality: float = Field(3.0, gt=0, description="The demonstrator's rationality.")
    shown: list[int] = Field(
        [4, 16, 64], min_length=1, description="Episodes demonstrated, multiples of 4."
    )
    steps: int = Field(10, ge=1, description="Steps of an episode.")


class InverseRewardWorld(Stage):
    """Cloning, DAgger, maximum entropy, causal or not, and the exact posterior over rewards: what
    each loses in the world that was shown and in one that was not."""

    kind = "inverse_reward_world"
    Config = InverseRewardWorldConfig
    about = "inverse reinforcement learning and imitation on grids, exactly"

    def plan(self, config: InverseRewardWorldConfig, context: StageContext) -> Plan:
        odd = [n for n in config.shown if n < 1 or n % (ROUNDS + 1)]
        if odd:
            raise ConfigError(
                f"shown = {odd[0]} episodes",
                f"give multiples of {ROUNDS + 1}: DAgger takes them in as many parts",
            )
        seconds = config.worlds * (config.side / 6) ** 4 * (0.2 + 0.2 * len(config.shown))
        return Plan(rows=config.worlds, seconds=(seconds / 2, 2 + 5 * seconds))

    def run(self, config: InverseRewardWorldConfig, context: StageContext) -> StageResult:
        found = over_worlds(
            config.worlds,
            lambda number: _measured(config, generator(context.seed, "inverse rewards", number)),
            context,
        )
        values = means(found)
        most = max(config.shown)
        told = ", ".join(f"{row} {values[f'lost_{most}.{row}']:.2g} %" for row in ROWS)
        return StageResult(f"lost after {most} demonstrations: {told}", values)


ROWS = ("cloning", "dagger", "causal", "entropy", "posterior")


def _measured(
    config: InverseRewardWorldConfig, rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one world: regret in percent by episodes shown; elsewhere: of the rewards
    in a world that is otherwise laid out; cover: whether 95 % sets hold each weight."""
    from accord.control.tabular.choices import draw_features, every_weights
    from accord.control.tabular.gridworld import grid_world, open_grid
    from accord.control.tabular.irl import clone, dagger, fit_reward
    from accord.control.tabular.mdp import boltzmann, optimal_q, sample

    mdp = grid_world(open_grid(config.side), config.discount, config.slip).mdp
    here_SF, there_SF = (draw_features(mdp.states, FEATURES, rng) for _ in range(2))
    all_KF = every_weights(WEIGHTS, FEATURES)
    true_F = all_KF[rng.integers(len(all_KF))]
    here, there = _Place(mdp, here_SF, true_F), _Place(mdp, there_SF, true_F)
    expert_SA = np.exp(boltzmann(optimal_q(mdp, here.paid(true_F)), config.rationality))
    yield "lost_all.expert", here.lost(expert_SA)
    log_policy_KSA = np.stack(
        [
            boltzmann(optimal_q(mdp, here.paid(weights_F)), config.rationality)
            for weights_F in all_KF
        ]
    )
    features_SAF = mdp.transition_SAS @ here_SF
    shown = sample(mdp, expert_SA, config.steps, max(config.shown), rng)
    for count in config.shown:
        part = shown[0][:count], shown[1][:count]
        few = shown[0][: count // (ROUNDS + 1)], shown[1][: count // (ROUNDS + 1)]
        mean_F, cover = _posterior(log_policy_KSA, all_KF, part, true_F)
        rewards = {
            "causal": fit_reward(mdp, features_SAF, part).weights_F,
            "entropy": fit_reward(mdp, features_SAF, part, causal=False).weights_F,
            "posterior": mean_F,
        }
        copied = {
            "cloning": clone(mdp, part),
            "dagger": dagger(mdp, expert_SA, few, ROUNDS, rng),
        }
        for row, policy_SA in copied.items():
            yield f"lost_{count}.{row}", here.lost(policy_SA)
        for row, weights_F in rewards.items():
            yield f"lost_{count}.{row}", here.acted(weights_F)
        yield f"cover_{count}.posterior", cover
    for row, weights_F in rewards.items():
        yield f"elsewhere.{row}", there.acted(weights_F)
    for row, policy_SA in copied.items():
        yield f"elsewhere.{row}", there.lost(policy_SA)


@dataclass(frozen=True)
class _Place:
    """A world laid out with features, of which some weights are true."""

    mdp: FiniteMdp
    features_SF: Array
    true_F: Array

    def paid(self, weights_F: Array) -> Array:
        """The reward of the cell that is entered: [S, A]."""
        found: Array = self.mdp.transition_SAS @ (self.features_SF @ weights_F)
        return found

    @cached_property
    def ends(self) -> tuple[float, float]:
        """What the best and the worst policy are worth."""
        from accord.control.tabular.shaping import best_and_worst

        return best_and_worst(self.mdp, self.paid(self.true_F))

    def lost(self, policy_SA: Array) -> float:
        """In percent of the way from the best to the worst policy."""
        from accord.control.tabular.shaping import share_lost

        worth = self.mdp.value(self.paid(self.true_F), policy_SA)
        return 100 * share_lost(*self.ends, worth)

    def acted(self, weights_F: Array) -> float:
        """What acting on other weights loses; of several best actions any."""
        from accord.control.tabular.mdp import best_actions, optimal_q, uniform

        return self.lost(uniform(best_actions(optimal_q(self.mdp, self.paid(weights_F)))))


def _posterior(
    log_policy_KSA: Array, all_KF: Array, shown: Demonstrations, true_F: Array
) -> tuple[Array, float]:
    """The mean weights, and the share of weights that lie in their 95 % set."""
    from accord.control.tabular.goals import by_label, credible_set, posterior

    states_NT, actions_NT = shown
    log_p_K = log_policy_KSA[:, states_NT[:, : actions_NT.shape[1]], actions_NT].sum((1, 2))
    p_K1 = posterior(log_p_K[:, None], np.full(len(all_KF), 1 / len(all_KF)))
    covered = []
    for feature, weight in enumerate(true_F):
        level_K = np.searchsorted(WEIGHTS, all_KF[:, feature])
        held_L = credible_set(by_label(p_K1, level_K))[:, 0]
        covered.append(bool(held_L[np.searchsorted(WEIGHTS, weight)]))
    mean_F: Array = p_K1[:, 0] @ all_KF
    return mean_F, float(np.mean(covered))
