"""AdamW, learning-rate schedules and gradient clipping, the same for every loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from accord.errors import ConfigError, RunError
from accord.learning.parallel import ALONE, World
from accord.learning.settings import OptimizerSettings
from accord.models.gradients import Preallocated, drop_unused_gradients, preallocate_gradients

ADAM_BETA1 = 0.9
"""Decay of Adam's mean gradient, per step."""


@dataclass
class _Moments:
    """What AdamW remembers of a parameter: the means of its gradient and of its square, and its
    updates so far."""

    mean: Tensor
    square: Tensor
    steps: Tensor

    @classmethod
    def of(cls, p: Tensor) -> _Moments:
        steps = torch.zeros((), dtype=torch.float32, device=p.device)
        return cls(torch.zeros_like(p), torch.zeros_like(p), steps)

    def load(self, saved: dict[str, Tensor]) -> None:
        for name, own in vars(self).items():
            own.copy_(saved[name])


class Optimizer:
    """AdamW over named trainable parameters, for a known number of steps."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        settings: OptimizerSettings,
        total_steps: int,
        world: World = ALONE,
    ) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ConfigError(
                "the model has no weights to train",
                "all are frozen: give it an adapter, or unfreeze it",
            )
        self.settings, self.total_steps, self.steps, self.world = settings, total_steps, 0, world
        world.check_same(self.parameters)
        self._preallocated: list[Preallocated] = []
        # Moments are made now, and not between the first step's activations, where they would stay
        # in the way.
        self._moments = [_Moments.of(p) for p in self.parameters]

    @property
    def learning_rate(self) -> float:
        """Step size of the next update."""
        return self.settings.learning_rate * schedule_share(
            self.settings, self.steps, self.total_steps
        )

    def ready(self) -> None:
        """Make room for the gradients of the next update, before any of its activations; never
        needed, it saves memory."""
        self._preallocated += preallocate_gradients(self.parameters)

    def step(self, where: str) -> dict[str, float]:
        """Add the gradients of all processes up, clip, update, clear; returns the step's metrics.

        Raises RunError, before touching any weight, when the gradient is not finite.
        """
        drop_unused_gradients(self._preallocated)
        self._preallocated = []
        self.world.sum_gradients(self.parameters)
        norm = torch.linalg.vector_norm(
            torch.stack(
                [torch.linalg.vector_norm(p.grad) for p in self.parameters if p.grad is not None]
            )
        )
        if not torch.isfinite(norm):
            raise RunError(
                f"the gradient is {norm.item()} at {where}",
                "lower the learning rate or look at the rows named; the last good checkpoint is"
                " kept",
            )
        share = clip_share(norm, self.settings.max_grad_norm)
        if share < 1:
            for p in self.parameters:
                if p.grad is not None:
                    p.grad.mul_(share)
        rate = self.learning_rate
        self._move(rate)
        self.clear()
        self.steps += 1
        return {
            "learning_rate": rate,
            "grad_norm": norm.item(),
            "grad_norm_clipped": norm.item() * share,
            "optimizer_steps": float(self.steps),
        }

    def clear(self) -> None:
        """Forget accumulated gradients."""
        for p in self.parameters:
            p.grad = None

    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {"adamw": [dict(vars(moments)) for moments in self._moments], "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`. Raises RunError when that is of other weights."""
        shapes = [tuple(saved["mean"].shape) for saved in state["adamw"]]
        if shapes != [tuple(p.shape) for p in self.parameters]:
            raise RunError(
                "the checkpoint's optimizer is of other weights than the model's",
                "start a fresh run",
            )
        for moments, saved in zip(self._moments, state["adamw"], strict=True):
            moments.load(saved)
        self.steps = state["steps"]

    @torch.no_grad()
    def _move(self, rate: float) -> None:
        """One AdamW update of every parameter that has a gradient; vectors (norms and biases) are
        not decayed.

        By torch's function, and not its class: that imports torch's compiler (a second, and 150
        MiB).
        """
        for vectors, decay in ((False, self.settings.weight_decay), (True, 0.0)):
            used = [
                (p, p.grad, moments)
                for p, moments in zip(self.parameters, self._moments, strict=True)
                if p.grad is not None and (p.ndim < 2) == vectors
            ]
            adamw(
                [p for p, _, _ in used],
                [grad for _, grad, _ in used],
                [m.mean for _, _, m in used],
                [m.square for _, _, m in used],
                [],
                [m.steps for _, _, m in used],
                fused=True,
                amsgrad=False,
                beta1=ADAM_BETA1,
                beta2=self.settings.adam_beta2,
                lr=rate,
                weight_decay=decay,
                eps=self.settings.adam_eps,
                maximize=False,
            )


def schedule_share(settings: OptimizerSettings, step: int, total: int) -> float:
    """Share of the peak learning rate at 0-based `step` of `total`."""
    warmup = round(settings.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, total - warmup)
    if settings.schedule == "linear":
        fall = 1 - progress
    elif settings.schedule == "wsd":
        falling = max(1, round(settings.decay * total))
        fall = min(1.0, (total - step) / falling)
    else:
        if settings.schedule == "cosine_restarts":
            progress = progress * (settings.restarts + 1) % 1
        fall = 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())
    return settings.final_share + (1 - settings.final_share) * fall


def clip_share(norm: Tensor, bound: float) -> float:
    """Factor that brings a gradient of `norm` within `bound` (1 when it is already; 0 bound:
    off)."""
    return min(1.0, bound / (norm.item() + 1e-6)) if bound else 1.0


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the trainable weights by name, for a checkpoint (tied weights once)."""
    return {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}


@torch.no_grad()
def load_trainable(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back `trainable_state`; raises RunError when names or shapes differ."""
    own = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())[:3]
        raise RunError(
            f"the checkpoint has other weights than the model, e.g. {odd}", "start a fresh run"
        )
    for name, p in own.items():
        p.copy_(state[name])
