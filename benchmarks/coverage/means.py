"""Cells of means and shares over prompts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accord.examine.winrate import win_rate
from benchmarks.coverage.registry import Cell, Drawn, add


def wins(prompts: int, rate: float, ties: float = 0.0) -> Callable[[np.random.Generator], Drawn]:
    """Scores of a policy less the baseline's: 1, 0 for a tie, -1; and the win rate."""

    def draw(rng: np.random.Generator) -> Drawn:
        won = np.where(rng.random(prompts) < ties, 0.0, np.where(rng.random(prompts) < rate, 1, -1))
        return won, ties / 2 + (1 - ties) * rate

    return draw


for prompts in (3, 10, 20, 100):
    for rate, ties in ((0.5, 0.0), (0.8, 0.0), (0.95, 0.0), (0.7, 0.4)):
        tied = f", {ties:.0%} ties" if ties else ""
        add(
            Cell(
                "win rate",
                f"{prompts} prompts, {rate:.0%}{tied}",
                prompts,
                wins(prompts, rate, ties),
                lambda won: win_rate(won, np.zeros(len(won)), list(range(len(won)))),
            )
        )
