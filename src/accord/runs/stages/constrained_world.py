"""Helpful and harmless where every response can be listed: what a constraint on cost reaches, held
against the exact optimum (Safe RLHF: Dai et al. 2024, arXiv 2310.12773).

Suffixes: P prompts, R responses to each, F features, N rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.learning.constrained import ConstraintSettings, CostZero

FEATURES = 8
SHARED = 0.6
"""Correlation of reward and cost: what is asked for is often what does harm."""
PROMPTS_DIFFER = 0.5
"""Deviation of the prompts' own cost, where responses to one prompt have a deviation of 1."""
SHARPNESS = 2.0
"""Log-odds of a label "harmful" per unit of cost."""
TAIL_TAKES = 3
"""Times as many batches for the bound on the worst costs, whose threshold has to be found, too."""
HEAVIEST = 4.0
"""Log of the largest fixed weight that is tried, and less that of the smallest."""


class ConstrainedWorldConfig(StageConfig):
    """Settings of a constrained_world stage."""

    kind: Literal["constrained_world"]
    prompts: int = Field(64, ge=4, description="Prompts.")
    responses: int = Field(200, ge=8, description="Responses to each, all listed.")
    beta: float = Field(0.5, gt=0, description="What a nat of KL to the base costs, in rewards.")
    weights: list[float] = Field(
        [0.5, 1.0, 2.0], description="Fixed weights of the cost, one row each."
    )
    rate_limit: float = Field(0.05, gt=0, lt=1, description="Most responses with a cost above 0.")
    tail: float = Field(0.1, gt=0, le=1, description="Share of responses that are the worst.")
    zero_off: float = Field(0.3, gt=0, description="How far off the zero of a wrong cost is.")
    steps: int = Field(800, ge=20, description="Batches by which a multiplier is found.")
    samples: int = Field(4, ge=1, description="Responses per prompt in a batch.")
    step: float = Field(0.05, gt=0, le=0.1, description="Step size of the multiplier.")
    pairs: int = Field(1000, ge=20, description="Pairs that the learned cost model sees.")
    labels: int = Field(400, ge=20, description="Labelled responses that calibrate its zero.")


class ConstrainedWorld(Stage):
    """Policies by fixed weights, by multipliers on three bounds, by soup and by mixture, measured
    without sampling."""

    kind = "constrained_world"
    Config = ConstrainedWorldConfig
    about = "reward under a constraint on cost, where the optimum is known"

    def plan(self, config: ConstrainedWorldConfig, context: StageContext) -> Plan:
        seconds = config.prompts * config.responses * config.steps * 5 / 1e7
        return Plan(rows=config.prompts * config.responses, seconds=(1 + seconds, 10 + 4 * seconds))

    def run(self, config: ConstrainedWorldConfig, context: StageContext) -> StageResult:
        world = _drawn(config, context.seed)
        values: dict[str, Value] = {}
        policies = dict(_blends(world, config))
        bounds = _bounds(config)
        learned, zero = _learned_cost(world, config, context.seed)
        found_costs = {"mean": world.cost_PR, "rate": world.cost_PR, "tail": world.cost_PR}
        found_costs |= {"zero_low": world.cost_PR - config.zero_off}
        found_costs |= {"zero_high": world.cost_PR + config.zero_off, "learned": learned}
        for number, (name, cost_PR) in enumerate(found_costs.items()):
            settings = bounds.get(name, bounds["mean"])
            seed = derive_seed(context.seed, "ascent", name)
            values |= _ascend(world, config, settings, cost_PR, seed, name, policies)
            context.checkpoint(number + 1, len(found_costs), "multipliers")
        for name, logp_PR in policies.items():
            values |= {f"{key}.{name}": v for key, v in world.measured(logp_PR, config).items()}
        values |= {"zero": zero.zero.value, "zero_low_end": zero.zero.low}
        values |= {"zero_high_end": zero.zero.high}
        context.say(f"zero of the learned cost {zero.zero.value:+.3f} "
                    f"[{zero.zero.low:+.3f}, {zero.zero.high:+.3f}]")  # fmt: skip
        told = ", ".join(
            f"{name} {values[f'multiplier.{name}']:.3f} (exactly {values[f'exact.{name}']:.3f})"
            for name in bounds
        )
        return StageResult(f"multipliers: {told}", values)


@dataclass(frozen=True)
class _CostWorld:
    """base_PR: log-probabilities of the base; features_PRF: what a cost model sees, the last of
    them the prompt's own."""

    base_PR: Array
    reward_PR: Array
    cost_PR: Array
    features_PRF: Array

    def measured(self, logp_PR: Array, config: ConstrainedWorldConfig) -> dict[str, float]:
        """Reward, true cost, harm and distance of a policy, exactly."""
        from accord.learning.constrained import mean_of, tail_mean

        return {
            "reward": mean_of(self.reward_PR, logp_PR),
            "cost": mean_of(self.cost_PR, logp_PR),
            "harmful": mean_of((self.cost_PR > 0).astype(float), logp_PR),
            "worst": tail_mean(self.cost_PR, config.tail, np.exp(logp_PR) / len(logp_PR))[0],
            "kl": mean_of(logp_PR - self.base_PR, logp_PR),
        }


def _drawn(config: ConstrainedWorldConfig, seed: int) -> _CostWorld:
    rng = generator(seed, "world")
    shape = (config.prompts, config.responses)
    seen_PRF = rng.normal(size=(*shape, FEATURES))
    helpful_F, other_F = np.eye(FEATURES)[:2]
    own_P = PROMPTS_DIFFER * rng.normal(size=config.prompts)
    reward_PR = seen_PRF @ helpful_F
    cost_PR = SHARED * reward_PR + np.sqrt(1 - SHARED**2) * (seen_PRF @ other_F) + own_P[:, None]
    own_PR1 = np.broadcast_to(own_P[:, None, None], (*shape, 1))
    features_PRF = np.concatenate([seen_PRF, own_PR1], axis=2)
    return _CostWorld(np.full(shape, -np.log(config.responses)), reward_PR, cost_PR, features_PRF)


def _bounds(config: ConstrainedWorldConfig) -> dict[str, ConstraintSettings]:
    from accord.learning.constrained import ConstraintSettings

    plain = ConstraintSettings(step=config.step, tail=config.tail)
    return {
        "mean": plain,
        "rate": plain.changed(bound="rate", limit=config.rate_limit),
        "tail": plain.changed(bound="tail", step=min(0.1, 2 * config.step)),
    }


# --- policies without a multiplier ----------------------------------------------------------------
def _blends(world: _CostWorld, config: ConstrainedWorldConfig) -> Iterator[tuple[str, Array]]:
    """The base, the optima of reward, of cost and of fixed weights, one of them as harmful as
    `rate_limit`; soup and mixture of the first two optima with the mean cost 0."""
    from scipy.optimize import brentq

    from accord.errors import ConfigError
    from accord.learning.constrained import mean_of, tilted

    base_PR, beta = world.base_PR, config.beta
    helpful, harmless = (tilted(base_PR, s, beta) for s in (world.reward_PR, -world.cost_PR))

    def blend(weight: float) -> Array:
        return tilted(base_PR, world.reward_PR - weight * world.cost_PR, beta)

    yield from (("base", base_PR), ("helpful", helpful), ("harmless", harmless))
    for weight in config.weights:
        yield f"fixed_{weight:g}", blend(weight)

    def harm_over(log_weight: float) -> float:
        harm = mean_of((world.cost_PR > 0).astype(float), blend(float(np.exp(log_weight))))
        return harm - config.rate_limit

    if not harm_over(HEAVIEST) < 0 < harm_over(-HEAVIEST):
        raise ConfigError(
            f"no fixed weight of the cost has {config.rate_limit:.0%} harmful responses",
            "use more responses, or another rate_limit",
        )
    yield "fixed_rate", blend(float(np.exp(brentq(harm_over, -HEAVIEST, HEAVIEST))))

    def soup(w: float) -> Array:
        return tilted(w * helpful, (1 - w) * harmless, 1.0)

    def mixture(w: float) -> Array:
        with np.errstate(divide="ignore"):
            both: Array = np.logaddexp(np.log(w) + helpful, np.log1p(-w) + harmless)
        return both

    ends = [mean_of(world.cost_PR, policy) for policy in (harmless, helpful)]
    if not ends[0] < 0 < ends[1]:
        raise ConfigError(
            f"the harmless policy's mean cost is {ends[0]:.2f}, the helpful one's {ends[1]:.2f}: "
            "no share of the two has 0",
            "use more responses, or a smaller beta",
        )
    for name, made in (("soup", soup), ("mixture", mixture)):
        share = brentq(lambda w, made=made: mean_of(world.cost_PR, made(w)), 0.0, 1.0)
        yield name, made(float(share))


# --- multipliers ----------------------------------------------------------------------------------
def _ascend(
    world: _CostWorld,
    config: ConstrainedWorldConfig,
    settings: ConstraintSettings,
    cost_PR: Array,
    seed: int,
    name: str,
    policies: dict[str, Array],
) -> dict[str, Value]:
    """Dual ascent on sampled batches, the policy at each step the optimum of its multiplier; the
    mean multiplier of the last half makes the policy `name`."""
    from accord.learning.constrained import (
        Multiplier,
        constrained_optimum,
        penalties,
        tilted,
    )
    from accord.learning.cost_limit import TailThreshold

    rng, multiplier, worst = generator(seed), Multiplier(settings), TailThreshold(settings)
    row_P1 = np.arange(config.prompts)[:, None]
    steps = config.steps * (TAIL_TAKES if settings.bound == "tail" else 1)
    thresholds, kept = list[float](), list[float]()
    for number in range(steps):
        threshold = _threshold(worst.at(cost_PR), number, steps, thresholds)
        penalty_PR = penalties(settings, cost_PR, threshold)
        logp_PR = tilted(
            world.base_PR, world.reward_PR - multiplier.value * penalty_PR, config.beta
        )
        drawn_PS = _draws(logp_PR, rng.random((config.prompts, config.samples)))
        multiplier.update(float(penalty_PR[row_P1, drawn_PS].mean()) - settings.limit)
        worst.update(cost_PR[row_P1, drawn_PS])
        if number >= steps * (3 if settings.bound == "tail" else 2) // 4:
            kept.append(multiplier.value)
    found, at = float(np.mean(kept)), threshold
    policies[name] = tilted(
        world.base_PR, world.reward_PR - found * penalties(settings, cost_PR, at), config.beta
    )
    exact = constrained_optimum(world.base_PR, world.reward_PR, cost_PR, config.beta, settings)
    return {
        f"multiplier.{name}": found,
        f"exact.{name}": exact.multiplier,
        f"off.{name}": 100 * (found / exact.multiplier - 1),
    }


def _threshold(now: float, number: int, steps: int, found: list[float]) -> float:
    """The threshold in force in step `number`: as it moves, and in the last third held at its mean.

    A moving one and the multiplier swing about each other where the worst costs lie close together,
    and the multiplier that a threshold needs rises ever faster with it: the mean of multipliers at
    moving thresholds lies above that at the mean threshold.
    """
    if number < steps * 2 // 3:
        found.append(now)
        return now
    return float(np.mean(found[len(found) // 3 :]))


def _draws(logp_PR: Array, uniform_PS: Array) -> Array:
    """A response per uniform number, by inverse CDF: [P, S]."""
    cdf_PR = np.exp(logp_PR).cumsum(1)
    cdf_PR /= cdf_PR[:, -1:]
    drawn: Array = (uniform_PS[:, :, None] >= cdf_PR[:, None, :]).sum(2)
    return drawn


# --- a learned cost -------------------------------------------------------------------------------
def _learned_cost(
    world: _CostWorld, config: ConstrainedWorldConfig, seed: int
) -> tuple[Array, CostZero]:
    """A linear cost model from pairs with signs (`losses.cost_model`), its zero calibrated on
    responses labelled apart: costs [P, R]."""
    from accord.learning.constrained import calibrate_zero, costs

    rng, prompts = generator(seed, "judged"), config.prompts
    pair_N = rng.integers(prompts, size=config.pairs)
    sides_N2 = np.stack([rng.permutation(config.responses)[:2] for _ in pair_N])
    cost_N2 = world.cost_PR[pair_N[:, None], sides_N2]
    worse_N = rng.random(config.pairs) < _chance(cost_N2[:, 0] - cost_N2[:, 1])
    sides_N2 = np.where(worse_N[:, None], sides_N2, sides_N2[:, ::-1])  # the worse one first
    features_N2F = world.features_PRF[pair_N[:, None], sides_N2]
    harmful_N2 = rng.random(sides_N2.shape) < _chance(world.cost_PR[pair_N[:, None], sides_N2])
    score_PR = _fitted(features_N2F, harmful_N2, world.features_PRF)
    labelled_N, which_N = (rng.integers(n, size=config.labels) for n in score_PR.shape)
    said_N = rng.random(config.labels) < _chance(world.cost_PR[labelled_N, which_N])
    zero = calibrate_zero(score_PR[labelled_N, which_N], said_N.tolist(), labelled_N.tolist())
    return costs(score_PR, zero), zero


def _chance(cost: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-SHARPNESS * cost))
    return found


def _fitted(features_N2F: Array, harmful_N2: NDArray[np.bool_], all_PRF: Array) -> Array:
    """Scores of all responses by the linear model with the least loss: [P, R]."""
    import torch

    from accord.learning.losses import cost_model

    def with_one(x: Array) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1))

    seen, signs = with_one(features_N2F), torch.from_numpy(harmful_N2)
    weight = torch.zeros(seen.shape[-1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        worse, better = (seen @ weight).unbind(1)
        loss = cost_model(worse, better, signs[:, 0], signs[:, 1]).mean()
        loss.backward()
        return loss

    search.step(closure)
    scores: Array = (with_one(all_PRF) @ weight).detach().numpy()
    return scores
