"""What every trainer can be told, each setting once: a recipe's stage inherits its trainer's
settings, so that recipes, their reference and Python have the same names, ranges and help.

Nothing here imports torch: recipes are read by commands that need no model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accord.errors import ConfigError
from accord.learning.kinds import BETAS, PARTED, PreferenceLoss, TextObjective
from accord.validation import Settings, Unit

Steps = Annotated[int, Unit("steps")]
Tokens = Annotated[int, Unit("tokens")]
Share = Annotated[float, Unit("share")]


class OptimizerSettings(Settings):
    """AdamW, its step size along the way, and gradient clipping."""

    learning_rate: float = Field(gt=0, le=1, description="Peak step size of AdamW.")
    warmup: Share = Field(
        0.05, ge=0, lt=1, description="Share of the steps over which the step size rises."
    )
    schedule: Literal["linear", "cosine", "constant", "wsd", "cosine_restarts"] = Field(
        "linear",
        description=(
            "How the step size falls; wsd: stable, then linearly over the share `decay` at the end;"
            " cosine_restarts: cosine, from the peak again `restarts` times."
        ),
    )
    decay: Share = Field(
        0.1, gt=0, le=1, description="wsd: share of the steps over which the step size falls."
    )
    restarts: Annotated[int, Unit("restarts")] = Field(
        1, ge=1, description="cosine_restarts: how often the step size returns to its peak."
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


class WatchedSettings(TrainingSettings):
    """Settings of a trainer that measures on what was kept aside."""

    evaluate_every: Steps = Field(
        0, ge=0, description="Steps between held-out measures; 0: only at the end."
    )
    keep_best: bool = Field(
        False,
        description="Keep the weights that were best on what was kept aside (lowest loss, highest "
        "reward), not the last ones.",
    )
    patience: Annotated[int, Unit("evaluations")] | None = Field(
        None,
        ge=1,
        description="Stop early when so many evaluations in a row are no better than the best.",
    )

    @model_validator(mode="after")
    def _evaluates(self) -> WatchedSettings:
        for name in self._watched():
            if not self.evaluate_every:
                raise ConfigError(
                    f"{name} needs held-out measures along the way, and evaluate_every is 0",
                    "set evaluate_every to the steps between them",
                )
        return self

    def need_heldout(self, there: bool) -> None:
        """Raise ConfigError where what was kept aside decides, and it is not `there`."""
        for name in self._watched():
            if not there:
                raise ConfigError(
                    f"{name} goes by what is kept aside, and nothing is",
                    "set evaluation (in Python: heldout), or leave it out",
                )

    def _watched(self) -> list[str]:
        return [name for name in ("keep_best", "patience") if getattr(self, name)]


class RowSettings(WatchedSettings):
    """Settings of a trainer that goes over given rows."""

    epochs: Annotated[float, Unit("passes")] = Field(1.0, gt=0, description="Passes over the rows.")
    batch: Annotated[int, Unit("rows")] = Field(32, ge=1, description="Rows per optimiser step.")
    max_steps: Steps | None = Field(
        None, ge=1, description="Optimiser steps, in place of epochs; null: as many as these take."
    )


class SupervisedSettings(RowSettings):
    """Settings of pretraining and fine-tuning: see `supervised.train_supervised`."""

    batch: Annotated[int, Unit("sequences")] = Field(
        48,
        ge=1,
        description="Sequences (demonstrations, or windows of text) per optimiser step.",
    )


class PretrainingSettings(SupervisedSettings):
    """As fine-tuning, with held-out losses along a longer way."""

    evaluate_every: Steps = Field(
        200, ge=0, description="Steps between held-out losses; 0: only at the end."
    )


class TextFeedbackSettings(Settings):
    """How pretraining uses the scores of a text's segments (Korbak et al. 2023): see
    `scored_text.train_scored` and `accord.text.scored`. The higher a score, the better."""

    objective: TextObjective = Field(
        "mle",
        description="mle: the scores change nothing (the control); conditional: a tag before every"
        " segment says whether it is good; filter_documents, filter_segments: the rest is not read;"
        " unlikelihood, rwr, awr: a segment's tokens count by its score.",
    )
    threshold: float | None = Field(
        None,
        description="Segments that score more are good, all others bad; needed by conditional,"
        " filter_segments and unlikelihood, and to tell the losses of good text.",
    )
    keep: Share = Field(
        0.5, gt=0, le=1, description="filter_documents: documents kept, best mean score first."
    )
    untagged: Share = Field(
        0.01, ge=0, lt=1, description="conditional: segments that get no tag, drawn at random."
    )
    unlikelihood_weight: float = Field(
        1.0, gt=0, description="unlikelihood: weight of bad tokens' -log(1 - p)."
    )
    beta: float = Field(
        0.1, gt=0, description="rwr, awr: scores are divided by it; the less, the sharper."
    )
    policy_weight: Share = Field(
        0.5, gt=0, le=1, description="awr: weight of the text's loss; the rest is the value's."
    )
    largest_weight: float = Field(
        1000.0, gt=0, description="rwr, awr: most that a token counts, where 1 is as in mle."
    )

    @model_validator(mode="after")
    def _told_what_is_good(self) -> TextFeedbackSettings:
        if self.threshold is None and self.objective in PARTED:
            raise ConfigError(
                f"{self.objective} has to know which segments are good, and threshold is not set",
                "set it to a score that good segments are above (not the median: that calls half"
                " of any text bad)",
            )
        return self


class PreferenceSettings(RowSettings):
    """Settings of DPO and its relatives: see `preference.train_preference`."""

    loss: PreferenceLoss = Field(
        "sigmoid", description="The objective: sigmoid is DPO; simpo and orpo have no reference."
    )
    beta: float | None = Field(
        None,
        gt=0,
        description="Strength of the pull towards the reference (orpo: weight of the odds ratio); "
        "null: the objective's own.",
    )
    gamma: float = Field(0.0, ge=0, description="Margin asked for (simpo only).")
    label_smoothing: Annotated[float, Unit("probability")] = Field(
        0.0, ge=0, lt=0.5, description="Least probability of a wrong label (cDPO, robust DPO)."
    )
    nll_weight: float = Field(
        0.0, ge=0, description="Weight of the chosen responses' likelihood (RPO; 1 for ORPO)."
    )
    batch: Annotated[int, Unit("pairs")] = Field(32, ge=1, description="Pairs per optimiser step.")
    by_prompt: bool = Field(
        False,
        description="Pairs of a prompt follow each other, so that a step computes each of its "
        "responses once: with six pairs of four responses less than half the work. A step then has "
        "fewer prompts.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> PreferenceSettings:
        if self.gamma and self.loss != "simpo":
            raise ConfigError(
                f"gamma is a margin of simpo, the loss is {self.loss}", "leave gamma out"
            )
        return self

    @property
    def strength(self) -> float:
        """beta, or the objective's own."""
        return BETAS[self.loss] if self.beta is None else self.beta


class UnpairedSettings(RowSettings):
    """Settings of KTO: see `unpaired.train_unpaired`. The paper keeps desirable_weight x desirable
    responses : undesirable_weight x undesirable ones between 1:1 and 4:3."""

    beta: float = Field(0.1, gt=0, description="Strength of the pull towards the reference.")
    desirable_weight: float = Field(1.0, gt=0, description="Weight of desirable responses.")
    undesirable_weight: float = Field(1.0, gt=0, description="Weight of undesirable responses.")
    batch: Annotated[int, Unit("responses")] = Field(
        32, ge=2, description="Responses per optimiser step; the reference point needs two."
    )


class Form(Settings):
    """Likelihoods of ties and rankings."""

    ties: Literal["davidson", "rao_kupper"] = Field(
        "davidson", description="Model of undecided comparisons."
    )
    rankings: Literal["plackett_luce", "all_pairs"] = Field(
        "plackett_luce",
        description="Likelihood of rankings; all_pairs is InstructGPT's mean over pairs.",
    )


class RewardSettings(RowSettings, Form):
    """Settings of reward learning: see `reward.train_reward`.

    With bootstrap a shared trunk reads what any head drew, and each head counts it as often as it
    drew it.
    """

    epochs: Annotated[float, Unit("passes")] = Field(
        1.0, gt=0, description="Passes over the judged prompts, per member."
    )
    batch: Annotated[int, Unit("prompts")] = Field(
        16, ge=1, description="Prompts per optimiser step."
    )
    bootstrap: bool = Field(
        False, description="Train each member on its own resample of the prompts."
    )
    label_smoothing: Annotated[float, Unit("probability")] = Field(
        0.0, ge=0, lt=0.5, description="Share of comparisons and corrections assumed flipped."
    )
    centring: float = Field(
        0.0,
        ge=0,
        description="Weight of the squared mean score of what is compared; 0.01 keeps scores "
        "around zero.",
    )
    effects: Literal["fixed", "joint"] = Field(
        "fixed",
        description="Rationality, side bias and ties: as estimated, or learned with the reward "
        "from there on.",
    )
    annotator_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak step size of what is learned about annotators and rating scales; "
        "unless given, 10 / steps, at most 0.1.",
    )
