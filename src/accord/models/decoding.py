"""Decoding from the weights of a Llama-like model, prepared once per rollout.

A step through transformers' modules costs as much in small operations as in products. Here the
products that share their input are one, adapters are merged in, and every matrix lies in the layout
that oneDNN's kernels want: the same numbers to rounding, 2 to 3 times as fast on a CPU. Other
architectures and devices decode through the modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.models.fused import can_fuse
from accord.models.layer import Attention, RMSNorm
from accord.models.llama import LlamaBody, LlamaLM, run_layers
from accord.models.packed import KeyValueCache
from accord.models.tuning import mkl_matmul


class Decoder(Protocol):
    """One more token per row, with the weights of the moment it was made."""

    def decode(self, token_ids_B: Tensor, at_B: Tensor, cache: KeyValueCache) -> Tensor:
        """Hidden states [B, H] after one more token per row, stored in the cache at `at_B`."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits [..., V]."""


class LlamaDecoder:
    """See the module. `rows`: about how many are decoded at a time (a hint for the layout);
    `vocabulary`: ids that may be drawn."""

    @torch.no_grad()
    def __init__(self, lm: LlamaLM, rows: int, vocabulary: int) -> None:
        self.body: LlamaBody = lm.base_model
        self.head = _Product(lm.get_output_embeddings(), rows=rows, most=vocabulary)
        self.products: dict[tuple[nn.Module, ...], _Product] = {}
        for layer in self.body.layers:
            attention, mlp = layer.self_attn, layer.mlp
            shared_inputs: tuple[tuple[nn.Module, ...], ...] = (
                (attention.q_proj, attention.k_proj, attention.v_proj),
                (attention.o_proj,),
                (mlp.gate_proj, mlp.up_proj),
                (mlp.down_proj,),
            )
            for modules in shared_inputs:
                self.products[modules] = _Product(*modules, rows=rows)

    @torch.no_grad()
    def decode(self, token_ids_B: Tensor, at_B: Tensor, cache: KeyValueCache) -> Tensor:
        """See `Decoder.decode`."""
        mask_BL = torch.arange(int(at_B.max()) + 1)[None, :] <= at_B[:, None]
        ops = DecodingOps(self.products, cache, at_B, mask_BL)
        return run_layers(self.body, self.body.embed_tokens(token_ids_B), at_B, ops)

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder.logits`."""
        return self.head(hidden)


@dataclass(frozen=True)
class DecodingOps:
    """One token per row [B, H], stored in the cache at `at_B`; it sees the keys of `mask_BL`.

    products: by the modules whose weights they hold.
    """

    products: Mapping[tuple[nn.Module, ...], _Product]
    cache: KeyValueCache
    at_B: Tensor
    mask_BL: Tensor

    def norm(self, module: RMSNorm, x: Tensor) -> Tensor:
        """See `LayerOps.norm`."""
        return F.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)

    def linear(
        self, x: Tensor, *modules: nn.Module, remake: Callable[[], Tensor] | None = None
    ) -> Sequence[Tensor]:
        """See `LayerOps.linear`; there is no backward pass."""
        product = self.products[modules]
        parts: Sequence[Tensor] = product(x).split(product.widths, dim=-1)
        return parts

    def gate(self, gate: Tensor, up: Tensor) -> Tensor:
        """See `LayerOps.gate`."""
        return F.silu(gate).mul_(up)

    def attend(self, module: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `LayerOps.attend`; attention over the cache, this step's token stored first."""
        rows, key_heads, dim = k.shape
        keys, values = self.cache.store_step(
            module.layer_idx, self.at_B, k[:, :, None], v[:, :, None]
        )
        seen = self.mask_BL.shape[1]
        # [B, key heads, queries of each, D]: query heads of a group are neighbours.
        q = q.view(rows, key_heads, -1, dim) * module.scaling
        with mkl_matmul():
            scores = torch.matmul(q, keys[:, :, :seen].transpose(-1, -2))
            scores.masked_fill_(~self.mask_BL[:, None, None], torch.finfo(scores.dtype).min)
            attended = torch.matmul(torch.softmax(scores, dim=-1), values[:, :, :seen])
        return attended.reshape(rows, -1)


class _Product:
    """x -> x W^T + b for several layers with the same input, their outputs side by side; `most` of
    them, from the first."""

    def __init__(self, *layers: nn.Module, rows: int, most: int | None = None) -> None:
        parts = [_weight(layer) for layer in layers]
        biases = [bias for _, bias in parts if bias is not None]
        self.widths = [weight.shape[0] for weight, _ in parts]
        self.bias = torch.cat(biases)[:most] if biases else None
        weight = torch.cat([weight for weight, _ in parts]) if len(parts) > 1 else parts[0][0]
        self.weight = torch.ops.mkldnn._reorder_linear_weight(
            weight.detach()[:most].contiguous(), rows
        )

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, "none", [], ""
        )
        return found


def _weight(layer: Any) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a linear layer, its active adapters added."""
    if type(layer) is nn.Linear:
        return layer.weight, layer.bias
    weight, bias = layer.base_layer.weight, layer.base_layer.bias
    if not layer.disable_adapters and not layer.merged:
        for name in set(layer.active_adapters) & set(layer.lora_A):
            weight = weight + layer.get_delta_weight(name)
    return weight, bias


def _plain(layer: Any) -> bool:
    """A linear layer in fp32, perhaps with ordinary LoRA."""
    if type(layer) is nn.Linear:
        return layer.weight.dtype == torch.float32
    lora = hasattr(layer, "lora_A") and not layer.lora_variant and not any(layer.lora_bias.values())
    return lora and _plain(layer.base_layer)


def can_prepare(hf: Any) -> bool:
    """Whether `LlamaDecoder` knows this model, on this device."""
    body = hf.base_model
    if not can_fuse(body) or not torch.backends.mkldnn.is_available():
        return False
    names = (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    )
    return type(body.embed_tokens) is nn.Embedding and all(
        _plain(layer.get_submodule(name)) for layer in body.layers for name in names
    )
