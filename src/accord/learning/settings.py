"""What every trainer can be told, each setting once: a recipe's stage inherits its trainer's
settings, so that recipes, their reference and Python have the same names, ranges and help.

Nothing here imports torch: recipes are read by commands that need no model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accord.validation import Settings, Unit

Steps = Annotated[int, Unit("steps")]
Tokens = Annotated[int, Unit("tokens")]
Share = Annotated[float, Unit("share")]


class OptimizerSettings(Settings):
    """AdamW, its step size along the way, and gradient clipping."""

    learning_rate: float = Field(gt=0, le=1, description="Peak step size of AdamW.")
    warmup: Share = Field(
        0.0, ge=0, lt=1, description="Share of the steps over which the step size rises."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the step size falls."
    )
    final_share: Share = Field(
        0.0, ge=0, le=1, description="Where the step size falls to, as a share of its peak."
    )
    adam_beta2: float = Field(
        0.95, ge=0, lt=1, description="Decay of Adam's mean squared gradient, per step."
    )
    adam_eps: float = Field(1e-8, gt=0, description="Adam's epsilon.")
    weight_decay: float = Field(0.0, ge=0, description="Decay of matrices, per unit of step size.")
    max_grad_norm: float = Field(
        1.0, ge=0, description="Gradient clipping bound; 0 switches it off."
    )


class TrainingSettings(OptimizerSettings):
    """Settings of every trainer."""

    micro_batch_tokens: Tokens = Field(
        2048, ge=1, description="Tokens per forward pass: a memory knob only."
    )


class RowSettings(TrainingSettings):
    """Settings of a trainer that goes over given rows."""

    epochs: Annotated[float, Unit("passes")] = Field(1.0, gt=0, description="Passes over the rows.")
    batch: Annotated[int, Unit("rows")] = Field(32, ge=1, description="Rows per optimiser step.")
