"""How often models break the principles of a constitution, by functions that mark where; on the
same prompts, compared with one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from accord.files import write_json
from accord.oversight.constitution import read_constitution
from accord.runs.context import StageContext
from accord.runs.inputs import ConstitutionName, Demonstrations, PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.critic_functions import UsesCritics

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.oversight.critics import RuleCritic
    from accord.statistics.means import Estimate
    from accord.text.chats import Prompt

CHUNK = 64
FILE, ANY = "violations.json", "any"


class ViolationsConfig(UsesCritics, StageConfig):
    """Settings of a violations stage."""

    kind: Literal["violations"]
    models: dict[str, PolicyName] = Field(
        min_length=1, description="Name in the table -> the model that writes."
    )
    baseline: str = Field(description="Which of them the others are compared with.")
    constitution: ConstitutionName = Field(description="The principles: a file, or accord:NAME.")
    prompts: Prompts = Field(description="Prompts that no model was tuned on.")
    heldout: Demonstrations | None = Field(
        None, description="What people wrote: how likely each model finds it, in nats per token."
    )
    count: int | None = Field(None, ge=2, description="Prompts used, from the top; null: all.")
    max_new_tokens: int = Field(256, ge=1, description="Longest sample, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")

    @model_validator(mode="after")
    def _baseline_is_one(self) -> ViolationsConfig:
        if self.baseline not in self.models:
            raise ValueError(
                f"the baseline {self.baseline!r} is none of the models: {', '.join(self.models)}"
            )
        return self


class Violations(Stage):
    """Samples each model once per prompt, with the same seeds, and counts what breaks which
    principle."""

    kind = "violations"
    Config = ViolationsConfig
    provides: ClassVar = {"violations": None}
    about = "how often models break a constitution's principles, compared on the same prompts"

    def plan(self, config: ViolationsConfig, context: StageContext) -> Plan:
        from accord.runs.known import known_model
        from accord.runs.stages import planning

        config.check_critics(read_constitution(config.constitution))
        rows = 0
        for name, reference in config.models.items():
            with context.about(f"models.{name}"):
                model = known_model(reference, "policy", context)
            fitting = planning.prompts_that_fit(
                config.prompts, config.count, config.max_new_tokens, model, context, "prompts"
            )
            rows += len(fitting or ()) or config.count or 0
        return Plan(rows=rows or None, tokens=rows * config.max_new_tokens or None)

    def run(self, config: ViolationsConfig, context: StageContext) -> StageResult:
        from accord.runs.reading import read_prompts

        critic = config.rule_critic(read_constitution(config.constitution))
        prompts = read_prompts(config.prompts, context, config.count)
        found = {
            name: _measured(name, reference, prompts, critic, config, context)
            for name, reference in config.models.items()
        }
        values: dict[str, Value] = {}
        told: dict[str, Any] = {}
        for name, one in found.items():
            against = None if name == config.baseline else found[config.baseline]
            told[name] = one.estimates(against)
            context.say(f"{name}: {one.line(told[name])}")
            values |= {f"{name}.{key}": estimate.value for key, estimate in told[name].items()}
            values |= {f"{name}.{key}": value for key, value in one.plain().items()}
        write_json(
            context.folder / FILE,
            {
                name: {key: one.model_dump(mode="json") for key, one in estimates.items()}
                for name, estimates in told.items()
            },
        )
        summary = "; ".join(f"{name} {values[f'{name}.{ANY}']:.1%}" for name in found)
        return StageResult(
            f"responses that break a principle: {summary}",
            values,
            {"violations": context.folder / FILE},
        )


@dataclass(frozen=True)
class ModelViolations:
    """One model. broken: per principle, and for any, whether each response breaks it; finished:
    whether each ended by itself; characters: of each; loss: nats per token of people's text."""

    broken: dict[str, list[float]]
    finished: list[float]
    characters: list[float]
    loss: float | None

    def estimates(self, against: ModelViolations | None) -> dict[str, Estimate]:
        """Shares, and how much less often than the baseline on the same prompts, with
        intervals."""
        from accord.statistics.means import paired_difference, share_mean

        found = {name: share_mean(column) for name, column in self.broken.items()}
        found["finished"] = share_mean(self.finished)
        if against is not None:
            for name, column in self.broken.items():
                base_B, own_B = np.array(against.broken[name]), np.array(column)
                found[f"{name}_less"] = paired_difference(base_B, own_B)
        return found

    def plain(self) -> dict[str, float]:
        """Numbers without an interval."""
        loss = {} if self.loss is None else {"heldout_loss": self.loss}
        return {"characters": float(np.mean(self.characters))} | loss

    def line(self, estimates: Mapping[str, Estimate]) -> str:
        """In words."""
        broken = "; ".join(f"{name} {estimates[name].percent}" for name in self.broken)
        line = f"{broken}; {estimates['finished'].value:.1%} finished"
        line += f", {self.plain()['characters']:.0f} characters"
        if self.loss is not None:
            line += f", {self.loss:.3f} nats/token on people's text"
        less = estimates.get(f"{ANY}_less")
        return line if less is None else f"{line}; any less often by {less}"


def _measured(
    name: str,
    reference: str,
    prompts: Sequence[Prompt],
    critic: RuleCritic,
    config: ViolationsConfig,
    context: StageContext,
) -> ModelViolations:
    from accord.models.loading import freeze, load_causal_lm
    from accord.runs.stages.sampled import sample_in_chunks
    from accord.sampling.rollout import SamplingSettings

    model = freeze(load_causal_lm(context.resolve(reference), context.device))
    rows = sample_in_chunks(
        model,
        prompts,
        SamplingSettings(config.max_new_tokens, config.temperature),
        1,
        context,
        CHUNK,
        lambda _, __, texts: [None] * len(texts),
        f"{name}.jsonl",
    )
    counts = [critic.counts(row["prompt"], row["responses"][0]) for row in rows]
    broken = {one.id: [float(c[one.id] > 0) for c in counts] for one in critic.principles}
    return ModelViolations(
        broken | {ANY: [float(any(c.values())) for c in counts]},
        [float(row["finished"][0]) for row in rows],
        [float(len(row["responses"][0])) for row in rows],
        _loss(model, config, context),
    )


def _loss(model: CausalLM, config: ViolationsConfig, context: StageContext) -> float | None:
    """Of what people wrote."""
    from accord.learning.supervised import heldout_loss
    from accord.runs.stages.settings import LengthConfig
    from accord.runs.stages.sft import read_demonstrations
    from accord.text.packing import SCORING_TOKENS

    if config.heldout is None:
        return None
    lengths = LengthConfig(max_prompt_tokens="auto", max_response_tokens="auto", too_long="drop")
    examples = read_demonstrations(config.heldout, model, lengths, context)
    return heldout_loss(model, [one.group for one in examples], SCORING_TOKENS)
