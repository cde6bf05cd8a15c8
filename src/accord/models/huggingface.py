"""What transformers does for accord: architectures that `accord.models.llama` does not know, and
what only it can do.

Importing it takes longer than all the rest together, so nothing here is imported before it is
needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from accord.errors import ConfigError
from accord.models.causal_lm import CausalLM
from accord.models.llama import LlamaLM
from accord.models.llama_files import read_config
from accord.text.tokenizer import FileTokenizer, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_model(location: str) -> Any:
    """A directory or Hub id by transformers, in fp32. Raises OSError or ValueError when it
    cannot."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(location, dtype=torch.float32, use_safetensors=True)


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
        return AutoTokenizer.from_pretrained(location, local_files_only=local_only)
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
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    own = model.hf
    config: Any = AutoConfig.for_model(**own.config.raw)
    config._name_or_path = own.config.location  # an adapter names its base model by it
    with torch.device("meta"):
        made: Any = AutoModelForCausalLM.from_config(config)
    made.load_state_dict(own.state_dict(keep_vars=True), assign=True)
    made.tie_weights()
    made.model.rotary_emb = type(made.model.rotary_emb)(config=config).to(
        model.device
    )  # no weights: not in the state
    if own.config.generation is not None:
        made.generation_config = GenerationConfig.from_dict(own.config.generation)
    made.generation_config.eos_token_id = own.generation_config.eos_token_id
    return CausalLM(made, model.tokenizer)
