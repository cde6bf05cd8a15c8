"""Log-probabilities of given tokens from hidden states, without keeping logits for a long batch.

The vocabulary projection runs only at scored positions and in chunks; the backward pass is written out, so
that nothing of size S x V outlives a chunk (small batches keep their probabilities instead of recomputing).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 1024
ROUND = 128
"""Rows are filled up to a multiple of this: matrix kernels are made per shape."""
KEEP_ELEMENTS = 24_000_000
"""Keep the probabilities for the backward pass up to this many numbers (about 100 MB), else recompute."""


def _chunks(rows: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]


class _TokenLogProb(torch.autograd.Function):
    """log softmax(h W^T / temperature)[target] per row, with the gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, hidden_SH: Tensor, weight_VH: Tensor, targets_S: Tensor, temperature: float) -> Tensor:
        logp_S = hidden_SH.new_empty(hidden_SH.shape[0])
        keep = hidden_SH.shape[0] * weight_VH.shape[0] <= KEEP_ELEMENTS and ctx.needs_input_grad[0]
        kept: list[Tensor] = []
        for part in _chunks(hidden_SH.shape[0]):
            log_probs = _log_softmax(hidden_SH[part], weight_VH, temperature)
            logp_S[part] = log_probs.gather(1, targets_S[part, None])[:, 0]
            if keep:
                kept.append(log_probs)
        ctx.save_for_backward(hidden_SH, weight_VH, targets_S, *kept)
        ctx.temperature = temperature
        return logp_S

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        hidden_SH, weight_VH, targets_S, *kept = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden_SH)
        grad_weight = torch.zeros_like(weight_VH) if ctx.needs_input_grad[1] else None
        for index, part in enumerate(_chunks(hidden_SH.shape[0])):
            log_probs = kept[index] if kept else _log_softmax(hidden_SH[part], weight_VH, ctx.temperature)
            scale = grads[0][part, None] / ctx.temperature
            grad_logits = torch.exp(log_probs).mul_(-scale)
            grad_logits.scatter_add_(1, targets_S[part, None], scale)
            torch.mm(grad_logits, weight_VH, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.t(), hidden_SH[part])
        return grad_hidden, grad_weight, None, None


def _log_softmax(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = hidden @ weight.t()
    if temperature != 1.0:
        logits /= temperature
    return F.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)


def token_logprobs(hidden_SH: Tensor, weight_VH: Tensor, targets_S: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability (nats) of each target under softmax(h W^T / temperature): [S].

    Differentiable in `hidden_SH` and `weight_VH`. Plain linear heads only; see `CausalLM.logprobs`.
    """
    spare = -hidden_SH.shape[0] % ROUND if hidden_SH.shape[0] > ROUND else 0
    rows_SH, targets_S = F.pad(hidden_SH, (0, 0, 0, spare)), F.pad(targets_S, (0, spare))
    return _TokenLogProb.apply(rows_SH, weight_VH, targets_S, temperature)[: hidden_SH.shape[0]]  # type: ignore[no-any-return]
