"""Log-probabilities of given tokens from hidden states, without keeping logits for a long batch.

The vocabulary projection runs only at scored positions and in chunks; the backward pass is written
out, so that nothing of size S x V outlives a chunk (small batches keep their probabilities instead
of recomputing).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from accord.models.gradients import preallocated_grad
from accord.models.tuning import ROW_STEP, round_up_rows

CHUNK = 1024
CHUNK_ELEMENTS = 8_000_000
"""A chunk has at most CHUNK rows, and fewer where its probabilities would be more numbers than this
(32 MB)."""
KEEP_ELEMENTS = 24_000_000
"""Keep the probabilities for the backward pass up to this many numbers (about 100 MB), else
recompute."""


def _chunks(rows: int, vocabulary: int) -> list[slice]:
    size = min(CHUNK, max(ROW_STEP, CHUNK_ELEMENTS // vocabulary // ROW_STEP * ROW_STEP))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


class _TokenLogProb(torch.autograd.Function):
    """log softmax(h W^T / temperature)[target] per row, with the gradient in closed form; the
    softmax is over the first `vocabulary` rows of W.

    Of a frozen head the slope of every row, (W[target] - E[W]) / temperature, is all that is kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_SH: Tensor,
        table: Tensor,
        targets_S: Tensor,
        temperature: float,
        vocabulary: int,
    ) -> Tensor:
        weight_VH = table[:vocabulary]
        logp_S = hidden_SH.new_empty(hidden_SH.shape[0])
        moves, learns = ctx.needs_input_grad[:2]
        keep = hidden_SH.shape[0] * weight_VH.shape[0] <= KEEP_ELEMENTS and learns
        ctx.kept, slope_SH = [], torch.empty_like(hidden_SH) if moves and not learns else None
        for part in _chunks(hidden_SH.shape[0], weight_VH.shape[0]):
            logits = _logits(hidden_SH[part], weight_VH, temperature)
            best = logits.amax(dim=1)
            logp_S[part] = logits.gather(1, targets_S[part, None])[:, 0] - best
            chances = torch.softmax(logits, dim=-1)
            logp_S[part] += chances.amax(
                dim=1
            ).log_()  # of the best: the others may be too small for a logarithm
            if keep:
                ctx.kept.append(chances)
            elif slope_SH is not None:
                torch.mm(chances, weight_VH, out=slope_SH[part])
        if slope_SH is None:
            ctx.save_for_backward(hidden_SH, table, targets_S)
        else:
            slope_SH.neg_().add_(F.embedding(targets_S, weight_VH)).div_(temperature)
            ctx.save_for_backward(slope_SH)
        ctx.temperature, ctx.vocabulary = temperature, vocabulary
        return logp_S

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        if not ctx.needs_input_grad[1]:
            return ctx.saved_tensors[0] * grads[0][:, None], None, None, None, None
        hidden_SH, table, targets_S = ctx.saved_tensors
        weight_VH = table[: ctx.vocabulary]
        kept, ctx.kept = ctx.kept, []  # used up in place; a second backward pass makes them again
        grad_hidden, place = torch.empty_like(hidden_SH), preallocated_grad(table)
        grad_table = torch.zeros_like(table) if place is None else place
        grad_weight = grad_table[: ctx.vocabulary]
        for index, part in enumerate(_chunks(hidden_SH.shape[0], weight_VH.shape[0])):
            chances = (
                kept[index]
                if kept
                else _logits(hidden_SH[part], weight_VH, ctx.temperature).softmax(dim=-1)
            )
            scale = grads[0][part, None] / ctx.temperature
            grad_logits = chances.mul_(-scale)
            grad_logits.scatter_add_(1, targets_S[part, None], scale)
            torch.mm(grad_logits, weight_VH, out=grad_hidden[part])
            grad_weight.addmm_(grad_logits.t(), hidden_SH[part])
        return grad_hidden, grad_table if place is None else None, None, None, None


def _logits(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = hidden @ weight.t()
    if temperature != 1.0:
        logits /= temperature
    return logits if logits.dtype == torch.float64 else logits.float()


def token_logprobs(
    hidden_SH: Tensor,
    weight_VH: Tensor,
    targets_S: Tensor,
    temperature: float = 1.0,
    vocabulary: int | None = None,
) -> Tensor:
    """Log-probability (nats) of each target under softmax(h W^T / temperature): [S].

    The softmax is over the first `vocabulary` rows of W (all, if None). Differentiable in
    `hidden_SH` and `weight_VH`. Plain linear heads only; see `CausalLM.logprobs`.
    """
    spare = round_up_rows(hidden_SH.shape[0]) - hidden_SH.shape[0]
    rows_SH, targets_S = F.pad(hidden_SH, (0, 0, 0, spare)), F.pad(targets_S, (0, spare))
    found: Tensor = _TokenLogProb.apply(  # type: ignore[no-untyped-call]
        rows_SH, weight_VH, targets_S, temperature, vocabulary or weight_VH.shape[0]
    )
    return found[: hidden_SH.shape[0]]
