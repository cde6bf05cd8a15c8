"""Rounds of self-play in a world whose responses are all listed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from scipy.special import log_softmax

from accord.oversight.self_play import divergence, spin_step
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import generator


class SelfPlayConfig(StageConfig):
    """Settings of a self_play_world stage."""

    kind: Literal["self_play_world"]
    responses: int = Field(50, ge=2, description="Responses that there are.")
    spread: float = Field(
        1.0, gt=0, description="Deviation of log-odds, of the demonstrations and of the policy."
    )
    rounds: int = Field(4, ge=1, description="Rounds, each trained to its end.")
    betas: list[float] = Field([2.0, 1.0, 0.5, 0.1], min_length=1, description="Values of beta.")
    early: float = Field(
        0.1, gt=0, le=1, description="The smallest beta again, each round stopped this far along."
    )


class SelfPlayWorld(Stage):
    """How far the policy is from the demonstrations after each round of SPIN."""

    kind = "self_play_world"
    Config = SelfPlayConfig
    about = "rounds of self-play fine-tuning, solved exactly"

    def plan(self, config: SelfPlayConfig, context: StageContext) -> Plan:
        return Plan(rows=config.responses, seconds=(0.0, 1.0))

    def run(self, config: SelfPlayConfig, context: StageContext) -> StageResult:
        rng = generator(context.seed, "self play")
        data_V, first_V = (
            log_softmax(config.spread * rng.normal(size=config.responses)) for _ in range(2)
        )
        arms = {f"{beta:g}": (beta, 1.0) for beta in config.betas}
        arms["early"] = (min(config.betas), config.early)
        values: dict[str, Value] = {}
        for name, (beta, trained) in arms.items():
            policy_V = first_V
            for number in range(config.rounds + 1):
                values[f"kl_{number}.{name}"] = divergence(data_V, policy_V)
                policy_V = spin_step(policy_V, data_V, beta, trained)
        last = ", ".join(f"{n} {values[f'kl_{config.rounds}.{n}']:.3g}" for n in arms)
        told = f"KL to the demonstrations {values[f'kl_0.{next(iter(arms))}']:.3g} before, after"
        return StageResult(f"{told} {config.rounds} rounds by beta: {last}", values)
