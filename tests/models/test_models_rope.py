"""What a model says of a sequence does not depend on its neighbours, whatever scales its rotary
positions: in a pack, in training, in sampling."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from accord.errors import AccordError, DataError
from accord.models.causal_lm import CausalLM
from accord.models.lengths import context_of
from accord.models.probe import decoded_logprobs, native_logprobs, packed_logprobs
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.packing import PromptGroup, pack
from tiny import ByteTokenizer

ORIGINAL, LONGEST = 16, 64
MORE: dict[str, dict[str, Any]] = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": ORIGINAL},
    "longrope": {
        "factor": 4.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [1.5, 2.0, 3.0, 4.0],
        "original_max_position_embeddings": ORIGINAL,
    },
    "llama3": {
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": ORIGINAL,
    },
    "proportional": {"partial_rotary_factor": 1.0},
}
LIMITS = {"dynamic": ORIGINAL, "longrope": ORIGINAL}
"""Beyond them a sequence's beginning changes."""


def test_every_scaling_that_transformers_has_is_tried() -> None:
    assert set(MORE) == {"default", *ROPE_INIT_FUNCTIONS}


def build(kind: str, made: Any = transformers.LlamaConfig) -> CausalLM:
    """Of random weights, where positions matter."""
    config = made(
        vocab_size=45,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=ORIGINAL if kind == "dynamic" else LONGEST,
        rope_parameters={"rope_type": kind, "rope_theta": 100.0, **MORE[kind]},
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    return CausalLM(transformers.AutoModelForCausalLM.from_config(config), ByteTokenizer(45))


def drawn(tokens: int, generator: torch.Generator) -> list[int]:
    """Random ids, none of them special."""
    ids: list[int] = torch.randint(3, 45, (tokens,), generator=generator).tolist()
    return ids


def groups_of(lengths: list[tuple[int, int]]) -> list[PromptGroup]:
    """Prompts and responses of these lengths."""
    generator = torch.Generator().manual_seed(len(lengths))
    return [PromptGroup(drawn(p, generator), [drawn(r, generator)]) for p, r in lengths]


@pytest.mark.parametrize("kind", MORE)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 50)), min_size=2, max_size=5))
def test_a_sequence_says_the_same_in_any_company(kind: str, lengths: list[tuple[int, int]]) -> None:
    """And what transformers says of it alone; or it is refused for its length, in any company."""
    model, groups = build(kind), groups_of(lengths)
    longest = max(p + r for p, r in lengths)
    if longest > LIMITS.get(kind, LONGEST):
        with pytest.raises(DataError, match="rotary scaling"):
            packed_logprobs(model, groups)
        if longest > LIMITS[kind] + 1:  # the last token is scored, but not read
            with pytest.raises(DataError, match="rotary scaling"):
                decoded_logprobs(model, groups)
        return
    alone = torch.cat([native_logprobs(model, [group]) for group in groups])
    for way in (packed_logprobs, decoded_logprobs):
        torch.testing.assert_close(way(model, groups), alone, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", LIMITS)
def test_the_last_length_that_is_taken(kind: str) -> None:
    model = build(kind)
    packed_logprobs(model, groups_of([(4, ORIGINAL - 4), (1, 2)]))
    with pytest.raises(DataError, match=f"a sequence of {ORIGINAL + 1} tokens"):
        packed_logprobs(model, groups_of([(4, ORIGINAL - 3), (1, 2)]))
    with pytest.raises(DataError, match=f"longer than {ORIGINAL}") as caught:
        decoded_logprobs(model, groups_of([(4, ORIGINAL - 2), (1, 2)]))
    assert caught.value.fix is not None


@pytest.mark.parametrize("kind", MORE)
def test_gradients_are_those_of_each_sequence_alone(kind: str) -> None:
    model, groups = build(kind), groups_of([(2, 5), (6, 10), (3, 3)])
    found = []
    for parts in ([groups], [[group] for group in groups]):
        model.hf.zero_grad()
        for part in parts:
            model.logprobs(pack(part)).sum().backward()
        found.append({name: p.grad.clone() for name, p in model.hf.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(grad, found[1][name], atol=1e-3, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", MORE)
def test_what_is_sampled_is_rescored_alike(kind: str) -> None:
    model = build(kind)
    sampler, longest = BuiltinSampler(model), context_of(model.hf.config)
    assert longest == LIMITS.get(kind, LONGEST) == model.context
    prompts = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14]]
    rollout = sampler.sample(prompts, SamplingSettings(max_new_tokens=longest - 6), range(3))
    assert max(map(len, rollout.responses)) > 1
    torch.testing.assert_close(
        torch.cat(list(rollout.logprobs)),
        packed_logprobs(model, rollout.groups()),
        atol=1e-3,
        rtol=1e-3,
    )
    with pytest.raises(AccordError, match="exceeds"):
        sampler.sample(prompts, SamplingSettings(max_new_tokens=longest - 5), range(3))


def test_the_scalings_that_are_refused_do_depend_on_length() -> None:
    """Otherwise they would be refused for nothing."""
    for kind in LIMITS:
        model, (group,) = build(kind), groups_of([(4, 30)])
        short = PromptGroup(group.prompt, [group.responses[0][:8]])
        gap = native_logprobs(model, [group])[:8] - native_logprobs(model, [short])
        assert gap.abs().max() > 1e-2
        assert math.isfinite(float(gap.abs().max()))
