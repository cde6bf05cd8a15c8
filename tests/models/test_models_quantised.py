"""A base in 8 or 4 bits under an adapter: the same in any pack and token by token, with gradients
of the weights it stands for; saved, loaded and merged it stays what was trained."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from test_models_saving import trained

from accord.errors import ConfigError
from accord.models import quantised
from accord.models.adapters import PROBE, dequantised
from accord.models.causal_lm import CausalLM
from accord.models.loading import (
    LoraSettings,
    add_lora,
    copy_causal_lm,
    load_causal_lm,
    merge_adapter,
    save_causal_lm,
)
from accord.models.probe import decoded_logprobs, native_logprobs, packed_logprobs, self_check
from accord.models.quantised import Bits, bits_of
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.runs.known import check_trainable
from accord.runs.plan import KnownModel
from accord.runs.stages.settings import LoraConfig
from accord.text.packing import PromptGroup, pack
from tiny import save_tiny, tiny_llama

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="the package bitsandbytes is not installed",
)
GROUPS = [
    PromptGroup([5, 6, 7], [[8, 9, 10, 11], [12]]),
    PromptGroup([20], [[21, 30, 41] * 9]),
    PromptGroup([33, 34], [[35]]),
]


def loaded(folder: Path, bits: Bits) -> CausalLM:
    """A tiny model's base."""
    save_causal_lm(tiny_llama(hidden=64), folder / "base")
    return load_causal_lm(str(folder / "base"), bits=bits)


@needs_bitsandbytes
@pytest.mark.parametrize("bits", get_args(Bits))
def test_a_quantised_model_says_the_same_in_any_company(bits: Bits, tmp_path: Path) -> None:
    """bitsandbytes' own products depend on the batch, and on whether a gradient is wanted."""
    model = loaded(tmp_path, bits)
    assert bits_of(model) == bits
    assert self_check(model) < 1e-4
    assert not any(p.requires_grad for p in model.hf.parameters())
    alone = torch.cat([native_logprobs(model, [group]) for group in GROUPS])
    for way in (packed_logprobs, decoded_logprobs):
        torch.testing.assert_close(way(model, GROUPS), alone, atol=1e-4, rtol=1e-4)
    policy = trained(model, "all-linear")
    with_gradient = policy.logprobs(pack(GROUPS)).detach()
    torch.testing.assert_close(packed_logprobs(policy, GROUPS), with_gradient)
    whole = packed_logprobs(load_causal_lm(str(tmp_path / "base")), GROUPS)
    gap = (whole - alone).abs().max()
    assert 1e-5 < gap < {"8bit": 0.05, "4bit": 0.5}[bits]


@needs_bitsandbytes
@pytest.mark.parametrize("bits", get_args(Bits))
def test_gradients_are_those_of_the_weights_it_stands_for(bits: Bits, tmp_path: Path) -> None:
    policy = trained(loaded(tmp_path, bits), "all-linear")
    whole = dequantised(policy)
    assert (bits_of(policy), bits_of(whole)) == (bits, None)
    for model in (policy, whole):
        (model.logprobs(pack(GROUPS)) * 0.5).sum().backward()
    pairs = list(zip(policy.parameters(), whole.parameters(), strict=True))
    assert len(pairs) == 2 * 2 * 7
    for one, two in pairs:
        torch.testing.assert_close(one.grad, two.grad, atol=1e-4, rtol=1e-3)


@needs_bitsandbytes
@pytest.mark.parametrize("bits", get_args(Bits))
def test_saved_loaded_copied_and_merged_it_is_what_was_trained(bits: Bits, tmp_path: Path) -> None:
    policy = trained(loaded(tmp_path, bits), "all-linear")
    expected = packed_logprobs(policy, GROUPS)
    again = load_causal_lm(str(save_causal_lm(policy, tmp_path / "adapter")))
    assert bits_of(again) == bits
    torch.testing.assert_close(packed_logprobs(again, GROUPS), expected)
    torch.testing.assert_close(packed_logprobs(copy_causal_lm(policy), GROUPS), expected)
    merged = merge_adapter(policy)
    torch.testing.assert_close(packed_logprobs(merged, GROUPS), expected, atol=1e-4, rtol=1e-4)
    plain = load_causal_lm(str(save_causal_lm(merged, tmp_path / "merged")))
    assert bits_of(plain) is None
    torch.testing.assert_close(packed_logprobs(plain, GROUPS), expected, atol=1e-4, rtol=1e-4)
    # On a whole base it would be another model, and the probe says so.
    probe = json.loads((tmp_path / "adapter" / PROBE).read_text())
    (tmp_path / "adapter" / PROBE).write_text(json.dumps(probe | {"bits": None}))
    if bits == "4bit":
        with pytest.raises(ConfigError, match="was not trained on its base"):
            load_causal_lm(str(tmp_path / "adapter"))


@needs_bitsandbytes
def test_a_reward_model_on_a_quantised_trunk(tmp_path: Path) -> None:
    trunk = loaded(tmp_path, "4bit")
    model = RewardModel.untrained([ScalarModel.from_causal_lm(trunk, 1, LoraSettings(4))])
    again = RewardModel.load(model.save(tmp_path / "rm", GROUPS))
    assert bits_of(again.members[0].lm) == "4bit"
    torch.testing.assert_close(again.score(GROUPS), model.score(GROUPS))


def test_without_bitsandbytes_it_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised.importlib.util, "find_spec", lambda name: None)
    folder = str(save_tiny(tmp_path / "m"))
    for ask in (
        lambda: load_causal_lm(folder, bits="8bit"),
        lambda: check_trainable(KnownModel("m", "policy", folder), LoraConfig(base="8bit")),
    ):
        with pytest.raises(ConfigError, match="8bit needs the package bitsandbytes") as caught:
            ask()
        assert "accord[quantised]" in str(caught.value.fix)
    assert LoraConfig().bits is None


@needs_bitsandbytes
def test_an_adapter_is_needed_to_train_one(tmp_path: Path) -> None:
    model = loaded(tmp_path, "4bit")
    policy = add_lora(model, LoraSettings(2), seed=0)
    assert all("lora" in n for n, p in policy.hf.named_parameters() if p.requires_grad)
