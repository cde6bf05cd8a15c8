"""Loading and saving causal LMs: Hugging Face directories, PEFT adapters, Hub ids, packaged
models."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from accord.errors import ConfigError, RunError
from accord.files import write_atomically
from accord.models import precision
from accord.models.adapters import (
    attach_adapter,
    base_bits,
    base_model_of,
    dequantised,
    name_base,
    quiet_about_tables,
    write_probe,
)
from accord.models.causal_lm import CausalLM
from accord.models.huggingface import in_transformers, load_model, load_tokenizer
from accord.models.llama import LlamaLM
from accord.models.llama_files import read_llama, write_llama
from accord.models.probe import check_same, probe_stream, self_check
from accord.models.quantised import Bits, bits_of, use_whole_products
from accord.seeds import derive_seed
from accord.text.encoding import Encoder
from accord.text.tokenizer import write_tokenizer

PACKAGED = "accord:"
MERGE_BOUND = 1e-2
"""The same between an adapter on its base and the two as one: sums of weights are rounded."""

Dtype = Literal["float32", "float16", "bfloat16"]
"""Of saved weights; those in memory are fp32."""


@dataclass(frozen=True)
class LoraSettings:
    """rank: of the update; alpha: scale (effective scale alpha / rank); targets: module names or
    all linear."""

    rank: int = 16
    alpha: float = 32.0
    targets: str | tuple[str, ...] = "all-linear"


def locate_model(reference: str) -> str:
    """A directory or Hub id for `reference`: `accord:NAME` is a model shipped inside the
    package."""
    if not reference.startswith(PACKAGED):
        return reference
    name = reference.removeprefix(PACKAGED)
    folder = resources.files("accord") / "assets" / name
    if not folder.is_dir():
        shipped = sorted(
            p.name for p in (resources.files("accord") / "assets").iterdir() if p.is_dir()
        )
        raise ConfigError(
            f"there is no packaged model {name!r}", f"use one of: {', '.join(shipped)}"
        )
    return str(folder)


def load_causal_lm(
    reference: str, device: str = "cpu", verify: bool = True, bits: Bits | None = None
) -> CausalLM:
    """Load a causal LM in fp32 with its tokenizer; `bits`: its linear layers in 8 or 4 bits, as the
    frozen base of an adapter (needs bitsandbytes).

    `reference` is a directory (plain model or PEFT adapter), a Hub id or `accord:NAME`. Raises
    ConfigError when nothing loadable is there, RunError when packed and native forward disagree
    (`verify`).
    """
    location = locate_model(reference)
    if (Path(location) / "adapter_config.json").is_file():
        return with_adapter(load_base(Path(location), device, verify), Path(location))
    with _told(reference):
        own = read_llama(Path(location)) if bits is None else None
        hf = own or load_model(location, device, bits)
        tokenizer = load_tokenizer(location)
    model = CausalLM(hf.to(device) if bits is None else use_whole_products(hf), tokenizer)
    if verify:
        self_check(model)
    return model


def load_plain(reference: str) -> tuple[Any, Any]:
    """transformers' modules and the tokenizer of a plain model in fp32, also of an architecture
    that accord cannot train. Raises ConfigError when nothing loadable is there."""
    location = locate_model(reference)
    with _told(reference):
        return load_model(location).eval(), load_tokenizer(location)


@contextmanager
def _told(reference: str) -> Iterator[None]:
    """Within it, what libraries say of a model that they cannot load becomes a ConfigError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ConfigError(
            f"cannot load a causal LM from {reference!r}: {str(error).splitlines()[0]}",
            "name a directory with config.json, model.safetensors and a tokenizer, or a Hub "
            "id (needs a network); "
            "a GGUF file is converted by `accord models import`",
        ) from error


def load_base(adapter: Path, device: str, verify: bool = True) -> CausalLM:
    """The base model of the adapter in a folder, in the bits it was trained on. Raises ConfigError
    when it is not where the adapter says."""
    try:
        return load_causal_lm(base_model_of(adapter), device, verify, base_bits(adapter))
    except ConfigError as error:
        raise ConfigError(
            f"the adapter in {adapter} needs its base model: {error.message}", error.fix
        ) from error


def with_adapter(base: CausalLM, folder: Path) -> CausalLM:
    """`base` with the adapter in `folder`. Raises ConfigError when it was trained on another
    model."""
    base = in_transformers(base)
    peft = attach_adapter(base, folder)
    return CausalLM(peft.get_base_model(), base.tokenizer, adapter=peft)


def generation_stops(hf: Any) -> list[int]:
    """Ids that the model's own generation settings stop at (a chat model may end its turns with
    another token than EOS)."""
    stops = getattr(getattr(hf, "generation_config", None), "eos_token_id", None)
    return [
        int(stop) for stop in (stops if isinstance(stops, list) else [stops]) if stop is not None
    ]


def save_causal_lm(
    model: CausalLM, folder: Path, dtype: Dtype = "float32", verify: bool = True
) -> Path:
    """Write a plain Hugging Face directory with weights in `dtype` (an adapter: PEFT format, in
    fp32).

    Its generation settings stop where the chat template ends a reply, so that others stop where
    accord trained it to. What was written is read again and compared with the model in memory
    (`verify`). The directory is whole or absent; raises RunError when it says something else than
    the model, or the disk is full.
    """

    def write(place: Path) -> None:
        if model.adapter is not None:
            with quiet_about_tables():
                model.adapter.save_pretrained(str(place), safe_serialization=True)
            (place / "README.md").unlink(missing_ok=True)  # PEFT's form, not filled in
            write_probe(model, place)
            write_tokenizer(model.tokenizer, place)
            if verify:
                check_same(model, with_adapter(_without_adapter(model), place))
            return
        saved = model if dtype == "float32" else _rounded(model, getattr(torch, dtype))
        _write(saved.hf, place)
        _write_stops(model, place / "generation_config.json")
        write_tokenizer(model.tokenizer, place)
        if saved is not model:
            saved.hf.float()  # what is read again is computed in fp32, too
        if verify:
            check_same(saved, load_causal_lm(str(place), verify=False))

    write_atomically(folder, write)
    return folder


def _rounded(model: CausalLM, dtype: torch.dtype) -> CausalLM:
    """A copy with weights of another type; buffers, such as rotary frequencies, stay as they
    are."""
    found = copy_causal_lm(model)
    for parameter in found.hf.parameters():
        parameter.data = parameter.data.to(dtype)
    return found


def _without_adapter(model: CausalLM) -> CausalLM:
    """The base model on the very same weights, in modules of its own."""
    same = {id(t): t for t in (*model.hf.parameters(), *model.hf.buffers())}
    return CausalLM(copy.deepcopy(model.adapter, same).unload(), model.tokenizer)


def _write(hf: Any, folder: Path) -> None:
    if isinstance(hf, LlamaLM):
        write_llama(hf, folder)
    else:
        hf.save_pretrained(str(folder))


def _write_stops(model: CausalLM, file: Path) -> None:
    """Add the stop tokens of the chat template to saved generation settings that lack them."""
    known = generation_stops(model.hf)
    if missing := [stop for stop in Encoder(model.tokenizer).stop_ids if stop not in known]:
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        settings["eos_token_id"] = [*known, *missing]
        file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def raw_tokenizer(model: CausalLM) -> Any:
    """The `tokenizers` object of the model's tokenizer. Raises ConfigError where it has none."""
    raw = getattr(model.tokenizer, "raw", None) or getattr(
        model.tokenizer, "backend_tokenizer", None
    )
    if raw is None:
        raise ConfigError(
            "this model's tokenizer is not a fast one, and places in a text are asked of it",
            "save it as tokenizer.json (transformers' convert_slow_tokenizer)",
        )
    return raw


def copy_causal_lm(model: CausalLM) -> CausalLM:
    """An independent copy with the same weights; the tokenizer is shared."""
    if model.adapter is None:
        return CausalLM(copy.deepcopy(model.hf), model.tokenizer)
    adapter = copy.deepcopy(model.adapter)
    return CausalLM(adapter.get_base_model(), model.tokenizer, adapter=adapter)


def add_lora(model: CausalLM, settings: LoraSettings, seed: int) -> CausalLM:
    """Freeze `model` and inject trainable LoRA layers.

    Raises ConfigError for a model that has an adapter already: the new one would be saved without
    it.
    """
    from peft import LoraConfig, get_peft_model

    if model.adapter is not None:
        raise ConfigError("this model already carries an adapter", "merge it first (sft stages do)")
    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    hosted = in_transformers(model).hf
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=targets,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), quiet_about_tables():
        torch.manual_seed(derive_seed(seed, "adapter"))  # PEFT draws from the global generator
        peft = get_peft_model(hosted, config)
    name_base(peft, str(hosted.config._name_or_path))
    return CausalLM(peft.get_base_model(), model.tokenizer, adapter=peft)


@precision.exact()
@torch.no_grad()
def merge_adapter(model: CausalLM) -> CausalLM:
    """The plain model with its adapter's update added to the weights (of `model` itself).

    A table that is embedding and head at once becomes two where the adapter changes one of them.
    Raises RunError where the merged model says something else than adapter and base.
    """
    if model.adapter is None:
        return model
    stream = probe_stream(model)
    before = model.logprobs(stream)
    if bits_of(model) is not None:
        model = dequantised(model)
    untie(model.hf)
    merged = CausalLM(model.adapter.merge_and_unload(), model.tokenizer)
    worst = float((merged.logprobs(stream) - before).abs().max())
    if not worst <= MERGE_BOUND:
        raise RunError(
            f"the merged model's log-probabilities of a probe are {worst:.3g} nats off the "
            "adapter's on its base",
            "this kind of adapter cannot be merged: keep adapter and base as two directories",
        )
    return merged


def untie(hf: Any) -> None:
    """Give embedding and head tables of their own where an adapter changes a table they share:
    merged into one, its update would act on both."""
    ends = (hf.get_input_embeddings(), hf.get_output_embeddings())
    plain = [getattr(end, "base_layer", end) for end in ends]
    if ends == tuple(plain) or plain[0].weight is not plain[1].weight:
        return
    plain[1].weight = torch.nn.Parameter(
        plain[1].weight.detach().clone(), requires_grad=plain[1].weight.requires_grad
    )
    for config in {id(c): c for c in (hf.config, hf.config.get_text_config())}.values():
        config.tie_word_embeddings = False


def freeze(model: CausalLM) -> CausalLM:
    """Make every weight constant (a reference model); returns the model."""
    model.hf.requires_grad_(False)
    return model
