"""Heads on a trunk's hidden states, and how their outputs become one score per response.

A process reward model scores steps: each at its last token, as the logit of "not bad"; a response is then read as its
worst step, as the log-probability that none is bad, or at its last step (Lightman et al. 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Steps = Literal["end", "min", "product", "last"]


@dataclass(frozen=True)
class HeadForm:
    """What a head says and how it is read; stored with the model.

    steps: where a response's score comes from. end: its last token; min: its worst step; product: log-probability that
    no step is bad; last: its last step. separator: what divides a response into steps.
    """

    steps: Steps = "end"
    separator: str = "\n"


class ScalarHead(nn.Module):
    """Linear map [H] -> scalar; weights ~ N(0, 1/sqrt(H+1)), bias 0 (Huang et al. 2024, detail 11)."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(hidden, generator=generator) / math.sqrt(hidden + 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., H] -> [...]"""
        return hidden @ self.weight + self.bias


@dataclass(frozen=True)
class Reading:
    """What one head says about a stream of R responses.

    rewards_R: the score of each response as it is used; points_P: scores at further positions that were asked for.
    """

    rewards_R: Tensor
    points_P: Tensor | None = None


def over_steps(scores_P: Tensor, owner_P: Tensor, responses: int, how: Steps) -> Tensor:
    """One score per response from the scores of its steps (logits of "not bad"), in order: [P] -> [R].

    min: the worst step; product: sum of log sigmoid, the log-probability that no step is bad; last: the last step.
    """
    if how == "product":
        return scores_P.new_zeros(responses).index_add(0, owner_P, F.logsigmoid(scores_P))
    if how == "min":
        start = scores_P.new_full((responses,), torch.inf)
        return start.scatter_reduce(0, owner_P, scores_P, "amin", include_self=False)
    last_R = torch.searchsorted(owner_P, torch.arange(responses, device=owner_P.device), right=True) - 1
    return scores_P[last_R]
