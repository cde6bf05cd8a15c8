"""Llama-like decoders (Llama, Mistral, Qwen2, Qwen3) as one block, without transformers.

transformers has them too, but to import it takes longer than torch does, and 190 MiB. Modules and
weights bear its names, so that files and adapters fit both; `accord.models.llama_files` reads and
writes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attend = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""(attention module, q, k, v [B, heads, T, D]) -> [B, T, heads, D]."""


@dataclass
class LlamaConfig:
    """The shape of a model. raw: all of config.json; generation: all of generation_config.json;
    location: where from.

    biases: which of q, k, v, o and the three MLP matrices have one; head_norm: whether queries and
    keys are normalised.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope: dict[str, Any]
    tie_word_embeddings: bool
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    head_norm: bool = False
    pad_token_id: int | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    generation: dict[str, Any] | None = field(default=None, repr=False)
    location: str = ""

    def get_text_config(self) -> LlamaConfig:
        """Itself: there is nothing but text."""
        return self


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


class Rotary(nn.Module):
    """Cosines and sines of rotary positions (Su et al. 2021), with Llama 3's stretched long waves
    where asked."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.inv_freq = nn.Buffer(
            inverse_frequencies(config.rope, config.head_dim), persistent=False
        )

    @torch.no_grad()
    def forward(self, like: Tensor, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin) [B, T, D] in the type of `like`."""
        with torch.autocast(like.device.type, enabled=False):
            angles: Tensor = positions_BT[..., None].float() * self.inv_freq.to(
                like.device, torch.float
            )
            angles = torch.cat((angles, angles), dim=-1)
            return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def inverse_frequencies(rope: dict[str, Any], head_dim: int) -> Tensor:
    """[D/2] radians per position: theta^(-2i/D); linear: all slower by `factor`; llama3: the long
    waves alone."""
    with torch.device(
        "cpu"
    ):  # a buffer is not among the weights that a model made on "meta" is given
        steps = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
        frequencies: Tensor = 1.0 / (float(rope["rope_theta"]) ** steps)
    kind = rope["rope_type"]
    if kind == "linear":
        return frequencies / float(rope["factor"])
    if kind == "llama3":
        return _stretched(frequencies, rope)
    return frequencies


def _stretched(frequencies: Tensor, rope: dict[str, Any]) -> Tensor:
    """Waves longer than the old context are `factor` slower, short ones stay, between them a
    mixture (Llama 3.1)."""
    old, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    waves = 2 * math.pi / frequencies
    stretched = torch.where(waves > old / low, frequencies / factor, frequencies)
    share = (old / waves - low) / (high - low)
    mixed = (1 - share) * stretched / factor + share * stretched
    between = ~(waves < old / high) & ~(waves > old / low)
    return torch.where(between, mixed, stretched)


class Attention(nn.Module):
    """Queries, keys and values with rotary positions; who sees whom is the caller's."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.layer_idx, self.head_dim, self.scaling = layer, config.head_dim, config.head_dim**-0.5
        wide, narrow = (
            config.num_attention_heads * self.head_dim,
            config.num_key_value_heads * self.head_dim,
        )
        self.q_proj = nn.Linear(config.hidden_size, wide, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias=config.qkv_bias)
        self.o_proj = nn.Linear(wide, config.hidden_size, bias=config.o_bias)
        if config.head_norm:
            self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
            self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)

    def forward(self, x_BTH: Tensor, cos_BTD: Tensor, sin_BTD: Tensor, attend: Attend) -> Tensor:
        """[B, T, H] -> [B, T, H]"""
        q, k, v = (
            part(x_BTH).unflatten(-1, (-1, self.head_dim))
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = (rotate(x, cos_BTD[:, :, None], sin_BTD[:, :, None]) for x in (q, k))
        out: Tensor = self.o_proj(attend(self, *(x.transpose(1, 2) for x in (q, k, v))).flatten(2))
        return out


def rotate(x_NKD: Tensor, cos_N1D: Tensor, sin_N1D: Tensor) -> Tensor:
    """Rotary embedding: x cos + (-second half, first half) sin."""
    first, second = x_NKD.chunk(2, dim=-1)
    return x_NKD * cos_N1D + torch.cat((-second, first), dim=-1) * sin_N1D


class MLP(nn.Module):
    """down(silu(gate) * up) (Shazeer 2020)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        narrow, wide = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(narrow, wide, bias=config.mlp_bias)
        self.up_proj = nn.Linear(narrow, wide, bias=config.mlp_bias)
        self.down_proj = nn.Linear(wide, narrow, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., H] -> [..., H]"""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Norm, attention, norm, MLP, each pair added to its input."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config, layer), MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x_BTH: Tensor, cos_BTD: Tensor, sin_BTD: Tensor, attend: Attend) -> Tensor:
        """[B, T, H] -> [B, T, H]"""
        x_BTH = x_BTH + self.self_attn(self.input_layernorm(x_BTH), cos_BTD, sin_BTD, attend)
        out: Tensor = x_BTH + self.mlp(self.post_attention_layernorm(x_BTH))
        return out


class LlamaBody(nn.Module):
    """The decoder without its vocabulary head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(
            Layer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = Rotary(config)

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def forward(self, ids_BT: Tensor, positions_BT: Tensor, attend: Attend) -> Tensor:
        """Hidden states [B, T, H] after the final norm; `attend` says who sees whom."""
        x_BTH = self.embed_tokens(ids_BT)
        cos_BTD, sin_BTD = self.rotary_emb(x_BTH, positions_BT)
        for layer in self.layers:
            x_BTH = layer(x_BTH, cos_BTD, sin_BTD, attend)
        hidden: Tensor = self.norm(x_BTH)
        return hidden


class LlamaLM(nn.Module):
    """A Llama-like causal language model; its names are those of transformers' classes."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaBody(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()
        given = config.generation if config.generation is not None else config.raw
        self.generation_config = SimpleNamespace(eos_token_id=given.get("eos_token_id"))

    def tie(self) -> None:
        """One matrix for both ends, where the model has it so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def base_model(self) -> LlamaBody:
        return self.model

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The vocabulary's table."""
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Linear:
        """The vocabulary's head."""
        return self.lm_head

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        """`logits` [B, T, V] of whole sequences, every token attending to all before it (right
        padding is no harm)."""
        positions_BT = torch.arange(input_ids.shape[1], device=input_ids.device)[None].expand_as(
            input_ids
        )
        return SimpleNamespace(
            logits=self.lm_head(self.model(input_ids, positions_BT, attend_causally))
        )


def attend_causally(module: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of every position to itself and all before: [B, heads, T, D] -> [B, T,
    heads, D]."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    seen = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).tril()
    scores = (q @ k.transpose(2, 3) * module.scaling).masked_fill(~seen, torch.finfo(q.dtype).min)
    return (torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype) @ v).transpose(1, 2)
