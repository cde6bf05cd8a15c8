"""Small networks: policies and values, whose rollouts run in NumPy since a call of torch's costs
more than their arithmetic, and rewards as stacked members.

Suffixes: B rows, E members, I numbers in, O numbers out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from accord.learning.settings import OptimizerSettings, Share
from accord.seeds import derive_seed
from accord.statistics.intervals import Array


def aligned(array: Array) -> Tensor:
    """As a tensor of 32 bits in memory of torch's own: on numpy's, which begins anywhere, products
    of matrices differ in their last bits from one run to the next."""
    return torch.tensor(array, dtype=torch.float32)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 in this thread meanwhile: arithmetic on them is many times
    slower, and the gradients of choices that are certain are full of them. Afterwards it is as
    torch has it by default."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch with one thread meanwhile: for networks this small more only wait for each other.
    Afterwards as many as before, for what follows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class SmallNetOptimizer(OptimizerSettings):
    """Adam for networks this small: a step size that neither rises at first nor falls."""

    learning_rate: float = Field(1e-3, gt=0, le=1, description="Step size of Adam.")
    warmup: Share = Field(0.0, ge=0, lt=1, description="Share of the steps over which it rises.")
    schedule: Any = Field("constant", description="How the step size falls, as in every trainer.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="Decay of Adam's mean square.")


class SmallNet(nn.Module):
    """Layers of tanh, or ReLU, between a vector and a vector; orthogonal weights, `gain` of the
    last (Huang et al. 2022, details 2 and 3)."""

    def __init__(
        self,
        sizes: Sequence[int],
        gain: float,
        seed: int,
        between: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__()
        self.between = between
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        for number, layer in enumerate(self._linear()):
            own = torch.Generator().manual_seed(derive_seed(seed, "layer", number))
            last = number == len(self.layers) - 1
            nn.init.orthogonal_(layer.weight, gain if last else 2**0.5, generator=own)
            nn.init.zeros_(layer.bias)

    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, x_BI: Tensor) -> Tensor:
        bend = torch.tanh if self.between == "tanh" else torch.relu
        for layer in self.layers[:-1]:
            x_BI = bend(layer(x_BI))
        out: Tensor = self.layers[-1](x_BI)
        return out

    def in_numpy(self) -> Callable[[Array], Array]:
        """The same function on arrays, by the weights as they are now: they are not copied, and an
        update shows."""
        weights = [
            (layer.weight.detach().numpy().T, layer.bias.detach().numpy())
            for layer in self._linear()
        ]

        tanh = self.between == "tanh"

        def forward(x_BI: Array) -> Array:
            for weight, bias in weights[:-1]:
                x_BI = x_BI @ weight + bias
                x_BI = np.tanh(x_BI) if tanh else np.maximum(x_BI, 0)
            weight, bias = weights[-1]
            out: Array = x_BI @ weight + bias
            return out

        return forward


class StackedNet(nn.Module):
    """`members` networks with weights of their own, run as one: a number for each row of each.
    Leaky ReLU; its slope below 0 is 0.01 in Christiano et al. 2017 (appendix A.1)."""

    def __init__(
        self,
        size: int,
        hidden: int,
        layers: int,
        members: int,
        seed: int,
        variance: float = 2.0,
        slope: float = 0.01,
    ) -> None:
        """variance: of the weights, over the numbers that enter; slope: of what is below 0."""
        super().__init__()
        self.slope = slope
        sizes = [size, *[hidden] * layers, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, (a, b) in enumerate(pairwise(sizes)):
            drawn = []
            for member in range(members):
                own = torch.Generator().manual_seed(derive_seed(seed, "member", member, number))
                drawn.append(torch.randn(a, b, generator=own) * (variance / a) ** 0.5)
            self.weights.append(nn.Parameter(torch.stack(drawn)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, b)))

    def forward(self, x_BI: Tensor) -> Tensor:
        """[B, I], the same rows for all members, or [E, B, I], its own for each -> [E, B]."""
        members = len(self.weights[0])
        h = x_BI if x_BI.ndim == 3 else x_BI.expand(members, *x_BI.shape)
        *between, (weight_out, bias_out) = zip(self.weights, self.biases, strict=True)
        for weight, bias in between:
            h = nn.functional.leaky_relu(torch.baddbmm(bias, h, weight), self.slope, inplace=True)
        return torch.baddbmm(bias_out, h, weight_out)[..., 0]
