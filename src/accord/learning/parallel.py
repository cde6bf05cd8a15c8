"""Several processes that train as one (data parallel): the same numbers as a single process,
whatever their number.

Every process holds the same weights and sees the same batch; it takes its share of the rows, and
each sum that enters a loss, a normaliser, a gradient or a metric is added up over all processes by
one hook, `World.sum`. A loop is handed a `World`; for a single process that is `ALONE`, whose hook
is the identity.

    torchrun --nproc_per_node 2 train.py        # in train.py: train_supervised(..., world=join())

Each process has a session of its own. Their states are equal: one process may write the checkpoint
that all resume from. An error in one process leaves the others waiting: start them with torchrun,
which then ends them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from accord.errors import RunError
from accord.learning.advantages import Reduce, one_process

BUCKET = 25_000_000
"""Gradient numbers sent at once: few messages, little extra memory."""


@dataclass(frozen=True)
class World:
    """This process is number `rank` of `size`; `sum` adds a tensor up over all of them and gives
    each the result."""

    rank: int = 0
    size: int = 1
    sum: Reduce = one_process

    def share(self, costs: Sequence[int]) -> list[int]:
        """The rows this process takes, ascending, so that all have about the same cost (tokens).

        The dearest row goes to the process with the least work so far: the same everywhere, without
        a message.
        """
        if self.size == 1:
            return list(range(len(costs)))
        load, mine = [0] * self.size, []
        for row in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
            least = load.index(min(load))
            load[least] += costs[row]
            if least == self.rank:
                mine.append(row)
        return sorted(mine)

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        return (
            value if self.size == 1 else float(self.sum(torch.tensor(value, dtype=torch.float64)))
        )

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sums of several numbers, in one message; every process must have the same names."""
        if self.size == 1:
            return dict(values)
        return dict(
            zip(
                values,
                self.sum(torch.tensor(list(values.values()), dtype=torch.float64)).tolist(),
                strict=True,
            )
        )

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, one process after the other: [n, ...] -> [N, ...]."""
        if self.size == 1:
            return rows
        counts = torch.zeros(self.size, dtype=torch.long)
        counts[self.rank] = rows.shape[0]
        counts = self.sum(counts)
        start = int(counts[: self.rank].sum())
        everything = rows.new_zeros(int(counts.sum()), *rows.shape[1:])
        everything[start : start + rows.shape[0]] = rows
        return self.sum(everything)

    def place(self, mine: Sequence[int], rows: Tensor, count: int) -> Tensor:
        """Put the rows computed by each process for its share `mine` back in their order: [n, ...]
        -> [count, ...]."""
        if self.size == 1:
            return rows
        whole = torch.zeros(count, *rows.shape[1:], dtype=torch.float64, device=rows.device)
        whole[list(mine)] = rows.double()  # exact, and the same type where a share is empty
        return self.sum(whole).to(rows.dtype)

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; one that exists nowhere stays
        None."""
        if self.size == 1:
            return
        present = self.sum(torch.tensor([float(p.grad is not None) for p in parameters]))
        used = [p for p, known in zip(parameters, present.tolist(), strict=True) if known]
        for p in used:
            if p.grad is None:  # no row of this process reached it
                p.grad = torch.zeros_like(p)
        for bucket in _buckets(used):
            gradients = [p.grad for p in bucket if p.grad is not None]
            flat = self.sum(torch.cat([g.flatten() for g in gradients]))
            for g, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                g.copy_(part.view_as(g))

    def check_same(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Raise RunError unless all processes start from the same weights: sums would keep them
        apart for ever."""
        if self.size == 1:
            return
        with torch.no_grad():
            mine = torch.stack([p.double().sum() for p in parameters]).cpu()
        everywhere = self.gather(mine[None])
        if not (everywhere == mine).all():
            raise RunError(
                f"process {self.rank} starts from other weights than the others",
                "load the same model, with the same seed for new heads and adapters, in every"
                " process",
            )


ALONE = World()
"""A single process."""


def join() -> World:
    """The world of torch.distributed's default group, or `ALONE` where none was started.

    Call `torch.distributed.init_process_group` before: gloo on CPUs, nccl on GPUs (with the device
    set).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return ALONE
    on_gpu = dist.get_backend() == "nccl"

    def add_up(x: Tensor) -> Tensor:
        mine = x.detach().clone() if not on_gpu or x.is_cuda else x.detach().cuda()
        dist.all_reduce(mine)
        return mine.to(x.device)

    return World(dist.get_rank(), dist.get_world_size(), add_up)


def _buckets(parameters: Sequence[torch.nn.Parameter]) -> Iterable[list[torch.nn.Parameter]]:
    bucket: list[torch.nn.Parameter] = []
    for p in parameters:
        if bucket and sum(q.numel() for q in bucket) + p.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket
