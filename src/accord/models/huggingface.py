"""What transformers does for accord: architectures that `accord.models.llama` does not know, and
what only it can do.

Importing it takes longer than all the rest together, so nothing here is imported before it is
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from accord.errors import ConfigError
from accord.models.causal_lm import CausalLM
from accord.models.llama import LlamaLM
from accord.models.llama_files import read_config
from accord.models.quantised import Bits, quantisation
from accord.text.tokenizer import FileTokenizer, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


OTHER_SENSES = ("vision_config", "audio_config", "vision_model", "speech_config")
"""Settings of models that read more than text."""


def load_config(location: str, local_only: bool = False) -> Any:
    """The configuration of a causal LM of text that transformers has the code of.

    Raises ConfigError for one that brings code of its own (it is never run), reads pictures or
    sound, or has quantised weights; OSError or ValueError where there is none that transformers
    knows.
    """
    from transformers import AutoConfig

    with no_foreign_code(location):
        config = AutoConfig.from_pretrained(
            location, local_files_only=local_only, trust_remote_code=False
        )
    if senses := [name for name in OTHER_SENSES if getattr(config, name, None) is not None]:
        raise ConfigError(
            f"{location!r} is a {config.model_type!r} model that reads more than text (it has a "
            f"{senses[0]}): accord trains models of text",
            "use the text-only model of the family, or save its language model by itself",
        )
    if quantised := getattr(config, "quantization_config", None):
        raise _quantised(location, quantised)
    return config


def _quantised(location: str, how: Any) -> ConfigError:
    told = how if isinstance(how, dict) else how.to_dict()
    method = str(told.get("quant_method", "an unnamed method"))
    return ConfigError(
        f"the weights in {location!r} are quantised ({method}): they cannot be trained, nor "
        "merged or saved exactly",
        "name the model that they were made from, in 16 or 32 bits; lora: {base: 4bit} trains an "
        "adapter on it in as little memory",
    )


@contextmanager
def no_foreign_code(location: str) -> Iterator[None]:
    """Within it, transformers' question whether to run code of the model's becomes a
    ConfigError."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ConfigError(
            f"{location!r} brings code of its own, which accord never runs",
            "use a model whose architecture transformers has; docs/models.md lists those tried",
        ) from error


def load_model(location: str, device: str = "cpu", bits: Bits | None = None) -> Any:
    """A directory or Hub id by transformers, in fp32 (its linear layers in `bits`, frozen).

    Raises what `load_config` does, ConfigError where weights are missing (transformers would draw
    them) or left over, and OSError or ValueError when it cannot.
    """
    from transformers import AutoModelForCausalLM

    config = load_config(location)
    more = {"quantization_config": quantisation(bits)} if bits is not None else {}
    with no_foreign_code(location):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            location,
            config=config,
            device_map=None if bits is None else {"": device},  # such weights are not moved later
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",  # whatever a config names, kernels from the Hub included
            output_loading_info=True,
            **more,
        )
    model, told = loaded
    if missing := sorted(told["missing_keys"]):
        raise ConfigError(
            f"{len(missing)} weights of the {model.config.model_type!r} model are missing in "
            f"{location!r}, e.g. {missing[0]}: it is not a causal LM, or not whole",
            "copy or save it again",
        )
    if spare := sorted(told["unexpected_keys"]):
        raise ConfigError(
            f"{len(spare)} weights in {location!r} have no place in a {model.config.model_type!r} "
            f"model, e.g. {spare[0]}: it would compute without them",
            "is model_type in config.json right? If they are not wanted, load it with "
            "AutoModelForCausalLM and save it again",
        )
    return model


def empty_model(config: Any) -> Any:
    """The modules of a model, without memory for weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def load_tokenizer(
    location: str, local_only: bool = False
) -> FileTokenizer | PreTrainedTokenizerBase:
    """The tokenizer of a directory or Hub id; read from its files alone where that gives the same.

    Raises ConfigError when there is none.
    """
    config = read_config(Path(location))
    own = read_tokenizer(Path(location), config.model_type) if config is not None else None
    if own is not None:
        return own
    from transformers import AutoTokenizer

    try:
        with no_foreign_code(location):
            return AutoTokenizer.from_pretrained(
                location, local_files_only=local_only, trust_remote_code=False
            )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot load a tokenizer from {location!r}: {str(error).splitlines()[0]}",
            "name a model directory or a Hub id",
        ) from error


def in_transformers(model: CausalLM) -> CausalLM:
    """The same weights (no copies) in transformers' own modules, for what needs those: adapters,
    `generate`, comparisons."""
    if not isinstance(model.hf, LlamaLM):
        return model
    from transformers import AutoConfig, GenerationConfig

    own = model.hf
    config: Any = AutoConfig.for_model(**own.config.raw)
    config._name_or_path = own.config.location  # an adapter names its base model by it
    made = empty_model(config)
    made.load_state_dict(own.state_dict(keep_vars=True), assign=True)
    made.tie_weights()
    made.model.rotary_emb = type(made.model.rotary_emb)(config=config).to(
        model.device
    )  # no weights: not in the state
    if own.config.generation is not None:
        made.generation_config = GenerationConfig.from_dict(own.config.generation)
    made.generation_config.eos_token_id = own.generation_config.eos_token_id
    return CausalLM(made, model.tokenizer)
