"""A limit on cost while a policy is tuned: what the costs of a rollout take off its scores, and how
the multiplier follows them (Safe RLHF: Dai et al. 2024, arXiv 2310.12773; `constrained` has the
parts).

Suffixes: B responses of this process, N those of all processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accord.errors import RunError
from accord.learning.constrained import ConstraintSettings, Multiplier, penalties, tail_mean
from accord.learning.parallel import ALONE, World
from accord.sampling.rollout import Rollout
from accord.statistics.intervals import Array

Cost = Callable[[Rollout], Tensor]
"""Costs of a rollout's responses, above 0 where one does harm: [B]."""
FASTEST, SLOWING = 0.05, 4.0
"""Step of the threshold of the worst costs, in their deviations: at most FASTEST, and SLOWING / n
after n batches, so that their noise dies out."""


class TailThreshold:
    """The cost from which on a response counts among the worst (Rockafellar and Uryasev 2000).

    It rises while more than the share `tail` of a batch costs more, and falls otherwise: the
    subgradient of the bound. The batch's own quantile would be no replacement: a policy that keeps
    the limit leaves few costs above the threshold and many just below, so that a quantile errs
    upwards. None above the limit can keep it.
    """

    def __init__(self, settings: ConstraintSettings) -> None:
        self.settings, self.batches = settings, 0
        self.value: float | None = None

    def at(self, cost_N: Array) -> float:
        """The threshold; at first that of these costs, or the limit."""
        if self.value is None:
            least = tail_mean(cost_N, self.settings.tail)[1]
            self.value = min(self.settings.limit, least)
        return self.value

    def update(self, cost_N: Array) -> None:
        """Account for a batch."""
        value, self.batches = self.at(cost_N), self.batches + 1
        step = min(FASTEST, SLOWING / self.batches) * float(np.std(cost_N))
        above = float(np.mean(np.asarray(cost_N) > value))
        self.value = min(self.settings.limit, value + step * (above / self.settings.tail - 1))


class CostLimit:
    """What an on-policy trainer asks about cost: the score that is paid, and the multiplier after
    each rollout."""

    def __init__(self, settings: ConstraintSettings, cost: Cost) -> None:
        self.settings, self._cost = settings, cost
        self.multiplier, self.threshold = Multiplier(settings), TailThreshold(settings)

    def costs(self, rollout: Rollout) -> Tensor:
        """Costs [B], in double precision. Raises RunError where one is none."""
        cost_B = self._cost(rollout).double().cpu()
        if cost_B.shape != (rollout.size,):
            raise RunError(
                f"the cost of {rollout.size} responses has shape {list(cost_B.shape)}",
                "return one cost per response",
            )
        unknown = (~cost_B.isfinite()).nonzero()
        if len(unknown):
            raise RunError(
                f"the cost of response {int(unknown[0])} is {float(cost_B[unknown[0]])}"
                f" ({len(unknown)} of {rollout.size} are not finite)",
                "a limit holds for all responses: give each of them a cost",
            )
        return cost_B

    def paid(self, score_B: Tensor, cost_B: Tensor, world: World = ALONE) -> Tensor:
        """(score - multiplier x penalty) / (1 + multiplier): [B]."""
        cost_N = world.gather(cost_B)
        penalty_B = torch.from_numpy(self._penalties(cost_B, cost_N))
        m = self.multiplier.value
        return ((score_B.double().cpu() - m * penalty_B) / (1 + m)).to(score_B)

    def update(self, cost_B: Tensor, world: World = ALONE) -> dict[str, float]:
        """Move the multiplier and the threshold by a rollout; the metrics tell what it was paid by.

        Every process moves them alike, by the costs of all.
        """
        cost_N = world.gather(cost_B)
        bound, costs = float(self._penalties(cost_N, cost_N).mean()), cost_N.numpy()
        metrics = {
            "cost": float(costs.mean()),
            "harmful_share": float((costs > 0).mean()),
            "cost_bound": bound,
            "cost_multiplier": self.multiplier.value,
        }
        self.multiplier.update(bound - self.settings.limit)
        if self.settings.bound == "tail":
            self.threshold.update(costs)
        return metrics

    def _penalties(self, cost_B: Tensor, cost_N: Tensor) -> Array:
        at = self.threshold.at(cost_N.numpy()) if self.settings.bound == "tail" else None
        return penalties(self.settings, cost_B.numpy(), at)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "multiplier": self.multiplier.state(),
            "threshold": self.threshold.value,
            "batches": self.threshold.batches,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.multiplier.load(state["multiplier"])
        self.threshold.value, self.threshold.batches = state["threshold"], state["batches"]
