"""Are two models one? What they say about a few tokens, and how their tokenizers read a text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accord.errors import RunError
from accord.models import precision
from accord.models.adapters import quiet_about_tables
from accord.models.causal_lm import CausalLM
from accord.models.llama import LlamaLM
from accord.models.packed import UNSUPPORTED, KeyValueCache
from accord.text.packing import PackedStream, PromptGroup, pack

TEXT = "Ann paid 1,234 crowns for it; she didn't like it."
SELF_CHECK_BOUND = 2e-3
"""Largest accepted difference (nats) between packed and native log-probabilities of the probe, in
fp32."""
SAME_BOUND = 1e-2
"""Largest accepted difference (nats) of a probe between a model and what was saved of it, in
fp32: weights are compared bit by bit, so this finds settings that were lost, and one of the two may
be on a GPU."""
KEPT = (
    "nothing of it was kept, and the last checkpoint still is: this is a fault of accord or of a "
    "library below it; report the model's config.json and, of an adapter, its targets"
)


@precision.exact()
@torch.no_grad()
def check_same(model: CausalLM, other: CausalLM, bound: float = SAME_BOUND) -> float:
    """The largest difference (nats) between what two models say about a probe, at most `bound`.

    Raises RunError above it, where weights (of adapters: theirs) differ in any bit, or where the
    tokenizers read a text differently.
    """
    _check_tokenizers(model, other)
    _check_weights(model, other)
    stream = pack([probe_group(model)])
    first, second = (m.logprobs(stream.to(m.device)).cpu() for m in (model, other))
    worst = float((first - second).abs().max())
    if not worst <= bound:
        raise RunError(
            f"what was saved is not the model that was trained: its log-probabilities of a probe "
            f"are {worst:.3g} nats off (the bound is {bound:g})",
            KEPT,
        )
    return worst


def _check_tokenizers(model: CausalLM, other: CausalLM) -> None:
    for text in (TEXT, TEXT + str(model.tokenizer.eos_token)):
        one, two = (m.tokenizer.encode(text, add_special_tokens=False) for m in (model, other))
        if one != two:
            raise RunError(
                f"the saved tokenizer reads {text!r} as {two}, the one in memory as {one}",
                KEPT,
            )
    if model.vocab_size != other.vocab_size:
        raise RunError(
            f"the saved tokenizer has {other.vocab_size} ids, the one in memory {model.vocab_size}",
            KEPT,
        )


def _check_weights(model: CausalLM, other: CausalLM) -> None:
    one, two = _learned(model), _learned(other)
    odd = [
        name
        for name in sorted({*one, *two})
        if name not in one or name not in two or not _equal(one[name], two[name])
    ]
    if odd:
        raise RunError(
            f"what was saved is not the model that was trained: {len(odd)} of its weights differ "
            f"or are missing, e.g. {odd[0]}",
            KEPT,
        )


def _learned(model: CausalLM) -> dict[str, Tensor]:
    """All weights, or those of the adapter (the base is not saved with it)."""
    if model.adapter is None:
        return dict(model.hf.state_dict())
    from peft import get_peft_model_state_dict

    with quiet_about_tables():
        return dict(get_peft_model_state_dict(model.adapter))


def _equal(one: Tensor, two: Tensor) -> bool:
    """Bit by bit, NaN included: whether a weight may be that is asked elsewhere."""
    return one.shape == two.shape and bool(
        torch.equal(one.cpu().nan_to_num(), two.to(one.dtype).cpu().nan_to_num())
    )


def probe_group(model: CausalLM) -> PromptGroup:
    """Random tokens of the whole vocabulary: one prompt, two responses."""
    length = min(24, model.context)
    ids = torch.randint(
        0, model.vocab_size, (length,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    start, middle = max(1, length // 6), length // 2
    return PromptGroup(ids[:start], [ids[start:middle], ids[middle:]])


def probe_stream(model: CausalLM) -> PackedStream:
    """`probe_group` as a stream on the model's device."""
    return pack([probe_group(model)]).to(model.device)


# --- three ways to the same numbers ---------------------------------------------------------------
def rows_of(groups: Sequence[PromptGroup]) -> list[tuple[int, list[int]]]:
    """(length of the prompt, whole sequence) of every response."""
    return [(len(g.prompt), [*g.prompt, *r]) for g in groups for r in g.responses]


@torch.no_grad()
def packed_logprobs(model: CausalLM, groups: Sequence[PromptGroup]) -> Tensor:
    """Of the responses' tokens as they stand, as training computes them."""
    with model.reading(None):
        return model.logprobs(pack(groups).to(model.device))


@torch.no_grad()
def native_logprobs(model: CausalLM, groups: Sequence[PromptGroup]) -> Tensor:
    """Of the responses' tokens, by the architecture's own forward on a right-padded batch."""
    rows = rows_of(groups)
    width = max(len(ids) for _, ids in rows)
    ids_BT = torch.tensor([ids + [0] * (width - len(ids)) for _, ids in rows], device=model.device)
    with model.native_forward() as hf:
        more = {}
        if not isinstance(hf, LlamaLM):
            lengths_B = torch.tensor([len(ids) for _, ids in rows], device=model.device)
            mask_BT = torch.arange(width, device=model.device)[None] < lengths_B[:, None]
            more = {"attention_mask": mask_BT.long(), "use_cache": False}
        logits_BTV = hf(input_ids=ids_BT, **more).logits[..., : model.vocab_size].float()
    logp_BT = torch.log_softmax(logits_BTV, dim=-1)[:, :-1].gather(2, ids_BT[:, 1:, None])[:, :, 0]
    return torch.cat([logp_BT[b, start - 1 : len(ids) - 1] for b, (start, ids) in enumerate(rows)])


@torch.no_grad()
def decoded_logprobs(model: CausalLM, groups: Sequence[PromptGroup]) -> Tensor:
    """Of the responses' tokens, as the sampler computes them: one token per row and step, keys and
    values from a cache."""
    rows = rows_of(groups)
    width = max(len(ids) for _, ids in rows)
    cache, decoder = KeyValueCache(len(rows), width), model.decoder(len(rows))
    found: list[list[Tensor]] = [[] for _ in rows]
    for step in range(width - 1):
        at = [min(step, len(ids) - 1) for _, ids in rows]
        at_B = torch.tensor(at, device=model.device)
        tokens_B = torch.tensor(
            [ids[i] for (_, ids), i in zip(rows, at, strict=True)], device=model.device
        )
        logp_BV = torch.log_softmax(decoder.logits(decoder.decode(tokens_B, at_B, cache)), dim=-1)
        for b, (start, ids) in enumerate(rows):
            if start - 1 <= step < len(ids) - 1:
                found[b].append(logp_BV[b, ids[step + 1]])
    return torch.stack([value for values in found for value in values])


def check_gap(model: CausalLM, what: str, native: Tensor, ours: Tensor) -> float:
    """The largest difference (nats); raises RunError above SELF_CHECK_BOUND."""
    worst = float((native - ours).abs().max())
    if not worst <= SELF_CHECK_BOUND:
        raise RunError(
            f"{what} and native log-probabilities of this {model.hf.config.model_type!r} model "
            f"differ by {worst:.3g} nats (the bound is {SELF_CHECK_BOUND:g})",
            UNSUPPORTED,
        )
    return worst


@precision.exact()
@torch.no_grad()
def self_check(model: CausalLM) -> float:
    """Compare packed (and, of transformers' modules, token by token) against the architecture's own
    forward on a probe; returns the largest difference in nats.

    Raises RunError above SELF_CHECK_BOUND, and where the architecture cannot be run at all: it does
    something that accord does not know.
    """
    groups = [probe_group(model)]
    try:
        native = native_logprobs(model, groups)
        worst = check_gap(model, "packed", native, packed_logprobs(model, groups))
        if not isinstance(model.hf, LlamaLM):
            decoded = decoded_logprobs(model, groups)
            worst = max(worst, check_gap(model, "decoded", native, decoded))
    except (TypeError, ValueError, AttributeError, LookupError, NotImplementedError) as error:
        raise RunError(
            f"accord cannot run this {model.hf.config.model_type!r} model: "
            f"{(str(error).splitlines() or [type(error).__name__])[0]}",
            UNSUPPORTED,
        ) from error
    return worst
