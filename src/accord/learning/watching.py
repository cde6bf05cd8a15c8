"""Held-out measures along a training: which weights were best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from accord.learning.settings import WatchedSettings

Weights = dict[str, Any]


class Watch:
    """What the evaluations found so far; the first of their values decides: a loss, or where
    `highest` is set a reward.

    take, put: copy the model's weights, and give it such a copy; kept: values of the weights that
    the model will have; best: the lowest loss (of rewards: of their negatives); best_step: the
    update after which it was found.
    """

    def __init__(
        self,
        settings: WatchedSettings,
        take: Callable[[], Weights],
        put: Callable[[Weights], object],
        highest: bool = False,
    ) -> None:
        self.settings, self._take, self._put = settings, take, put
        self._sign = -1.0 if highest else 1.0
        self.best, self.best_step, self.waited = math.inf, 0, 0
        self.kept: dict[str, float] = {}
        self.weights: Weights | None = None

    def see(self, step: int, values: Mapping[str, float]) -> None:
        """Take in the evaluation after update `step`."""
        loss = self._sign * next(iter(values.values()))
        better = loss < self.best
        if better:
            self.best, self.best_step, self.waited = loss, step, 0
            if self.settings.keep_best:
                self.weights = self._take()
        else:
            self.waited += 1
        if better or not self.settings.keep_best:
            self.kept = dict(values)

    def due(self, step: int) -> bool:
        """Whether update `step` is one after which an evaluation is asked for along the way."""
        every = self.settings.evaluate_every
        return bool(every) and step % every == 0

    @property
    def stops(self) -> bool:
        """Whether as many evaluations as are waited for were no better than the best."""
        return self.settings.patience is not None and self.waited >= self.settings.patience

    def put_back(self) -> None:
        """Give the model the best weights, where they are to be kept."""
        if self.weights is not None:
            self._put(self.weights)

    def state(self) -> dict[str, Any]:
        """Everything that a continued training needs to know."""
        names = ("best", "best_step", "waited", "kept", "weights")
        return {name: getattr(self, name) for name in names}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        for name, value in state.items():
            setattr(self, name, value)
