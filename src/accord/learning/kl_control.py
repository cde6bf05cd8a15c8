"""The KL coefficient: fixed, or steered towards a target in nats per sequence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class KLController:
    """Ziegler et al. 2019, section 2.2: e = clip(KL/target - 1, -0.2, 0.2); coefficient *= 1 + e *
    n / horizon.

    target: nats per sequence, None keeps the coefficient fixed; horizon: episodes over which an
    error of 1 would double it.
    """

    coefficient: float
    target: float | None = None
    horizon: int = 10_000

    def update(self, kl_seq: float, episodes: int) -> None:
        """Account for `episodes` responses whose mean KL was `kl_seq` nats per sequence."""
        if self.target is None:
            return
        error = min(0.2, max(-0.2, kl_seq / self.target - 1))
        self.coefficient *= 1 + error * episodes / self.horizon

    def state(self) -> float:
        """What a checkpoint keeps."""
        return self.coefficient

    def load(self, state: float) -> None:
        """Continue from `state()`."""
        self.coefficient = state
