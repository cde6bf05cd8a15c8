"""Gradients that are allocated before a step's activations, and vocabulary tables that add to
theirs in place.

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

Preallocated = tuple[nn.Parameter, Tensor, int]
"""A parameter, the zeros it got, and their version then."""


def preallocate_gradients(parameters: Iterable[nn.Parameter]) -> list[Preallocated]:
    """Give every parameter that has no gradient one of zeros; returns those, for
    `drop_unused_gradients`."""
    given = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
            parameter.grad.preallocated = True  # type: ignore[attr-defined]
            given.append((parameter, parameter.grad, parameter.grad._version))
    return given


def drop_unused_gradients(given: Iterable[Preallocated]) -> None:
    """Take away the gradients to which nothing was added: a parameter that no loss reached has
    none, and is not moved."""
    for parameter, zeros, version in given:
        if parameter.grad is zeros and zeros._version == version:
            parameter.grad = None


def preallocated_grad(weight: Tensor) -> Tensor | None:
    """The gradient that a backward pass may add to by itself; None where autograd is to collect
    it."""
    return weight.grad if weight.is_leaf and getattr(weight.grad, "preallocated", False) else None


def embedding_lookup(table: nn.Module, ids_N: Tensor) -> Tensor:
    """Rows of an embedding [N, H]; the gradient is added to those rows alone."""
    if (
        type(table) is not nn.Embedding
        or table.max_norm is not None
        or table.sparse
        or table.scale_grad_by_freq
    ):
        return table(ids_N)  # type: ignore[no-any-return]
    found: Tensor = _EmbeddingRows.apply(ids_N, table.weight, table.padding_idx)  # type: ignore[no-untyped-call]
    return found


class _EmbeddingRows(torch.autograd.Function):
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
        place = preallocated_grad(weight_VH)
        if place is not None:
            place.index_add_(0, ids_N, rows_NH)
            return None, None, None
        return None, torch.zeros_like(weight_VH).index_add_(0, ids_N, rows_NH), None
