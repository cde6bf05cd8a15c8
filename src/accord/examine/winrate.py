"""Win rates of a policy against a baseline on the same prompts, and how much of a gain is
length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accord.errors import DataError
from accord.examine.rows import Samples
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, around_jackknife, paired_difference, share_mean


def aligned(prompt_id_B: NDArray[np.int64], baseline: Samples) -> NDArray[np.int64]:
    """For each of these prompts the index of the baseline's sample, which is one per prompt."""
    at = {int(p): i for i, p in enumerate(baseline.prompt_id_B)}
    missing = [int(p) for p in prompt_id_B if int(p) not in at]
    if missing:
        raise DataError(
            f"the baseline has no sample for prompts {missing[:5]}",
            "examine all arms on the same prompts",
        )
    return np.array([at[int(p)] for p in prompt_id_B])


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
) -> Estimate | None:
    """Non-length share of a reward gain: gain within length bins / total gain (Singhal et al. 2023,
    NRG). B: prompts, each with one sample of both.

    Bins are deciles of the pooled lengths; None when the interval of the total gain reaches 0 or
    the lengths barely overlap. The interval is over prompts, given the bins: Student's t on the
    jackknife's error (`clusters.jackknife`).
    """
    total = paired_difference(reward_B, base_reward_B)
    if not (total.above(0) or total.below(0)):
        return None
    edges = np.unique(np.quantile(np.concatenate([tokens_B, base_tokens_B]), np.linspace(0, 1, 11)))
    count = len(edges) + 1
    sides = [
        (np.eye(count)[np.digitize(tokens, edges[1:-1])], values)
        for tokens, values in ((tokens_B, reward_B), (base_tokens_B, base_reward_B))
    ]
    rows_BX = np.concatenate(
        [part for bin_BK, x in sides for part in (bin_BK, bin_BK * x[:, None])], 1
    )

    def share(rows: Array) -> Array:
        mine, won, theirs, lost = np.moveaxis(rows.reshape(*rows.shape[:-1], 4, count), -2, 0)
        common = np.minimum(mine, theirs)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(common > 0, common * (won / mine - lost / theirs), 0.0)
            gained: Array = gain.sum(-1) / common.sum(-1)
        gained *= mine.sum(-1) / (won.sum(-1) - lost.sum(-1))
        return gained

    sums = rows_BX.sum(0)
    if np.minimum(sums[:count], sums[2 * count : 3 * count]).sum() < 20:
        return None
    return around_jackknife(rows_BX, share)
