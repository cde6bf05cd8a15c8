"""Demonstrations in grids where chance moves: rewards inferred from them, and policies copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.errors import ConfigError
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
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
        found: dict[str, list[float]] = {}
        for number in range(config.worlds):
            rng = generator(context.seed, "inverse rewards", number)
            for name, value in _measured(config, rng):
                found.setdefault(name, []).append(value)
            context.checkpoint(number + 1, config.worlds, "worlds")
        values: dict[str, Value] = {name: float(np.mean(rows)) for name, rows in found.items()}
        most = max(config.shown)
        told = ", ".join(f"{row} {values[f'lost_{most}.{row}']:.2g} %" for row in ROWS)
        return StageResult(f"lost after {most} demonstrations: {told}", values)


ROWS = ("cloning", "dagger", "causal", "entropy", "posterior")


def _measured(
    config: InverseRewardWorldConfig, rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one world: regret in percent by episodes shown; elsewhere: of the rewards
    in a world that is otherwise laid out; cover: whether 95 % sets hold each weight."""
    from accord.control.tabular.choices import every_weights
    from accord.control.tabular.gridworld import grid_world, open_grid
    from accord.control.tabular.irl import clone, dagger, fit_reward
    from accord.control.tabular.mdp import boltzmann, optimal_q, sample

    mdp = grid_world(open_grid(config.side), config.discount, config.slip).mdp
    here_SF, there_SF = (_features(mdp, rng) for _ in range(2))
    all_KF = every_weights(WEIGHTS, FEATURES)
    true_F = all_KF[rng.integers(len(all_KF))]
    true_SA = _paid(mdp, here_SF, true_F)
    expert_SA = np.exp(boltzmann(optimal_q(mdp, true_SA), config.rationality))
    yield "lost_all.expert", _lost(mdp, true_SA, expert_SA)
    log_policy_KSA = np.stack(
        [
            boltzmann(optimal_q(mdp, _paid(mdp, here_SF, weights_F)), config.rationality)
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
            yield f"lost_{count}.{row}", _lost(mdp, true_SA, policy_SA)
        for row, weights_F in rewards.items():
            yield f"lost_{count}.{row}", _acted(mdp, here_SF, true_F, weights_F)
        yield f"cover_{count}.posterior", cover
    for row, weights_F in rewards.items():
        yield f"elsewhere.{row}", _acted(mdp, there_SF, true_F, weights_F)
    for row, policy_SA in copied.items():
        yield f"elsewhere.{row}", _lost(mdp, _paid(mdp, there_SF, true_F), policy_SA)


def _features(mdp: FiniteMdp, rng: np.random.Generator) -> Array:
    """Every cell has at most one of the features, or is empty: [S, F]."""
    found: Array = np.eye(FEATURES + 1, FEATURES)[rng.integers(FEATURES + 1, size=mdp.states)]
    return found


def _paid(mdp: FiniteMdp, features_SF: Array, weights_F: Array) -> Array:
    """The reward of the cell that is entered: [S, A]."""
    found: Array = mdp.transition_SAS @ (features_SF @ weights_F)
    return found


def _lost(mdp: FiniteMdp, true_SA: Array, policy_SA: Array) -> float:
    """In percent of the way from the best to the worst policy."""
    from accord.control.tabular.mdp import optimal_q
    from accord.control.tabular.shaping import share_lost

    top, bottom = (
        sign * float(mdp.start_S @ optimal_q(mdp, sign * true_SA).max(1)) for sign in (1, -1)
    )
    return 100 * share_lost(top, bottom, mdp.value(true_SA, policy_SA))


def _acted(mdp: FiniteMdp, features_SF: Array, true_F: Array, weights_F: Array) -> float:
    """What acting on weights loses where others are true; of several best actions any."""
    from accord.control.tabular.mdp import best_actions, optimal_q, uniform

    policy_SA = uniform(best_actions(optimal_q(mdp, _paid(mdp, features_SF, weights_F))))
    return _lost(mdp, _paid(mdp, features_SF, true_F), policy_SA)


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
