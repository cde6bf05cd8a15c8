"""bf16 forward passes: fp32 weights and gradients, the same curves, and self-checks that do not
depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from accord.learning.supervised import SupervisedSettings, train_supervised
from accord.models import precision
from accord.models.loading import load_causal_lm
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup, pack

TEXTS = [
    ("The film was", " a delight from start to finish."),
    ("I left the", " cinema after an hour, bored stiff."),
]


@pytest.fixture
def bf16() -> Iterator[None]:
    precision.use("bf16")
    yield
    precision.use("fp32")


def groups() -> list[PromptGroup]:
    model = load_causal_lm("accord:nano-base")
    return [Encoder(model.tokenizer).example(prompt, response).group for prompt, response in TEXTS]


def test_weights_and_gradients_stay_fp32_and_numbers_agree(bf16: None) -> None:
    model, stream = load_causal_lm("accord:nano-base"), pack(groups())
    logp = model.logprobs(stream)
    logp.sum().backward()
    assert logp.dtype == torch.float32
    assert {p.dtype for p in model.hf.parameters()} == {torch.float32}
    rounded = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.hf.zero_grad()
    with precision.exact():
        exact = model.logprobs(stream)
        exact.sum().backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert 0 < float((logp - exact).abs().max()) < 0.1
    assert float((rounded - gradient).norm() / gradient.norm()) < 0.05


def test_the_sampler_and_the_trainer_round_alike(bf16: None) -> None:
    model = load_causal_lm("accord:nano-base")
    prompts = [list(g.prompt) for g in groups()]
    rollout = BuiltinSampler(model).sample(prompts, SamplingSettings(24), range(2))
    with torch.no_grad():
        again = model.logprobs(pack(rollout.groups()))
    assert (
        float((torch.cat(rollout.logprobs) - again).abs().mean()) < 0.02
    )  # the bound of on-policy learning


def test_learning_curves_are_equal_within_rounding() -> None:
    ends = {}
    for arithmetic in ("fp32", "bf16"):
        precision.use(arithmetic)  # type: ignore[arg-type]
        try:
            settings = SupervisedSettings(epochs=12, batch=2, learning_rate=3e-4, warmup=0.0)
            ends[arithmetic] = train_supervised(
                load_causal_lm("accord:nano-base"), groups(), settings
            ).train_loss
        finally:
            precision.use("fp32")
    assert ends["bf16"] == pytest.approx(ends["fp32"], rel=0.02)


def test_a_reward_model_saved_by_a_bf16_run_loads_in_fp32(bf16: None, tmp_path: Path) -> None:
    member = ScalarModel.from_causal_lm(load_causal_lm("accord:nano-base"), 0)
    RewardModel.untrained([member]).save(tmp_path / "reward", groups())
    precision.use("fp32")
    RewardModel.load(tmp_path / "reward")


def test_auto_is_fp32_on_a_cpu() -> None:
    assert precision.choose("auto", "cpu") == "fp32"
    assert precision.choose("bf16", "cpu") == "bf16"
