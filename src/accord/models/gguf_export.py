"""A model written as one GGUF file, as llama.cpp and its relatives read it, and read back.

`accord.models.gguf_forms` says how each architecture is written. A file is kept only if what is
read from it is the model: its settings, its weights, its tokenizer, and what it says about a
probe.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accord.errors import ConfigError, RunError
from accord.files import write_atomically
from accord.models import precision
from accord.models.gguf import load_gguf
from accord.models.gguf_forms import FORMS, FULL, REFUSED, GgufForm
from accord.models.gguf_tokenizer import SPACED, GgufWords, check_read, words_of, write_words
from accord.models.loading import Dtype, load_plain
from accord.text.tokenizer import id_count

CONVERTER = (
    "write it with llama.cpp's convert_hf_to_gguf.py from a directory of accord models export"
)
WITHOUT_EFFECT = re.compile(
    r"_name_or_path|architectures|model_type|transformers_version|dtype|torch_dtype|use_cache"
    r"|(bos|eos|pad|sep|decoder_start)_token_id|.*dropout.*|.*_drop|.*_pdrop|initializer_\w+"
    r"|id2label|label2id|problem_type|return_dict|output_\w+|chunk_size_feed_forward"
    r"|is_encoder_decoder|router_aux_loss_coef|router_jitter_noise|pretraining_tp|slow_but_exact"
    r"|summary_\w+|task_specific_params|rescale_prenorm_residual|time_step_\w+|use_mambapy"
    r"|expand|max_window_layers|n_ctx|block_(?!auto)\w+|attn_implementation|_attn_implementation"
    r"|reorder_and_upcast_attn|is_decoder|cross_attention_hidden_size|add_cross_attention"
)
"""Settings that change nothing in what a decoder computes once its weights are there: sizes are the
weights'."""
SAME_LOGPROBS = 1e-3
"""Largest accepted difference (nats) of the probe: what is offset by one or a logarithm in the file
is rounded once more."""
PROBE_TOKENS = 48


@dataclass(frozen=True)
class GgufExport:
    """difference: largest between the log-probabilities of a probe (nats), of the model and of the
    file read back. notes: what to know of the file."""

    difference: float
    notes: list[str]


@precision.exact()
@torch.no_grad()
def export_gguf(source: str, file: Path, dtype: Dtype = "float16") -> GgufExport:
    """Write the plain model in a directory (or of a Hub id) with its tokenizer, and read it back.

    Vectors, routers and small kernels stay fp32, as usual. Raises ConfigError for an architecture,
    a setting or a tokenizer that could not be read back as it is, RunError where what was read back
    is not the model.
    """
    if file.suffix != ".gguf":
        raise ConfigError(f"{file} does not end with .gguf", "others tell GGUF files by it")
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("writing GGUF needs the package gguf", 'pip install "accord[gguf]"')
    hf, tokenizer = load_plain(source)
    form, words = _form(hf), words_of(tokenizer)
    _check_equal(hf.config, form)
    _fit_vocabulary(hf, id_count(tokenizer))
    tensors = dict(_tensors(hf, form, dtype))
    found: list[float] = []

    def write(place: Path) -> None:
        _write(hf, form, words, tensors, place, dtype)
        _check_stored(tensors, words, place)
        found.append(_read_back(hf, tokenizer, form, words, place))

    write_atomically(file, write)
    return GgufExport(found[0], [SPACED] if words.adds_space else [])


def _form(hf: Any) -> GgufForm:
    kind = hf.config.model_type
    if kind in FORMS:
        return FORMS[kind]
    why = f": {REFUSED[kind]}" if kind in REFUSED else ""
    raise ConfigError(
        f"accord does not write {kind!r} models as GGUF{why}",
        f"it writes {', '.join(FORMS)}; llama.cpp's convert_hf_to_gguf.py knows more",
    )


def _check_equal(config: Any, form: GgufForm) -> None:
    if form.equal is None:
        return
    name, taken = form.equal
    if (own := getattr(config, name)) != (other := getattr(config, taken)):
        raise ConfigError(
            f"llama.cpp would run this {config.model_type!r} model with {name} {other} instead of "
            f"{own}: it takes {taken} for it",
            "run it with transformers or vLLM, from a directory of accord models export",
        )


def _fit_vocabulary(hf: Any, ids: int) -> None:
    """Leave out the rows that no token has: a GGUF file has a token for each."""
    rows = int(hf.get_input_embeddings().weight.shape[0])
    if ids > rows:
        raise ConfigError(
            f"the tokenizer has {ids} ids, the model {rows}",
            "use the tokenizer the model was trained with, or enlarge the model's embeddings",
        )
    if ids < rows:
        hf.resize_token_embeddings(ids)


# --- weights --------------------------------------------------------------------------------------
def _tensors(hf: Any, form: GgufForm, dtype: Dtype) -> Iterator[tuple[str, Tensor]]:
    """Weights by GGUF's names, in its layouts; those to be stored in 16 bits are rounded, in `hf`
    too, which is compared with what is read."""
    tied = hf.config.tie_word_embeddings
    for name, weight in hf.state_dict().items():
        if tied and name.startswith("lm_head."):
            continue
        names = _names(name, form)
        if _stored(names[0], weight, dtype) != "float32":
            weight.copy_(weight.to(getattr(torch, dtype)).float())
        change = form.changes.get(_own(names[0]))
        changed = weight if change is None else change(weight, hf.config)
        parts = changed if isinstance(changed, tuple) else (changed,)
        yield from zip(names, parts, strict=True)


def _names(name: str, form: GgufForm) -> tuple[str, ...]:
    """What GGUF calls a weight. Raises ConfigError for one that it has no name for."""
    within = re.fullmatch(rf"{re.escape(form.layers)}\.(\d+)\.(.+)", name)
    prefix, inner = (f"blk.{within[1]}.", within[2]) if within else ("", name)
    table = form.layer if within else form.ends
    module, _, kind = inner.rpartition(".")
    found = table.get(inner) or (f"{table[module]}.{kind}" if module in table else None)
    if found is None:
        raise ConfigError(f"GGUF has no name for the weight {name} of this model", CONVERTER)
    return tuple(prefix + part for part in ((found,) if isinstance(found, str) else found))


def _own(name: str) -> str:
    """Without the layer."""
    return name.split(".", 2)[2] if name.startswith("blk.") else name


def _stored(name: str, weight: Tensor, dtype: Dtype) -> Dtype:
    """The type that a tensor is stored in."""
    own = _own(name)
    full = weight.ndim == 1 or not own.endswith(".weight") or own.removesuffix(".weight") in FULL
    return "float32" if full else dtype


# --- the file -------------------------------------------------------------------------------------
def _write(
    hf: Any, form: GgufForm, words: GgufWords, tensors: dict[str, Tensor], file: Path, dtype: Dtype
) -> None:
    import gguf

    # No general.name: transformers and llama.cpp guess at models by names such as "mistral", "phi3"
    writer = gguf.GGUFWriter(str(file), form.name)
    writer.add_file_type(
        {
            "float32": gguf.LlamaFileType.ALL_F32,
            "float16": gguf.LlamaFileType.MOSTLY_F16,
            "bfloat16": gguf.LlamaFileType.MOSTLY_BF16,
        }[dtype]
    )
    for key, setting in form.settings.items():
        told = getattr(hf.config, setting) if isinstance(setting, str) else setting(hf.config)
        if told is None:
            raise ConfigError(f"this {hf.config.model_type!r} model says no {setting}", CONVERTER)
        _add_setting(writer, f"{form.name}.{key}", told)
    write_words(writer, words)
    for name, weight in tensors.items():
        _add(writer, name, weight, _stored(name, weight, dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_setting(writer: Any, key: str, value: Any) -> None:
    kinds = (
        (bool, writer.add_bool), (int, writer.add_uint32), (float, writer.add_float32),
        (list, writer.add_array),
    )  # fmt: skip
    next(add for kind, add in kinds if isinstance(value, kind))(key, value)


def _add(writer: Any, name: str, weight: Tensor, stored: Dtype) -> None:
    from gguf import GGMLQuantizationType, quants

    values: np.ndarray[Any, Any] = weight.detach().float().cpu().contiguous().numpy()
    if stored == "float32":
        writer.add_tensor(name, values)
    elif stored == "float16":
        writer.add_tensor(name, values.astype(np.float16))
    else:
        kind = GGMLQuantizationType.BF16
        writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)


# --- read back ------------------------------------------------------------------------------------
def _check_stored(tensors: dict[str, Tensor], words: GgufWords, file: Path) -> None:
    """Everything that was written, by gguf's reader, bit for bit."""
    from gguf import GGUFReader, quants

    reader = GGUFReader(str(file))
    stored = {
        t.name: torch.from_numpy(quants.dequantize(t.data, t.tensor_type).copy())
        for t in reader.tensors
    }
    for name, mine in words.lists().items():
        field = reader.get_field(f"tokenizer.ggml.{name}")
        if (field.contents() if field is not None else []) != mine:
            raise RunError(f"the GGUF file holds other {name} than the tokenizer", "report it")
    odd = [
        name
        for name in sorted({*stored, *tensors})
        if name not in stored or name not in tensors or not stored[name].equal(tensors[name].cpu())
    ]
    if odd:
        raise RunError(f"the GGUF file holds {odd[0]} otherwise than the model", "report the model")


def _read_back(hf: Any, tokenizer: Any, form: GgufForm, words: GgufWords, file: Path) -> float:
    """The largest difference (nats) between the model and what transformers reads."""
    _check_settings(hf.config, form, file)
    read, their_tokenizer = load_gguf(file, torch.float32)
    mine, theirs = hf.state_dict(), read.state_dict()
    odd = [
        name
        for name in sorted({*mine, *theirs})
        if name not in mine or name not in theirs or not _near(mine[name], theirs[name])
    ]
    if odd:
        raise RunError(
            f"the weight {odd[0]} is read from the GGUF file otherwise than the model has it: it "
            "is not the model",
            "report the model's config.json",
        )
    check_read(tokenizer, their_tokenizer, words)
    worst = float((_says(hf) - _says(read)).abs().max())
    if not worst <= SAME_LOGPROBS:
        raise RunError(
            f"what is read from the GGUF file is not the model: its log-probabilities of a probe "
            f"are {worst:.3g} nats off",
            "report the model's config.json",
        )
    return worst


def _near(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and torch.allclose(one, two, rtol=1e-5, atol=1e-6)


def _check_settings(config: Any, form: GgufForm, file: Path) -> None:
    """Raise ConfigError for a setting that is read otherwise than the model has it."""
    from transformers import AutoConfig

    read = AutoConfig.from_pretrained(
        str(file.parent), gguf_file=file.name, trust_remote_code=False
    )
    if read.model_type != (form.read_as or config.model_type):
        raise RunError(f"the GGUF file is read as a {read.model_type!r} model", "report the model")
    theirs = read.to_dict()
    for name, mine in config.to_dict().items():
        if WITHOUT_EFFECT.fullmatch(name) or _alike(mine, theirs.get(name)):
            continue
        raise ConfigError(
            f"a GGUF file of this {config.model_type!r} model would be read back with {name} "
            f"{theirs.get(name)!r} instead of {mine!r}",
            CONVERTER,
        )


def _alike(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return all(_alike(told, theirs.get(name)) for name, told in mine.items())
    if isinstance(mine, float) and isinstance(theirs, int | float):
        return abs(mine - theirs) <= 1e-6 * abs(mine)  # fp32 in the file
    return bool(mine == theirs)


def _says(hf: Any) -> Tensor:
    """Log-probabilities of random tokens: [T - 1]."""
    rows = hf.get_input_embeddings().weight.shape[0]
    ids_1T = torch.randint(0, rows, (1, PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    logits_TV = hf(input_ids=ids_1T, use_cache=False).logits[0, :-1].float()
    return torch.log_softmax(logits_TV, -1).gather(1, ids_1T[0, 1:, None])[:, 0]
