"""The packed forward pass of Llama-like bodies, layer by layer, with little kept for the backward
pass.

The same modules, adapters included, called without transformers' wrappers: norms keep their input,
gated MLPs the two products before the gate; everything elementwise is made again when its gradient
is needed, and so is what norms and gates give to the products after them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from accord.models import precision
from accord.models.gradients import look_up
from accord.models.llama import Attend, LlamaBody, rotate

BODIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
"""transformers' bodies that share one layer: norm, rotary attention, norm, gated MLP."""


def is_straight(body: Any) -> bool:
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


def straight_forward(body: Any, token_ids_N: Tensor, positions_N: Tensor, attend: Attend) -> Tensor:
    """Hidden states [N, H] after the final norm; `attend` says who sees whom."""
    hidden_NH = look_up(body.embed_tokens, token_ids_N)
    cos, sin = (x[0, :, None] for x in body.rotary_emb(hidden_NH[None], positions_N[None]))
    for layer in body.layers:
        hidden_NH = hidden_NH + _attention(layer, hidden_NH, cos, sin, attend)
        hidden_NH = hidden_NH + _mlp(layer, hidden_NH)
    return norm(body.norm, hidden_NH)


def _attention(layer: Any, hidden_NH: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
    module, x_NH = layer.self_attn, norm(layer.input_layernorm, hidden_NH)
    with made_again(x_NH, lambda: _norm_values(layer.input_layernorm, hidden_NH)):
        q, k, v = (part(x_NH) for part in (module.q_proj, module.k_proj, module.v_proj))
    q, k, v = (x.unflatten(-1, (-1, module.head_dim)) for x in (q, k, v))
    if hasattr(module, "q_norm"):
        q, k = norm(module.q_norm, q), norm(module.k_norm, k)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    out = attend(module, *(x.transpose(0, 1)[None] for x in (q, k, v)))
    return module.o_proj(out[0].flatten(1))  # type: ignore[no-any-return]


def norm(module: Any, x: Tensor) -> Tensor:
    """x / sqrt(mean x^2 + epsilon) * weight over the last dimension (Zhang and Sennrich 2019)."""
    found: Tensor = _RMSNorm.apply(x, module.weight, module.variance_epsilon)  # type: ignore[no-untyped-call]
    return found


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


def _norm_values(module: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return norm(module, x)


def _mlp(layer: Any, hidden_NH: Tensor) -> Tensor:
    module, x_NH = layer.mlp, norm(layer.post_attention_layernorm, hidden_NH)
    with made_again(x_NH, lambda: _norm_values(layer.post_attention_layernorm, hidden_NH)):
        gate, up = module.gate_proj(x_NH), module.up_proj(x_NH)
    gated: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
    with made_again(gated, lambda: F.silu(gate.detach()).mul_(up.detach())):
        return module.down_proj(gated)  # type: ignore[no-any-return]


def made_again(x: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[Any]:
    """Within it, nothing keeps `x` for the backward pass: `make` makes its values again there, once
    for all who want them."""
    place, shape, wanted, taken = x.data_ptr(), x.shape, 0, 0
    made: Tensor | None = None

    def pack(kept: Tensor) -> Tensor | None:
        nonlocal wanted
        if kept.data_ptr() != place or kept.shape != shape:
            return kept
        wanted += 1
        return None

    def unpack(kept: Tensor | None) -> Tensor:
        nonlocal taken, made
        if kept is not None:
            return kept
        found = make() if made is None else made
        taken += 1
        made = found if taken % wanted else None
        return found

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


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
