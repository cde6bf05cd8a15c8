"""The order in which rows are visited: a pure function of (rows, batch, epochs, seed), so it needs
no state."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch

from accord.seeds import derive_seed


class EpochOrder:
    """Shuffled epochs cut into batches of `batch` rows; the last batch of an epoch may be smaller.

    `epochs` may be fractional: the last epoch then visits that share of its rows. Position is the
    step number alone, which makes resuming exact. `blocks`: of which block each row is; then blocks
    are shuffled, and the rows of one follow each other.
    """

    def __init__(
        self,
        rows: int,
        batch: int,
        epochs: float,
        seed: int,
        blocks: Sequence[Hashable] | None = None,
    ) -> None:
        if rows < 1 or batch < 1 or epochs <= 0:
            raise ValueError(f"rows {rows}, batch {batch} and epochs {epochs} must be positive")
        self.rows_total, self.batch, self.seed = rows, batch, seed
        self.per_epoch = -(-rows // batch)  # whole numbers: a float of them may be 0
        self.steps = max(
            1, math.ceil(round(epochs * self.per_epoch, 6))
        )  # 1.1 epochs of 10 batches are 11, not 12
        self._blocks = None if blocks is None else _members(blocks)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def rows(self, step: int) -> list[int]:
        """Row indices of 0-based `step`."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            shuffled = len(self._blocks or range(self.rows_total))
            order = torch.randperm(shuffled, generator=generator)
            if self._blocks is not None:
                order = torch.cat([self._blocks[block] for block in order.tolist()])
            self._order, self._epoch = order, epoch
        return self._order[index * self.batch : (index + 1) * self.batch].tolist()

    def visited(self, steps: int) -> int:
        """Rows of the first `steps` batches, repeated visits counted."""
        epochs, rest = divmod(steps, self.per_epoch)
        return epochs * self.rows_total + rest * self.batch


def _members(blocks: Sequence[Hashable]) -> list[torch.Tensor]:
    """The rows of each block, blocks in the order in which they first appear."""
    found: dict[Hashable, list[int]] = {}
    for row, block in enumerate(blocks):
        found.setdefault(block, []).append(row)
    return [torch.tensor(rows) for rows in found.values()]


def smaller_steps(prompts: int, per_step: int, steps: int) -> str | None:
    """Which of `steps` have fewer prompts than `per_step`, in words; None: they are all full."""
    left, passes = prompts % per_step, steps // -(-prompts // per_step)
    if prompts < per_step:
        return f"every step has all {prompts:,} prompts, not {per_step:,}"
    if not left or not passes:
        return None
    return (
        f"{passes:,} of {steps:,} steps end a pass over {prompts:,} prompts with {left:,}, not"
        f" {per_step:,}"
    )
