"""Judgements as tensors: what the reward loop reads, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning import likelihoods
from accord.text.packing import Group, response_offsets

JudgementKind = Literal["order", "tie", "choice", "best_worst", "rating"]


@dataclass(frozen=True)
class Judgement:
    """One choice: among a group's responses, or of a level on a scale for one of them.

    options: indices into the group's responses. What their order says depends on `kind`:
    - order:      best first (two options: a comparison)
    - tie:        two options, neither better
    - choice:     the first was chosen (or written) over the others, which are not compared
    - best_worst: the first is the best, the last the worst, those between are not compared
    - rating:     one option, answered by `level` (0 is the lowest) on the scale numbered `scale`
    shown_at: the display position of each; None: not shown beside each other (a correction, a demonstration), so
    that no side bias acts. annotator: index into the annotators' parameters. margin: how much better, in utility,
    the first of a comparison must be (0: any).
    """

    options: tuple[int, ...]
    shown_at: tuple[int, ...] | None
    annotator: int = 0
    kind: JudgementKind = "order"
    margin: float = 0.0
    level: int = 0
    scale: int = 0

    def __post_init__(self) -> None:
        if self.kind == "rating":
            if len(self.options) != 1 or self.level < 0 or self.scale < 0:
                raise ValueError(f"a rating is of one option, by a level and a scale from 0, not {self}")
            return
        if len(self.options) < 2 or len(set(self.options)) != len(self.options):
            raise ValueError(f"a judgement needs at least two different options, not {self.options}")
        if self.kind == "tie" and len(self.options) != 2:
            raise ValueError("ties are between two options; rank more with strict orders")
        if self.kind == "best_worst" and len(self.options) < 3:
            raise ValueError("best and worst of two is an order")
        if self.margin and (self.kind != "order" or len(self.options) != 2):
            raise ValueError("a margin belongs to a comparison with a preferred option")
        if self.shown_at is not None and sorted(self.shown_at) != list(range(len(self.options))):
            raise ValueError(f"shown_at {self.shown_at} is not an order of {len(self.options)} options")

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(better, worse) for every two options it says something about."""
        first, last, between = self.options[0], self.options[-1], self.options[1:-1]
        if self.kind in ("tie", "rating"):
            return []
        if self.kind == "order":
            return list(combinations(self.options, 2))
        if self.kind == "choice":
            return [(first, other) for other in self.options[1:]]
        return [(first, last), *((first, other) for other in between), *((other, last) for other in between)]


@dataclass(frozen=True)
class Form:
    """ties: the model of undecided comparisons; rankings: by Plackett-Luce, or by InstructGPT's mean over all pairs."""

    ties: Literal["davidson", "rao_kupper"] = "davidson"
    rankings: Literal["plackett_luce", "all_pairs"] = "plackett_luce"


@dataclass(frozen=True)
class JudgedGroup:
    """A prompt, its responses, and what was said about them. `row` names it in messages."""

    group: Group
    judgements: tuple[Judgement, ...]
    row: str = ""

    @property
    def answers(self) -> int:
        """How many terms its judgements have in the likelihood."""
        return len(self.judgements)


@dataclass(frozen=True)
class Scale:
    """An ordered scale of answers. levels: what the answers say, ascending (for a thumb 0 and 1).

    shares: how often each level was given; the thresholds start where these shares put them.
    """

    name: str
    levels: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.levels) < 2 or len(self.shares) != len(self.levels):
            raise ValueError(f"the scale {self.name!r} needs at least two levels, and a share for each")


@dataclass(frozen=True)
class AnnotatorEffects:
    """What turns rewards into the utilities and answers of each annotator (index a).

    rationality_A, side_bias_A: beta and gamma among options; log_nu: log tie parameter. sharpness_A, offset_A:
    kappa and o in the utility kappa * r + o that is compared with a scale's thresholds; thresholds: ascending [L]
    per scale. Everybody equal and unbiased: `AnnotatorEffects.none(A)`.
    """

    rationality_A: Tensor
    side_bias_A: Tensor
    log_nu: float | Tensor = -1.0
    sharpness_A: Tensor | None = None
    offset_A: Tensor | None = None
    thresholds: tuple[Tensor, ...] = field(default=())

    @classmethod
    def none(cls, annotators: int = 1, log_nu: float = -1.0) -> AnnotatorEffects:
        """Rationality 1, no side bias."""
        return cls(torch.ones(annotators), torch.zeros(annotators), log_nu)


def log_likelihood(
    scores_R: Tensor, groups: Sequence[JudgedGroup], effects: AnnotatorEffects, smoothing: float = 0.0,
    form: Form | None = None,
) -> Tensor:  # fmt: skip
    """Log-probability of every judgement in `groups`: [M], ordered by size and kind.

    scores_R: rewards of all responses in packing order. `smoothing` e mixes a strict comparison with its
    opposite, (1-e) log P + e log P(opposite), as robust to flipped labels. `form` names the likelihoods of ties
    and rankings.
    """
    form = form or Form()
    offsets = response_offsets([g.group for g in groups])
    flat = [(offsets[i], judgement) for i, g in enumerate(groups) for judgement in g.judgements]
    if not flat:
        raise DataError("a batch of judged groups holds no judgement")
    parts = []
    for size, kind in sorted({(len(j.options), _shape(j)) for _, j in flat}):
        rows = [(base, j) for base, j in flat if len(j.options) == size and _shape(j) == kind]
        if kind == "rating":
            parts += _ratings(scores_R, rows, effects)
            continue
        utility_MK = _utilities(scores_R, rows, size, effects)
        if kind == "comparison":
            parts.append(_comparisons(utility_MK, [j for _, j in rows], effects.log_nu, smoothing, form.ties))
        elif kind == "edit":
            parts.append(likelihoods.bradley_terry(*_asked(utility_MK, [j for _, j in rows]).unbind(-1)))
        elif kind == "choice":
            parts.append(torch.log_softmax(utility_MK, dim=-1)[:, 0])
        elif kind == "best_worst":
            best = torch.zeros(len(rows), dtype=torch.long, device=scores_R.device)
            parts.append(likelihoods.best_worst(utility_MK, best, best + size - 1))
        else:
            rank = likelihoods.plackett_luce if form.rankings == "plackett_luce" else likelihoods.all_pairs
            parts.append(rank(utility_MK))
    return torch.cat(parts)


def _shape(judgement: Judgement) -> str:
    """Which likelihood applies: a comparison may tie, of two that were not shown together one is simply better."""
    if judgement.kind in ("order", "tie") and len(judgement.options) == 2:
        return "comparison" if judgement.shown_at is not None else "edit"
    return judgement.kind


def _asked(utility_M2: Tensor, judgements: Sequence[Judgement]) -> Tensor:
    """Utilities of comparisons, the preferred one lowered by the margin asked for."""
    if not any(j.margin for j in judgements):
        return utility_M2
    return utility_M2 - utility_M2.new_tensor([[j.margin, 0.0] for j in judgements])


def _comparisons(
    utility_M2: Tensor, judgements: Sequence[Judgement], log_nu: float | Tensor, smoothing: float, ties: str
) -> Tensor:
    outcomes = [likelihoods.TIE if j.kind == "tie" else likelihoods.FIRST for j in judgements]
    outcome_M = torch.tensor(outcomes, device=utility_M2.device)
    first, second = _asked(utility_M2, judgements).unbind(-1)
    nu = torch.as_tensor(log_nu).to(utility_M2)

    def logp(outcome_M: Tensor) -> Tensor:
        if ties == "davidson":
            return likelihoods.davidson(first, second, outcome_M, nu)
        # The threshold at which equal options tie as often as under Davidson's model: theta = 1 + nu.
        return likelihoods.rao_kupper(first, second, outcome_M, nu.exp().log1p())

    if not smoothing:
        return logp(outcome_M)
    flipped = torch.where(outcome_M == likelihoods.TIE, outcome_M, likelihoods.SECOND)
    return (1 - smoothing) * logp(outcome_M) + smoothing * logp(flipped)


def _ratings(scores_R: Tensor, rows: Sequence[tuple[int, Judgement]], effects: AnnotatorEffects) -> list[Tensor]:
    """Log-probabilities of ratings, one tensor per scale."""
    if effects.sharpness_A is None or effects.offset_A is None:
        raise DataError("there are ratings, but no thresholds for their scales", "pass the scales to train_reward")
    parts = []
    for scale in sorted({j.scale for _, j in rows}):
        own = [(base + j.options[0], j) for base, j in rows if j.scale == scale]
        annotator_M = torch.tensor([j.annotator for _, j in own], device=scores_R.device)
        level_M = torch.tensor([j.level for _, j in own], device=scores_R.device)
        reward_M = scores_R[torch.tensor([index for index, _ in own], device=scores_R.device)]
        sharpness_A, offset_A = effects.sharpness_A.to(scores_R), effects.offset_A.to(scores_R)
        utility_M = sharpness_A[annotator_M] * reward_M + offset_A[annotator_M]
        parts.append(likelihoods.graded(utility_M, level_M, effects.thresholds[scale].to(scores_R)))
    return parts


def _utilities(scores_R: Tensor, rows: Sequence[tuple[int, Judgement]], size: int, effects: AnnotatorEffects) -> Tensor:
    device = scores_R.device
    index = torch.tensor([[base + o for o in j.options] for base, j in rows], device=device)
    middle = ((size - 1) / 2,) * size  # not shown side by side: no side bias
    shown = torch.tensor([j.shown_at or middle for _, j in rows], device=device, dtype=scores_R.dtype)
    annotator = torch.tensor([j.annotator for _, j in rows], device=device)
    return likelihoods.shown_utility(
        scores_R[index], shown, torch.tensor(size, device=device),
        effects.rationality_A.to(scores_R)[annotator, None], effects.side_bias_A.to(scores_R)[annotator, None],
    )  # fmt: skip


def strict_pairs(groups: Sequence[JudgedGroup]) -> list[tuple[int, int, int]]:
    """All (group, better response, worse response) said by the judgements, those of ratings by `rated_pairs`."""
    return [
        (index, better, worse)
        for index, g in enumerate(groups)
        for better, worse in [*(pair for j in g.judgements for pair in j.pairs), *rated_pairs(g.judgements)]
    ]


def rated_pairs(judgements: Sequence[Judgement]) -> list[tuple[int, int]]:
    """(better, worse) for every two responses that the same annotator put on different levels of the same scale."""
    rated = [j for j in judgements if j.kind == "rating"]
    return [
        (a.options[0], b.options[0]) if a.level > b.level else (b.options[0], a.options[0])
        for a, b in combinations(rated, 2)
        if (a.annotator, a.scale) == (b.annotator, b.scale) and a.level != b.level and a.options != b.options
    ]
