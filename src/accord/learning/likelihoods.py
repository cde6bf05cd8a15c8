"""Likelihoods of judgements: every kind of feedback is a choice made by a noisily rational person.

    P(choice c | options) proportional to exp(beta_a * r(c))      (Jeon, Milli, Dragan 2020)

Pure functions on tensors: utilities in, log-probability of each record out (nats, <= 0),
differentiable.
Suffixes: M records, K options per record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

FIRST, SECOND, TIE = 0, 1, 2
"""Outcomes of a comparison, in the order the options are passed."""
MOST_TIED = 12
"""Largest tie of a ranking whose exact likelihood is computed."""


def shown_utility(
    reward: Tensor, shown_at: Tensor, options: Tensor, rationality: Tensor, side_bias: Tensor
) -> Tensor:
    """Utility of an option as its annotator sees it; all arguments broadcast.

    u = beta_a * r + gamma_a * (1/2 - p / (K - 1)), where p (`shown_at`, 0 is left or top) is its
    place among K (`options`). A positive `side_bias` gamma favours what is shown first.
    """
    return rationality * reward + side_bias * (0.5 - shown_at / (options - 1))


def bradley_terry(first_M: Tensor, second_M: Tensor) -> Tensor:
    """log P(first preferred) = log sigmoid(u1 - u2): [M] (Bradley and Terry 1952)."""
    return F.logsigmoid(first_M - second_M)


def with_lapse(log_p_M: Tensor, lapse: float | Tensor, options: int = 2) -> Tensor:
    """log P where a share `lapse` of the choices, one number or [M] above 0, falls on any of the
    `options` alike: [M] (Christiano et al. 2017 section 2.2.3, which takes 0.1 for two clips)."""
    if isinstance(lapse, Tensor):
        by_chance_M = lapse.log() - math.log(options)
        return torch.logaddexp(log_p_M + torch.log1p(-lapse), by_chance_M)
    if not lapse:
        return log_p_M
    return torch.logaddexp(
        log_p_M + math.log1p(-lapse), log_p_M.new_tensor(math.log(lapse) - math.log(options))
    )


def davidson(first_M: Tensor, second_M: Tensor, outcome_M: Tensor, log_nu: Tensor) -> Tensor:
    """log P(outcome) with ties: P(tie) proportional to nu * sqrt(P1 * P2): [M] (Davidson 1970).

    outcome_M is FIRST, SECOND or TIE. nu -> 0 gives Bradley-Terry.
    """
    tie = (first_M + second_M) / 2 + log_nu
    logits = torch.stack([first_M, second_M, tie.expand_as(first_M)], dim=-1)
    return F.log_softmax(logits, dim=-1).gather(-1, outcome_M[..., None])[..., 0]


def rao_kupper(first_M: Tensor, second_M: Tensor, outcome_M: Tensor, log_theta: Tensor) -> Tensor:
    """log P(outcome) with ties below a threshold log theta >= 0 of utility: [M] (Rao and Kupper
    1967)."""
    gap = first_M - second_M
    win, lose = F.logsigmoid(gap - log_theta), F.logsigmoid(-gap - log_theta)
    tie = win + lose + torch.log(torch.expm1(2 * log_theta).clamp_min(1e-30))
    return torch.stack([win, lose, tie], dim=-1).gather(-1, outcome_M[..., None])[..., 0]


def plackett_luce(ordered_MK: Tensor, present_MK: Tensor | None = None) -> Tensor:
    """log P(ranking) of utilities given from best to worst: [M] (Plackett 1975).

    Each place is a choice among what remains: sum_s u_s - logsumexp_{t >= s} u_t. `present_MK` is
    False at the padded end of shorter rankings.
    """
    if present_MK is None:
        present_MK = torch.ones_like(ordered_MK, dtype=torch.bool)
    u = ordered_MK.masked_fill(~present_MK, -torch.inf)
    remaining = torch.logcumsumexp(u.flip(-1), dim=-1).flip(-1)
    return torch.where(present_MK, ordered_MK - remaining.masked_fill(~present_MK, 0.0), 0.0).sum(
        -1
    )


def plackett_luce_ties(ordered_MK: Tensor, sizes: Sequence[int]) -> Tensor:
    """log P of rankings with tied groups of these `sizes`, best first: [M].

    A tie means that the order within it was not said: the sum over all strict rankings that agree.
    Exact. With exp(u) as weights w, and everything ranked below a group weighing W, the group comes
    first with probability g(group), g(S) = sum_{i in S} w_i g(S - i) / (sum_S w + W): over 2^m
    subsets of a group of m, not m! orders. Raises ValueError for groups above MOST_TIED.
    """
    if max(sizes) > MOST_TIED:
        raise ValueError(
            f"a tie of {max(sizes)} has {2 ** max(sizes):,} subsets; at most {MOST_TIED} can be"
            " tied"
        )
    logp, start = ordered_MK.new_zeros(ordered_MK.shape[0]), 0
    for size in sizes[:-1]:  # the last group comes last with certainty
        end = start + size
        below = torch.logsumexp(ordered_MK[:, end:], dim=-1)
        logp, start = logp + _all_first(ordered_MK[:, start:end], below).clamp_max(0), end
    return logp


def _all_first(group_MG: Tensor, below_M: Tensor) -> Tensor:
    """log P that everything in the group is chosen before anything of what weighs exp(below)."""
    chosen = group_MG.new_zeros(group_MG.shape[0], 1)
    for elements, without in _subsets(group_MG.shape[1]):
        u = group_MG[:, elements.to(group_MG.device)]
        all_there = torch.logaddexp(torch.logsumexp(u, -1), below_M[:, None])
        chosen = torch.logsumexp(u + chosen[:, without.to(u.device)], -1) - all_there
    return chosen[:, 0]


@cache
def _subsets(count: int) -> list[tuple[Tensor, Tensor]]:
    """For sizes 1, 2, ...: the elements [n, size] of every subset, and which subset of size - 1 is
    left without each."""
    tables: list[tuple[Tensor, Tensor]] = []
    before: dict[tuple[int, ...], int] = {(): 0}
    for size in range(1, count + 1):
        subsets = list(combinations(range(count), size))
        without = [[before[s[:i] + s[i + 1 :]] for i in range(size)] for s in subsets]
        tables.append((torch.tensor(subsets), torch.tensor(without)))
        before = {s: number for number, s in enumerate(subsets)}
    return tables


def graded(utility_M: Tensor, level_M: Tensor, thresholds_L: Tensor) -> Tensor:
    """log P(level) of an answer on an ordered scale, P(level <= k) = sigmoid(tau_k - u): [M]
    (Samejima 1969).

    level_M is 0..L for L ascending thresholds; a thumb is the case L = 1. Written as
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), so that far tails stay
    finite.
    """
    endless = thresholds_L.new_full((1,), torch.inf)
    edges = torch.cat([-endless, thresholds_L, endless])
    upper_M, lower_M = edges[level_M + 1], edges[level_M]
    width_M = -torch.expm1(lower_M - upper_M)
    return (
        F.logsigmoid(upper_M - utility_M) + F.logsigmoid(utility_M - lower_M) + torch.log(width_M)
    )


def normal_preference(
    mean_a: Tensor, deviation_a: Tensor, mean_b: Tensor, deviation_b: Tensor
) -> Tensor:
    """log P(a > b) of independent normal rewards: log Phi((mu_a - mu_b) / sqrt(s_a^2 + s_b^2))
    (Siththaranjan 2023)."""
    z = (mean_a - mean_b) / torch.sqrt(deviation_a.square() + deviation_b.square())
    return torch.special.log_ndtr(z)  # type: ignore[no-any-return]


def categorical_preference(logits_aO: Tensor, logits_bO: Tensor) -> Tensor:
    """log P(a > b), equal values counting half, of independent rewards on the same ascending
    values: [...]."""
    share_a, share_b = logits_aO.softmax(-1), logits_bO.softmax(-1)
    below_b = torch.cumsum(share_b, -1) - share_b / 2
    return torch.log((share_a * below_b).sum(-1).clamp_min(1e-30))


def best_worst(utilities_MK: Tensor, best_M: Tensor, worst_M: Tensor) -> Tensor:
    """log P(best, then worst of the rest): exp(u) chooses the best, exp(-u) the worst: [M] (Marley,
    Louviere)."""
    first = F.log_softmax(utilities_MK, dim=-1).gather(-1, best_M[:, None])[:, 0]
    rest = (-utilities_MK).scatter(-1, best_M[:, None], -torch.inf)
    return first + F.log_softmax(rest, dim=-1).gather(-1, worst_M[:, None])[:, 0]


def all_pairs(ordered_MK: Tensor, sizes: Sequence[int] = ()) -> Tensor:
    """InstructGPT's K-wise objective: mean log sigmoid over the K(K-1)/2 pairs of a ranking: [M].

    With tied groups of these `sizes`, the pairs within a group are left out.
    """
    k = ordered_MK.shape[-1]
    better, worse = torch.triu_indices(k, k, offset=1, device=ordered_MK.device)
    if sizes:
        group_K = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(
            better.device
        )
        apart = group_K[better] != group_K[worse]
        better, worse = better[apart], worse[apart]
    return F.logsigmoid(ordered_MK[..., better] - ordered_MK[..., worse]).mean(-1)
