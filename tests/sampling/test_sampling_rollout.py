"""What a rollout must be, and what a sampler may be asked for."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from accord.errors import ConfigError
from accord.sampling.rollout import Rollout, SamplingSettings


def test_settings_ask_for_a_token_and_no_negative_temperature() -> None:
    settings = SamplingSettings(1, 0.0)
    assert (settings.max_new_tokens, settings.temperature) == (1, 0.0)
    assert SamplingSettings(5).temperature == 1.0
    for tokens in (0, -1):
        with pytest.raises(ConfigError, match=f"max_new_tokens is {tokens}"):
            SamplingSettings(tokens)
    with pytest.raises(ConfigError, match=r"temperature is -0\.1"):
        SamplingSettings(1, -0.1)
    with pytest.raises(FrozenInstanceError):
        settings.temperature = 2.0  # type: ignore[misc]


def made() -> Rollout:
    return Rollout(
        prompts=[[1], [2, 3], [4]],
        prompt_index=[0, 0, 2],
        responses=[[5], [6, 7], [8]],
        logprobs=[torch.zeros(1), torch.zeros(2), torch.zeros(1)],
        finished=[True, False, True],
    )


def test_a_rollout_is_grouped_by_its_prompts() -> None:
    rollout = made()
    assert rollout.size == 3
    groups = [(group.prompt, group.responses) for group in rollout.groups()]
    assert groups == [([1], [[5], [6, 7]]), ([4], [[8]])]
    with pytest.raises(FrozenInstanceError):
        rollout.finished = []  # type: ignore[misc]


@pytest.mark.parametrize("field", ["prompt_index", "responses", "logprobs", "finished"])
def test_the_fields_of_a_rollout_have_one_length(field: str) -> None:
    rollout = made()
    with pytest.raises(ValueError, match="differ in length"):
        replace(rollout, **{field: getattr(rollout, field)[:2]})


def test_responses_stand_in_the_order_of_their_prompts() -> None:
    with pytest.raises(ValueError, match="in prompt order"):
        replace(made(), prompt_index=[0, 2, 0])
    assert Rollout([], [], [], [], []).groups() == []
