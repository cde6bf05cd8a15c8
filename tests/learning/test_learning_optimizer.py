"""AdamW through torch's function is torch's AdamW, and its state survives a file."""

from __future__ import annotations

import io

import pytest
import torch

from accord.errors import RunError
from accord.learning.optimizer import ADAM_BETA1, Optimizer
from accord.learning.settings import OptimizerSettings

SETTINGS = OptimizerSettings(
    learning_rate=0.05, weight_decay=0.1, warmup=0.2, schedule="cosine", max_grad_norm=0.0
)


def weights(seed: int = 0) -> list[torch.nn.Parameter]:
    """Two matrices and two vectors."""
    torch.manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in ((4, 3), (3,), (2, 5), (5,))]


def give_gradients(parameters: list[torch.nn.Parameter], step: int) -> None:
    """The same at the same step; the third parameter has none at odd steps, as an unused
    adapter."""
    generator = torch.Generator().manual_seed(step)
    for index, p in enumerate(parameters):
        grad = torch.randn(p.shape, generator=generator)
        if index != 2 or step % 2 == 0:
            p.grad = grad


def test_updates_are_those_of_torchs_adamw() -> None:
    ours, theirs = weights(), weights()
    optimizer = Optimizer(ours, SETTINGS, 10)
    peer = torch.optim.AdamW(
        [
            {"params": [theirs[0], theirs[2]], "weight_decay": 0.1},
            {"params": [theirs[1], theirs[3]], "weight_decay": 0.0},
        ],
        betas=(ADAM_BETA1, SETTINGS.adam_beta2),
        eps=SETTINGS.adam_eps,
        fused=True,
    )
    for step in range(10):
        for parameters in (ours, theirs):
            give_gradients(parameters, step)
        for group in peer.param_groups:
            group["lr"] = optimizer.learning_rate
        optimizer.step("here")
        peer.step()
        peer.zero_grad()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)), step
        assert all(p.grad is None for p in ours)


def test_a_continued_run_gives_the_same_bits() -> None:
    whole, first = weights(), weights()
    optimizer, half = Optimizer(whole, SETTINGS, 8), Optimizer(first, SETTINGS, 8)
    for step in range(8):
        give_gradients(whole, step)
        optimizer.step("here")
        if step < 4:
            give_gradients(first, step)
            half.step("here")
    file = io.BytesIO()
    torch.save(half.state(), file)
    file.seek(0)
    second = [torch.nn.Parameter(p.detach().clone()) for p in first]
    continued = Optimizer(second, SETTINGS, 8)
    continued.load(torch.load(file, weights_only=True))
    for step in range(4, 8):
        give_gradients(second, step)
        continued.step("here")
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))


def test_the_state_of_other_weights_is_refused() -> None:
    state = Optimizer(weights()[:3], SETTINGS, 8).state()
    with pytest.raises(RunError, match="other weights"):
        Optimizer(weights(), SETTINGS.changed(schedule="linear"), 8).load(state)
