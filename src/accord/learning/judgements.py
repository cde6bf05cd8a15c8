"""Judgements as tensors: what the reward loop reads, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning import likelihoods
from accord.text.packing import Group, response_offsets


@dataclass(frozen=True)
class Judgement:
    """One choice among a group's responses.

    options: indices into the group's responses, best first; for a tie of two, in the order shown.
    shown_at: the display position of each of them. annotator: index into the annotators' parameters.
    """

    options: tuple[int, ...]
    shown_at: tuple[int, ...]
    annotator: int = 0
    tie: bool = False

    def __post_init__(self) -> None:
        if len(self.options) < 2 or len(set(self.options)) != len(self.options):
            raise ValueError(f"a judgement needs at least two different options, not {self.options}")
        if self.tie and len(self.options) != 2:
            raise ValueError("ties are between two options; rank more with strict orders")
        if sorted(self.shown_at) != list(range(len(self.options))):
            raise ValueError(f"shown_at {self.shown_at} is not an order of {len(self.options)} options")


@dataclass(frozen=True)
class JudgedGroup:
    """A prompt, its responses, and what was said about them. `row` names it in messages."""

    group: Group
    judgements: tuple[Judgement, ...]
    row: str = ""


@dataclass(frozen=True)
class AnnotatorEffects:
    """Known effects per annotator index: rationality beta [A], side bias gamma [A], log tie parameter nu.

    Everybody equal and unbiased: `AnnotatorEffects.none(A)`.
    """

    rationality_A: Tensor
    side_bias_A: Tensor
    log_nu: float = -1.0

    @classmethod
    def none(cls, annotators: int = 1, log_nu: float = -1.0) -> AnnotatorEffects:
        """Rationality 1, no side bias."""
        return cls(torch.ones(annotators), torch.zeros(annotators), log_nu)


def log_likelihood(
    scores_R: Tensor, groups: Sequence[JudgedGroup], effects: AnnotatorEffects, smoothing: float = 0.0
) -> Tensor:
    """Log-probability of every judgement in `groups`: [M], comparisons first, then rankings by size.

    scores_R: rewards of all responses in packing order. `smoothing` e mixes a strict comparison with its
    opposite, (1-e) log P + e log P(opposite), as robust to flipped labels.
    """
    offsets = response_offsets([g.group for g in groups])
    flat = [(offsets[i], judgement) for i, g in enumerate(groups) for judgement in g.judgements]
    if not flat:
        raise DataError("a batch of judged groups holds no judgement")
    parts = []
    for size in sorted({len(j.options) for _, j in flat}):
        rows = [(base, j) for base, j in flat if len(j.options) == size]
        utility_MK = _utilities(scores_R, rows, size, effects)
        if size == 2:
            outcome = torch.tensor([likelihoods.TIE if j.tie else likelihoods.FIRST for _, j in rows])
            parts.append(_comparisons(utility_MK, outcome.to(scores_R.device), effects.log_nu, smoothing))
        else:
            parts.append(likelihoods.plackett_luce(utility_MK))
    return torch.cat(parts)


def _comparisons(utility_M2: Tensor, outcome_M: Tensor, log_nu: float, smoothing: float) -> Tensor:
    nu = utility_M2.new_tensor(log_nu)
    first, second = utility_M2.unbind(-1)
    logp = likelihoods.davidson(first, second, outcome_M, nu)
    if not smoothing:
        return logp
    flipped = torch.where(outcome_M == likelihoods.TIE, outcome_M, likelihoods.SECOND)
    return (1 - smoothing) * logp + smoothing * likelihoods.davidson(first, second, flipped, nu)


def _utilities(scores_R: Tensor, rows: Sequence[tuple[int, Judgement]], size: int, effects: AnnotatorEffects) -> Tensor:
    device = scores_R.device
    index = torch.tensor([[base + o for o in j.options] for base, j in rows], device=device)
    shown = torch.tensor([j.shown_at for _, j in rows], device=device, dtype=scores_R.dtype)
    annotator = torch.tensor([j.annotator for _, j in rows], device=device)
    return likelihoods.shown_utility(
        scores_R[index], shown, torch.tensor(size, device=device),
        effects.rationality_A.to(scores_R)[annotator, None], effects.side_bias_A.to(scores_R)[annotator, None],
    )  # fmt: skip


def strict_pairs(groups: Sequence[JudgedGroup]) -> list[tuple[int, int, int]]:
    """All (group, better response, worse response) said by comparisons without tie and by rankings."""
    return [
        (index, better, worse)
        for index, g in enumerate(groups)
        for j in g.judgements
        if not j.tie
        for place, better in enumerate(j.options)
        for worse in j.options[place + 1 :]
    ]
