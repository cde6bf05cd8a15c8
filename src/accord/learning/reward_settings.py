"""What a reward model is trained with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from accord.learning.judgements import Form
from accord.learning.settings import OptimizerSettings


@dataclass(frozen=True)
class RewardSettings:
    """batch: prompts per optimiser step; bootstrap: train each member on its own resample of the
    prompts (a shared trunk reads what any head drew, each head counts it as often as it drew it);
    label_smoothing: share of comparisons assumed flipped; centring: weight of the squared mean
    score of what is compared (see `choices.centring`); form: likelihoods of ties and rankings;
    effects: keep the given rationalities and side biases, or learn them jointly; annotator_rate:
    peak step size of everything learned about annotators and scales (None: see `team.Optimizers`);
    evaluate_every: steps between held-out measures."""

    epochs: float = 1.0
    batch: int = 32
    micro_batch_tokens: int = 2048
    bootstrap: bool = False
    label_smoothing: float = 0.0
    centring: float = 0.0
    form: Form = field(default_factory=Form)
    effects: Literal["fixed", "joint"] = "fixed"
    annotator_rate: float | None = None
    evaluate_every: int = 0
    seed: int = 0
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(learning_rate=3e-4)
    )
