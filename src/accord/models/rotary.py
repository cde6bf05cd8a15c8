"""Rotary positions (Su et al. 2021), with Llama 3's stretched long waves where asked."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from accord.models.llama_config import Rope


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [..., heads, D] turned by its position: x cos + (-second half, first half) sin.

    cos, sin: [..., 1, D].
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Rotary(nn.Module):
    """Cosines and sines of positions."""

    def __init__(self, rope: Rope, head_dim: int) -> None:
        super().__init__()
        self.inv_freq = nn.Buffer(inverse_frequencies(rope, head_dim), persistent=False)

    @torch.no_grad()
    def forward(self, like: Tensor, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin) [B, T, D] in the type of `like`."""
        with torch.autocast(like.device.type, enabled=False):
            frequencies = self.inv_freq.to(like.device, torch.float)
            angles: Tensor = positions_BT[..., None].float() * frequencies
            angles = torch.cat((angles, angles), dim=-1)
            return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """[D/2] radians per position: theta^(-2i/D).

    linear: all slower by `factor`; llama3: the long waves alone.
    """
    # On the CPU: a buffer is not among the weights that a model made on "meta" is given.
    with torch.device("cpu"):
        steps = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
        frequencies: Tensor = 1.0 / (float(rope["rope_theta"]) ** steps)
    if rope["rope_type"] == "linear":
        return frequencies / float(rope["factor"])
    if rope["rope_type"] == "llama3":
        return _stretched(frequencies, rope)
    return frequencies


def _stretched(frequencies: Tensor, rope: Rope) -> Tensor:
    """Waves longer than the old context are `factor` slower, short ones stay, between them a
    mixture (Llama 3.1)."""
    old, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    waves = 2 * math.pi / frequencies
    stretched = torch.where(waves > old / low, frequencies / factor, frequencies)
    share = (old / waves - low) / (high - low)
    mixed = (1 - share) * stretched / factor + share * stretched
    between = ~(waves < old / high) & ~(waves > old / low)
    return torch.where(between, mixed, stretched)
