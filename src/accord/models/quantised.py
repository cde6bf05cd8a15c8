"""A frozen base in 8 or 4 bits under an adapter (QLoRA: Dettmers et al. 2023), by bitsandbytes.

Weights alone are quantised, in 8-bit integers per row or in NF4 with quantised scales, and made
whole again for every product. bitsandbytes' own products also round what comes in, by the largest
numbers of the whole batch (8 bits), or only where no gradient is wanted (4 bits, on some CPUs): a
sequence would depend on its neighbours in a pack, and sampling would differ from training.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.errors import ConfigError

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM

Bits = Literal["8bit", "4bit"]


def quantisation(bits: Bits) -> Any:
    """transformers' settings for loading in so many bits. Raises ConfigError without
    bitsandbytes."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"loading a model in {bits} needs the package bitsandbytes",
            'pip install "accord[quantised]", or load it whole: leave out lora.base',
        )
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )


def bits_of(model: CausalLM) -> Bits | None:
    """How the weights of a model lie in memory; None where they are whole."""
    told: Any = getattr(model.hf.config, "quantization_config", None)
    if told is None:
        return None
    return "8bit" if told.load_in_8bit else "4bit"


def use_whole_products(hf: Any) -> Any:
    """Have every quantised layer of a model's modules multiply with its weights made whole;
    returns them."""
    for module in hf.modules():
        for kind, own in _kinds().items():
            if type(module) is kind:
                module.__class__ = own
    return hf.requires_grad_(False)


@cache
def _kinds() -> dict[type, type]:
    """bitsandbytes' layers (rows of 8-bit integers with a scale each; NF4 in blocks with quantised
    scales), and ours that say the same of their weights."""
    bnb: Any = importlib.import_module("bitsandbytes")

    def whole_8bit(layer: Any) -> Tensor:
        found: Tensor = bnb.functional.int8_vectorwise_dequant(layer.weight.data, layer.weight.SCB)
        return found

    def whole_4bit(layer: Any) -> Tensor:
        found: Tensor = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        return found

    return {
        kind: type(f"Whole{kind.__name__}", (WholeProducts, kind), {"whole": whole})
        for kind, whole in ((bnb.nn.Linear8bitLt, whole_8bit), (bnb.nn.Linear4bit, whole_4bit))
    }


class WholeProducts:
    """A quantised layer that multiplies with its weights made whole."""

    def whole(self) -> Tensor:
        """The weights [out, in] that the quantised ones stand for."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x W^T + b."""
        found: Tensor = _WholeProduct.apply(x, self)  # type: ignore[no-untyped-call]
        bias: Tensor | None = self.bias  # type: ignore[attr-defined]
        return found if bias is None else found + bias


class _WholeProduct(torch.autograd.Function):
    """x W^T, with W made whole once forward and once backward instead of kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: WholeProducts) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        return F.linear(x, layer.whole().to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return (grads[0] @ ctx.layer.whole().to(grads[0].dtype)).to(ctx.dtype), None


def whole_linear(layer: Any) -> nn.Linear:
    """A plain layer with the weights that a quantised one stands for."""
    weight = layer.whole().float()
    with torch.device("meta"):
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.bias is not None)
    made.weight = nn.Parameter(weight, requires_grad=False)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach().float(), requires_grad=False)
    return made
