"""How each architecture is written as GGUF: its settings, its weights' names, and their layouts.

Names and layouts are those of llama.cpp's converters. An architecture stands in `FORMS` if what is
written can be read back by transformers as the same model, else in `REFUSED` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Setting = str | Callable[[Any], Any]
"""The name of a setting in config.json, or what computes a value from the configuration."""
Change = Callable[[Tensor, Any], "Tensor | tuple[Tensor, ...]"]
"""Of a weight and the configuration: the weight as GGUF has it, or its parts."""


@dataclass(frozen=True)
class GgufForm:
    """name: of the architecture in GGUF. settings: by key, without the architecture before it.

    ends: modules outside the layers, and `layer`: those inside (under `layers`.N), with their names
    in GGUF; a weight that no module `.weight` or `.bias` holds is named whole, and so are several
    that one becomes. changes: by name in GGUF. read_as: the model_type that the file is read as,
    where that is another one that computes the same. equal: settings that llama.cpp takes for one.
    """

    name: str
    settings: Mapping[str, Setting]
    ends: Mapping[str, str]
    layer: Mapping[str, str | tuple[str, ...]]
    layers: str = "model.layers"
    changes: Mapping[str, Change] = field(default_factory=dict)
    read_as: str | None = None
    equal: tuple[str, str] | None = None


# --- layouts --------------------------------------------------------------------------------------
def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rotary pairs side by side, as llama.cpp turns them, instead of in two halves."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _transposed(weight: Tensor, config: Any) -> Tensor:
    return weight.T


def _from_one(weight: Tensor, config: Any) -> Tensor:
    """Norms that multiply by 1 + weight there, by the weight here."""
    return weight + 1


def _halves(weight: Tensor, config: Any) -> tuple[Tensor, ...]:
    """Gates and values of experts [E, 2 I, H] -> two of [E, I, H]."""
    return weight.chunk(2, dim=1)


def _by_kind(weight: Tensor, config: Any) -> Tensor:
    """All queries, all keys, all values, instead of the three of each head side by side."""
    heads = config.num_attention_heads
    parts = weight.reshape(heads, 3, weight.shape[0] // heads // 3, *weight.shape[1:])
    return parts.swapaxes(0, 1).reshape(weight.shape)


def _decay(weight: Tensor, config: Any) -> Tensor:
    return -torch.exp(weight)


def _one_channel(weight: Tensor, config: Any) -> Tensor:
    """The kernel of a convolution by channel: [H, 1, K] -> [H, K]."""
    return weight.squeeze(1)


def _tiled(weight: Tensor, config: Any, width: int = 1, start: int = 0, at: int = 0) -> Tensor:
    """Value heads (`width` numbers each, along `at`, from `start` on) one by one of every key head,
    instead of those of each key head side by side."""
    keys = config.linear_num_key_heads
    first, rest = weight.tensor_split([start], at)
    heads = rest.unflatten(at, (keys, config.linear_num_value_heads // keys, width))
    return torch.cat([first, heads.transpose(at, at + 1).flatten(at, at + 2)], at)


def _tiled_values(weight: Tensor, config: Any) -> Tensor:
    """Of rows that are queries and keys before."""
    start = 2 * config.linear_key_head_dim * config.linear_num_key_heads
    return _tiled(weight, config, config.linear_value_head_dim, start)


def _one_row(weight: Tensor, config: Any) -> Tensor:
    return weight.squeeze(0)


LLAMA_ROTARY: dict[str, Change] = {
    f"{name}.{kind}": change
    for kind in ("weight", "bias")
    for name, change in (
        ("attn_q", lambda w, c: interleaved(w, c.num_attention_heads)),
        ("attn_k", lambda w, c: interleaved(w, c.num_key_value_heads)),
    )
}


# --- settings -------------------------------------------------------------------------------------
def _head(config: Any) -> int:
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def _rope(config: Any) -> dict[str, Any]:
    """The rotary settings of all layers, or of those that see everything."""
    rope = dict(config.rope_parameters)
    return dict(rope.get("full_attention", rope))


def _turned(config: Any) -> int:
    """Numbers of a head that are turned."""
    return int(_head(config) * _rope(config).get("partial_rotary_factor", 1.0))


def _sections(config: Any) -> list[int]:
    """Rotary pairs by time, height, width and nothing: for text, which has time alone, any parts
    will do."""
    third, rest = divmod(_turned(config) // 2, 3)
    return [*_rope(config).get("mrope_section", (third + rest, third, third)), 0]


SIZES: dict[str, Setting] = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "vocab_size": "vocab_size",
}
ROTARY: dict[str, Setting] = {
    "rope.dimension_count": _turned,
    "rope.freq_base": lambda c: float(_rope(c)["rope_theta"]),
}
HEADS: dict[str, Setting] = {"attention.key_length": _head, "attention.value_length": _head}
RMS: dict[str, Setting] = {"attention.layer_norm_rms_epsilon": "rms_norm_eps"}
EXPERTS: dict[str, Setting] = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}
DECODER = SIZES | ROTARY | HEADS | RMS


def _layer_norm(name: str) -> dict[str, Setting]:
    return {"attention.layer_norm_epsilon": name}


def _old_sizes(**changed: Setting) -> dict[str, Setting]:
    """Of the older architectures: as many keys as queries, layers four times as wide."""
    sizes = SIZES | {
        "attention.head_count_kv": "num_attention_heads",
        "feed_forward_length": lambda c: 4 * c.hidden_size,
    }
    return sizes | changed


# --- names ----------------------------------------------------------------------------------------
ENDS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
OLD_ENDS = {
    "transformer.word_embeddings": "token_embd",
    "transformer.word_embeddings_layernorm": "token_embd_norm",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
}
ATTENTION = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
}
NORMED = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
GATED = {
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
PLAIN = {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
ROUTED: dict[str, str | tuple[str, ...]] = {
    "mlp.gate": "ffn_gate_inp",
    "mlp.experts.gate_up_proj": ("ffn_gate_exps.weight", "ffn_up_exps.weight"),
    "mlp.experts.down_proj": "ffn_down_exps.weight",
}
SHARED = {
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
SPLIT_EXPERTS: dict[str, Change] = {"ffn_gate_exps.weight": _halves}
OLD_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
GEMMA_LAYER = ATTENTION | GATED | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip
GEMMA_NORMS: dict[str, Change] = {
    f"{name}.weight": _from_one
    for name in (
        "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "output_norm",
        "attn_q_norm", "attn_k_norm",
    )
}  # fmt: skip

LINEAR_ATTENTION = {
    "linear_attn.in_proj_qkv": "attn_qkv",
    "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_b": "ssm_beta",
    "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out",
    "linear_attn.A_log": "ssm_a",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "post_attention_layernorm": "post_attention_norm",
}
TILED: dict[str, Change] = {
    "attn_qkv.weight": _tiled_values,
    "attn_gate.weight": lambda w, c: _tiled(w, c, c.linear_value_head_dim),
    "ssm_alpha.weight": _tiled,
    "ssm_beta.weight": _tiled,
    "ssm_conv1d.weight": lambda w, c: _tiled_values(w.squeeze(1), c),
    "ssm_out.weight": lambda w, c: _tiled(w, c, c.linear_value_head_dim, at=1),
    "ssm_a": lambda w, c: _tiled(_decay(w, c), c),
    "ssm_dt.bias": _tiled,
}
HYBRID: dict[str, Setting] = {
    "full_attention_interval": lambda c: (
        [*c.layer_types, "full_attention"].index("full_attention") + 1
    ),
    "ssm.conv_kernel": "linear_conv_kernel_dim",
    "ssm.state_size": "linear_key_head_dim",
    "ssm.group_count": "linear_num_key_heads",
    "ssm.time_step_rank": "linear_num_value_heads",
    "ssm.inner_size": lambda c: c.linear_value_head_dim * c.linear_num_value_heads,
    "rope.dimension_sections": _sections,
}
HYBRID_NORMS = {name: _from_one for name in GEMMA_NORMS if name != "ffn_norm.weight"}

FORMS: dict[str, GgufForm] = {
    "llama": GgufForm("llama", DECODER, ENDS, ATTENTION | GATED, changes=LLAMA_ROTARY),
    "mistral": GgufForm(
        "llama", DECODER, ENDS, ATTENTION | GATED, changes=LLAMA_ROTARY, read_as="llama"
    ),
    "qwen2": GgufForm("qwen2", DECODER, ENDS, ATTENTION | GATED),
    "qwen2_moe": GgufForm(
        "qwen2moe",
        DECODER
        | EXPERTS
        | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        ENDS,
        ATTENTION | ROUTED | SHARED,
        changes=SPLIT_EXPERTS | {"ffn_gate_inp_shexp.weight": _one_row},
    ),
    "qwen3": GgufForm("qwen3", DECODER, ENDS, ATTENTION | NORMED | GATED),
    "qwen3_moe": GgufForm(
        "qwen3moe", DECODER | EXPERTS, ENDS, ATTENTION | NORMED | ROUTED, changes=SPLIT_EXPERTS
    ),
    "qwen3_5_text": GgufForm(
        "qwen35",
        DECODER | HYBRID,
        ENDS,
        ATTENTION | NORMED | GATED | LINEAR_ATTENTION,
        changes=HYBRID_NORMS | TILED,
    ),
    "qwen3_5_moe_text": GgufForm(
        "qwen35moe",
        {key: told for key, told in DECODER.items() if key != "feed_forward_length"}
        | HYBRID
        | EXPERTS
        | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        ENDS,
        ATTENTION | NORMED | LINEAR_ATTENTION | ROUTED | SHARED,
        changes=HYBRID_NORMS | TILED | SPLIT_EXPERTS | {"ffn_gate_inp_shexp.weight": _one_row},
    ),
    "minimax_m2": GgufForm(
        "minimax-m2",
        DECODER
        | EXPERTS
        | {
            "expert_count": "num_local_experts",
            "expert_feed_forward_length": "intermediate_size",
            "expert_gating_func": lambda c: 2,  # sigmoid
        },
        ENDS,
        ATTENTION | NORMED | ROUTED | {"mlp.e_score_correction_bias": "exp_probs_b.bias"},
        changes=SPLIT_EXPERTS,
    ),
    "phi3": GgufForm(
        "phi3",
        SIZES
        | ROTARY
        | RMS
        | {
            "rope.scaling.original_context_length": "original_max_position_embeddings",
            "attention.sliding_window": lambda c: c.sliding_window or 0,
        },
        ENDS,
        {
            "input_layernorm": "attn_norm",
            "self_attn.qkv_proj": "attn_qkv",
            "self_attn.o_proj": "attn_output",
            "post_attention_layernorm": "ffn_norm",
            "mlp.gate_up_proj": "ffn_up",
            "mlp.down_proj": "ffn_down",
        },
    ),
    "gemma2": GgufForm(
        "gemma2",
        DECODER
        | {
            "attention.sliding_window": "sliding_window",
            "attn_logit_softcapping": "attn_logit_softcapping",
            "final_logit_softcapping": "final_logit_softcapping",
        },
        ENDS,
        GEMMA_LAYER,
        changes=GEMMA_NORMS,
        equal=("query_pre_attn_scalar", "head_dim"),
    ),
    "gemma3_text": GgufForm(
        "gemma3",
        DECODER | {"attention.sliding_window": "sliding_window"},
        ENDS,
        GEMMA_LAYER | NORMED,
        changes=GEMMA_NORMS,
        equal=("query_pre_attn_scalar", "head_dim"),
    ),
    "gpt2": GgufForm(
        "gpt2",
        _old_sizes() | _layer_norm("layer_norm_epsilon"),
        {
            "transformer.wte": "token_embd",
            "transformer.wpe": "position_embd",
            "transformer.ln_f": "output_norm",
            "lm_head": "output",
        },
        {
            "ln_1": "attn_norm",
            "attn.c_attn": "attn_qkv",
            "attn.c_proj": "attn_output",
            "ln_2": "ffn_norm",
            **PLAIN,
        },
        "transformer.h",
        {
            f"{name}.weight": _transposed
            for name in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
        },
    ),
    "starcoder2": GgufForm(
        "starcoder2",
        SIZES | ROTARY | _layer_norm("norm_epsilon"),
        ENDS,
        ATTENTION | PLAIN,
    ),
    "stablelm": GgufForm(
        "stablelm",
        SIZES
        | ROTARY
        | _layer_norm("layer_norm_eps")
        | {"use_parallel_residual": "use_parallel_residual"},
        ENDS,
        ATTENTION | GATED,
    ),
    "nemotron": GgufForm(
        "nemotron",
        SIZES
        | ROTARY
        | _layer_norm("norm_eps")
        | {"attention.layer_norm_rms_epsilon": "norm_eps"},  # by which transformers reads it
        ENDS,
        ATTENTION | GATED,
        changes={f"{name}.weight": _from_one for name in ("attn_norm", "ffn_norm", "output_norm")},
    ),
    "falcon": GgufForm(
        "falcon",
        _old_sizes(**{"attention.head_count_kv": lambda c: 1})
        | ROTARY
        | _layer_norm("layer_norm_epsilon")
        | {"attention.layer_norm_rms_epsilon": "layer_norm_epsilon"},
        OLD_ENDS,
        OLD_LAYER,
        "transformer.h",
    ),
    "bloom": GgufForm(
        "bloom",
        _old_sizes(context_length=lambda c: 2048) | _layer_norm("layer_norm_epsilon"),
        OLD_ENDS,
        OLD_LAYER,
        "transformer.h",
        {"attn_qkv.weight": _by_kind, "attn_qkv.bias": _by_kind},
    ),
    "mamba": GgufForm(
        "mamba",
        {
            "context_length": lambda c: 2**20,  # there is no limit
            "embedding_length": "hidden_size",
            "feed_forward_length": lambda c: 0,
            "attention.head_count": lambda c: 0,
            "block_count": "num_hidden_layers",
            "ssm.conv_kernel": "conv_kernel",
            "ssm.inner_size": "intermediate_size",
            "ssm.state_size": "state_size",
            "ssm.time_step_rank": "time_step_rank",
            "ssm.dt_b_c_rms": lambda c: False,
            "attention.layer_norm_rms_epsilon": "layer_norm_epsilon",
            "vocab_size": "vocab_size",
        },
        {
            "backbone.embeddings": "token_embd",
            "backbone.norm_f": "output_norm",
            "lm_head": "output",
        },
        {
            "norm": "attn_norm",
            "mixer.A_log": "ssm_a",
            "mixer.D": "ssm_d",
            "mixer.conv1d": "ssm_conv1d",
            "mixer.in_proj": "ssm_in",
            "mixer.x_proj": "ssm_x",
            "mixer.dt_proj": "ssm_dt",
            "mixer.out_proj": "ssm_out",
        },
        "backbone.layers",
        {"ssm_a": _decay, "ssm_conv1d.weight": _one_channel},
    ),
    "lfm2": GgufForm(
        "lfm2",
        SIZES
        | ROTARY
        | {
            "attention.head_count_kv": lambda c: [
                c.num_key_value_heads * (kind == "full_attention") for kind in c.layer_types
            ],
            "attention.layer_norm_rms_epsilon": "norm_eps",
            "shortconv.l_cache": "conv_L_cache",
        },
        {
            "model.embed_tokens": "token_embd",
            "model.embedding_norm": "token_embd_norm",
            "lm_head": "output",
        },
        {
            "operator_norm": "attn_norm",
            "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v",
            "self_attn.out_proj": "attn_output",
            "self_attn.q_layernorm": "attn_q_norm",
            "self_attn.k_layernorm": "attn_k_norm",
            "ffn_norm": "ffn_norm",
            "feed_forward.w1": "ffn_gate",
            "feed_forward.w3": "ffn_up",
            "feed_forward.w2": "ffn_down",
            "conv.in_proj": "shortconv.in_proj",
            "conv.out_proj": "shortconv.out_proj",
            "conv.conv": "shortconv.conv",
        },
        changes={"shortconv.conv.weight": _one_channel},
    ),
}

NO_DECODER = "it has an encoder: accord trains and imports decoders alone"
REFUSED: dict[str, str] = {
    "gpt_oss": "transformers does not put its experts together from a GGUF file",
    "t5": NO_DECODER,
    "umt5": NO_DECODER,
    "deci": "transformers has no such architecture of its own",
    "gemma4_text": "transformers' reader takes settings of its layers from defaults",
}
"""Read by transformers' GGUF reader (or named there), and not written here: why."""

FULL = {"ffn_gate_inp", "ffn_gate_inp_shexp", "ssm_conv1d", "shortconv.conv", "position_embd"}
"""Matrices that llama.cpp wants in fp32; so it does vectors, and what is no `.weight`."""
