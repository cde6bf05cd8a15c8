"""Decoding straight from the weights equals decoding through transformers' modules."""

from __future__ import annotations

import pytest
import torch
from test_models_packed import ARCHITECTURES, build

from accord.models.causal_lm import CausalLM
from accord.models.decoding import Decoder, LlamaDecoder
from accord.models.loading import LoraSettings, add_lora
from accord.models.packed import KeyValueCache
from tiny import tiny_llama

STRAIGHT = {"llama", "llama-gqa-untied", "qwen2", "qwen3"}
ROWS, STEPS = 3, 9


@torch.no_grad()
def decode(decoder: Decoder) -> torch.Tensor:
    """Logits [steps, rows, V]; the rows are at different places of their sequences."""
    tokens = torch.randint(3, 60, (STEPS, ROWS), generator=torch.Generator().manual_seed(1))
    cache, found = KeyValueCache(ROWS, STEPS), []
    for step in range(STEPS):
        at_B = torch.tensor([min(step, last) for last in (STEPS, 4, 6)])
        found.append(decoder.logits(decoder.decode(tokens[at_B, torch.arange(ROWS)], at_B, cache)))
    return torch.stack(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_decodes_as_its_modules_do(name: str) -> None:
    model = build(name)
    with torch.no_grad():
        for parameter in model.hf.parameters():  # biases and norms that are not 0 and 1
            parameter.add_(
                0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
            )
    decoder = model.decoder(ROWS)
    assert isinstance(decoder, LlamaDecoder) == (name in STRAIGHT)
    torch.testing.assert_close(decode(decoder), decode(model), atol=2e-5, rtol=1e-4)


def test_adapters_are_merged_in_and_switched_off() -> None:
    policy = add_lora(tiny_llama(), LoraSettings(rank=4), seed=0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05)
    changed = decode(policy.decoder(ROWS))
    torch.testing.assert_close(changed, decode(policy), atol=2e-5, rtol=1e-4)
    with policy.reference():
        torch.testing.assert_close(
            decode(policy.decoder(ROWS)), decode(policy), atol=2e-5, rtol=1e-4
        )
        assert (decode(policy.decoder(ROWS)) - changed).abs().max() > 1e-3


def test_a_decoder_has_the_weights_of_its_moment() -> None:
    model: CausalLM = tiny_llama()
    before = model.decoder(ROWS)
    expected = decode(before)
    with torch.no_grad():
        model.hf.model.layers[0].mlp.down_proj.weight.mul_(3)
    assert torch.equal(decode(before), expected)
    assert (decode(model.decoder(ROWS)) - expected).abs().max() > 1e-3


def test_a_cache_keeps_what_was_stored() -> None:
    cache = KeyValueCache(4, 10)
    stored = torch.randn(4, 2, 3, 5)
    for row in range(4):
        cache.store_segment(0, [row], stored[row : row + 1], -stored[row : row + 1])
    cache.keep([2, 0], filled=[3, 2])
    assert cache.rows == 2
    assert cache.keys[0].shape == (2, 2, 10, 5)
    for store, sign in ((cache.keys[0], 1), (cache.values[0], -1)):
        for new, (old, tokens) in enumerate(((2, 3), (0, 2))):
            assert torch.equal(store[new, :, :tokens], sign * stored[old, :, :tokens])
            assert not store[new, :, tokens:].any()
