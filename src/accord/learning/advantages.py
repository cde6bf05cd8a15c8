"""From scores to advantages, on packed per-token arrays.

Per-token arrays hold the responses of a batch one after another; lengths_B cuts them. Suffixes: B
responses, S tokens in total, T the longest response.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from accord.learning.kinds import Estimator

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes; the identity for one process."""


def one_process(x: Tensor) -> Tensor:
    """The reduce hook of a single process."""
    return x


def token_rewards(
    kl_S: Tensor, score_B: Tensor, lengths_B: Tensor, kl_coefficient: float
) -> Tensor:
    """-coefficient * k1 at every token, plus the score at the last one (EOS when finished): [S]."""
    rewards_S = -kl_coefficient * kl_S
    last_B = torch.cumsum(lengths_B, 0) - 1
    return rewards_S.index_add(0, last_B, score_B.to(rewards_S))


def pad_tokens(values_S: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
    """[S] -> ([B, T] with zeros at the end, [B, T] mask)."""
    mask_BT = (
        torch.arange(int(lengths_B.max()), device=values_S.device)[None, :] < lengths_B[:, None]
    )
    padded_BT = values_S.new_zeros(mask_BT.shape)
    padded_BT[mask_BT] = values_S
    return padded_BT, mask_BT


def gae(
    rewards_S: Tensor,
    values_S: Tensor,
    lengths_B: Tensor,
    gamma: float = 1.0,
    lam: float = 0.95,
    after_B: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation: (advantages [S], returns [S]) (Schulman et al. 2016 eq.
    16).

    delta_t = r_t + gamma V_{t+1} - V_t; A_t = delta_t + gamma lam A_{t+1}; R_t = A_t + V_t.
    after_B: the value of what comes after each row's last step, where the row was cut off there
    and not ended (the episode's time was over, or the rollout's); 0 where it ended. Without it all
    are 0: a response ends with its last token, finished or not.
    """
    if after_B is not None:
        last = torch.cumsum(lengths_B, 0) - 1
        rewards_S = rewards_S.index_add(0, last, gamma * after_B.to(rewards_S))
    rewards_BT, mask_BT = pad_tokens(rewards_S, lengths_B)
    values_BT, _ = pad_tokens(values_S, lengths_B)
    next_B = last_B = rewards_S.new_zeros(lengths_B.shape)
    columns = []
    for t in range(rewards_BT.shape[1] - 1, -1, -1):
        delta_B = rewards_BT[:, t] + gamma * next_B - values_BT[:, t]
        # Padding keeps both at zero, so each row starts cleanly at its own last token.
        last_B = delta_B + gamma * lam * last_B
        next_B = values_BT[:, t]
        columns.append(last_B)
    advantages_S = torch.stack(columns[::-1], dim=1)[mask_BT]
    return advantages_S, advantages_S + values_S


def leave_one_out(total_B: Tensor, samples_per_prompt: int) -> Tensor:
    """RLOO advantage of each response: its total reward minus the mean of its siblings': [B]
    (Ahmadian et al. 2024)."""
    if samples_per_prompt < 2:
        raise ValueError("leave-one-out needs at least 2 samples per prompt")
    groups = total_B.view(-1, samples_per_prompt)
    return (groups - (groups.sum(1, keepdim=True) - groups) / (samples_per_prompt - 1)).flatten()


def group_relative(total_B: Tensor, samples_per_prompt: int, scale: bool) -> Tensor:
    """Each response's total reward minus its group's mean, divided by the group's deviation if
    `scale`: [B].

    With scale this is GRPO (Shao et al. 2024 section 4.1.2), without Dr. GRPO (Liu et al. 2025). A
    group whose rewards are all equal gets 0.
    """
    if samples_per_prompt < 2:
        raise ValueError("group-relative advantages need at least 2 samples per prompt")
    groups = total_B.view(-1, samples_per_prompt)
    centred = groups - groups.mean(1, keepdim=True)
    if scale:
        centred = centred / (groups.std(1, keepdim=True) + 1e-4)
    # Exactly 0: a rounded mean differs from equal large rewards, and the division would blow that
    # up to 1.
    return torch.where(flat_groups(total_B, samples_per_prompt)[:, None], 0.0, centred).flatten()


def flat_groups(total_B: Tensor, samples_per_prompt: int) -> Tensor:
    """Which groups have equal rewards, so that comparing their responses teaches nothing: bool
    [groups]."""
    groups = total_B.view(-1, samples_per_prompt)
    return groups.amax(1) == groups.amin(1)


def per_response(rewards_S: Tensor, lengths_B: Tensor) -> Tensor:
    """Sum of the rewards of each response: [B]."""
    return rewards_S.new_zeros(lengths_B.numel()).index_add(0, owners(lengths_B), rewards_S)


def owners(lengths_B: Tensor) -> Tensor:
    """The response each token belongs to: [S]."""
    return torch.repeat_interleave(
        torch.arange(lengths_B.numel(), device=lengths_B.device), lengths_B
    )


def returns_to_go(rewards_S: Tensor, lengths_B: Tensor, gamma: float = 1.0) -> Tensor:
    """Discounted sum of the rewards from each token to the end of its response: [S]."""
    return gae(rewards_S, torch.zeros_like(rewards_S), lengths_B, gamma, 1.0)[0]


def estimate(
    estimator: Estimator,
    rewards_S: Tensor,
    values_S: Tensor,
    lengths_B: Tensor,
    samples_per_prompt: int,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> tuple[Tensor, Tensor]:
    """(advantages, returns) per token, before whitening; returns are zero without a value model.

    - gae:                 generalised advantage estimation with the value model (PPO)
    - rloo:                total reward minus the siblings' mean (Ahmadian et al. 2024)
    - grpo, dr_grpo:       total reward relative to its group, with and without division by its
                           deviation
    - reinforce:           reward to go (REINFORCE++, Hu 2025; whiten over the batch)
    - reinforce_baseline:  reward to go, the group's mean total subtracted (REINFORCE++-baseline)
    """
    if estimator == "gae":
        return gae(rewards_S, values_S, lengths_B, gamma, lam)
    none = torch.zeros_like(rewards_S)
    if estimator == "reinforce":
        return returns_to_go(rewards_S, lengths_B, gamma), none
    total_B = per_response(rewards_S, lengths_B)
    if samples_per_prompt < 2:
        raise ValueError(f"the estimator {estimator} needs at least 2 samples per prompt")
    if estimator == "reinforce_baseline":
        mean_B = total_B.view(-1, samples_per_prompt).mean(1).repeat_interleave(samples_per_prompt)
        return returns_to_go(rewards_S, lengths_B, gamma) - mean_B[owners(lengths_B)], none
    if estimator == "rloo":
        advantage_B = leave_one_out(total_B, samples_per_prompt)
    else:
        advantage_B = group_relative(total_B, samples_per_prompt, scale=estimator == "grpo")
    return advantage_B[owners(lengths_B)], none


def whiten(values_S: Tensor, reduce: Reduce = one_process, shift: bool = True) -> Tensor:
    """Shift to mean 0 and scale to variance 1 over all tokens of all processes: [S].

    Without `shift` the mean stays what it was (rewards: a shifted reward would pay for length).
    Sums are taken in
    double precision: a mean far from 0 would otherwise swallow the variance.
    """
    exact_S = values_S.double()
    sums = reduce(
        torch.stack([exact_S.sum(), exact_S.square().sum(), exact_S.new_tensor(values_S.numel())])
    )
    mean = sums[0] / sums[2]
    variance = (sums[1] / sums[2] - mean.square()).clamp_min(0)
    centred_S = (exact_S - mean) * torch.rsqrt(variance + 1e-8)
    return (centred_S if shift else centred_S + mean).to(values_S)
