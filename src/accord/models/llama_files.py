"""Hugging Face directories of Llama-like models, read and written without transformers.

Only what is understood to the last setting is read here. For anything else (another architecture,
sliding windows, quantised weights, a setting not listed) `read_llama` gives None and the caller
lets transformers load it.
"""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from accord.models.llama import LlamaLM
from accord.models.llama_config import LlamaConfig, Rope
from accord.text.segments import KEY as TAGS

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
NEEDED = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "hidden_act",
)  # fmt: skip
"""Settings that must be there: defaults differ between architectures and versions."""
WITHOUT_EFFECT = (
    "model_type", "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id",
    "dtype", "torch_dtype", "transformers_version", "use_cache", "initializer_range",
    "attention_dropout", "_name_or_path", "name_or_path", "_model_name_or_path",
    "output_attentions", "output_hidden_states", "return_dict", "max_window_layers",
    "is_llama_config", "transformers.js_config", "is_encoder_decoder", TAGS,
)  # fmt: skip
"""On the numbers: dropout is off in accord, and the files say which dtype their weights have."""
UNDERSTOOD = (
    *NEEDED, *WITHOUT_EFFECT, "head_dim", "rope_theta", "rope_scaling", "rope_parameters",
    "tie_word_embeddings", "attention_bias", "mlp_bias", "pretraining_tp", "sliding_window",
    "use_sliding_window", "layer_types", "rope_interleaved",
)  # fmt: skip
BIASES = {"llama": ("attention_bias", "mlp_bias"), "qwen3": ("attention_bias",)}
"""Which an architecture may be told to have."""
ROPE = {
    "default": set(),
    "linear": {"factor"},
    "llama3": {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
}
"""Kinds of rotary positions and what each is told."""


def read_config(folder: Path) -> LlamaConfig | None:
    """The shape of the model in `folder`; None where it is not wholly understood."""
    file, generation = folder / "config.json", folder / "generation_config.json"
    if not file.is_file():
        return None
    raw = _json(file)
    if raw is None or not _understood(raw) or (rope := _rope(raw)) is None:
        return None
    kind, heads = raw["model_type"], raw["num_attention_heads"]
    head_dim = raw.get("head_dim") or (raw["hidden_size"] // heads if kind != "qwen3" else None)
    if head_dim is None:
        return None
    bias = bool(raw.get("attention_bias", False))
    return LlamaConfig(
        **{name: raw[name] for name in NEEDED if name != "hidden_act"},
        model_type=kind,
        head_dim=head_dim,
        rope=rope,
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        qkv_bias=bias or kind == "qwen2",
        o_bias=bias,
        mlp_bias=bool(raw.get("mlp_bias", False)),
        head_norm=kind == "qwen3",
        pad_token_id=raw.get("pad_token_id"),
        raw=raw,
        generation=_json(generation),
        location=str(folder),
    )


def _json(file: Path) -> dict[str, Any] | None:
    """None where there is no file, or no JSON object in it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _understood(raw: dict[str, Any]) -> bool:
    kind = raw.get("model_type")
    windows = raw.get("use_sliding_window", False) or (
        kind == "mistral" and raw.get("sliding_window", 4096)
    )
    return (
        kind in ARCHITECTURES
        and raw.get("architectures") == [ARCHITECTURES[kind]]
        and set(raw) <= set(UNDERSTOOD)
        and all(raw.get(name) is not None for name in NEEDED)
        and raw["hidden_act"] == "silu"
        and raw.get("pretraining_tp", 1) == 1
        and not raw.get("rope_interleaved", False)
        and not windows
        and set(raw.get("layer_types") or ["full_attention"]) == {"full_attention"}
        and not any(
            raw.get(name)
            for name in ("attention_bias", "mlp_bias")
            if name not in BIASES.get(kind, ())
        )
    )


def _rope(raw: dict[str, Any]) -> Rope | None:
    """Rotary settings in today's form; older files have them in two places."""
    given = raw.get("rope_parameters")
    if given is None:
        given = {"rope_theta": raw.get("rope_theta"), **(raw.get("rope_scaling") or {})}
    elif raw.get("rope_scaling") or raw.get("rope_theta") not in (None, given.get("rope_theta")):
        return None  # two places that may disagree
    rope = {"rope_type": given.get("rope_type", given.get("type", "default")), **given}
    rope.pop("type", None)
    told = ROPE.get(rope["rope_type"])
    known = told is not None and set(rope) == {*told, "rope_type", "rope_theta"}
    return cast(Rope, rope) if known and rope["rope_theta"] else None


def read_llama(folder: Path) -> LlamaLM | None:
    """The model in `folder` in fp32; None where transformers is to load it (or to say what is
    wrong)."""
    config = read_config(folder)
    files = _weight_files(folder)
    if config is None or files is None:
        return None
    model = empty_llama(config)
    wanted = {
        name: p.shape for name, p in model.named_parameters()
    }  # tied weights once, under the embedding's name
    try:
        weights = _weights(files, wanted, config)
    except SafetensorError:  # a damaged file: transformers says it better
        return None
    if {name: weight.shape for name, weight in weights.items()} != wanted:
        return None
    for name, weight in weights.items():
        owner, _, own = name.rpartition(".")
        setattr(model.get_submodule(owner), own, nn.Parameter(weight))
    model.tie()
    return model


def empty_llama(config: LlamaConfig) -> LlamaLM:
    """The modules, without memory for weights."""
    with torch.device("meta"), _NoDraws():
        return LlamaLM(config)


class _NoDraws(TorchFunctionMode):
    """Leaves weights as they are made: torch imports its compiler to draw numbers for tensors
    without memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _weight_files(folder: Path) -> list[Path] | None:
    """The files that hold the weights, one alone before several, as transformers does; None where
    one is missing."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    names = set(((_json(folder / INDEX) or {}).get("weight_map") or {}).values())
    files = [folder / name for name in sorted(names)]
    return files if files and all(file.is_file() for file in files) else None


def _weights(files: list[Path], wanted: Container[str], config: LlamaConfig) -> dict[str, Tensor]:
    """What is wanted by name, copied in fp32 (a file may be replaced while the model lives).

    A tensor that nobody knows is given, too: the caller sees that it is too much.
    """
    found: dict[str, Tensor] = {}
    for file in files:
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (not a dict)
                if name in wanted or not _spare(name, config):
                    tensor: Tensor = opened.get_tensor(name)
                    found[name] = (
                        tensor.clone() if tensor.dtype == torch.float32 else tensor.float()
                    )
    return found


def _spare(name: str, config: LlamaConfig) -> bool:
    """Tensors that old files hold beside the weights."""
    return name.endswith("rotary_emb.inv_freq") or (
        name == "lm_head.weight" and config.tie_word_embeddings
    )


def write_llama(model: LlamaLM, folder: Path) -> None:
    """Write config.json and the weights in their dtype, for accord and transformers alike."""
    folder.mkdir(parents=True, exist_ok=True)
    tied = model.config.tie_word_embeddings
    weights = {
        name: w.detach().contiguous()
        for name, w in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})
    raw = {key: value for key, value in model.config.raw.items() if key != "torch_dtype"}
    _write_json(folder / "config.json", raw | {"dtype": str(model.dtype).removeprefix("torch.")})
    if model.config.generation is not None:
        _write_json(folder / "generation_config.json", model.config.generation)


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
