"""Scalar models: a decoder trunk with one number per position, read at an explicit index.

Reward members read it at the last response token, value models at the state before each response token.
Never by pad id: with pad = eos that reads the wrong token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.models.causal_lm import CausalLM
from accord.models.loading import LoraSettings, add_lora, copy_causal_lm
from accord.text.packing import PackedStream


class ScalarHead(nn.Module):
    """Linear map [H] -> scalar; weights ~ N(0, 1/sqrt(H+1)), bias 0 (Huang et al. 2024, detail 11)."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(hidden, generator=generator) / math.sqrt(hidden + 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., H] -> [...]"""
        return hidden @ self.weight + self.bias


class ScalarModel:
    """A trunk of its own and a scalar head."""

    def __init__(self, lm: CausalLM, head: ScalarHead) -> None:
        self.lm, self.head = lm, head

    @classmethod
    def from_causal_lm(cls, lm: CausalLM, seed: int, lora: LoraSettings | None = None) -> ScalarModel:
        """Copy the trunk of `lm` (with fresh LoRA layers when asked) and add a new head."""
        trunk = copy_causal_lm(lm)
        if lora is not None:
            trunk = add_lora(trunk, lora, seed)
        elif trunk.adapter is None:
            trunk.hf.requires_grad_(True)
        return cls(trunk, ScalarHead(lm.hidden_size, seed).to(lm.device))

    def clone(self) -> ScalarModel:
        """An independent copy with equal weights (a value model starts as a copy of the reward model)."""
        head = ScalarHead(self.head.weight.numel(), 0).to(self.head.weight.device)
        head.load_state_dict(self.head.state_dict())
        return ScalarModel(copy_causal_lm(self.lm), head)

    def scores(self, stream: PackedStream) -> Tensor:
        """Raw score [R] of each response, at its last token."""
        return self.head(F.embedding(stream.last_R, self.lm.hidden(stream)))  # type: ignore[no-any-return]

    def values(self, stream: PackedStream) -> Tensor:
        """Value [S] of the state before each response token."""
        return self.head(F.embedding(stream.score_at_S, self.lm.hidden(stream)))  # type: ignore[no-any-return]

    def named_trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Trainable weights by name: the trunk's, then the head's."""
        yield from ((f"trunk.{name}", p) for name, p in self.lm.hf.named_parameters() if p.requires_grad)
        yield from ((f"head.{name}", p) for name, p in self.head.named_parameters())

    def parameters(self) -> Iterator[nn.Parameter]:
        """Trainable weights."""
        return (p for _, p in self.named_trainable())

    def state(self) -> dict[str, Tensor]:
        """Copies of the trainable weights, for a checkpoint."""
        return {name: p.detach().clone() for name, p in self.named_trainable()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Put back `state()`."""
        own = dict(self.named_trainable())
        if own.keys() != state.keys():
            raise ValueError(f"other weights than the model's: {sorted(own.keys() ^ state.keys())[:3]}")
        for name, p in own.items():
            p.copy_(state[name])
