"""Likelihoods of judgements: every kind of feedback is a choice made by a noisily rational person.

    P(choice c | options) proportional to exp(beta_a * r(c))      (Jeon, Milli, Dragan 2020)

Pure functions on tensors: utilities in, log-probability of each record out (nats, <= 0), differentiable.
Suffixes: M records, K options per record.
"""

from __future__ import annotations

from itertools import permutations, product

import torch
import torch.nn.functional as F
from torch import Tensor

FIRST, SECOND, TIE = 0, 1, 2
"""Outcomes of a comparison, in the order the options are passed."""


def shown_utility(reward: Tensor, shown_at: Tensor, options: Tensor, rationality: Tensor, side_bias: Tensor) -> Tensor:
    """Utility of an option as its annotator sees it; all arguments broadcast.

    u = beta_a * r + gamma_a * (1/2 - p / (K - 1)), where p (`shown_at`, 0 is left or top) is its place among
    K (`options`). A positive `side_bias` gamma favours what is shown first.
    """
    return rationality * reward + side_bias * (0.5 - shown_at / (options - 1))


def bradley_terry(first_M: Tensor, second_M: Tensor) -> Tensor:
    """log P(first preferred) = log sigmoid(u1 - u2): [M] (Bradley and Terry 1952)."""
    return F.logsigmoid(first_M - second_M)


def davidson(first_M: Tensor, second_M: Tensor, outcome_M: Tensor, log_nu: Tensor) -> Tensor:
    """log P(outcome) with ties: P(tie) proportional to nu * sqrt(P1 * P2): [M] (Davidson 1970).

    outcome_M is FIRST, SECOND or TIE. nu -> 0 gives Bradley-Terry.
    """
    tie = (first_M + second_M) / 2 + log_nu
    logits = torch.stack([first_M, second_M, tie.expand_as(first_M)], dim=-1)
    return F.log_softmax(logits, dim=-1).gather(-1, outcome_M[..., None])[..., 0]


def rao_kupper(first_M: Tensor, second_M: Tensor, outcome_M: Tensor, log_theta: Tensor) -> Tensor:
    """log P(outcome) with ties below a threshold log theta >= 0 of utility: [M] (Rao and Kupper 1967)."""
    gap = first_M - second_M
    win, lose = F.logsigmoid(gap - log_theta), F.logsigmoid(-gap - log_theta)
    tie = win + lose + torch.log(torch.expm1(2 * log_theta).clamp_min(1e-30))
    return torch.stack([win, lose, tie], dim=-1).gather(-1, outcome_M[..., None])[..., 0]


def plackett_luce(ordered_MK: Tensor, present_MK: Tensor | None = None) -> Tensor:
    """log P(ranking) of utilities given from best to worst: [M] (Plackett 1975).

    Each place is a choice among what remains: sum_s u_s - logsumexp_{t >= s} u_t. `present_MK` is False at
    the padded end of shorter rankings.
    """
    if present_MK is None:
        present_MK = torch.ones_like(ordered_MK, dtype=torch.bool)
    u = ordered_MK.masked_fill(~present_MK, -torch.inf)
    remaining = torch.logcumsumexp(u.flip(-1), dim=-1).flip(-1)
    return torch.where(present_MK, ordered_MK - remaining.masked_fill(~present_MK, 0.0), 0.0).sum(-1)


def plackett_luce_ties(utilities_K: Tensor, order: list[list[int]]) -> Tensor:
    """log P of a ranking with tied groups, best first: the sum over all strict rankings that agree with it.

    Exact; the number of rankings is the product of the factorials of the group sizes.
    """
    inner = [list(permutations(group)) for group in order]
    strict = [[i for group in choice for i in group] for choice in product(*inner)]
    index = torch.tensor(strict, device=utilities_K.device)
    return torch.logsumexp(plackett_luce(utilities_K[index]), dim=0)


def graded(utility_M: Tensor, level_M: Tensor, thresholds_L: Tensor) -> Tensor:
    """log P(level) of an answer on an ordered scale, P(level <= k) = sigmoid(tau_k - u): [M] (Samejima 1969).

    level_M is 0..L for L ascending thresholds; a thumb is the case L = 1. Written as
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), so that far tails stay finite.
    """
    endless = thresholds_L.new_full((1,), torch.inf)
    edges = torch.cat([-endless, thresholds_L, endless])
    upper_M, lower_M = edges[level_M + 1], edges[level_M]
    width_M = -torch.expm1(lower_M - upper_M)
    return F.logsigmoid(upper_M - utility_M) + F.logsigmoid(utility_M - lower_M) + torch.log(width_M)


def best_worst(utilities_MK: Tensor, best_M: Tensor, worst_M: Tensor) -> Tensor:
    """log P(best, then worst of the rest): exp(u) chooses the best, exp(-u) the worst: [M] (Marley, Louviere)."""
    first = F.log_softmax(utilities_MK, dim=-1).gather(-1, best_M[:, None])[:, 0]
    rest = (-utilities_MK).scatter(-1, best_M[:, None], -torch.inf)
    return first + F.log_softmax(rest, dim=-1).gather(-1, worst_M[:, None])[:, 0]


def all_pairs(ordered_MK: Tensor) -> Tensor:
    """InstructGPT's K-wise objective: mean log sigmoid over the K(K-1)/2 pairs of a ranking: [M]."""
    k = ordered_MK.shape[-1]
    better, worse = torch.triu_indices(k, k, offset=1, device=ordered_MK.device)
    return F.logsigmoid(ordered_MK[..., better] - ordered_MK[..., worse]).mean(-1)
