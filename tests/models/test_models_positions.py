"""Every token at its place: prefill and decoding give what a pass over the whole sequence gives, at
every length around a window, for every head, whatever rows leave the cache."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from test_models_packed import ARCHITECTURES, build
from torch import Tensor

from accord.models.attention import packed_attention, plan_attention
from accord.models.causal_lm import CausalLM
from accord.models.decoding import LlamaDecoder
from accord.models.llama import LlamaLM
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.models.packed import KeyValueCache
from accord.text.packing import PackedStream, PromptGroup, pack

LENGTH = 20
PROMPTS = [1, 2, 5, 6, 7, 8, 9, 14]
"""Lengths of prompts, in tokens: on both sides of mistral's window of 7 (see ARCHITECTURES)."""


def strong(name: str) -> CausalLM:
    """A model whose far tokens matter: weights, norms and biases are well away from 0 and 1."""
    model = build(name)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.hf.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


@torch.no_grad()
def whole(model: CausalLM, ids_BT: Tensor) -> Tensor:
    """Logits [B, T, V] by the architecture's own forward pass."""
    with model.native_forward() as hf:
        logits: Tensor = hf(input_ids=ids_BT).logits
    return logits


def in_our_modules(model: CausalLM, folder: Path) -> CausalLM:
    """The same model in our own layers, as a run loads it."""
    ours = load_causal_lm(str(save_causal_lm(model, folder / "model")))
    assert isinstance(ours.hf, LlamaLM)
    return ours


@pytest.mark.parametrize("name", [*ARCHITECTURES, "ours llama-gqa-untied", "ours qwen3"])
@torch.no_grad()
def test_decoding_equals_the_whole_sequence_at_every_length(name: str, tmp_path: Path) -> None:
    """Prompts of all lengths side by side, each decoded to the end, by modules and by prepared
    weights; the row of a finished one leaves and the others move up."""
    model = strong(name.removeprefix("ours "))
    if name.startswith("ours "):
        model = in_our_modules(model, tmp_path)
    ids_T = torch.randint(3, 60, (LENGTH,), generator=torch.Generator().manual_seed(1))
    expected_TV = whole(model, ids_T[None])[0]
    for decoder in {id(d): d for d in (model, model.decoder(len(PROMPTS)))}.values():
        cache, at = KeyValueCache(len(PROMPTS), LENGTH), [n - 1 for n in PROMPTS]
        groups = [PromptGroup([int(ids_T[0])], [ids_T[1:n].tolist() or [0]]) for n in at if n]
        model.prefill(pack(groups), cache, [[i] for i, n in enumerate(at) if n])
        while at:
            at_B = torch.tensor(at)
            logits_BV = decoder.logits(decoder.decode(ids_T[at_B], at_B, cache))
            torch.testing.assert_close(
                logits_BV, expected_TV[at_B], atol=1e-3, rtol=1e-3, msg=f"at {at}"
            )
            kept = [row for row, n in enumerate(at) if n + 1 < LENGTH][::-1]
            at = [at[row] + 1 for row in kept]
            if at:
                cache.keep(kept, at)


@torch.no_grad()
def test_a_prompt_is_prefilled_once_for_all_its_rows() -> None:
    model = strong("mistral-window")
    ids = list(range(5, 5 + 11))
    cache = KeyValueCache(4, 12)
    model.prefill(
        pack([PromptGroup(ids[:1], [ids[1:10]]), PromptGroup([7], [[9, 4]])]),
        cache,
        [[0, 2, 3], [1]],
    )
    at_B, last_B = torch.tensor([10, 3, 10, 10]), torch.tensor([ids[10], 30, ids[10], ids[10]])
    logits_BV = model.logits(model.decode(last_B, at_B, cache))
    one, other = (whole(model, torch.tensor([row]))[0, -1] for row in (ids, [7, 9, 4, 30]))
    expected = torch.stack([one, other, one, one])
    torch.testing.assert_close(logits_BV, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["llama-gqa-untied", "qwen2", "qwen3"])
@torch.no_grad()
def test_the_decoder_of_prepared_weights_was_meant(name: str) -> None:
    assert isinstance(strong(name).decoder(2), LlamaDecoder)


def dense(stream: PackedStream, q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Attention [1, N, H, D] written out: one query, one head at a time over its own past."""
    starts, at = [], 0
    for segment in stream.segments:
        starts.append(at)
        at += segment.length
    out = torch.zeros(q.shape[2], q.shape[1], q.shape[3], dtype=q.dtype)
    for start, segment in zip(starts, stream.segments, strict=True):
        past: list[int] = []
        if segment.prefix is not None:
            first = starts[segment.prefix]
            past = list(range(first, first + stream.segments[segment.prefix].length))
        for token in range(start, start + segment.length):
            past.append(token)
            seen = past[-window:] if window else past
            for head in range(q.shape[1]):
                of = head * k.shape[1] // q.shape[1]
                scores = k[0, of, seen] @ q[0, head, token] / math.sqrt(q.shape[3])
                out[token, head] = scores.softmax(0) @ v[0, of, seen]
    return out[None]


def qkv(tokens: int, heads: int = 4, groups: int = 2, dim: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, n, tokens, dim, generator=generator, dtype=torch.double)
        for n in (heads, groups, groups)
    ]


@pytest.mark.parametrize("window", [0, 1, 2, 4, 5, 6, 9, 10, 11])
def test_windows_of_every_size_see_just_so_far(window: int) -> None:
    """Sequences of 10 and 5 tokens beside responses of several lengths to one prompt."""
    stream = pack([PromptGroup([5] * 4, [[6] * 6, [7] * 1, [8] * 11]), PromptGroup([5], [[6] * 4])])
    parts = qkv(stream.tokens)
    found = packed_attention(plan_attention(stream, window), *parts, None)
    torch.testing.assert_close(found, dense(stream, *parts, window))


@pytest.mark.parametrize("window", [0, 319, 320, 321])
def test_long_sequences_have_a_mask_where_the_window_is_shorter(window: int) -> None:
    """Of 320 tokens each: over 256 keys a whole sequence needs no mask, if the window is no
    shorter."""
    stream = pack([PromptGroup([5], [[6] * 319]), PromptGroup([7], [[8] * 319])])
    parts = qkv(stream.tokens, heads=2, groups=1, dim=2)
    plan = plan_attention(stream, window)
    assert [bucket.causal for bucket in plan.buckets] == [window != 319]
    found = packed_attention(plan, *parts, None)
    torch.testing.assert_close(found, dense(stream, *parts, window))
