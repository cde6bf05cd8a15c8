"""Names of objectives, estimators and their parts, as recipes and Python write them."""

from __future__ import annotations

from typing import Literal

PreferenceLoss = Literal["sigmoid", "sigmoid_norm", "ipo", "hinge", "robust", "simpo", "orpo"]
REFERENCE_FREE: tuple[PreferenceLoss, ...] = ("simpo", "orpo")
BETAS: dict[PreferenceLoss, float] = {
    "sigmoid": 0.1, "sigmoid_norm": 5.0, "ipo": 0.1, "hinge": 0.1, "robust": 0.1, "simpo": 2.0, "orpo": 0.1,  # noqa: E501
}  # fmt: skip
"""Each objective's own beta (its paper's, or that of the Tulu 3 report for sigmoid_norm)."""

Estimator = Literal["gae", "rloo", "grpo", "dr_grpo", "reinforce", "reinforce_baseline"]
GROUPED: tuple[Estimator, ...] = ("rloo", "grpo", "dr_grpo", "reinforce_baseline")
"""Estimators that compare the responses to one prompt."""
Aggregation = Literal["token", "sequence", "constant"]
"""What counts the same in a policy's loss: see `losses.token_weights`."""
Ratio = Literal["token", "sequence", "response"]
"""What is clipped: see `losses.whole_ratio`."""

TextObjective = Literal[
    "mle",
    "conditional",
    "filter_documents",
    "filter_segments",
    "unlikelihood",
    "rwr",
    "awr",
]
"""Of pretraining with feedback (Korbak et al. 2023)."""
PARTED: tuple[TextObjective, ...] = ("conditional", "filter_segments", "unlikelihood")
"""Objectives that part good segments from bad ones."""
