"""Does accord compute with this model what transformers computes? Facts and differences for `accord models check`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from accord.errors import AccordError, ConfigError, RunError
from accord.models.causal_lm import CausalLM
from accord.models.loading import SELF_CHECK_BOUND, load_causal_lm
from accord.models.packed import NAME, KeyValueCache
from accord.text.encoding import Encoder
from accord.text.packing import Group, pack

TEXT = "Ann paid 1,234 crowns for it; she didn't like it."


@dataclass(frozen=True)
class ModelReport:
    """Facts about a model and its tokenizer, and how far accord's computations are from transformers' own.

    packed, decoded: largest difference (nats) of log-probabilities between transformers' forward on a padded
    batch and accord's packed forward, respectively its token-by-token decoding with a cache. notes: what a
    user should know before training.
    """

    model: str
    architecture: str
    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    context: int
    bos: str | None
    eos: str | None
    pad: str | None
    chat_template: bool
    packed: float
    decoded: float
    example: str
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for a terminal."""
        return [
            f"{self.model}: {self.architecture}, {self.parameters / 1e6:.1f} M parameters, {self.layers} layers of "
            f"width {self.hidden}, {self.vocabulary:,} tokens, context {self.context:,}",
            f"tokenizer: bos {self.bos or 'none'}, eos {self.eos}, pad {self.pad or 'none'}, "
            f"{'with' if self.chat_template else 'no'} chat template",
            f"against transformers' own forward on a padded batch (bound {SELF_CHECK_BOUND:g} nats): packed "
            f"{self.packed:.2g}, decoding with the cache {self.decoded:.2g}: ok",
            f"an example, the trained part in ⟦ ⟧: {self.example}",
            *(f"note: {note}" for note in self.notes),
        ]

    def values(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def check_model(reference: str, device: str = "cpu") -> ModelReport:
    """Load a model and compare accord's forward and decoding with the architecture's own on a padded batch.

    `reference` as in `load_causal_lm`. Raises RunError when a difference exceeds SELF_CHECK_BOUND, ConfigError
    when model and tokenizer do not belong together.
    """
    model = load_causal_lm(reference, device, verify=False)
    tokenizer: Any = model.tokenizer
    if len(tokenizer) > model.vocab_size:
        raise ConfigError(
            f"{reference}: the tokenizer has {len(tokenizer)} tokens, the model knows {model.vocab_size}",
            "use the tokenizer the model was trained with, or resize the model's embeddings",
        )
    groups = _probe(model)
    native = _native_logprobs(model, groups)
    packed = _difference(native, _packed_logprobs(model, groups), "packed", model)
    decoded = _difference(native, _decoded_logprobs(model, groups), "cached", model)
    example, notes = _example(model), _notes(model)
    config = model.hf.config.get_text_config()
    return ModelReport(
        model=reference, architecture=str(model.hf.config.model_type),
        parameters=sum(p.numel() for p in model.hf.parameters()), layers=int(config.num_hidden_layers),
        hidden=model.hidden_size, vocabulary=model.vocab_size, context=model.context, bos=tokenizer.bos_token,
        eos=tokenizer.eos_token, pad=tokenizer.pad_token, chat_template=tokenizer.chat_template is not None,
        packed=packed, decoded=decoded, example=example, notes=notes,
    )  # fmt: skip


def _probe(model: CausalLM) -> list[Group]:
    """Three random sequences of unequal length: a short, a middle and a long one."""
    generator = torch.Generator().manual_seed(0)
    longest = min(40, model.context)
    groups = []
    for length in (max(4, longest // 5), max(4, longest // 2), longest):
        ids = torch.randint(0, model.vocab_size, (length,), generator=generator).tolist()
        groups.append(Group(ids[:2], [ids[2:]]))
    return groups


@torch.no_grad()
def _native_logprobs(model: CausalLM, groups: list[Group]) -> torch.Tensor:
    """Log-probabilities of the responses by transformers' eager forward on a right-padded batch."""
    rows = [[*g.prompt, *g.responses[0]] for g in groups]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
    model.hf.config._attn_implementation = "eager"
    try:
        logits = model.hf(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    finally:
        model.hf.config._attn_implementation = NAME
    logp = torch.log_softmax(logits, dim=-1)[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
    return torch.cat([logp[b, len(g.prompt) - 1 : len(rows[b]) - 1] for b, g in enumerate(groups)])


@torch.no_grad()
def _packed_logprobs(model: CausalLM, groups: list[Group]) -> torch.Tensor:
    return model.logprobs(pack(groups).to(model.device))


@torch.no_grad()
def _decoded_logprobs(model: CausalLM, groups: list[Group]) -> torch.Tensor:
    """The same by feeding one token per row and step, as the sampler does."""
    rows = [[*g.prompt, *g.responses[0]] for g in groups]
    width = max(map(len, rows))
    cache = KeyValueCache(len(rows), width)
    found: list[list[torch.Tensor]] = [[] for _ in rows]
    for step in range(width - 1):
        at = torch.tensor([min(step, len(row) - 1) for row in rows], device=model.device)
        tokens = torch.tensor([row[min(step, len(row) - 1)] for row in rows], device=model.device)
        logp = torch.log_softmax(model.logits(model.decode(tokens, at, cache)), dim=-1)
        for b, row in enumerate(rows):
            if len(groups[b].prompt) - 1 <= step < len(row) - 1:
                found[b].append(logp[b, row[step + 1]])
    return torch.stack([value for values in found for value in values])


def _difference(native: torch.Tensor, ours: torch.Tensor, what: str, model: CausalLM) -> float:
    worst = float((native - ours).abs().max())
    if not worst <= SELF_CHECK_BOUND:
        kind = model.hf.config.model_type
        raise RunError(
            f"{what} and native log-probabilities of this {kind!r} model differ by {worst:.3g} nats",
            f"this architecture is not supported yet; the bound is {SELF_CHECK_BOUND:g}",
        )
    return worst


def _example(model: CausalLM) -> str:
    """One demonstration as training sees it, decoded."""
    encoder = Encoder(model.tokenizer)
    chatty = model.tokenizer.chat_template is not None
    prompt: Any = [{"role": "user", "content": "Did Ann like it?"}] if chatty else "Ann said"
    try:
        example = encoder.example(prompt, "No, she did not." if chatty else " that she did not like it.")
    except AccordError as error:
        raise ConfigError(f"this model's chat template cannot be used: {error.message}", error.fix) from error
    decode = encoder.tokenizer.decode
    return f"{decode(example.prompt_ids)}⟦{decode(example.response_ids)}⟧"


def _notes(model: CausalLM) -> list[str]:
    tokenizer: Any = model.tokenizer
    notes = []
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id == tokenizer.eos_token_id:
        notes.append("pad is the same token as eos; harmless here, because masks come from lengths")
    if tokenizer.bos_token_id is None and tokenizer.chat_template is None:
        notes.append("there is no BOS token: plain-text prompts must hold at least one token")
    if tokenizer.decode(tokenizer.encode(TEXT, add_special_tokens=False)).strip() != TEXT:
        notes.append(f"decoding does not give back what was encoded ({TEXT!r})")
    stops = getattr(model.hf.generation_config, "eos_token_id", None)
    stops = set(stops) if isinstance(stops, list) else {stops} - {None}
    if other := sorted(stops - {tokenizer.eos_token_id}):
        names = ", ".join(str(tokenizer.convert_ids_to_tokens(i)) for i in other)
        notes.append(
            f"generation_config also stops at {names}; accord stops at the tokenizer's eos {tokenizer.eos_token} only"
        )
    if (model.hf.dtype) != torch.float32:
        notes.append(f"loaded as {model.hf.dtype}")
    return notes
