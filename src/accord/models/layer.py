"""One layer of a Llama-like decoder (Llama, Mistral, Qwen2, Qwen3): its equations and its weights.

`llama_layer` is the only place where they stand. How each operation is done is the pass's own
`LayerOps`: `llama.ModuleOps` calls the modules one by one, `fused.FusedOps` keeps little for the
backward pass, `decoding.DecodingOps` reads a key-value cache and weights prepared once per rollout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from accord.models.llama_config import LlamaConfig
from accord.models.rotary import rotate


class LayerOps(Protocol):
    """The operations of a layer, on vectors [..., H] of any leading shape."""

    def norm(self, module: RMSNorm, x: Tensor) -> Tensor:
        """x / sqrt(mean x^2 + epsilon) * weight, over the last dimension."""

    def linear(
        self, x: Tensor, *modules: nn.Module, remake: Callable[[], Tensor] | None = None
    ) -> Sequence[Tensor]:
        """x W^T + b for each of `modules`; `remake` computes `x` anew, for who does not keep it."""

    def gate(self, gate: Tensor, up: Tensor) -> Tensor:
        """silu(gate) * up (Shazeer 2020)."""

    def attend(self, module: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax attention: q, k, v [..., heads, D] -> [..., heads * D]. The pass knows who may
        attend to whom."""


def llama_layer(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor, ops: LayerOps) -> Tensor:
    """Norm, attention, norm, MLP, each pair added to its input: x [..., H] -> [..., H].

    layer: ours, or transformers' with modules of the same names. cos, sin: of each token's
    position [..., 1, D].
    """
    x = x + _attention(layer, x, cos, sin, ops)
    return x + _mlp(layer, x, ops)


def _attention(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor, ops: LayerOps) -> Tensor:
    attention = layer.self_attn

    def normed() -> Tensor:
        return ops.norm(layer.input_layernorm, x)

    projections = attention.q_proj, attention.k_proj, attention.v_proj
    q, k, v = (
        part.unflatten(-1, (-1, attention.head_dim))
        for part in ops.linear(normed(), *projections, remake=normed)
    )
    if hasattr(attention, "q_norm"):  # Qwen3
        q, k = ops.norm(attention.q_norm, q), ops.norm(attention.k_norm, k)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    return ops.linear(ops.attend(attention, q, k, v), attention.o_proj)[0]


def _mlp(layer: Layer, x: Tensor, ops: LayerOps) -> Tensor:
    mlp = layer.mlp

    def normed() -> Tensor:
        return ops.norm(layer.post_attention_layernorm, x)

    gate, up = ops.linear(normed(), mlp.gate_proj, mlp.up_proj, remake=normed)

    def gated() -> Tensor:
        return ops.gate(gate, up)

    return ops.linear(gated(), mlp.down_proj, remake=gated)[0]


class RMSNorm(nn.Module):
    """x / sqrt(mean x^2 + epsilon) * weight (Zhang and Sennrich 2019), computed in fp32."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.variance_epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """[..., size] -> [..., size]"""
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(x.dtype)


class Attention(nn.Module):
    """The weights of attention, under transformers' names."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.layer_idx, self.head_dim, self.scaling = layer, config.head_dim, config.head_dim**-0.5
        hidden = config.hidden_size
        q_size = config.num_attention_heads * self.head_dim
        kv_size = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(hidden, q_size, bias=config.qkv_bias)
        self.k_proj = nn.Linear(hidden, kv_size, bias=config.qkv_bias)
        self.v_proj = nn.Linear(hidden, kv_size, bias=config.qkv_bias)
        self.o_proj = nn.Linear(q_size, hidden, bias=config.o_bias)
        if config.head_norm:
            self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
            self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)


class MLP(nn.Module):
    """The weights of down(silu(gate) * up), under transformers' names."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(hidden, inner, bias=config.mlp_bias)
        self.up_proj = nn.Linear(hidden, inner, bias=config.mlp_bias)
        self.down_proj = nn.Linear(inner, hidden, bias=config.mlp_bias)


class Layer(nn.Module):
    """A layer's weights; see `llama_layer`."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config, layer), MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, ops: LayerOps) -> Tensor:
        """See `llama_layer`."""
        return llama_layer(self, x, cos, sin, ops)
