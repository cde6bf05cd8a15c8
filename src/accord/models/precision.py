"""The arithmetic of forward passes: fp32, or bf16 products around fp32 weights, residuals, norms
and softmax.

bf16 is torch's autocast around the decoder body. The vocabulary head, the losses, scalar heads and
the optimiser stay in fp32, so weights are master weights. It is a setting of the process, like the
number of threads: `accord.models.tuning.tune` sets it from the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "bf16"]
LOG_RATIO_BOUND: dict[Precision, float] = {"fp32": 1e-3, "bf16": 0.5}
"""Largest |log ratio| (nats per token) of a policy that was not updated: other batches round
otherwise."""

_state: list[Precision] = ["fp32"]


def use(precision: Precision) -> None:
    """Set the arithmetic of all forward passes of this process."""
    _state[0] = precision


def current() -> Precision:
    """The arithmetic in force."""
    return _state[0]


def scope(device_type: str) -> AbstractContextManager[object]:
    """Around forward passes of a body. Nested scopes share one cast of each trainable weight."""
    return torch.autocast(device_type, torch.bfloat16) if current() == "bf16" else nullcontext()


@contextmanager
def attention_scope(*inputs: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Queries, keys and values in one type: fp32 on a CPU, whose bf16 attention is slow backwards,
    bf16 on a GPU."""
    if current() == "fp32":
        yield inputs
        return
    device = inputs[0].device.type
    with torch.autocast(device, enabled=False):
        yield tuple(x.to(torch.float32 if device == "cpu" else torch.bfloat16) for x in inputs)


@contextmanager
def exact() -> Iterator[None]:
    """fp32 whatever is set: for self-checks and probes, whose numbers must not depend on a run's
    setting."""
    before = current()
    use("fp32")
    try:
        yield
    finally:
        use(before)


def choose(wish: str, device: str) -> Precision:
    """ "auto" is bf16 on a GPU that has it and fp32 on a CPU, where the same machine must give the
    same bits."""
    if wish == "auto":
        return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if wish == "bf16" else "fp32"
