"""AdamW, learning-rate schedules and gradient clipping, the same for every loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from accord.errors import ConfigError, RunError
from accord.learning.parallel import ALONE, World
from accord.models.gradients import Laid, forget_unused, lay_out


@dataclass(frozen=True)
class OptimizerSettings:
    """learning_rate: peak step size; schedule: after `warmup` (share of all steps) the rate falls to
    `final_share` of the peak, linearly or by a cosine; max_grad_norm: clipping bound (0: off)."""

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    final_share: float = 0.0
    max_grad_norm: float = 1.0


class Optimizer:
    """AdamW over named trainable parameters, for a known number of steps."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: OptimizerSettings, total_steps: int, world: World = ALONE
    ) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ConfigError("the model has no weights to train", "all are frozen: give it an adapter, or unfreeze it")
        self.settings, self.total_steps, self.steps, self.world = settings, total_steps, 0, world
        world.check_same(self.parameters)
        self._laid: list[Laid] = []
        matrices = [p for p in self.parameters if p.ndim >= 2]
        vectors = [p for p in self.parameters if p.ndim < 2]  # norms and biases are not decayed
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, fused=True,
        )  # fmt: skip
        for p in self.parameters:  # now, and not between the first step's activations, where they would stay in the way
            moments = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            self._adamw.state[p] = {"step": torch.zeros((), dtype=torch.float32, device=p.device), **moments}

    @property
    def learning_rate(self) -> float:
        """Step size of the next update."""
        return self.settings.learning_rate * schedule_share(self.settings, self.steps, self.total_steps)

    def ready(self) -> None:
        """Make room for the gradients of the next update, before any of its activations; never needed, it saves memory."""
        self._laid += lay_out(self.parameters)

    def step(self, where: str) -> dict[str, float]:
        """Add the gradients of all processes up, clip, update, clear; returns the step's metrics.

        Raises RunError, before touching any weight, when the gradient is not finite.
        """
        forget_unused(self._laid)
        self._laid = []
        self.world.sum_gradients(self.parameters)
        norm = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(p.grad) for p in self.parameters if p.grad is not None])
        )
        if not torch.isfinite(norm):
            raise RunError(
                f"the gradient is {norm.item()} at {where}",
                "lower the learning rate or look at the rows named; the last good checkpoint is kept",
            )
        share = clip_share(norm, self.settings.max_grad_norm)
        if share < 1:
            for p in self.parameters:
                if p.grad is not None:
                    p.grad.mul_(share)
        rate = self.learning_rate
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
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
        self._adamw.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {"adamw": self._adamw.state_dict(), "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self._adamw.load_state_dict(state["adamw"])
        self.steps = state["steps"]


def schedule_share(settings: OptimizerSettings, step: int, total: int) -> float:
    """Share of the peak learning rate at 0-based `step` of `total`."""
    warmup = round(settings.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, total - warmup)
    fall = (
        1 - progress
        if settings.schedule == "linear"
        else 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())
    )
    return settings.final_share + (1 - settings.final_share) * fall


def clip_share(norm: Tensor, bound: float) -> float:
    """Factor that brings a gradient of `norm` within `bound` (1 when it is already; 0 bound: off)."""
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
        raise RunError(f"the checkpoint has other weights than the model, e.g. {odd}", "start a fresh run")
    for name, p in own.items():
        p.copy_(state[name])
