"""Gradients that are laid out before a step's activations, and tables that add to theirs where it
lies.

A gradient allocated in the middle of a backward pass takes the room of activations just freed, and
the activations of the next micro-batch find holes. And autograd makes a gradient the size of the
vocabulary three times: at the head, at the embedding, and for their sum (113 MB each for
SmolLM2-135M).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Laid = tuple[nn.Parameter, Tensor, int]
"""A parameter, the zeros it got, and their version then."""


def lay_out(parameters: Iterable[nn.Parameter]) -> list[Laid]:
    """Give every parameter that has no gradient one of zeros; returns those, for
    `forget_unused`."""
    laid = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
            parameter.grad.laid_out = True  # type: ignore[attr-defined]
            laid.append((parameter, parameter.grad, parameter.grad._version))
    return laid


def forget_unused(laid: Iterable[Laid]) -> None:
    """Take away the gradients to which nothing was added: a parameter that no loss reached has
    none, and is not moved."""
    for parameter, zeros, version in laid:
        if parameter.grad is zeros and zeros._version == version:
            parameter.grad = None


def laid_out(weight: Tensor) -> Tensor | None:
    """The gradient that a backward pass may add to by itself; None where autograd is to collect
    it."""
    return weight.grad if weight.is_leaf and getattr(weight.grad, "laid_out", False) else None


def look_up(table: nn.Module, ids_N: Tensor) -> Tensor:
    """Rows of an embedding [N, H]; the gradient is added to those rows alone."""
    if (
        type(table) is not nn.Embedding
        or table.max_norm is not None
        or table.sparse
        or table.scale_grad_by_freq
    ):
        return table(ids_N)  # type: ignore[no-any-return]
    found: Tensor = _Rows.apply(ids_N, table.weight, table.padding_idx)  # type: ignore[no-untyped-call]
    return found


class _Rows(torch.autograd.Function):
    """weight[ids]; the row `padding` learns nothing, as in `nn.Embedding`."""

    @staticmethod
    def forward(ctx: Any, ids_N: Tensor, weight_VH: Tensor, padding: int | None) -> Tensor:
        ctx.save_for_backward(ids_N, weight_VH)
        ctx.padding = padding
        return F.embedding(ids_N, weight_VH)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor | None, None]:
        ids_N, weight_VH = ctx.saved_tensors
        rows_NH = grads[0]
        if ctx.padding is not None:
            rows_NH = rows_NH.masked_fill((ids_N == ctx.padding)[:, None], 0.0)
        place = laid_out(weight_VH)
        if place is not None:
            place.index_add_(0, ids_N, rows_NH)
            return None, None, None
        return None, torch.zeros_like(weight_VH).index_add_(0, ids_N, rows_NH), None
