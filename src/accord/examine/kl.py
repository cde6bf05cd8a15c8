"""KL(policy || reference) of samples, by three estimators that must agree."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.examine.rows import Samples
from accord.statistics.means import Estimate, clustered_mean, paired_difference

ROUNDING = 0.05
"""Nats per sequence that estimators may differ by in arithmetic alone."""
SURE = 0.9999
"""Level of the interval that must exclude agreement: four standard errors of many prompts."""


class KL(BaseModel):
    """Nats per sequence. k1: log pi - log ref of the samples; exact: whole softmax at the sampled
    positions.

    alarm: why the estimators cannot all be right, or None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    k1: Estimate
    exact: Estimate
    per_token: float
    root: float
    alarm: str | None


def measure(samples: Samples) -> KL:
    """Both estimates with errors; sqrt(KL) from the exact one (never negative, smaller
    variance)."""
    k1 = clustered_mean(samples.kl_k1_B, list(samples.prompt_id_B))
    exact = clustered_mean(samples.kl_exact_B, list(samples.prompt_id_B))
    gap = paired_difference(
        samples.kl_k1_B, samples.kl_exact_B, list(samples.prompt_id_B), level=SURE
    )
    alarm = None
    if gap.above(ROUNDING) or gap.below(-ROUNDING):
        alarm = (
            f"k1 and exact KL differ by {gap} nats at {SURE:.2%}: a mask, template or"
            " temperature bug"
        )
    elif k1.below(-ROUNDING):
        alarm = f"the mean KL is negative ({k1}): sampler and trainer disagree"
    root = float(np.sqrt(max(0.0, exact.value)))
    per_token = float(samples.kl_exact_B.sum() / samples.tokens_B.sum())
    return KL(k1=k1, exact=exact, per_token=per_token, root=root, alarm=alarm)
