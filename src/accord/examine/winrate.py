"""Win rates of a policy against a baseline on the same prompts, and how much of a gain is
length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accord.errors import DataError
from accord.examine.rows import Samples
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, paired_difference, share_mean


def aligned(policy: Samples, baseline: Samples) -> NDArray[np.int64]:
    """For each policy sample the index of the baseline sample of its prompt; both need one sample
    per prompt."""
    at = {int(p): i for i, p in enumerate(baseline.prompt_id_B)}
    missing = [int(p) for p in policy.prompt_id_B if int(p) not in at]
    if missing:
        raise DataError(
            f"the baseline has no sample for prompts {missing[:5]}",
            "examine all arms on the same prompts",
        )
    return np.array([at[int(p)] for p in policy.prompt_id_B])


def win_rate(policy_B: Array, baseline_B: Array, clusters_B: list[int]) -> Estimate:
    """Share of prompts where the policy scores higher, ties half. Chance is 0.5."""
    tied_B = policy_B == baseline_B
    answers = len(tied_B) * (2 if tied_B.any() else 1)  # a tie is half a win and half a loss
    return share_mean((policy_B > baseline_B) + 0.5 * tied_B, clusters_B, answers)


def gain(policy_B: Array, baseline_B: Array, clusters_B: list[int]) -> Estimate:
    """Mean paired gain."""
    return paired_difference(policy_B, baseline_B, clusters_B)


def gain_at_equal_length(
    reward_B: Array, tokens_B: Array, base_reward_B: Array, base_tokens_B: Array
) -> float | None:
    """Non-length share of a reward gain: gain within length bins / total gain (Singhal et al. 2023,
    NRG).

    Bins are deciles of the pooled lengths; None when the total gain is not clearly different from 0
    or the lengths barely overlap.
    """
    total = reward_B.mean() - base_reward_B.mean()
    error = np.sqrt(reward_B.var() / len(reward_B) + base_reward_B.var() / len(base_reward_B))
    if abs(total) < 2 * error:
        return None
    edges = np.unique(np.quantile(np.concatenate([tokens_B, base_tokens_B]), np.linspace(0, 1, 11)))
    mine, theirs = (np.digitize(t, edges[1:-1]) for t in (tokens_B, base_tokens_B))
    gains, weights = [], []
    for b in np.intersect1d(mine, theirs):
        gains.append(reward_B[mine == b].mean() - base_reward_B[theirs == b].mean())
        weights.append(min((mine == b).sum(), (theirs == b).sum()))
    if not weights or sum(weights) < 20:
        return None
    return float(np.average(gains, weights=weights) / total)
