"""Held-out measures along a training: which weights were best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from accord.learning.settings import RowSettings

Weights = dict[str, Any]


class Watch:
    """What the evaluations found so far; the first of their values is the loss that decides.

    take, put: copy the model's weights, and give it such a copy; kept: values of the weights that
    the model will have; best_step: the update after which the loss was lowest.
    """

    def __init__(
        self,
        settings: RowSettings,
        take: Callable[[], Weights],
        put: Callable[[Weights], object],
    ) -> None:
        self.settings, self._take, self._put = settings, take, put
        self.best, self.best_step, self.waited = math.inf, 0, 0
        self.kept: dict[str, float] = {}
        self.weights: Weights | None = None

    def see(self, step: int, values: Mapping[str, float]) -> None:
        """Take in the evaluation after update `step`."""
        better = next(iter(values.values())) < self.best
        if better:
            self.best, self.best_step, self.waited = next(iter(values.values())), step, 0
            if self.settings.keep_best:
                self.weights = self._take()
        else:
            self.waited += 1
        if better or not self.settings.keep_best:
            self.kept = dict(values)

    @property
    def stops(self) -> bool:
        """Whether the loss has not fallen for as many evaluations as are waited for."""
        return self.settings.patience is not None and self.waited >= self.settings.patience

    def put_back(self) -> None:
        """Give the model the weights with the lowest loss, where they are to be kept."""
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
