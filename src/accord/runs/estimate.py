"""What a stage would cost, known before any model is loaded: amounts from recipe and data, sizes
from config.json.

Where data is there its tokens are counted; of what is still to be sampled only the limit is known.
Times are ranges: from the fewest tokens at the speed of a step measured on this machine (see
`accord.runs.speed`) to the most at a slower one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accord.runs.plan import ModelSize
    from accord.runs.speed import Speed
    from accord.runs.stages.settings import EvaluationConfig

SHORTEST = 0.25
"""Share of their limit that sampled responses have at least, on average."""
SLOWER = 2.0
"""How much slower than a measured step all the rest may make it: optimiser, checkpoints, uneven
batches, other programs."""
PROCESS_MIB = 450
ACTIVATIONS = 24
"""Floats kept per token, layer and hidden unit between the forward and the backward pass."""


@dataclass(frozen=True)
class TokenWork:
    """Tokens trained on (forward and backward), scored (forward), sampled (one by one)."""

    trained: int = 0
    scored: int = 0
    sampled: int = 0

    @property
    def tokens(self) -> int:
        return self.trained + self.scored + self.sampled

    def __add__(self, other: TokenWork) -> TokenWork:
        return TokenWork(
            self.trained + other.trained, self.scored + other.scored, self.sampled + other.sampled
        )

    def times(self, factor: float) -> TokenWork:
        """As much of everything, that often."""
        return TokenWork(
            *(round(factor * amount) for amount in (self.trained, self.scored, self.sampled))
        )

    def seconds(self, speed: Speed) -> float:
        """At the measured speed."""
        return (
            speed.trained * self.trained + speed.scored * self.scored + speed.sampled * self.sampled
        )


def span(least: TokenWork, most: TokenWork, speed: Speed | None) -> tuple[float, float] | None:
    """(from, to) in seconds; None where no step could be measured."""
    if speed is None or not most.tokens:
        return None
    return least.seconds(speed), SLOWER * most.seconds(speed)


def memory_mib(
    size: ModelSize, trained: int, frozen: int, micro_batch_tokens: int, lora: bool = False
) -> int:
    """Expected peak: weights of `trained` models (with gradients and Adam's moments) and `frozen`
    ones, activations."""
    floats = size.parameters * ((trained * (1 if lora else 4)) + frozen)
    floats += micro_batch_tokens * size.layers * size.hidden * ACTIVATIONS
    return PROCESS_MIB + round(4 * floats / 2**20)


def disk_mib(size: ModelSize, trained: int, checkpoints: int, lora: bool = False) -> int:
    """Most that a stage writes: checkpoints of `trained` models' weights and Adam's two moments
    (one more than stay, while it is written), and the models themselves. Of adapters a
    twentieth."""
    floats = size.parameters * trained * (3 * (checkpoints + 1) + 1)
    if lora:
        floats = floats // 20 + size.parameters
    return round(4 * floats / 2**20)


def updates(rows: int | None, batch: int, epochs: float) -> int | None:
    """Optimiser steps over `rows`, whose epochs end with a smaller batch (see
    `accord.learning.order`)."""
    return math.ceil(round(-(-rows // batch) * epochs, 6)) if rows is not None else None


def examination(config: EvaluationConfig | None) -> TokenWork:
    """Sampling at every point and scoring by policy, reference and reward model."""
    if config is None:
        return TokenWork()
    tokens = config.points * config.count * config.max_new_tokens
    return TokenWork(sampled=tokens, scored=3 * tokens)
