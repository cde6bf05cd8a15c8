"""The shape of a Llama-like decoder: what its config.json says, in one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict


class Rope(TypedDict):
    """Rotary positions as config.json has them today; the factors are Llama 3's or linear's."""

    rope_type: Literal["default", "linear", "llama3"]
    rope_theta: float
    factor: NotRequired[float]
    low_freq_factor: NotRequired[float]
    high_freq_factor: NotRequired[float]
    original_max_position_embeddings: NotRequired[int]


@dataclass
class LlamaConfig:
    """The shape of a model, in units of vectors and tokens.

    qkv_bias, o_bias, mlp_bias: which of q, k, v, o and the three MLP matrices have one.
    head_norm: whether queries and keys are normalised (Qwen3).
    raw, generation: all of config.json and of generation_config.json. location: where from.
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
    rope: Rope
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
