"""Packed attention for our Llama-like decoders, and for any other that uses transformers' attention
interface.

`packed_forward` runs the model body on a packed stream; each segment attends causally to itself and
to its prefix, so costs are proportional to real tokens. `decode_forward` runs one token per row
against a preallocated cache. Both reach transformers' models through their keyword arguments.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from functools import cache as once
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.errors import RunError
from accord.models import precision
from accord.models.attention import (
    AttentionPlan,
    Extras,
    eager_attention,
    packed_attention,
    plan_attention,
)
from accord.models.fused import can_fuse, fused_llama_forward
from accord.models.llama import Attend, LlamaBody
from accord.models.tuning import mkl_matmul, round_up_rows
from accord.text.packing import PackedStream

NAME = "accord_packed"
WITHOUT_EFFECT = (
    "is_causal", "position_ids", "cache_position", "position_embeddings", "use_cache",
    "output_attentions", "output_hidden_states", "output_router_logits", "return_dict",
)  # fmt: skip
"""On the attention of a causal decoder, of what transformers' layers pass to it."""
WINDOWED = "sliding_attention"
KINDS = ("full_attention", WINDOWED, "chunked_attention")
"""Of layers. Chunks (Llama 4) are no longer than sequences may be (see `accord.models.lengths`)."""
UNSUPPORTED = (
    "this architecture is not supported: it computes attention in a way of its own, or carries a "
    "state from token to token; docs/models.md lists those that are"
)


class KeyValueCache:
    """Preallocated keys and values for `rows` sequences of at most `length` tokens.

    keys, values: per layer [rows, heads, length, head_dim], allocated when the first layer is seen.
    filled_B: tokens already stored per row (before the step under way).
    """

    def __init__(self, rows: int, length: int) -> None:
        self.rows, self.length = rows, length
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def _layer(self, layer: int, like_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self.keys:
            shape = (self.rows, like_BHTD.shape[1], self.length, like_BHTD.shape[3])
            self.keys[layer], self.values[layer] = (
                _zeros(shape, like_BHTD),
                _zeros(shape, like_BHTD),
            )
        return self.keys[layer], self.values[layer]

    def store_segment(
        self, layer: int, rows: list[int], key_1HLD: Tensor, value_1HLD: Tensor
    ) -> None:
        """Write one prompt's keys and values into several rows (one prefill for its n samples)."""
        keys, values = self._layer(layer, key_1HLD)
        for row in rows:
            keys[row, :, : key_1HLD.shape[2]] = key_1HLD[0]
            values[row, :, : value_1HLD.shape[2]] = value_1HLD[0]

    def store_step(
        self, layer: int, at_B: Tensor, key_BH1D: Tensor, value_BH1D: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Write one token per row at its own position; returns the layer's keys and values."""
        keys, values = self._layer(layer, key_BH1D)
        rows = torch.arange(key_BH1D.shape[0], device=key_BH1D.device)
        keys[rows, :, at_B] = key_BH1D[:, :, 0]
        values[rows, :, at_B] = value_BH1D[:, :, 0]
        return keys, values

    def keep(self, rows: Sequence[int], filled: Sequence[int]) -> None:
        """Keep only `rows`, in that order (finished sequences leave the batch); `filled` tokens of
        each are stored."""
        self.rows = len(rows)
        for store in (self.keys, self.values):
            for layer, old in store.items():
                store[layer] = _zeros((self.rows, *old.shape[1:]), old)
                for new, (row, tokens) in enumerate(zip(rows, filled, strict=True)):
                    store[layer][new, :, :tokens] = old[row, :, :tokens]


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros that take memory only where they are written: a cache is as long as the longest
    response may become."""
    if like.device.type == "cpu" and like.dtype == torch.float32:
        # Fresh from the system (malloc would reuse and clear), and private: reading what was never
        # written takes none.
        pages = mmap.mmap(
            -1, max(1, 4 * math.prod(shape)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        return torch.frombuffer(pages, dtype=torch.float32, count=math.prod(shape)).view(shape)
    return like.new_zeros(shape)


class PlannedStream:
    """A stream on its way through the layers, with its attention plan per window size, made
    once."""

    def __init__(self, stream: PackedStream) -> None:
        self.stream = stream
        self._plans: dict[int, AttentionPlan] = {}

    def plan(self, window: int) -> AttentionPlan:
        if window not in self._plans:
            self._plans[window] = plan_attention(self.stream, window)
        return self._plans[window]


def _decode(
    cache: KeyValueCache,
    at_B: Tensor,
    layer: int,
    q_BH1D: Tensor,
    k_BH1D: Tensor,
    v_BH1D: Tensor,
    scale: float | None,
    window: int,
    extras: Extras,
) -> Tensor:
    keys, values = cache.store_step(layer, at_B, k_BH1D, v_BH1D)
    longest = int(at_B.max()) + 1
    index = torch.arange(longest, device=at_B.device)[None, :]
    mask = index <= at_B[:, None]
    if window:
        mask &= index > at_B[:, None] - window
    past = keys[:, :, :longest], values[:, :, :longest]
    with mkl_matmul():
        if extras:
            out = eager_attention(q_BH1D, *past, mask[:, None, None, :], scale, extras)
        else:
            out = F.scaled_dot_product_attention(
                q_BH1D,
                *past,
                attn_mask=mask[:, None, None, :],
                scale=scale,
                enable_gqa=q_BH1D.shape[1] != keys.shape[1],
            )
    return out.transpose(1, 2)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    accord_stream: PlannedStream | None = None,
    accord_cache: KeyValueCache | None = None,
    accord_at: Tensor | None = None,
    accord_rows: list[list[int]] | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention signature: query/key/value [B, heads, T, head_dim] -> [B, T, heads,
    head_dim].

    `softcap` and `s_aux` (sinks) are those of `Extras`. Raises RunError for anything else that an
    architecture asks for and that is not known to leave the numbers alone.
    """
    window, layer = sliding_window or 0, int(module.layer_idx)  # type: ignore[arg-type]
    _refuse_unknown(module, layer, window, {"dropout": dropout, **more})
    extras = Extras(softcap, s_aux)
    with precision.attention_scope(query, key, value) as (query, key, value):
        if accord_stream is None:
            if accord_cache is None or accord_at is None:
                raise RunError(
                    "this architecture does not hand on to its layers how a stream is packed",
                    UNSUPPORTED,
                )
            return _decode(
                accord_cache, accord_at, layer, query, key, value, scaling, window, extras
            ), None
        if accord_cache is not None and accord_rows is not None:
            _store_prompts(accord_cache, accord_rows, accord_stream.stream, layer, key, value)
        return (
            packed_attention(accord_stream.plan(window), query, key, value, scaling, extras),
            None,
        )


def _refuse_unknown(module: Any, layer: int, window: int, asked: dict[str, Any]) -> None:
    """Raise RunError where attention would not be what the architecture means by it."""
    odd = [
        name
        for name, value in asked.items()
        if name not in WITHOUT_EFFECT and value is not None and value is not False and value != 0
    ]
    if asked.get("is_causal") is False:
        odd.append("is_causal: false")
    kinds = getattr(getattr(module, "config", None), "layer_types", None) or []
    if layer < len(kinds) and (
        kinds[layer] not in KINDS or (kinds[layer] == WINDOWED) != (window > 0)
    ):
        odd.append(f"layers of {kinds[layer]}")
    if odd:
        raise RunError(f"packed attention does not know {', '.join(odd)}", UNSUPPORTED)


def _store_prompts(
    cache: KeyValueCache,
    rows: list[list[int]],
    stream: PackedStream,
    layer: int,
    key: Tensor,
    value: Tensor,
) -> None:
    lengths = [segment.length for segment in stream.segments]
    tokens = sum(lengths)
    parts = (key[:, :, :tokens].split(lengths, 2), value[:, :, :tokens].split(lengths, 2))
    for own, k, v in zip(rows, *parts, strict=True):
        cache.store_segment(layer, own, k, v)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


@once
def register_with_transformers() -> None:
    """Make the packed attention known to transformers' models, under NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, _no_mask)


def _attend(**more: Any) -> Attend:
    def attend(module: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(module, q, k, v, None, module.scaling, **more)[0]

    return attend


def packed_forward(
    body: nn.Module,
    stream: PackedStream,
    cache: KeyValueCache | None = None,
    rows: list[list[int]] | None = None,
) -> Tensor:
    """Hidden states [N, hidden] of a packed stream (after the final norm).

    With `cache`, segment i's keys and values are stored in its rows `rows[i]`.
    """
    spare = (
        round_up_rows(stream.tokens) - stream.tokens
    )  # nobody attends to these tokens or scores them
    ids_N, positions_N = (
        F.pad(stream.token_ids_N, (0, spare)),
        F.pad(stream.positions_N, (0, spare)),
    )
    within = PlannedStream(stream)
    more: dict[str, Any] = {"accord_stream": within, "accord_cache": cache, "accord_rows": rows}
    if can_fuse(body):
        return fused_llama_forward(body, ids_N, positions_N, _attend(**more))[: stream.tokens]
    if isinstance(body, LlamaBody):
        own: Tensor = body(ids_N[None], positions_N[None], _attend(**more))
        return own[0, : stream.tokens]
    out = body(input_ids=ids_N[None], position_ids=positions_N[None], use_cache=False, **more)
    hidden_1NH: Tensor = out.last_hidden_state
    return hidden_1NH[0, : stream.tokens]


def decode_forward(
    body: nn.Module, token_ids_B: Tensor, at_B: Tensor, cache: KeyValueCache
) -> Tensor:
    """Hidden states [B, hidden] after one more token per row, stored at position `at_B`."""
    more: dict[str, Any] = {"accord_cache": cache, "accord_at": at_B}
    if isinstance(body, LlamaBody):
        own: Tensor = body(token_ids_B[:, None], at_B[:, None], _attend(**more))
        return own[:, 0]
    out = body(input_ids=token_ids_B[:, None], position_ids=at_B[:, None], use_cache=False, **more)
    hidden_B1H: Tensor = out.last_hidden_state
    return hidden_B1H[:, 0]
