"""Log-probabilities of next tokens: each as of its prompt alone, whatever shares its beginning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze, load_causal_lm
from accord.models.next_tokens import next_token_logps, sharing_starts


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return freeze(load_causal_lm("accord:nano-base"))


def alone(model: CausalLM, prompt: Sequence[int]) -> torch.Tensor:
    from accord.text.packing import PromptGroup, pack

    with torch.no_grad():
        ((_, full_SV),) = model.full_logprobs(pack([PromptGroup(prompt, [[1]])]))
    return full_SV[0]


PROMPTS = st.lists(st.lists(st.integers(10, 14), min_size=1, max_size=9), min_size=1, max_size=9)


@settings(max_examples=25, deadline=None)
@given(prompts=PROMPTS, budget=st.sampled_from([8, 24, 4096]))
def test_each_is_as_of_its_prompt_alone(
    model: CausalLM, prompts: list[list[int]], budget: int
) -> None:
    tokens = [[7 + n, 30, 4][: 1 + n % 3] for n in range(len(prompts))]
    found = next_token_logps(model, prompts, tokens, budget)
    for prompt, wanted, logp_K in zip(prompts, tokens, found, strict=True):
        expected = alone(model, prompt)[wanted].double().numpy()
        np.testing.assert_allclose(logp_K, expected, atol=2e-4)


def test_what_is_shared_is_computed_once() -> None:
    start = list(range(20, 120))
    both = [[*start, *range(200, 205)], [*start, *range(300, 309)]]
    assert [group.tokens for group in sharing_starts(both)] == [100 + 5 + 9 + 2]
    assert all(group.scored == [1, 1] for group in sharing_starts(both))
    principles = [[*start, *range(200, 250), n] for n in range(8)]
    turned = [[*start, *range(300, 350), n] for n in range(8)]
    groups = sharing_starts([*principles, *turned])
    assert [len(group.responses) for group in groups] == [8, 8], "the longer start is shared"
    apart = sharing_starts([[1, 2, 3], [4, 5, 6]])
    assert len(apart) == 2
