"""Objectives as pure functions: the equation, its paper, the sign and the reduction in each
docstring.

Inputs are per-token or per-sequence numbers, never logits. Suffixes: S scored tokens, B sequences.
All losses are to be minimised and are in nats. Per-token functions return one value per token; the
caller sums and divides by the token count of the whole batch, so micro-batches do not change the
result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from accord.learning.kinds import Aggregation, PreferenceLoss


@dataclass(frozen=True)
class PairLogprobs:
    """Summed log-probabilities of chosen and rejected responses under policy and reference, and
    their lengths: [B].

    The reference columns are zero for objectives without a reference.
    """

    chosen_B: Tensor
    rejected_B: Tensor
    ref_chosen_B: Tensor
    ref_rejected_B: Tensor
    chosen_tokens_B: Tensor
    rejected_tokens_B: Tensor

    @property
    def shift_B(self) -> tuple[Tensor, Tensor]:
        """log pi/ref of (chosen, rejected)."""
        return self.chosen_B - self.ref_chosen_B, self.rejected_B - self.ref_rejected_B

    @property
    def mean_shift_B(self) -> tuple[Tensor, Tensor]:
        """log pi/ref per token of (chosen, rejected)."""
        chosen_B, rejected_B = self.shift_B
        return chosen_B / self.chosen_tokens_B, rejected_B / self.rejected_tokens_B


def log_odds(mean_logp_B: Tensor) -> Tensor:
    """log p/(1-p) of a mean log-probability < 0, stable near 0: [B]."""
    return mean_logp_B - torch.log(-torch.expm1(mean_logp_B.clamp_max(-1e-6)))


def preference_gap(
    pairs: PairLogprobs, kind: PreferenceLoss, beta: float, gamma: float = 0.0
) -> Tensor:
    """The number h [B] whose sign says which response the policy prefers, in the unit of the
    objective.

    - sigmoid, hinge, robust:  h = beta [log pi/ref (chosen) - log pi/ref (rejected)], sums over
                               tokens
    - sigmoid_norm, ipo:       the same with means over tokens (the form of IPO its authors used)
    - simpo:                   h = beta [mean log pi (chosen) - mean log pi (rejected)] - gamma
    - orpo:                    h = log odds(chosen) - log odds(rejected), odds of the mean
                               log-probability
    """
    if kind in ("sigmoid", "hinge", "robust"):
        chosen_B, rejected_B = pairs.shift_B
        return beta * (chosen_B - rejected_B)
    chosen_B, rejected_B = pairs.mean_shift_B
    if kind == "orpo":
        return log_odds(chosen_B) - log_odds(rejected_B)
    return beta * (chosen_B - rejected_B) - (gamma if kind == "simpo" else 0.0)


def preference(
    pairs: PairLogprobs,
    kind: PreferenceLoss,
    beta: float,
    label_smoothing: float | Tensor = 0.0,
    gamma: float = 0.0,
) -> Tensor:
    """Direct preference losses per pair: [B], of the gap h (see `preference_gap`).

    - sigmoid:       L(h) = -log s(h)                      DPO, Rafailov et al. 2023 eq. 7
    - sigmoid_norm:  the same, length-normalised           Tulu 3, Lambert et al. 2024 eq. 6
    - hinge:         L(h) = max(0, 1 - h)                  SLiC, Zhao et al. 2023
    - ipo:           L(h) = (h/beta - 1/(2 beta))^2        Azar et al. 2023 eq. 17
    - simpo:         L(h) = -log s(h), no reference        Meng et al. 2024 eq. 6
    - orpo:          L(h) = -beta log s(h), no reference   Hong et al. 2024 eq. 7; its SFT term
                                                           is `nll_weight` = 1
    each mixed with label smoothing e (a number, or one per pair [B]: the probability that its label
    is wrong, which makes the labels of several annotators soft) as (1-e) L(h) + e L(-h); for
    sigmoid this is cDPO (Mitchell 2023). And
    - robust:        [(1-e) L(h) - e L(-h)] / (1 - 2e)     Chowdhury et al. 2024 eq. 9; L of
                                                           sigmoid, e < 1/2
    """
    h = preference_gap(pairs, kind, beta, gamma)
    if kind == "ipo":
        agree, disagree = (h / beta - 1 / (2 * beta)).square(), (h / beta + 1 / (2 * beta)).square()
    elif kind == "hinge":
        agree, disagree = F.relu(1 - h), F.relu(1 + h)
    else:
        scale = beta if kind == "orpo" else 1.0
        agree, disagree = -scale * F.logsigmoid(h), -scale * F.logsigmoid(-h)
    if kind == "robust":
        return ((1 - label_smoothing) * agree - label_smoothing * disagree) / (
            1 - 2 * label_smoothing
        )
    return (1 - label_smoothing) * agree + label_smoothing * disagree


def kto(
    shift_B: Tensor, desirable_B: Tensor, kl: Tensor, beta: float, weight_B: Tensor | float = 1.0
) -> Tensor:
    """Kahneman-Tversky optimisation per response: [B] (Ethayarajh et al. 2024 eq. 8).

    shift_B: summed log pi/ref; desirable_B: bool; kl: the reference point z0 >= 0 without gradient,
    estimated on mismatched prompts and responses. w (1 - s(beta (shift - z0))) if desirable, else w
    (1 - s(beta (z0 - shift))).
    """
    gap = torch.where(desirable_B, shift_B - kl, kl - shift_B)
    return weight_B * (1 - torch.sigmoid(beta * gap))


def ppo_policy(
    log_ratio_S: Tensor, advantage_S: Tensor, clip: float, clip_high: float | None = None
) -> Tensor:
    """PPO's clipped surrogate per token: max(-A rho, -A clip(rho, 1-c, 1+c')): [S] (Schulman et al.
    2017 eq. 7).

    rho = exp(log_ratio), log_ratio = logp - old; c' = clip_high where given (DAPO's clip-higher, Yu
    et al. 2025 eq. 10), else c. The sign is for minimisation.
    """
    ratio_S = torch.exp(log_ratio_S)
    bounded_S = ratio_S.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    return torch.maximum(-advantage_S * ratio_S, -advantage_S * bounded_S)


def whole_ratio(log_ratio_S: Tensor, lengths_B: Tensor, mean: bool) -> Tensor:
    """One log-ratio for all tokens of a response, so that whole responses are clipped: [S].

    mean: GSPO's length-normalised ratio (Zheng et al. 2025 eq. 7); else the ratio of the responses'
    probabilities (RLOO's action is the whole response, Ahmadian et al. 2024).
    """
    owners_S = torch.repeat_interleave(
        torch.arange(lengths_B.numel(), device=lengths_B.device), lengths_B
    )
    ratio_B = log_ratio_S.new_zeros(lengths_B.numel()).index_add(0, owners_S, log_ratio_S)
    return (ratio_B / lengths_B if mean else ratio_B)[owners_S]


def token_weights(lengths_B: Tensor, kind: Aggregation, responses: int, longest: int) -> Tensor:
    """Weight of each token in the loss of a batch of `responses`, of which lengths_B are the
    caller's part: [S].

    - sequence: 1 / (responses * own length)  every response the same (GRPO, Shao et al. 2024 eq. 3)
    - constant: 1 / (responses * longest)     no length bias (Dr. GRPO, Liu et al. 2025)
    The third, "token", is 1 / tokens of the whole batch (PPO here, DAPO).
    """
    if kind == "sequence":
        weight_B = 1 / (responses * lengths_B.float())
    else:
        weight_B = torch.full_like(lengths_B, 1 / (responses * longest), dtype=torch.float32)
    return torch.repeat_interleave(weight_B, lengths_B)


def ppo_value(value_S: Tensor, old_S: Tensor, return_S: Tensor, clip: float) -> Tensor:
    """Clipped value loss per token: max((V-R)^2, (clip(V, V_old-c, V_old+c)-R)^2) / 2: [S] (Ziegler
    et al. 2019)."""
    clipped_S = torch.clamp(value_S, old_S - clip, old_S + clip)
    return 0.5 * torch.maximum((value_S - return_S).square(), (clipped_S - return_S).square())


def kl_k1(logp_S: Tensor, ref_S: Tensor) -> Tensor:
    """Unbiased estimate of KL(policy || reference) per sampled token: log pi - log ref; may be
    negative: [S]."""
    return logp_S - ref_S


def kl_k3(logp_S: Tensor, ref_S: Tensor) -> Tensor:
    """Non-negative estimate r - 1 - log r with r = ref/pi on policy samples: [S] (Schulman
    2020)."""
    log_r = ref_S - logp_S
    return torch.expm1(log_r) - log_r


def cost_model(
    worse_B: Tensor, better_B: Tensor, worse_harmful_B: Tensor, better_harmful_B: Tensor
) -> Tensor:
    """A cost model's loss per pair, of the costs of the more and of the less harmful response:
    -log s(C_w - C_l) - log s(s_w C_w) - log s(s_l C_l): [B] (Safe RLHF, Dai et al. 2024 eq. 6).

    *_harmful_B: bool, whether the response is harmful by itself; s is +1 where it is, else -1. The
    last two terms put the boundary between harmful and harmless at the cost 0.
    """
    loss_B = -F.logsigmoid(worse_B - better_B)
    for cost_B, harmful_B in ((worse_B, worse_harmful_B), (better_B, better_harmful_B)):
        loss_B = loss_B - F.logsigmoid(torch.where(harmful_B, cost_B, -cost_B))
    return loss_B


def unlikelihood(logp_S: Tensor, good_S: Tensor, alpha: float) -> Tensor:
    """-log p of good tokens, -alpha log(1 - p) of the others, per token: [S] (Welleck et al. 2020
    eq. 4; as pretraining with feedback Korbak et al. 2023 section 2).

    good_S: bool. 1 - p is bounded below by 1e-20, so that a token that is certain has no gradient.
    """
    against_S = -alpha * (-torch.expm1(logp_S)).clamp_min(1e-20).log()
    return torch.where(good_S, -logp_S, against_S)


def regression_weight(reward_S: Tensor, beta: float, most: float) -> Tensor:
    """What a token's -log p is multiplied by in reward-weighted regression: exp(r / beta), at most
    `most`: [S] (Peters and Schaal 2007; Korbak et al. 2023 section 2)."""
    return torch.exp(reward_S / beta).clamp_max(most)


def advantage_regression(
    logp_S: Tensor, value_S: Tensor, reward_S: Tensor, beta: float, alpha: float, most: float
) -> Tensor:
    """alpha w (-log p) + (1 - alpha) (r - v)^2 with w = exp((r - v) / beta), at most `most` and
    without gradient, per token: [S] (advantage-weighted regression, Peng et al. 2019; Korbak et al.
    2023 section 2).

    r: the reward of the token's own segment; value_S: what a head expects of it, before the token.
    """
    weight_S = regression_weight(reward_S - value_S.detach(), beta, most)
    return alpha * weight_S * -logp_S + (1 - alpha) * (reward_S - value_S).square()
