"""The layers of Llama-like bodies on a packed stream, with little kept for the backward pass.

The same modules, adapters included, called without transformers' wrappers. Norms keep their input,
gated MLPs the two products before the gate; everything elementwise is recomputed when its gradient
is needed, and so is what norms and gates give to the products after them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.models import precision
from accord.models.gradients import embedding_lookup
from accord.models.layer import Attention, RMSNorm
from accord.models.llama import Attend, LlamaBody, run_layers

BODIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
"""transformers' bodies with modules of the same names as ours."""


def can_fuse(body: Any) -> TypeGuard[LlamaBody]:
    """Whether this body is ours or one of BODIES, in fp32 on a CPU, with full attention in every
    layer."""
    if body.device.type != "cpu" or body.dtype != torch.float32 or precision.current() != "fp32":
        return False
    if isinstance(body, LlamaBody):
        return True
    if type(body).__name__ not in BODIES:
        return False
    config = body.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = config.sliding_window if type(body).__name__ == "MistralModel" else None
    return kinds == {"full_attention"} and not window and config.hidden_act == "silu"


def fused_llama_forward(
    body: LlamaBody, token_ids_N: Tensor, positions_N: Tensor, attend: Attend
) -> Tensor:
    """Hidden states [N, H] after the final norm; `attend` says who sees whom."""
    return run_layers(
        body, embedding_lookup(body.embed_tokens, token_ids_N), positions_N, FusedOps(attend)
    )


class FusedOps:
    """See the module; on packed tokens [N, H]."""

    def __init__(self, attend: Attend) -> None:
        self._attend = attend

    def norm(self, module: RMSNorm, x: Tensor) -> Tensor:
        """See `LayerOps.norm`."""
        found: Tensor = _RMSNorm.apply(x, module.weight, module.variance_epsilon)  # type: ignore[no-untyped-call]
        return found

    def linear(
        self, x: Tensor, *modules: nn.Module, remake: Callable[[], Tensor] | None = None
    ) -> list[Tensor]:
        """See `LayerOps.linear`; with `remake` the input is not kept."""
        with recompute_in_backward(x, remake) if remake is not None else nullcontext():
            return [module(x) for module in modules]

    def gate(self, gate: Tensor, up: Tensor) -> Tensor:
        """See `LayerOps.gate`."""
        found: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
        return found

    def attend(self, module: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `LayerOps.attend`."""
        return self._attend(module, *(x.transpose(0, 1)[None] for x in (q, k, v)))[0].flatten(1)


def recompute_in_backward(x: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[Any]:
    """Within it, nothing keeps `x` for the backward pass: `make` computes its values again there,
    once for all who want them."""
    address, shape, wanted, taken = x.data_ptr(), x.shape, 0, 0
    again: Tensor | None = None

    def pack(kept: Tensor) -> Tensor | None:
        nonlocal wanted
        if kept.data_ptr() != address or kept.shape != shape:
            return kept
        wanted += 1
        return None

    def unpack(kept: Tensor | None) -> Tensor:
        nonlocal taken, again
        if kept is not None:
            return kept
        if again is None:
            with torch.no_grad():
                again = make()
        values, taken = again, taken + 1
        if taken % wanted == 0:  # the last of this backward pass
            again = None
        return values

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = (
            torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            .square_()
            .div_(x.shape[-1])
            .add_(epsilon)
            .rsqrt_()
        )
        ctx.save_for_backward(x, weight, scale)
        scaled: Tensor = (x * scale).mul_(weight)
        return scaled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        unit, grad = x * scale, grads[0]
        weight_grad = (grad * unit).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        grad = grad * weight
        along = (grad * unit).mean(-1, keepdim=True)
        return grad.sub_(unit.mul_(along)).mul_(scale), weight_grad, None


class _Gated(torch.autograd.Function):
    """silu(gate) * up (Shazeer 2020)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        up_grad = F.silu(gate).mul_(grads[0])
        return torch.ops.aten.silu_backward(grads[0] * up, gate), up_grad
