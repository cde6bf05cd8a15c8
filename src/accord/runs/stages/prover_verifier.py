"""Rounds of a prover–verifier game on sums of digits: what the verifier catches, and who else can
read the solutions (Kirchner et al. 2024)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from accord.oversight.prover_verifier import (
    GameRules,
    GameState,
    begun,
    glanced,
    played,
    problems,
    solve,
)
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import generator


class ProverVerifierConfig(StageConfig):
    """Settings of a prover_verifier stage."""

    kind: Literal["prover_verifier"]
    rounds: int = Field(8, ge=1, le=64, description="Rounds, after which the verifier learns.")
    digits: int = Field(8, ge=3, le=64, description="Digits of a sum.")
    problems: int = Field(2000, ge=50, description="Sums per round, for each prover; and tested.")
    tries: int = Field(
        16, ge=1, le=1024, description="Solutions of which a prover shows the most convincing."
    )
    pace: float = Field(
        0.5, gt=0, le=1, description="How far provers move to the jumps of what convinced."
    )
    looks: int = Field(3, ge=1, description="Jumps that a judge without time looks at.")
    sees: list[float] = Field(
        [0.95, 0.8, 0.6],
        min_length=3,
        max_length=3,
        description="Chance that a weaker judge sees a wrong jump over one, two and three digits.",
    )

    @field_validator("sees")
    @classmethod
    def _chances(cls, sees: list[float]) -> list[float]:
        if not all(0 <= one <= 1 for one in sees):
            raise ValueError(f"{sees} are chances: give numbers from 0 to 1")
        return sees

    @property
    def rules(self) -> GameRules:
        """Of the game."""
        return GameRules(self.digits, self.problems, self.tries, self.pace)


class ProverVerifier(Stage):
    """Plays the game, and beside it one whose verifier learns nothing; measures on new sums, with
    provers that show their best against the verifier as it then is."""

    kind = "prover_verifier"
    Config = ProverVerifierConfig
    about = "helpful and sneaky provers against a verifier, on sums that can be checked"

    def plan(self, config: ProverVerifierConfig, context: StageContext) -> Plan:
        cost = 3e-7 * config.rounds * config.problems * config.tries * config.digits
        return Plan(rows=config.problems * (config.rounds + 1), seconds=(cost, 10 * cost + 2))

    def run(self, config: ProverVerifierConfig, context: StageContext) -> StageResult:
        values: dict[str, Value] = {}
        for place, learns in enumerate((True, False)):
            rng = generator(context.seed, "prover verifier", int(learns))
            state = begun(config.rules, generator(context.seed, "prover verifier", "begin"))
            for number in range(config.rounds + 1):
                found = _measured(state, config, generator(context.seed, "measured", number))
                if learns:
                    values |= {f"{name}.{number}": value for name, value in found.items()}
                else:
                    values[f"fixed.{number}"] = found["caught"]
                done = place * (config.rounds + 1) + number + 1
                context.checkpoint(done, 2 * (config.rounds + 1), "rounds")
                if number < config.rounds:
                    state = played(state, config.rules, rng, learns)
        first, last = values["caught.0"], values[f"caught.{config.rounds}"]
        summary = (
            f"sneaky solutions caught: {first:.1%} before, {last:.1%} after {config.rounds} rounds"
            f" ({values[f'fixed.{config.rounds}']:.1%} without learning)"
        )
        return StageResult(summary, values)


def _measured(
    state: GameState, config: ProverVerifierConfig, rng: np.random.Generator
) -> dict[str, float]:
    """caught: sneaky solutions that the verifier calls wrong; believed: helpful ones that it calls
    right; accepted: sneaky ones that it believes more than the least of 90 % of the helpful ones;
    long: helpful jumps over more than one digit; jumps: of a helpful solution; careful, hurried:
    errors by chance, in solutions with the helpful prover's jumps, that a weaker judge finds who
    looks at all of it, or at a few jumps."""
    digits_BD = problems(config.rules, rng)
    helpful = state.helpful.shown(digits_BD, state.verifier, rng)
    sneaky = state.sneaky.shown(digits_BD, state.verifier, rng)
    believed_B, tempting_B = state.verifier.odds(helpful), state.verifier.odds(sneaky)
    sizes = helpful.jumps()[1]
    wrong = solve(digits_BD, state.helpful.share_J, True, rng)
    return {
        "caught": float((tempting_B <= 0).mean()),
        "believed": float((believed_B > 0).mean()),
        "accepted": float((tempting_B > np.quantile(believed_B, 0.1)).mean()),
        "long": float((sizes > 1).mean()),
        "jumps": len(sizes) / len(digits_BD),
        "careful": 1 - float(glanced(wrong, config.digits, config.sees, rng).mean()),
        "hurried": 1 - float(glanced(wrong, config.looks, config.sees, rng).mean()),
    }
