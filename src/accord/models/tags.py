"""Giving a model the tags of conditional training (see `accord.text.segments`)."""

from __future__ import annotations

import copy
from typing import Any

import torch

from accord.errors import ConfigError
from accord.models.causal_lm import CausalLM
from accord.models.huggingface import in_transformers
from accord.seeds import derive_seed
from accord.text.segments import BAD, GOOD, KEY, Tags, ending_ids
from accord.text.tokenizer import FileTokenizer, id_count


def add_tags(model: CausalLM, seed: int) -> CausalLM:
    """The model with two more tokens that are read and never said; one that has them already stays
    as it is. Where its table of embeddings has no rows for them, two are added, drawn by `seed`.

    Raises ConfigError for an adapter (its base would not have the tokens), and where a token of
    that name means something else.
    """
    if model.tags is not None:
        return model
    if model.adapter is not None:
        raise ConfigError("tags are added to a whole model, this one has an adapter", "merge it")
    known = model.tokenizer.get_vocab()
    if taken := [name for name in (GOOD, BAD) if name in known]:
        raise ConfigError(f"the tokenizer has a token {taken[0]!r} already", "rename it")
    model = in_transformers(model)
    tokenizer, hf, first = _whole(model.tokenizer), model.hf, id_count(model.tokenizer)
    ends = ending_ids(tokenizer, first)
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    tokenizer.add_tokens([GOOD, BAD], special_tokens=True)
    tags = Tags(first, first + 1, ends | {int(begin)})
    if tokenizer.convert_tokens_to_ids([GOOD, BAD]) != [tags.good, tags.bad]:
        raise ConfigError("the tokenizer does not put new tokens behind all others", "rebuild it")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "tags"))
        if hf.get_input_embeddings().weight.shape[0] < first + 2:
            hf.resize_token_embeddings(first + 2, mean_resizing=False)
    setattr(hf.config, KEY, tags.setting())
    if hf.generation_config is not None:  # others that load the model must not say them, either
        hf.generation_config.suppress_tokens = [tags.good, tags.bad]
    return CausalLM(hf, tokenizer)


def _whole(tokenizer: Any) -> Any:
    """transformers' own tokenizer of one that accord read, which takes no new tokens; of any other
    a copy."""
    if not isinstance(tokenizer, FileTokenizer):
        return copy.deepcopy(tokenizer)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(tokenizer.folder), trust_remote_code=False)
