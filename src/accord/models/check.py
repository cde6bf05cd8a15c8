"""Is this model fit for accord? Load it and compare with transformers' own forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from accord.errors import AccordError, ConfigError, RunError
from accord.models import precision
from accord.models.causal_lm import CausalLM
from accord.models.huggingface import in_transformers
from accord.models.loading import (
    SELF_CHECK_BOUND,
    generation_stops,
    load_causal_lm,
    locate_model,
    self_check,
)
from accord.models.packed import KeyValueCache
from accord.models.probe import TEXT
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup, pack
from accord.text.tokenizer import FileTokenizer

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
    if len(tokenizer) > model.vocab_size:
        raise ConfigError(
            f"{reference}: the tokenizer has {len(tokenizer)} tokens, the model knows "
            f"{model.vocab_size}",
            "use the tokenizer the model was trained with, or enlarge the model's embeddings",
        )
    names = {"bos": tokenizer.bos_token, "eos": tokenizer.eos_token, "pad": tokenizer.pad_token}
    _check_tokenizer(model)
    groups = _probe(model)
    native = _native(model, groups)
    packed = _gap(model, "packed", native, _packed(model, groups))
    return ModelReport(
        name=locate_model(reference),
        kind=str(model.hf.config.model_type),
        parameters=sum(p.numel() for p in model.hf.parameters()),
        vocabulary=model.vocab_size,
        context=model.context,
        tokens={name: str(token) if token is not None else "–" for name, token in names.items()},
        chat=tokenizer.chat_template is not None,
        difference=max(packed, self_check(model)),
        decoding=_gap(model, "decoded", native, _decoded(model, groups)),
        example=_example(model),
        notes=_notes(model),
    )


def _check_tokenizer(model: CausalLM) -> None:
    """Raise RunError where our reading of the tokenizer's files and transformers' give other ids or
    another conversation."""
    own = model.tokenizer
    if not isinstance(own, FileTokenizer):
        return
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(own.folder)
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
    """Random sequences of unequal length, so that the native batch has padding."""
    generator = torch.Generator().manual_seed(0)
    longest = min(40, model.context)
    rows = [
        torch.randint(0, model.vocab_size, (max(4, length),), generator=generator).tolist()
        for length in (longest // 5, longest // 2, longest)
    ]
    return [PromptGroup(row[:2], [row[2:]]) for row in rows]


def _rows(groups: list[PromptGroup]) -> list[list[int]]:
    return [[*group.prompt, *group.responses[0]] for group in groups]


@torch.no_grad()
def _native(model: CausalLM, groups: list[PromptGroup]) -> torch.Tensor:
    """Log-probabilities of the responses by transformers' own forward on a right-padded batch."""
    rows = _rows(groups)
    width = max(map(len, rows))
    ids_BT = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
    mask_BT = torch.tensor(
        [[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device
    )
    with in_transformers(model).native_forward() as hf:
        logits_BTV = hf(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits.float()
    logp_BT = torch.log_softmax(logits_BTV, dim=-1)[:, :-1].gather(2, ids_BT[:, 1:, None])[:, :, 0]
    return torch.cat([logp_BT[b, 1 : len(row) - 1] for b, row in enumerate(rows)])


@torch.no_grad()
def _packed(model: CausalLM, groups: list[PromptGroup]) -> torch.Tensor:
    return model.logprobs(pack(groups).to(model.device))


@torch.no_grad()
def _decoded(model: CausalLM, groups: list[PromptGroup]) -> torch.Tensor:
    """As the sampler computes them: one token per row and step, keys and values from a cache."""
    rows = _rows(groups)
    width = max(map(len, rows))
    cache, decoder = KeyValueCache(len(rows), width), model.decoder(len(rows))
    found: list[list[torch.Tensor]] = [[] for _ in rows]
    for step in range(width - 1):
        at_B = torch.tensor([min(step, len(row) - 1) for row in rows], device=model.device)
        tokens_B = torch.tensor([row[min(step, len(row) - 1)] for row in rows], device=model.device)
        logp_BV = torch.log_softmax(decoder.logits(decoder.decode(tokens_B, at_B, cache)), dim=-1)
        for b, row in enumerate(rows):
            if 1 <= step < len(row) - 1:
                found[b].append(logp_BV[b, row[step + 1]])
    return torch.stack([value for values in found for value in values])


def _gap(model: CausalLM, what: str, native: torch.Tensor, ours: torch.Tensor) -> float:
    worst = float((native - ours).abs().max())
    if not worst <= SELF_CHECK_BOUND:
        kind = model.hf.config.model_type
        raise RunError(
            f"{what} and native log-probabilities of this {kind!r} model differ by "
            f"{worst:.3g} nats",
            f"this architecture is not supported yet; the bound is {SELF_CHECK_BOUND:g}",
        )
    return worst


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
