"""An adapter belongs to one base model: saved with a probe of it, and refused on any other."""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from accord.errors import ConfigError
from accord.models import precision
from accord.models.quantised import Bits, WholeProducts, bits_of, whole_linear
from accord.text.packing import PromptGroup, pack

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROBE = "accord_base.json"
PROBE_TOKENS = 12
PROBE_BOUND = 1e-2
"""Largest difference (nats) of a probe token's log-probability between machines; other weights
differ by far more."""


def base_model_of(folder: Path) -> str:
    """The base model that the adapter in `folder` names: an absolute directory or a Hub id.

    A relative path is looked for beside the adapter, then from where accord was started. Raises
    ConfigError where none is named, or a path that can only be a directory is not there: whatever
    looks like `owner/name` would be taken from the Hub by others.
    """
    file = folder / CONFIG
    name = _json(file).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{file} names no base model", "put its directory into base_model_name_or_path"
        )
    path = Path(name).expanduser()
    for place in (folder / path, path):  # an absolute path stays what it is
        if place.is_dir():
            return os.path.abspath(place)
    if name.startswith(("/", ".", "~")) or len(path.parts) > 2:
        raise ConfigError(
            f"{name} is not there",
            f"put the directory where it is now into base_model_name_or_path of {file}",
        )
    return name


def base_bits(folder: Path) -> Bits | None:
    """How the base lay in memory when the adapter in `folder` was trained."""
    file = folder / PROBE
    found: Bits | None = _json(file).get("bits") if file.is_file() else None
    return found


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {file}: {error}", "copy the adapter again") from error
    return found if isinstance(found, dict) else {}


@contextmanager
def quiet_about_tables() -> Iterator[None]:
    """Within it, PEFT does not warn of adapters on embedding and head: `merge_adapter` unties them,
    and both tables are saved."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers`")
        yield


def name_base(peft: Any, base: str) -> None:
    """Have the adapter name its base so that it is found from anywhere: a directory by its whole
    path, anything else (a Hub id) as it is."""
    absolute = os.path.abspath(base) if Path(base).is_dir() else base
    for config in peft.peft_config.values():
        config.base_model_name_or_path = absolute


@torch.no_grad()
def write_probe(model: CausalLM, folder: Path) -> None:
    """Beside the adapter: what its base model, the adapter switched off, says about a few
    tokens."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.vocab_size, (PROBE_TOKENS,), generator=generator).tolist()
    with precision.exact(), model.reference():
        logprobs = model.logprobs(_stream(ids, model)).tolist()
    probe = {"tokens": ids, "logprobs": logprobs, "bits": bits_of(model)}
    (folder / PROBE).write_text(json.dumps(probe))


def attach_adapter(base: CausalLM, folder: Path) -> Any:
    """The PEFT model of the adapter in `folder` on `base`.

    Raises ConfigError when the adapter was made for another model: shapes or layers differ, or the
    base gives its probe other log-probabilities (an adapter from elsewhere has no probe).
    """
    from peft import (
        PeftModel,
        get_peft_model_state_dict,
    )  # only those who use adapters pay for importing it

    name = base_model_of(folder)
    try:
        with quiet_about_tables():
            peft = PeftModel.from_pretrained(base.hf, str(folder), is_trainable=True)
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = [*lines[1:2], *lines, type(error).__name__][0]  # the first line is a title
        raise _other_base(folder, name, why) from error
    with quiet_about_tables():
        own, saved = set(get_peft_model_state_dict(peft)), _names(folder)
    if own != saved:  # PEFT would leave what is missing untrained and forget what is too much
        odd = sorted(own ^ saved)
        raise _other_base(folder, name, f"{len(odd)} weights have no counterpart, e.g. {odd[0]}")
    if (folder / PROBE).is_file():
        _check_probe(base, peft, folder, name)
    name_base(peft, str(base.hf.config._name_or_path or name))
    return peft


def dequantised(model: CausalLM) -> CausalLM:
    """The same adapter on a base of whole weights: what the quantised ones stand for."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    from accord.models.causal_lm import CausalLM

    config = copy.deepcopy(model.adapter.peft_config["default"])
    with quiet_about_tables():
        learned = get_peft_model_state_dict(model.adapter)
        base = copy.deepcopy(model.adapter).unload()
        for name, module in list(base.named_modules()):
            if isinstance(module, WholeProducts):
                base.set_submodule(name, whole_linear(module))
        base.hf_quantizer.remove_quantization_config(base)
        peft = get_peft_model(base, config)
        set_peft_model_state_dict(peft, learned)
    return CausalLM(peft.get_base_model(), model.tokenizer, adapter=peft)


@torch.no_grad()
def _check_probe(base: CausalLM, peft: Any, folder: Path, name: str) -> None:
    probe = json.loads((folder / PROBE).read_text())
    if max(probe["tokens"]) >= base.vocab_size:
        raise _other_base(folder, name, "the vocabularies differ")
    with precision.exact(), peft.disable_adapter():
        found = base.logprobs(_stream(probe["tokens"], base)).cpu()
    worst = float((found - torch.tensor(probe["logprobs"])).abs().max())
    if not worst <= PROBE_BOUND:
        raise _other_base(
            folder, name, f"it gives its probe log-probabilities {worst:.3g} nats off"
        )


def _stream(ids: list[int], model: CausalLM) -> Any:
    return pack([PromptGroup(ids[:1], [ids[1:]])]).to(model.device)


def _names(folder: Path) -> set[str]:
    with safe_open(str(folder / WEIGHTS), framework="pt") as file:
        return set(file.keys())


def _other_base(folder: Path, base: str, why: str) -> ConfigError:
    return ConfigError(
        f"the adapter in {folder} was not trained on its base model {base}: {why}",
        f"put the right model's path into base_model_name_or_path of {folder / CONFIG}",
    )
