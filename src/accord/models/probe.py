"""Are two models one? What they say about a few tokens, and how their tokenizers read a text."""

from __future__ import annotations

import torch
from torch import Tensor

from accord.errors import RunError
from accord.models import precision
from accord.models.causal_lm import CausalLM
from accord.text.packing import PackedStream, PromptGroup, pack

TEXT = "Ann paid 1,234 crowns for it; she didn't like it."
SAME_BOUND = 2e-3
"""Largest accepted difference (nats) of a probe between a model and what was saved of it, in
fp32."""
KEPT = (
    "nothing of it was kept, and the last checkpoint still is: this is a fault of accord or of a "
    "library below it; report the model's config.json and, of an adapter, its targets"
)


@precision.exact()
@torch.no_grad()
def check_same(model: CausalLM, other: CausalLM, bound: float = SAME_BOUND) -> float:
    """The largest difference (nats) between what two models say about a probe, at most `bound`.

    Raises RunError above it, where weights differ in any bit (of models without adapters; on one
    machine nothing is rounded between writing and reading), or where the tokenizers read a text
    differently.
    """
    if model.adapter is None and other.adapter is None:
        _check_weights(model, other)
    stream = probe_stream(model)
    first, second = (m.logprobs(stream.to(m.device)).cpu() for m in (model, other))
    worst = float((first - second).abs().max())
    if not worst <= bound:
        raise RunError(
            f"what was saved is not the model that was trained: its log-probabilities of a probe "
            f"are {worst:.3g} nats off (the bound is {bound:g})",
            KEPT,
        )
    texts = [TEXT, TEXT + str(model.tokenizer.eos_token)]
    for text in texts:
        one, two = (m.tokenizer.encode(text, add_special_tokens=False) for m in (model, other))
        if one != two:
            raise RunError(
                f"the saved tokenizer reads {text!r} as {two}, the one in memory as {one}",
                KEPT,
            )
    return worst


def _check_weights(model: CausalLM, other: CausalLM) -> None:
    one, two = model.hf.state_dict(), other.hf.state_dict()
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


def _equal(one: Tensor, two: Tensor) -> bool:
    """Bit by bit, NaN included: whether a weight may be that is asked elsewhere."""
    return one.shape == two.shape and bool(
        torch.equal(one.cpu().nan_to_num(), two.to(one.dtype).cpu().nan_to_num())
    )


def probe_stream(model: CausalLM) -> PackedStream:
    """Random tokens of the whole vocabulary: one prompt, two responses."""
    length = min(24, model.context)
    ids = torch.randint(
        0, model.vocab_size, (length,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    return pack([PromptGroup(ids[:4], [ids[4 : length // 2], ids[length // 2 :]])])
