"""Heads on a trunk's hidden states, and how their outputs become one score per response.

Objectives: one output each, weighed together. Distributions: a head that says how much annotators
differ in what they know or want and the feedback does not show (Siththaranjan, Laidlaw and
Hadfield-Menell 2023). Rules: beside the score, one output each, the logit of "this response keeps
the rule" (as the rule-conditional reward model of Glaese et al. 2022). Steps: a process reward
model scores each at its last token as the logit of "not bad" (Lightman et al. 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.seeds import derive_seed

Steps = Literal["end", "min", "product", "last"]
Kind = Literal["point", "mean_variance", "categorical"]
ScoreStatistic = Literal["mean", "quantile", "mean_std"]
MIN_DEVIATION = 1e-3
"""Lower bound on the deviation a mean-variance head may claim."""


@dataclass(frozen=True)
class HeadForm:
    """What a head's outputs mean and how they are read as a score; stored with the model.

    kind: point (a number, or one per objective), mean_variance (of a normal distribution),
    categorical (logits of `atoms` values evenly spaced on [0, 1]). objectives: (name, weight) of
    each output; the score is their weighted sum.
    read, risk: what of a distribution is the score: its mean, the quantile at `risk`, or mean -
    risk * deviation.
    steps: where a response is scored. end: at its last token; min: its worst step; product:
    log-probability that no step is bad; last: its last step. separator: what divides a response
    into steps.
    rules: names of rules, an output each after those of the score.
    """

    kind: Kind = "point"
    objectives: tuple[tuple[str, float], ...] = ()
    atoms: int = 10
    read: ScoreStatistic = "mean"
    risk: float = 0.0
    steps: Steps = "end"
    separator: str = "\n"
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum((self.kind != "point", bool(self.objectives), self.steps != "end")) > 1:
            raise ValueError(
                "a head has objectives, or a distribution, or scores steps; not several of these"
            )
        if self.rules and (self.kind != "point" or self.steps != "end"):
            raise ValueError("rules stand beside a score at a response's end, and no distribution")
        if len(set(self.rules)) < len(self.rules):
            raise ValueError(f"rules repeat: {', '.join(self.rules)}")
        if self.read == "quantile" and not 0 < self.risk < 1:
            raise ValueError(f"a quantile lies between 0 and 1, not at {self.risk:g}")
        if self.atoms < 2:
            raise ValueError(f"a categorical head needs at least 2 atoms, not {self.atoms}")

    @classmethod
    def of(cls, values: dict[str, Any]) -> HeadForm:
        """From JSON values."""
        return cls(
            **values
            | {
                "objectives": tuple((name, weight) for name, weight in values["objectives"]),
                "rules": tuple(values.get("rules", ())),
            }
        )

    @property
    def outputs(self) -> int:
        """Numbers the head gives per position."""
        return {
            "point": self.first_rule + len(self.rules),
            "mean_variance": 2,
            "categorical": self.atoms,
        }[self.kind]

    @property
    def first_rule(self) -> int:
        """Outputs before those of the rules."""
        return max(1, len(self.objectives))

    def head(self, hidden: int, seed: int) -> ScalarHead | VectorHead:
        """A new head of this form."""
        return (
            ScalarHead(hidden, seed)
            if self.outputs == 1
            else VectorHead(hidden, self.outputs, seed)
        )

    def score(self, outputs: Tensor) -> Tensor:
        """Head outputs [P] or [P, O] to scores [P]."""
        if self.kind == "point":
            outputs = outputs if outputs.ndim > 1 else outputs[:, None]
            if not self.objectives:
                return outputs[:, 0]
            weights = outputs.new_tensor([weight for _, weight in self.objectives])
            return outputs[:, : self.first_rule] @ weights
        if self.read == "quantile":
            return self._quantile(outputs)
        mean, deviation = self.moments(outputs)
        return mean - self.risk * deviation if self.read == "mean_std" else mean

    def moments(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, standard deviation) of what a distribution head says: [..., O] -> [...] each."""
        if self.kind == "mean_variance":
            return outputs[..., 0], F.softplus(outputs[..., 1]) + MIN_DEVIATION
        share, atoms = outputs.softmax(-1), self.values(outputs)
        mean = share @ atoms
        return mean, (share * (atoms - mean[..., None]).square()).sum(-1).sqrt()

    def values(self, like: Tensor) -> Tensor:
        """The values of a categorical head's outputs: [O]."""
        return torch.linspace(0, 1, self.atoms, device=like.device, dtype=like.dtype)

    def _quantile(self, outputs: Tensor) -> Tensor:
        if self.kind == "mean_variance":
            mean, deviation = self.moments(outputs)
            normal: Tensor = mean + deviation * torch.special.ndtri(outputs.new_tensor(self.risk))
            return normal
        below = torch.cumsum(outputs.softmax(-1), -1)
        at = (
            (below < self.risk).sum(-1).clamp_max(self.atoms - 1)
        )  # the atom that reaches the quantile
        high = below.gather(-1, at[..., None])[..., 0]
        low = torch.where(at > 0, below.gather(-1, (at - 1).clamp_min(0)[..., None])[..., 0], 0.0)
        share = ((self.risk - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        quantile: Tensor = torch.where(at > 0, (at - 1 + share) / (self.atoms - 1), 0.0)
        return quantile


class _Linear(nn.Module):
    """weight ~ N(0, 1/sqrt(H+1)) of shape [..., H], bias 0 of shape [outputs] (Huang et al. 2024,
    detail 11)."""

    def __init__(self, shape: tuple[int, ...], outputs: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(derive_seed(seed, "head"))
        self.weight = nn.Parameter(
            torch.randn(shape, generator=generator) / math.sqrt(shape[-1] + 1)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))


class ScalarHead(_Linear):
    """Linear map [H] -> scalar."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__((hidden,), 1, seed)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., H] -> [...]"""
        return hidden @ self.weight + self.bias


class VectorHead(_Linear):
    """Linear map [H] -> [O]."""

    def __init__(self, hidden: int, outputs: int, seed: int) -> None:
        super().__init__((outputs, hidden), outputs, seed)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., H] -> [..., O]"""
        return F.linear(hidden, self.weight, self.bias)


@torch.no_grad()
def value_head(
    head: ScalarHead | VectorHead, form: HeadForm, centre: float, scale: float
) -> ScalarHead:
    """A scalar head that says (score - centre) / scale, to start a value model from.

    Exact for scores that are linear in the hidden state: a point, weighed objectives, a normal
    distribution's mean. Of a categorical head nothing linear is left; its value model starts with a
    new head.
    """
    value = ScalarHead(head.weight.shape[-1], 0).to(head.weight.device)
    if form.kind == "categorical":
        return value
    rows, bias = head.weight.reshape(-1, head.weight.shape[-1]), head.bias
    if form.kind == "mean_variance":
        weights = rows.new_tensor([1.0, 0.0])
    else:
        of_score = [weight for _, weight in form.objectives] or [1.0]
        weights = rows.new_tensor(of_score + [0.0] * len(form.rules))
    value.weight.copy_(weights @ rows / scale)
    value.bias.copy_(((weights @ bias) - centre) / scale)
    return value


@dataclass(frozen=True)
class HeadOutput:
    """What one head says about a stream of R responses.

    rewards_R: the score of each response as it is used; points_P: scores at further positions that
    were asked for;
    outputs_RO: all outputs at the last tokens, where there are several, with the form that says
    what they mean.
    """

    rewards_R: Tensor
    points_P: Tensor | None = None
    outputs_RO: Tensor | None = None
    form: HeadForm = HeadForm()


def combine_steps(scores_P: Tensor, owner_P: Tensor, responses: int, how: Steps) -> Tensor:
    """One score per response from the scores of its steps (logits of "not bad"), in order: [P] ->
    [R].

    min: the worst step; product: sum of log sigmoid, the log-probability that no step is bad; last:
    the last step.
    """
    if how == "product":
        return scores_P.new_zeros(responses).index_add(0, owner_P, F.logsigmoid(scores_P))
    if how == "min":
        start = scores_P.new_full((responses,), torch.inf)
        return start.scatter_reduce(0, owner_P, scores_P, "amin", include_self=False)
    last_R = (
        torch.searchsorted(owner_P, torch.arange(responses, device=owner_P.device), right=True) - 1
    )
    return scores_P[last_R]
