"""Settings shared by several stages, and how they become the loops' settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from accord.learning.settings import WatchedSettings
from accord.runs.inputs import GoldName, PolicyName, Prompts, RewardName, RulesName
from accord.runs.stage import StageConfig
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.models.loading import LoraSettings
    from accord.models.quantised import Bits


class LoraConfig(Settings):
    """Train low-rank adapters instead of all weights (PEFT)."""

    rank: int = Field(16, ge=1, description="Rank of the update.")
    alpha: float = Field(32.0, gt=0, description="Scale; the update is multiplied by alpha / rank.")
    targets: str | list[str] = Field(
        "all-linear",
        description=(
            "Module names (embedding and head, too), or all-linear: all layers but these two."
        ),
    )
    base: Literal["whole", "8bit", "4bit"] = Field(
        "whole",
        description=(
            "How the frozen weights lie in memory: whole, or in 8 or 4 bits (QLoRA; bitsandbytes)."
        ),
    )

    @property
    def bits(self) -> Bits | None:
        """What `load_causal_lm` takes."""
        return None if self.base == "whole" else self.base

    def settings(self) -> LoraSettings:
        from accord.models.loading import LoraSettings

        return LoraSettings(
            self.rank,
            self.alpha,
            self.targets if isinstance(self.targets, str) else tuple(self.targets),
        )


class ReadsData(StageConfig):
    """Settings of every stage that may drop rows of its data."""

    allow_dropped: float = Field(
        0.2,
        ge=0,
        le=1,
        description=(
            "Share of the rows that may be dropped (unreadable, too long); more stops the run."
        ),
    )


class CheckpointConfig(Settings):
    """When a checkpoint is written, and how many stay."""

    every_seconds: float = Field(
        20.0, ge=0, description="Seconds after which the next step ends with a checkpoint."
    )
    every_steps: int = Field(
        0, ge=0, description="Steps between checkpoints, whatever the time; 0: by time alone."
    )
    keep: int = Field(
        2, ge=1, description="Checkpoints that stay; with 1 a damaged one leaves none before it."
    )


class TrainingConfig(StageConfig):
    """What a stage that trains sets beside its trainer's settings."""

    lora: LoraConfig | None = Field(None, description="Train adapters instead of all weights.")
    checkpoints: CheckpointConfig = Field(CheckpointConfig(), description="When and how many.")

    @model_validator(mode="after")
    def _keeps_something_aside(self) -> TrainingConfig:
        if isinstance(self, WatchedSettings) and "evaluation" in type(self).model_fields:
            self.need_heldout(getattr(self, "evaluation") is not None)  # noqa: B009 (a subclass's)
        return self


class ShowsAnswers(StageConfig):
    """What a stage sets that shows what its training did to answers."""

    samples: int = Field(
        8,
        ge=0,
        description=(
            "Prompts, of what is kept aside where that is, answered before and after the training"
            " for people to read."
        ),
    )


Aside = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]
"""Rows kept aside: how many, or which share."""


Limit = Annotated[int, Field(ge=1)] | Literal["auto"]
"""Tokens at most; auto: as the data needs."""
ASSUMED = 512
"""Tokens that plans take for a limit which the data has still to say."""


def assumed(limit: int | str) -> int:
    """A limit as plans take it."""
    return limit if isinstance(limit, int) else ASSUMED


class LengthConfig(Settings):
    """Token limits and what to do with rows beyond them."""

    max_prompt_tokens: Limit = Field(
        64,
        description=(
            "Longest prompt, in tokens; auto: the longest in the data, or with too_long: drop what"
            " 99 % of the rows need, within the model's context."
        ),
    )
    max_response_tokens: Limit = Field(
        64, description="Longest response, in tokens, EOS included; auto: as for prompts."
    )
    too_long: Literal["error", "drop", "cut"] = Field(
        "error", description="What to do with longer rows; always counted."
    )

    @property
    def most(self) -> int:
        """Tokens of the longest row, as plans take it."""
        return assumed(self.max_prompt_tokens) + assumed(self.max_response_tokens)

    @model_validator(mode="after")
    def _cuts_at_numbers(self) -> LengthConfig:
        if self.too_long == "cut" and "auto" in (self.max_prompt_tokens, self.max_response_tokens):
            raise ValueError("auto finds limits that keep rows whole: give numbers to cut at")
        return self


class EvaluationConfig(Settings):
    """How a policy is examined along its way."""

    prompts: Prompts = Field(description="Evaluation prompts (JSONL with a prompt per row).")
    reward: RewardName = Field(description="The reward model whose score is the proxy.")
    rules: RulesName | None = Field(
        None, description="Rules with their fitted weights (a rules stage), added to the proxy."
    )
    reference: PolicyName = Field(description="The model the KL is measured against.")
    gold: GoldName | None = Field(None, description="The gold reward, where there is one.")
    count: int = Field(192, ge=2, description="Prompts used, from the top.")
    points: int = Field(
        6, ge=1, description="Points along the training at which the policy is examined."
    )
    max_new_tokens: int = Field(48, ge=1, description="Response limit, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")


class TuningConfig(ReadsData, TrainingConfig):
    """What every stage sets that tunes a policy."""

    model: PolicyName = Field(description="The model to tune; also the reference.")
    evaluate: EvaluationConfig | None = Field(None, description="Examine the policy along its way.")
