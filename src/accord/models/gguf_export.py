"""A model written as one GGUF file, as llama.cpp and its relatives read it, and read back.

Names and layouts are those of llama.cpp's convert_hf_to_gguf.py. Written is what can be read back
exactly: Llama-like models with plain rotary positions and a byte-level BPE.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from accord.errors import ConfigError, RunError
from accord.files import write_atomically
from accord.models.causal_lm import CausalLM
from accord.models.gguf import load_gguf
from accord.models.llama import LlamaLM
from accord.models.llama_config import LlamaConfig
from accord.models.loading import Dtype, load_causal_lm, save_causal_lm
from accord.models.probe import check_same
from accord.text.tokenizer import BYTES, QWEN_WORDS, id_count

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""Of config.json, and what GGUF calls them (llama.cpp runs Mistral models as llama)."""
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ENDS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_PLAIN = BYTES | {"use_regex": False}
_DIGITS = {"type": "Digits", "individual_digits": True}
_LLAMA3 = QWEN_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|")


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


SPLITS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [BYTES],
    "smollm": [_DIGITS, BYTES],
    "qwen2": [_split(QWEN_WORDS), _PLAIN],
    "llama-bpe": [_split(_LLAMA3), _PLAIN],
}
"""llama.cpp's names of ways to split a text into words."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Types of tokens in a GGUF file."""


def export_gguf(model: CausalLM, file: Path, dtype: Dtype = "float16") -> float:
    """Write a plain model with its tokenizer; returns the largest difference (nats) of a probe
    between it and the file read back.

    Norms and biases stay fp32, as usual. Raises ConfigError for an architecture, a rotary scaling
    or a tokenizer that could not be read back as it is, RunError where what was read back is not
    the model.
    """
    if file.suffix != ".gguf":
        raise ConfigError(f"{file} does not end with .gguf", "others tell GGUF files by it")
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("writing GGUF needs the package gguf", 'pip install "accord[gguf]"')
    with tempfile.TemporaryDirectory() as place:  # in our own layers, with weights of that type
        plain = load_causal_lm(str(save_causal_lm(model, Path(place) / "m", dtype)), verify=False)
    if not isinstance(plain.hf, LlamaLM):
        raise ConfigError(
            f"accord does not write {model.hf.config.model_type!r} models with these settings as "
            "GGUF",
            f"it writes {', '.join(ARCHITECTURES)}; llama.cpp's convert_hf_to_gguf.py knows more",
        )
    if id_count(plain.tokenizer) > plain.vocab_size:
        raise ConfigError(
            f"the tokenizer has {id_count(plain.tokenizer)} ids, the model {plain.vocab_size}",
            "use the tokenizer the model was trained with, or enlarge the model's embeddings",
        )
    split = _split_name(plain.tokenizer)
    _check_shape(plain.hf.config)
    found: list[float] = []

    def write(place: Path) -> None:
        _write(plain, place, dtype, split)
        found.append(_read_back(plain, place))

    write_atomically(file, write)
    return found[0]


def _check_shape(config: LlamaConfig) -> None:
    if config.rope["rope_type"] != "default":
        what = f"rotary scaling {config.rope['rope_type']!r}"
    elif config.model_type not in ("qwen2",) and (config.qkv_bias or config.mlp_bias):
        what = "biases"
    elif config.head_dim != {
        "qwen2": config.hidden_size // config.num_attention_heads,
        "qwen3": 128,
    }.get(config.model_type, config.head_dim):
        what = f"heads of {config.head_dim} numbers"
    else:
        return
    raise ConfigError(
        f"a GGUF file of this {config.model_type!r} model would be read back without its {what}",
        "write it with llama.cpp's convert_hf_to_gguf.py from a directory of accord models export",
    )


def _described(tokenizer: Any) -> dict[str, Any]:
    raw = getattr(tokenizer, "raw", None) or getattr(tokenizer, "backend_tokenizer", None)
    if raw is None:
        raise ConfigError("a slow tokenizer cannot be written as GGUF", "save a fast one")
    return cast(dict[str, Any], json.loads(raw.to_str()))


def _split_name(tokenizer: Any) -> str:
    told = _described(tokenizer)
    parts = told["pre_tokenizer"] or {}
    listed = parts.get("pretokenizers", [parts])
    bare = [{k: v for k, v in part.items() if k != "trim_offsets"} for part in listed]
    names = [name for name, form in SPLITS.items() if form == bare]
    normal = told["normalizer"] in (None, {"type": "NFC"})
    if told["model"]["type"] != "BPE" or not names or not normal:
        raise ConfigError(
            "this tokenizer cannot be written as GGUF: llama.cpp has no name for its way of "
            "splitting a text",
            f"accord writes byte-level BPE that splits as {', '.join(SPLITS)} do",
        )
    return names[0]


def _write(model: CausalLM, file: Path, dtype: Dtype, split: str) -> None:
    import gguf

    config: LlamaConfig = model.hf.config
    writer = gguf.GGUFWriter(str(file), ARCHITECTURES[config.model_type])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(model.vocab_size)
    writer.add_file_type(
        {
            "float32": gguf.LlamaFileType.ALL_F32,
            "float16": gguf.LlamaFileType.MOSTLY_F16,
            "bfloat16": gguf.LlamaFileType.MOSTLY_BF16,
        }[dtype]
    )
    writer.add_name(file.stem)
    _write_tokenizer(writer, model.tokenizer, split)
    for name, weight in _tensors(model).items():
        _add(writer, name, weight, dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_tokenizer(writer: Any, tokenizer: Any, split: str) -> None:
    tokens, kinds, merges = _vocabulary(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for name, add in (
        ("bos", writer.add_bos_token_id),
        ("eos", writer.add_eos_token_id),
        ("unk", writer.add_unk_token_id),
        ("pad", writer.add_pad_token_id),
    ):
        if (index := getattr(tokenizer, f"{name}_token_id")) is not None:
            add(index)
    adds_bos = tokenizer.encode("a", add_special_tokens=True)[:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(adds_bos and tokenizer.bos_token_id is not None)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def _vocabulary(tokenizer: Any) -> tuple[list[str], list[int], list[str]]:
    """Every id's token and its type, and the merges in order."""
    told = _described(tokenizer)
    tokens = [f"[UNUSED{i}]" for i in range(id_count(tokenizer))]
    kinds = [UNUSED] * len(tokens)
    for token, index in told["model"]["vocab"].items():
        tokens[index], kinds[index] = token, NORMAL
    for added in told["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in told["model"]["merges"]]
    return tokens, kinds, merges


def _tensors(model: CausalLM) -> dict[str, Tensor]:
    """Weights by GGUF's names; rows of the vocabulary that no token has are left out."""
    config: LlamaConfig = model.hf.config
    permuted = ARCHITECTURES[config.model_type] == "llama"
    heads = {
        "self_attn.q_proj": config.num_attention_heads,
        "self_attn.k_proj": config.num_key_value_heads,
    }
    found = {}
    for name, weight in model.hf.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module in ENDS:
            if module == "lm_head" and config.tie_word_embeddings:
                continue
            if module != "model.norm":
                weight = weight[: model.vocab_size]
            found[f"{ENDS[module]}.{kind}"] = weight
            continue
        _, _, index, inner = module.split(".", 3)
        if permuted and inner in heads:
            weight = _interleaved(weight, heads[inner])
        found[f"blk.{index}.{LAYER[inner]}.{kind}"] = weight
    return found


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rotary pairs side by side, as llama.cpp turns them, instead of in two halves."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _add(writer: Any, name: str, weight: Tensor, dtype: Dtype) -> None:
    from gguf import GGMLQuantizationType, quants

    values: np.ndarray[Any, Any] = weight.detach().float().cpu().contiguous().numpy()
    if weight.ndim == 1 or dtype == "float32":
        writer.add_tensor(name, values)
    elif dtype == "float16":
        writer.add_tensor(name, values.astype(np.float16))
    else:
        kind = GGMLQuantizationType.BF16
        writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)


def _read_back(model: CausalLM, file: Path) -> float:
    """Everything that was written, by gguf's reader; the model, by transformers', whose reader
    takes the way words are split from the architecture instead of the file. Raises RunError where
    they read something else."""
    from gguf import GGUFReader, quants

    reader = GGUFReader(str(file))
    stored = {
        t.name: torch.from_numpy(quants.dequantize(t.data, t.tensor_type).copy())
        for t in reader.tensors
    }
    wanted = _tensors(model)
    names = ("tokens", "token_type", "merges")
    for name, mine in zip(names, _vocabulary(model.tokenizer), strict=True):
        field = reader.get_field(f"tokenizer.ggml.{name}")
        if (field.contents() if field is not None else []) != mine:
            raise RunError(f"the GGUF file holds other {name} than the tokenizer", "report it")
    odd = [
        name
        for name in sorted({*stored, *wanted})
        if name not in stored or name not in wanted or not stored[name].equal(wanted[name].cpu())
    ]
    if odd:
        raise RunError(f"the GGUF file holds {odd[0]} otherwise than the model", "report the model")
    hf, _ = load_gguf(file, torch.float32)
    return check_same(_cut(model), CausalLM(hf, model.tokenizer))


def _cut(model: CausalLM) -> CausalLM:
    """The model without rows that no token has, as the file has it."""
    for end in (model.hf.get_input_embeddings(), model.hf.get_output_embeddings()):
        if end.weight.shape[0] > model.vocab_size:
            end.weight = torch.nn.Parameter(end.weight.detach()[: model.vocab_size])
    model.hf.tie()
    return model
