"""Llama-like language models without transformers: embedding, layers, norm, vocabulary head.

transformers has them too, but to import it takes longer than torch does, and 190 MiB. Modules and
weights bear its names, so that files and adapters fit both; `accord.models.llama_files` reads and
writes them. The layer itself is in `accord.models.layer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.models.layer import Attention, Layer, LayerOps, RMSNorm, llama_layer
from accord.models.llama_config import LlamaConfig
from accord.models.rotary import Rotary

Attend = Callable[[Attention, Tensor, Tensor, Tensor], Tensor]
"""(attention module, q, k, v [B, heads, T, D]) -> [B, T, heads, D]."""


class ModuleOps:
    """A layer's modules called one by one, on [B, T, H]: any device, any precision.

    `attend` says who sees whom.
    """

    def __init__(self, attend: Attend) -> None:
        self._attend = attend

    def norm(self, module: RMSNorm, x: Tensor) -> Tensor:
        """See `LayerOps.norm`."""
        return module(x)  # type: ignore[no-any-return]

    def linear(
        self, x: Tensor, *modules: nn.Module, remake: Callable[[], Tensor] | None = None
    ) -> list[Tensor]:
        """See `LayerOps.linear`; autograd keeps the input."""
        return [module(x) for module in modules]

    def gate(self, gate: Tensor, up: Tensor) -> Tensor:
        """See `LayerOps.gate`."""
        return F.silu(gate) * up

    def attend(self, module: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `LayerOps.attend`."""
        return self._attend(module, *(x.transpose(1, 2) for x in (q, k, v))).flatten(2)


class LlamaBody(nn.Module):
    """The decoder without its vocabulary head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers: Iterable[Layer] = nn.ModuleList(  # type: ignore[assignment]
            Layer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = Rotary(config.rope, config.head_dim)

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def forward(self, ids_BT: Tensor, positions_BT: Tensor, attend: Attend) -> Tensor:
        """Hidden states [B, T, H] after the final norm; `attend` says who sees whom."""
        x_BTH, ops = self.embed_tokens(ids_BT), ModuleOps(attend)
        cos, sin = (part.unsqueeze(2) for part in self.rotary_emb(x_BTH, positions_BT))
        for layer in self.layers:
            x_BTH = layer(x_BTH, cos, sin, ops)
        hidden: Tensor = self.norm(x_BTH)
        return hidden


def run_layers(body: LlamaBody, x_NH: Tensor, positions_N: Tensor, ops: LayerOps) -> Tensor:
    """All layers and the final norm on embedded tokens: [N, H] -> [N, H].

    Not through the modules' own forward methods, which transformers' layers have otherwise.
    """
    cos, sin = (part[0, :, None] for part in body.rotary_emb(x_NH[None], positions_N[None]))
    for layer in body.layers:
        x_NH = llama_layer(layer, x_NH, cos, sin, ops)
    return ops.norm(body.norm, x_NH)


class LlamaLM(nn.Module):
    """A Llama-like causal language model; its names are those of transformers' classes."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaBody(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()
        given = config.generation if config.generation is not None else config.raw
        self.generation_config = SimpleNamespace(eos_token_id=given.get("eos_token_id"))

    def tie(self) -> None:
        """One matrix for both ends, where the model has it so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def base_model(self) -> LlamaBody:
        return self.model

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The vocabulary's table."""
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Linear:
        """The vocabulary's head."""
        return self.lm_head

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        """`logits` [B, T, V] of whole sequences, every token attending to all before it (right
        padding is no harm)."""
        positions_BT = torch.arange(input_ids.shape[1], device=input_ids.device)[None].expand_as(
            input_ids
        )
        return SimpleNamespace(
            logits=self.lm_head(self.model(input_ids, positions_BT, attend_causally))
        )


def attend_causally(module: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of every position to itself and all before: [B, heads, T, D] -> [B, T,
    heads, D]."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    seen = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).tril()
    scores = (q @ k.transpose(2, 3) * module.scaling).masked_fill(~seen, torch.finfo(q.dtype).min)
    return (torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype) @ v).transpose(1, 2)
