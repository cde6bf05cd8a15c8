"""What is learned about annotators and scales together with the reward.

Rationality beta, side bias gamma and the tie parameter nu of choices among options (`joint`;
otherwise the given estimates stay as they are), each annotator's share of lapses (`lapses`;
likewise), and what ratings need: a sharpness kappa and an offset o per annotator, thresholds per
scale.

A reward twice as large with every beta and kappa halved says the same, and so does a shift of
reward, offsets and thresholds together. Normal priors settle this: the penalty is -log of their
density, so that reward and parameters together are the most probable ones given the judgements
(MAP). Their influence vanishes as judgements per annotator grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.errors import RunError
from accord.learning.judgements import AnnotatorEffects, RatingScale

SPREAD = {
    "rationality_A": 1.0,
    "side_bias_A": 1.0,
    "log_nu": 1.0,
    "sharpness_A": 0.5,
    "offset_A": 1.0,
    "lapse_logit_A": 1.0,
}
"""Standard deviations of the priors around their starting values: the given estimates, or 1
(factors) and 0 (shifts)."""
THRESHOLD_SPREAD = 3.0
"""The same for thresholds, around what the shares of the answers say."""


LEAST_GAP = 1e-4
"""Thresholds are at least this far apart."""


class LearnedValues(TypedDict):
    """What one member learned: one number per annotator, ascending thresholds per scale."""

    rationality: list[float]
    side_bias: list[float]
    log_nu: float
    sharpness: list[float]
    offset: list[float]
    lapse: list[float]
    thresholds: list[list[float]]


class LearnedScale(TypedDict):
    """A scale with the thresholds between its levels."""

    name: str
    levels: list[float]
    thresholds: list[float]


class LearnedTable(TypedDict):
    """What was learned, by annotator and scale. tie: nu of comparisons."""

    annotators: list[dict[str, str | float]]
    tie: float
    scales: list[LearnedScale]


class JudgementParameters(nn.Module):
    """The parameters behind `AnnotatorEffects`, trained with one member.

    Thresholds are a first one and softplus gaps, so they stay in order.
    """

    rationality_A: Tensor
    side_bias_A: Tensor
    log_nu: Tensor
    sharpness_A: Tensor
    offset_A: Tensor
    lapse_logit_A: Tensor

    def __init__(
        self,
        start: AnnotatorEffects,
        scales: Sequence[RatingScale] = (),
        joint: bool = False,
        lapses: bool = False,
    ) -> None:
        """joint, lapses: whether effects among options, and shares of lapses, are learned. Raises
        ValueError for lapses learned from a share of 0, which no logit has."""
        super().__init__()
        self.scales, count = tuple(scales), start.rationality_A.numel()
        self._keep("rationality_A", start.rationality_A, joint)
        self._keep("side_bias_A", start.side_bias_A, joint)
        self._keep("log_nu", torch.as_tensor(start.log_nu, dtype=torch.float32), joint)
        self._keep("sharpness_A", torch.ones(count), bool(scales))
        self._keep("offset_A", torch.zeros(count), bool(scales))
        self._lapse = start.lapse
        if lapses:
            share_A = torch.as_tensor(start.lapse).expand(count)
            if not ((share_A > 0) & (share_A < 1)).all():
                raise ValueError(
                    f"lapses are learned from shares within 0 and 1, not {start.lapse}"
                )
            self._keep("lapse_logit_A", share_A.logit(), True)
        self.gaps = nn.ParameterList(
            [_gaps(scale, starting_thresholds(scale)) for scale in self.scales]
        )
        self._start = {name: p.detach().clone() for name, p in self.named_parameters()}

    def _keep(self, name: str, value: Tensor, learned: bool) -> None:
        value = value.detach().clone().float()
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def effects(self) -> AnnotatorEffects:
        """The current values, differentiable."""
        return AnnotatorEffects(
            self.rationality_A,
            self.side_bias_A,
            self.log_nu,
            self.sharpness_A,
            self.offset_A,
            tuple(
                _thresholds(scale, gaps) for scale, gaps in zip(self.scales, self.gaps, strict=True)
            ),
            lapse=self.lapse,
        )

    @property
    def lapse(self) -> float | Tensor:
        """Shares of lapses, [A] where they are learned."""
        learned = "lapse_logit_A" in self._parameters
        return torch.sigmoid(self.lapse_logit_A) if learned else self._lapse

    def penalty(self) -> Tensor:
        """-log prior density up to a constant, in nats: shape []."""
        total = torch.zeros(())
        for name, p in self.named_parameters():
            here: Tensor = p
            start, spread = self._start[name].to(p), THRESHOLD_SPREAD
            if name.startswith("gaps."):
                scale = self.scales[int(name.removeprefix("gaps."))]
                here, start = _thresholds(scale, here), _thresholds(scale, start)
            else:
                spread = SPREAD[name]
            total = total.to(p) + ((here - start) / spread).square().sum() / 2
        return total

    def state(self) -> dict[str, Tensor]:
        """Copies of the learned values, for a checkpoint."""
        return {name: p.detach().clone() for name, p in self.named_parameters()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Put back `state()`."""
        for name, p in self.named_parameters():
            p.copy_(state[name])

    @torch.no_grad()
    def values(self) -> LearnedValues:
        """Plain values: one number per annotator, ascending thresholds per scale."""
        return {
            "rationality": self.rationality_A.tolist(),
            "side_bias": self.side_bias_A.tolist(),
            "log_nu": float(self.log_nu),
            "sharpness": self.sharpness_A.tolist(),
            "offset": self.offset_A.tolist(),
            "lapse": torch.as_tensor(self.lapse, dtype=torch.double)
            .expand(len(self.offset_A))
            .tolist(),
            "thresholds": [
                _thresholds(s, gaps).tolist()
                for s, gaps in zip(self.scales, self.gaps, strict=True)
            ],
        }


def check_reward_sign(learned: Sequence[JudgementParameters]) -> None:
    """Raise RunError when most annotators came out contrary: then it is the reward that is upside
    down.

    Choices cannot tell a reward from its opposite judged by contrarians; most annotators are taken
    to be honest.
    """
    for member, parameters in enumerate(learned):
        for name, values_A in (
            ("rationality", parameters.rationality_A),
            ("sharpness", parameters.sharpness_A),
        ):
            if values_A.requires_grad and values_A.median() < 0:
                raise RunError(
                    f"the {name} of most annotators was learned to be negative (member {member}):"
                    " the reward is upside down, or it says nothing",
                    "lower annotator_rate, train longer, or start from estimates (annotators)",
                )


def describe_annotators(
    learned: Sequence[LearnedValues],
    centre_E: Tensor,
    deviation: float,
    names: Sequence[str],
    scales: Sequence[RatingScale],
) -> LearnedTable:
    """What the members learned (`values` of each), on average, for rewards in the unit of scores: r
    = deviation * score + centre. The shift that offsets and thresholds could share is taken out:
    the mean offset is 0.
    """

    def mean(rows: Sequence[float | list[float]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.double).mean(0)

    sharpness_A = mean([v["sharpness"] for v in learned])
    offset_EA = torch.tensor([v["offset"] for v in learned]) + (
        torch.tensor([v["sharpness"] for v in learned]) * centre_E[:, None]
    )
    shift_E = offset_EA.mean(1)
    columns = {
        "rationality": mean([v["rationality"] for v in learned]) * deviation,
        "side_bias": mean([v["side_bias"] for v in learned]),
        "sharpness": sharpness_A * deviation,
        "offset": (offset_EA - shift_E[:, None]).mean(0),
    }
    if any(any(v["lapse"]) for v in learned):
        columns["lapse"] = mean([v["lapse"] for v in learned])
    return {
        "annotators": [
            {"annotator": name} | {column: float(values[a]) for column, values in columns.items()}
            for a, name in enumerate(names)
        ],
        "tie": float(mean([v["log_nu"] for v in learned]).exp()),
        "scales": [
            {
                "name": scale.name,
                "levels": list(scale.levels),
                "thresholds": (
                    mean(
                        [
                            [t - float(shift) for t in v["thresholds"][k]]
                            for v, shift in zip(learned, shift_E, strict=True)
                        ]
                    ).tolist()
                ),
            }
            for k, scale in enumerate(scales)
        ],
    }


def starting_thresholds(scale: RatingScale) -> Tensor:
    """Thresholds at which a reward of 0 gives every level its observed share: logit of the
    cumulated shares, [L]."""
    smoothed = torch.tensor(scale.shares, dtype=torch.double) + 1e-3
    below = torch.cumsum(smoothed / smoothed.sum(), 0)[:-1]
    return torch.logit(below).float()


def _thresholds(scale: RatingScale, gaps: Tensor) -> Tensor:
    """Ascending thresholds [L] from the first one (0 where it is anchored, and then left out) and
    the gaps."""
    first = gaps.new_zeros(1) if scale.anchored else gaps[:1]
    return torch.cumsum(
        torch.cat([first, F.softplus(gaps[0 if scale.anchored else 1 :]) + LEAST_GAP]), 0
    )


def _gaps(scale: RatingScale, thresholds_L: Tensor) -> nn.Parameter:
    """The parameters behind `_thresholds`."""
    wanted = (thresholds_L.diff() - LEAST_GAP).clamp_min(1e-2)
    inverse = wanted + torch.log(-torch.expm1(-wanted))
    return nn.Parameter(inverse if scale.anchored else torch.cat([thresholds_L[:1], inverse]))
