"""Episodes of evaluations walked once more to be filmed, where an environment is seen by its frames
alone: what was done is kept, and so is the seed of the starts. A picture of every step of every
evaluation would cost more than the evaluations do.

Suffixes: T steps, A numbers of an action.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accord.control.gym_batch import PATIENCE, GymBatch
from accord.control.poses import FilmStrip
from accord.control.watched import KeptEpisodes
from accord.errors import RunError
from accord.seeds import generator

NEAR = 1e-5
"""How far an observation may lie from the one kept, of its size: what is kept has 32 bits."""


@dataclass
class Refilming:
    """Films episodes of one environment. Raises ConfigError where it renders nothing."""

    environment: str
    limit: int
    patience: float = PATIENCE
    _made: dict[int, GymBatch] = field(default_factory=dict)

    def drawing(self, kept: KeptEpisodes, n: int) -> dict[str, Any]:
        """Episode n of an evaluation as browsers draw it: a picture before each step, and after
        the last. Raises RunError where the environment does not do again what it did."""
        batch = self._batch(n)
        batch.reset(np.array([0]), generator(kept.seed, "starts"))
        strip = FilmStrip(batch.frame_seconds)
        seen_TO, action_TA = kept.seen(n), kept.done(n)
        for step, action_A in enumerate(action_TA):
            self._check(seen_TO[step], batch, step)
            strip.add(batch.frames()[0])
            batch.step(action_A[None])
        self._check(seen_TO[-1], batch, len(action_TA))
        strip.add(batch.frames()[0])
        return strip.drawing()

    def _batch(self, n: int) -> GymBatch:
        if n not in self._made:
            self._made = {
                n: GymBatch(self.environment, 1, self.limit, self.patience, True, first=n)
            }
        return self._made[n]

    def _check(self, wanted_O: Any, batch: GymBatch, step: int) -> None:
        if not np.allclose(batch.observe()[0], wanted_O, rtol=NEAR, atol=NEAR):
            raise RunError(
                f"{self.environment} does not do again what it did: begun from the same seed, it"
                f" observes something else after {step} of the same steps",
                "draw all its chances from self.np_random, which reset(seed=…) seeds",
            )
