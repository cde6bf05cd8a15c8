"""An adapter belongs to one base model: saved with a probe of it, and refused on any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from accord.errors import ConfigError
from accord.models import precision
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
    """The base model that an adapter names: a directory or Hub id."""
    return str(json.loads((folder / CONFIG).read_text())["base_model_name_or_path"])


@torch.no_grad()
def write_probe(model: CausalLM, folder: Path) -> None:
    """Beside the adapter: what its base model, the adapter switched off, says about a few
    tokens."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.vocab_size, (PROBE_TOKENS,), generator=generator).tolist()
    with precision.exact(), model.reference():
        logprobs = model.logprobs(_stream(ids, model)).tolist()
    (folder / PROBE).write_text(json.dumps({"tokens": ids, "logprobs": logprobs}))


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
        peft = PeftModel.from_pretrained(base.hf, str(folder), is_trainable=True)
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise _other_base(folder, name, lines[min(1, len(lines) - 1)]) from error
    own, saved = set(get_peft_model_state_dict(peft)), _names(folder)
    if own != saved:  # PEFT would leave what is missing untrained and forget what is too much
        odd = sorted(own ^ saved)
        raise _other_base(folder, name, f"{len(odd)} weights have no counterpart, e.g. {odd[0]}")
    if (folder / PROBE).is_file():
        _check_probe(base, peft, folder, name)
    return peft


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
