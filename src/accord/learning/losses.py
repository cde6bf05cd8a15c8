"""Objectives as pure functions: the equation, its paper, the sign and the reduction in each docstring.

Inputs are per-token or per-sequence numbers, never logits. Suffixes: S scored tokens, B sequences.
All losses are to be minimised and are in nats. Per-token functions return one value per token; the caller
sums and divides by the token count of the whole batch, so micro-batches do not change the result.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PreferenceLoss = Literal["sigmoid", "ipo", "hinge", "robust"]


def token_nll(logp_S: Tensor) -> Tensor:
    """Negative log-likelihood per token: -log p: [S]."""
    return -logp_S


def dpo(
    chosen_B: Tensor, rejected_B: Tensor, ref_chosen_B: Tensor, ref_rejected_B: Tensor, beta: float,
    kind: PreferenceLoss = "sigmoid", label_smoothing: float | Tensor = 0.0,
) -> Tensor:  # fmt: skip
    """Direct preference losses per pair: [B], from summed log-probabilities of policy and reference.

    With h = (log pi/ref)(chosen) - (log pi/ref)(rejected) and smoothing e (a number, or one per pair [B]: the
    probability that its label is wrong, which makes labels of several annotators soft):
    - sigmoid: L(h) = -log s(beta h)                           DPO, Rafailov et al. 2023 eq. 7
    - ipo:     L(h) = (h - 1/(2 beta))^2                       Azar et al. 2023 eq. 17
    - hinge:   L(h) = max(0, 1 - beta h)                       SLiC, Zhao et al. 2023
    each mixed as (1-e) L(h) + e L(-h) (for sigmoid this is cDPO, Mitchell 2023), and
    - robust:  [(1-e) L(h) - e L(-h)] / (1 - 2e), L of sigmoid, e < 1/2       Chowdhury et al. 2024 eq. 9
    """
    h = (chosen_B - ref_chosen_B) - (rejected_B - ref_rejected_B)
    if kind == "ipo":
        agree, disagree = (h - 1 / (2 * beta)).square(), (h + 1 / (2 * beta)).square()
    elif kind == "hinge":
        agree, disagree = F.relu(1 - beta * h), F.relu(1 + beta * h)
    else:
        agree, disagree = -F.logsigmoid(beta * h), -F.logsigmoid(-beta * h)
    if kind == "robust":
        return ((1 - label_smoothing) * agree - label_smoothing * disagree) / (1 - 2 * label_smoothing)
    return (1 - label_smoothing) * agree + label_smoothing * disagree


def ppo_policy(logp_S: Tensor, old_S: Tensor, advantage_S: Tensor, clip: float) -> Tensor:
    """PPO's clipped surrogate per token: max(-A rho, -A clip(rho, 1-c, 1+c)): [S] (Schulman et al. 2017 eq. 7).

    rho = exp(logp - old). The sign is for minimisation.
    """
    ratio_S = torch.exp(logp_S - old_S)
    return torch.maximum(-advantage_S * ratio_S, -advantage_S * ratio_S.clamp(1 - clip, 1 + clip))


def ppo_value(value_S: Tensor, old_S: Tensor, return_S: Tensor, clip: float) -> Tensor:
    """Clipped value loss per token: max((V-R)^2, (clip(V, V_old-c, V_old+c)-R)^2) / 2: [S] (Ziegler et al. 2019)."""
    clipped_S = torch.clamp(value_S, old_S - clip, old_S + clip)
    return 0.5 * torch.maximum((value_S - return_S).square(), (clipped_S - return_S).square())


def kl_k1(logp_S: Tensor, ref_S: Tensor) -> Tensor:
    """Unbiased estimate of KL(policy || reference) per sampled token: log pi - log ref; may be negative: [S]."""
    return logp_S - ref_S


def kl_k3(logp_S: Tensor, ref_S: Tensor) -> Tensor:
    """Non-negative estimate r - 1 - log r with r = ref/pi on policy samples: [S] (Schulman 2020)."""
    log_r = ref_S - logp_S
    return torch.expm1(log_r) - log_r
