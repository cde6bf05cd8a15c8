"""Is this model fit for accord? Load it and compare with transformers' own forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from accord.errors import AccordError, ConfigError, RunError
from accord.models import precision
from accord.models.causal_lm import CausalLM
from accord.models.huggingface import in_transformers
from accord.models.loading import generation_stops, load_causal_lm, locate_model
from accord.models.probe import (
    TEXT,
    check_gap,
    decoded_logprobs,
    native_logprobs,
    packed_logprobs,
    self_check,
)
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup
from accord.text.tokenizer import FileTokenizer, id_count

LONG, SPARE = 300, 16
"""Tokens of the longest sequence probed: at least LONG, and SPARE more than a window holds."""
QUICK = 250_000_000_000
"""Weights times tokens of a sequence that a CPU is done with in seconds."""
TALK = [{"role": "user", "content": "Did Ann like it?"}]


@dataclass(frozen=True)
class ModelReport:
    """Facts about a model.

    difference, decoding: largest gap (nats) to transformers' log-probabilities of accord's packed
    forward and of its token-by-token decoding. example: one decoded demonstration, the trained part
    in ⟦ ⟧. notes: what to know before training.
    """

    name: str
    kind: str
    parameters: int
    vocabulary: int
    context: int
    tokens: dict[str, str]
    chat: bool
    difference: float
    decoding: float = 0.0
    example: str = ""
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For a terminal."""
        special = ", ".join(f"{name} {token}" for name, token in self.tokens.items())
        shared = (
            "; pad is eos, which is fine here: masks come from lengths"
            if self._pad_is_eos()
            else ""
        )
        return [
            f"{self.name}: {self.kind}, {self.parameters / 1e6:.1f} M parameters, context "
            f"{self.context:,} tokens",
            f"  vocabulary {self.vocabulary:,}; {special}{shared}",
            f"  chat template: {'yes' if self.chat else 'no, plain text'}",
            f"  an example, the trained part in ⟦ ⟧: {self.example!r}",
            *(f"  note: {note}" for note in self.notes),
            "  against transformers: packed log-probabilities differ by at most "
            f"{self.difference:.2g} nats, decoding "
            f"by {self.decoding:.2g}: fit for training",
        ]

    def _pad_is_eos(self) -> bool:
        return self.tokens.get("pad") == self.tokens.get("eos") != "–"


@precision.exact()
def check_model(reference: str) -> ModelReport:
    """Load and examine a model; raises ConfigError or RunError when it is not usable."""
    model = load_causal_lm(reference, verify=False)
    tokenizer: Any = model.tokenizer
    rows = int(model.head_weight.shape[0])
    if id_count(tokenizer) > rows:
        raise ConfigError(
            f"{reference}: the tokenizer has {id_count(tokenizer)} tokens, the model knows {rows}",
            "use the tokenizer the model was trained with, or enlarge the model's embeddings",
        )
    names = {"bos": tokenizer.bos_token, "eos": tokenizer.eos_token, "pad": tokenizer.pad_token}
    _check_tokenizer(model)
    groups = _probe(model)
    own = self_check(model)
    native = native_logprobs(in_transformers(model), groups)
    packed = check_gap(model, "packed", native, packed_logprobs(model, groups))
    return ModelReport(
        name=locate_model(reference),
        kind=str(model.hf.config.model_type),
        parameters=sum(p.numel() for p in model.hf.parameters()),
        vocabulary=model.vocab_size,
        context=model.context,
        tokens={name: str(token) if token is not None else "–" for name, token in names.items()},
        chat=tokenizer.chat_template is not None,
        difference=max(packed, own),
        decoding=check_gap(model, "decoded", native, decoded_logprobs(model, groups)),
        example=_example(model),
        notes=[*_length_notes(model, groups), *_notes(model)],
    )


def _check_tokenizer(model: CausalLM) -> None:
    """Raise RunError where our reading of the tokenizer's files and transformers' give other ids or
    another conversation."""
    own = model.tokenizer
    if not isinstance(own, FileTokenizer):
        return
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(own.folder, trust_remote_code=False)
    found = [t.encode(TEXT + str(t.eos_token), add_special_tokens=False) for t in (own, theirs)]
    if own.chat_template is not None:
        found += [
            t.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
            for t in (own, theirs)
        ]
    if found[::2] != found[1::2]:
        raise RunError(
            f"accord and transformers read the tokenizer in {own.folder} differently",
            "do not train with it, and report its tokenizer_config.json: the model would see "
            "other tokens elsewhere",
        )


def _probe(model: CausalLM) -> list[PromptGroup]:
    """Random sequences of unequal length, so that the native batch has padding; the longest beyond
    any window, or as long as is quick."""
    generator = torch.Generator().manual_seed(0)
    lengths = (4, 9, 33, _longest(model))
    rows = [
        torch.randint(0, model.vocab_size, (min(n, model.context),), generator=generator).tolist()
        for n in lengths
    ]
    return [PromptGroup(row[:2], [row[2:]]) for row in rows]


def _longest(model: CausalLM) -> int:
    weights = sum(p.numel() for p in model.hf.parameters())
    quick = max(LONG, QUICK // weights)
    longest: int = min(model.context, quick, max(LONG, _window(model) + SPARE))
    return longest


def _window(model: CausalLM) -> int:
    """Tokens that the shortest of the layers' windows holds; 0 without windows."""
    config = model.hf.config.get_text_config()
    return int(getattr(config, "sliding_window", None) or 0)


def _length_notes(model: CausalLM, groups: list[PromptGroup]) -> list[str]:
    probed = max(len(group.prompt) + len(group.responses[0]) for group in groups)
    made_for = int(model.hf.config.get_text_config().max_position_embeddings)
    notes = [f"probed with sequences of up to {probed:,} tokens"]
    if probed <= _window(model) < made_for:
        notes.append(f"its windows of {_window(model):,} tokens were not reached by the probe")
    if model.limit is not None and model.limit.tokens < made_for:
        notes.append(
            f"made for {made_for:,} tokens, but {model.limit.why} changes what was said of a "
            f"sequence that grows beyond {model.limit.tokens:,}: accord takes no longer ones"
        )
    return notes


def _example(model: CausalLM) -> str:
    """One demonstration as training sees it."""
    encoder = Encoder(model.tokenizer)
    try:
        if model.tokenizer.chat_template is not None:
            example = encoder.example(TALK, "No, she did not.")
        else:
            example = encoder.example("Ann said", " that she did not like it.")
    except AccordError as error:
        raise ConfigError(f"the tokenizer cannot be used: {error.message}", error.fix) from error
    decode = encoder.tokenizer.decode
    return f"{decode(example.prompt_ids)}⟦{decode(example.response_ids)}⟧"


def _notes(model: CausalLM) -> list[str]:
    tokenizer: Any = model.tokenizer
    notes = []
    if model.tags is not None:
        notes.append(
            "trained conditionally: every text is read with <good> before its segments, and tags "
            "are neither sampled nor scored"
        )
    tags = 0 if model.tags is None else 2
    if spare := int(model.head_weight.shape[0]) - model.vocab_size - tags:
        notes.append(
            f"{spare:,} rows of its vocabulary belong to no token: accord neither samples nor "
            "scores them"
        )
    if tokenizer.bos_token_id is None and tokenizer.chat_template is None:
        notes.append("there is no BOS token: plain-text prompts must hold at least one token")
    if tokenizer.decode(tokenizer.encode(TEXT, add_special_tokens=False)).strip() != TEXT:
        notes.append(f"the tokenizer does not give back what it was given ({TEXT!r})")
    stops = {*Encoder(tokenizer).stop_ids, *generation_stops(model.hf)}
    if others := sorted(stops - {tokenizer.eos_token_id}):
        names = ", ".join(str(tokenizer.convert_ids_to_tokens(i)) for i in others)
        notes.append(
            f"sampling also stops at {names}, by the chat template or the model's own "
            "generation settings"
        )
    return notes
