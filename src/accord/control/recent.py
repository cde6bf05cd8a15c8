"""The latest rollouts of which nothing was asked yet: where one rollout is short, clips come from
several."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from accord.control.rollouts import Steps, joined


class RecentWalk:
    """Rollouts that went on from each other since the last question; of the latest `most`, the
    present one among them, clips are cut."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._earlier: list[Steps] = []

    def add(self, steps: Steps) -> None:
        """One of which nothing is asked."""
        kept = self.most - 1
        self._earlier = [*self._earlier, steps][-kept:] if kept else []

    def until(self, steps: Steps) -> Steps:
        """All of them and this one, as one; they are forgotten, since clips of them are asked
        about."""
        walks, self._earlier = [*self._earlier, steps], []
        return joined(walks)

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> list[dict[str, Any]]:
        """Everything a bit-identical continuation needs."""
        return [
            {
                name: torch.from_numpy(array)
                for name, array in vars(steps).items()
                if array is not None
            }
            for steps in self._earlier
        ]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from `state()`, in environments that go on where they were."""
        self._earlier = []
        for one in state:
            rows: dict[str, Any] = {
                field.name: one[field.name].numpy() if field.name in one else None
                for field in fields(Steps)
            }
            self._earlier.append(Steps(**rows))
