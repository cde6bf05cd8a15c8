"""What a response costs, for a limit on it in on-policy stages: a rule that a reward model learned,
or functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from accord.errors import ConfigError, RunError
from accord.learning.constrained import ConstraintSettings, CostZero
from accord.runs.context import StageContext
from accord.runs.inputs import REFERENCE, RewardName
from accord.runs.stages.scoring import UsesFunctions, asked_of
from accord.statistics.intervals import Interval
from accord.validation import suggest

if TYPE_CHECKING:
    from torch import Tensor

    from accord.learning.cost_limit import CostLimit
    from accord.learning.judgements import JudgedGroup
    from accord.models.reward_model import RewardModel
    from accord.runs.reading import PromptRow
    from accord.sampling.rollout import Rollout
    from accord.text.encoding import Encoder

ZEROS = "zeros"
"""Where a reward model's notes hold the zeros of its rules."""


class CostConfig(UsesFunctions, ConstraintSettings):
    """What a response costs, how much of it may be, and how the multiplier finds its price."""

    reward: RewardName | None = Field(
        None,
        description="The reward model one of whose rules is kept or broken: the cost is the logit"
        " of broken, from its calibrated zero on.",
    )
    rule: str | None = Field(None, description="Which of its rules.")

    @model_validator(mode="after")
    def _costs_something(self) -> CostConfig:
        if (self.reward is None) != (self.rule is None):
            raise ValueError(
                "reward and rule go together: name the reward model and the rule that it learned"
            )
        if (self.reward is None) == (not self.functions):
            raise ValueError(
                "say what costs: a rule of a reward model, or functions (above 0 is harmful)"
            )
        if self.bound == "rate" and not 0 <= self.limit < 1:
            raise ValueError(
                f"limit is {self.limit:g}, and a rate is a share of responses: 0 or more, below 1"
            )
        return self

    @property
    def told(self) -> str:
        """In words."""
        what = {"mean": "mean cost", "rate": "share of harmful responses"}
        worst = f"mean cost of the worst {self.tail:.0%}"
        by = self.rule if self.rule is not None else ", ".join(self.functions)
        held = "measured, at a fixed weight" if self.form == "fixed" else f"at most {self.limit:g}"
        return f"{what.get(self.bound, worst)} {held}, by {by}"

    def check(self, prompts: Sequence[PromptRow], context: StageContext) -> None:
        """Raise ConfigError, before anything runs, for functions that cannot be called, and for a
        rule without a zero, where the reward model is there."""
        self.check_functions(prompts, context)
        if self.reward is None:
            return
        made = context.made(self.reward) if self.reward.startswith(REFERENCE) else self.reward
        file = Path(made) / "reward.json" if made is not None else None
        if file is not None and file.is_file():
            record = json.loads(file.read_text())
            self.zero(record["head"].get("rules", ()), record["notes"], context)

    def zero(self, rules: Sequence[str], notes: dict[str, Any], context: StageContext) -> CostZero:
        """The zero of the rule. Raises ConfigError for a rule that was not learned, or whose zero
        was never calibrated."""
        with context.about("cost.rule"):
            if self.rule not in rules:
                raise ConfigError(
                    f"{self.reward} has no rule {self.rule!r}",
                    f"{suggest(self.rule or '', list(rules))}it has: {', '.join(rules) or 'none'}",
                )
            found = notes.get(ZEROS, {}).get(self.rule)
            if not isinstance(found, dict):
                why = f" ({found})" if found else ""
                raise ConfigError(
                    f"the zero of the rule {self.rule!r} was never calibrated{why}: a limit on its"
                    " cost says nothing",
                    "train the reward model with answers of both kinds about this rule on prompts"
                    " kept aside (evaluation)",
                )
            return CostZero(Interval(**found["zero"]), found["slope"], found["prompts"])


def note_zeros(
    model: RewardModel,
    heldout: Sequence[JudgedGroup],
    micro_batch_tokens: int,
    context: StageContext,
) -> None:
    """Calibrate the zeros of a reward model's rules on what was kept aside; they are saved with
    it."""
    from accord.learning.rule_heads import rule_zeros

    zeros = rule_zeros(model, heldout, micro_batch_tokens)
    for name, zero in zeros.items():
        if isinstance(zero, CostZero):
            at = f"{zero.zero.value:+.2f} [{zero.zero.low:+.2f}, {zero.zero.high:+.2f}]"
            context.say(f"rule {name}: as often broken as kept at a logit of broken of {at}")
        else:
            context.say(f"rule {name}: no zero, so that its cost takes no limit ({zero})")
    model.notes[ZEROS] = {
        name: asdict(zero) if isinstance(zero, CostZero) else zero for name, zero in zeros.items()
    }


def cost_limit(
    config: CostConfig,
    reward: RewardModel | None,
    prompts: Sequence[PromptRow],
    encoder: Encoder,
    micro_batch_tokens: int,
    context: StageContext,
) -> CostLimit:
    """What a trainer asks about cost. reward: the model of the rule where it is loaded already.
    Raises ConfigError for a rule without a zero."""
    from accord.learning.cost_limit import CostLimit
    from accord.models.reward_model import RewardModel

    if config.reward is not None and reward is None:
        reward = RewardModel.load(context.path(config.reward), context.device).frozen()
    model = None if config.reward is None else reward
    scorer = CostScorer(config, model, prompts, encoder, micro_batch_tokens, context)
    if scorer.zero is not None:
        at = scorer.zero.zero
        context.say(
            f"zero of the cost {at.value:+.2f} [{at.low:+.2f}, {at.high:+.2f}]; {config.told}"
        )
    return CostLimit(config, scorer)


class CostScorer:
    """Costs of a rollout [B], above 0 where a response does harm."""

    def __init__(
        self,
        config: CostConfig,
        reward: RewardModel | None,
        prompts: Sequence[PromptRow],
        encoder: Encoder,
        micro_batch_tokens: int,
        context: StageContext,
    ) -> None:
        """reward: the model of the rule, None where functions say it."""
        self.reward, self.prompts, self.encoder = reward, prompts, encoder
        self.micro_batch_tokens, self.functions = micro_batch_tokens, config.load_functions()
        self.zero: CostZero | None = None
        if reward is not None:
            self.zero = config.zero(reward.form.rules, reward.notes, context)
            self.rule = reward.form.rules.index(str(config.rule))

    def __call__(self, rollout: Rollout) -> Tensor:
        import torch

        if self.reward is not None and self.zero is not None:
            logit_RJ = self.reward.rule_logits(rollout.groups(), self.micro_batch_tokens)
            return torch.from_numpy(self.zero.costs(-logit_RJ[:, self.rule].double().numpy()))
        asked = asked_of(rollout, self.prompts, self.encoder)
        total_B = torch.zeros(rollout.size, dtype=torch.float64)
        for function, weight in self.functions:
            cost_B = torch.tensor(function(asked), dtype=torch.float64)
            if cost_B.isnan().any():
                at = int(cost_B.isnan().nonzero()[0])
                raise RunError(
                    f"{function.name}{function.where} said no cost (None) of"
                    f" {asked.responses[at][:80]!r}",
                    "a limit holds for all responses: return a number for each",
                )
            total_B += weight * cost_B
        return total_B
