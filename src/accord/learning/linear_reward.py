"""A linear reward on given features, by the likelihood that reward models are trained by: for
worlds whose reward is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
from accord.text.packing import PromptGroup

STEPS = 60
"""Of L-BFGS, at most: the loss is convex in the weights."""


def fit_linear_reward(features_RF: Tensor, groups: Sequence[JudgedGroup], ridge: float) -> Tensor:
    """Weights [F] that minimise the weighted mean of -log P(judgement) + ridge / 2 |weights|^2,
    the reward of response r being features[r] . weights; responses in packing order."""
    batch, effects = JudgedBatch.of(groups), AnnotatorEffects.none()
    weight_F = torch.zeros(features_RF.shape[1], dtype=features_RF.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight_F],
        max_iter=STEPS,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-8,
        tolerance_change=1e-12,
    )

    def loss() -> float:
        optimizer.zero_grad()
        found = log_likelihood(features_RF @ weight_F, batch, effects)
        value = -found.mean + ridge / 2 * weight_F.square().sum()
        value.backward()
        return value.item()

    optimizer.step(loss)
    return weight_F.detach()


def soft_pair(first_better: float, soft: bool, weight: float = 1.0) -> JudgedGroup:
    """Two responses, the first better with this probability; not soft: the likelier one is better,
    for certain (at one half the first)."""
    order = (0, 1) if first_better >= 0.5 else (1, 0)
    doubt = min(first_better, 1 - first_better) if soft else None
    said = Judgement(order, None, weight=weight, doubt=doubt)
    return JudgedGroup(PromptGroup([0], [[1], [2]]), (said,))
