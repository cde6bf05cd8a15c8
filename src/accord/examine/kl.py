"""KL(policy || reference) of samples, by three estimators that must agree."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.examine.rows import Samples
from accord.statistics.means import Estimate, clustered_mean, paired_difference


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
    gap = paired_difference(samples.kl_k1_B, samples.kl_exact_B, list(samples.prompt_id_B))
    alarm = None
    if abs(gap.value) > 4 * gap.error + 0.05:
        alarm = f"k1 and exact KL differ by {gap.value:.2f} ± {gap.error:.2f} nats: a mask, template or temperature bug"
    elif k1.high < -0.05:
        alarm = f"the mean KL is negative ({k1.value:.2f} ± {k1.error:.2f}): sampler and trainer disagree"
    root = float(np.sqrt(max(0.0, exact.value)))
    per_token = float(samples.kl_exact_B.sum() / samples.tokens_B.sum())
    return KL(k1=k1, exact=exact, per_token=per_token, root=root, alarm=alarm)
