"""Attention over a packed stream: segments of similar length are gathered into padded buckets.

Everything else in the model works on the unpadded stream; only the small attention products see
padding (at most about a quarter), because one batched product is several times cheaper than a call
per sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from accord.models.tuning import mkl_matmul
from accord.text.packing import PackedStream, Segment

SLACK, SLACK_TOKENS = 1.25, 4
"""A bucket holds segments whose keys are at most SLACK times (plus SLACK_TOKENS) its shortest."""
MATH_LENGTH = 256
"""Up to this many keys plain products beat torch's CPU flash kernel (7x at 48 tokens, equal at
256)."""
LONG_STEP = 64
"""Longer buckets are filled up to a multiple of this on a CPU: oneDNN keeps a kernel of some 0.4 MB
per length."""


@dataclass(frozen=True)
class Bucket:
    """b segments: their query rows [b, Lq], key rows [b, Lk] and who may attend to whom [b, 1, Lq,
    Lk].

    Indices point into the stream; padded places point at row 0 and are masked or never read. No
    mask: query i attends to keys 0..i, as far as its output is read (plain products, see
    `MATH_LENGTH`, have one always). `whole` marks a bucket that is the stream itself cut into equal
    parts (no gathering needed).
    """

    query_at_bL: Tensor
    key_at_bL: Tensor
    mask_b1LL: Tensor | None
    whole: bool

    @property
    def causal(self) -> bool:
        return self.mask_b1LL is None


@dataclass(frozen=True)
class AttentionPlan:
    """All buckets of a stream, and where each stream position's output lies among their rows."""

    buckets: tuple[Bucket, ...]
    output_at_N: Tensor


def plan_attention(stream: PackedStream, window: int = 0) -> AttentionPlan:
    """Sort the segments of `stream` into buckets; `window` > 0 limits attention to that many
    keys."""
    device = stream.token_ids_N.device
    lengths = [segment.length for segment in stream.segments]
    starts = [0, *accumulate(lengths)]
    keys = [
        length + (lengths[segment.prefix] if segment.prefix is not None else 0)
        for segment, length in zip(stream.segments, lengths, strict=True)
    ]
    output_at_N = torch.empty(starts[-1], dtype=torch.long)
    buckets, filled = [], 0
    for members in _group(lengths, keys):
        segments = [stream.segments[i] for i in members]
        bucket = _bucket(segments, members, starts, lengths, keys, window, device.type == "cpu")
        width = bucket.query_at_bL.shape[1]
        for row, i in enumerate(members):
            first = filled + row * width
            output_at_N[starts[i] : starts[i] + lengths[i]] = torch.arange(
                first, first + lengths[i]
            )
        filled += len(members) * width
        buckets.append(
            Bucket(
                bucket.query_at_bL.to(device),
                bucket.key_at_bL.to(device),
                None if bucket.mask_b1LL is None else bucket.mask_b1LL.to(device),
                bucket.whole,
            )
        )
    return AttentionPlan(tuple(buckets), output_at_N.to(device))


def _group(lengths: Sequence[int], keys: Sequence[int]) -> list[list[int]]:
    if len(set(lengths)) == 1 and keys == lengths:
        return [list(range(len(lengths)))]
    order = sorted(range(len(lengths)), key=lambda i: (keys[i], lengths[i]))
    groups: list[list[int]] = []
    for i in order:
        if groups and keys[i] <= keys[groups[-1][0]] * SLACK + SLACK_TOKENS:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _bucket(
    segments: Sequence[Segment],
    members: Sequence[int],
    starts: Sequence[int],
    lengths: Sequence[int],
    keys: Sequence[int],
    window: int,
    cpu: bool,
) -> Bucket:
    rows, width, depth = (
        len(members),
        max(lengths[i] for i in members),
        max(keys[i] for i in members),
    )
    if cpu and depth > MATH_LENGTH:
        width, depth = (size + -size % LONG_STEP for size in (width, depth))
    query_at = torch.zeros(rows, width, dtype=torch.long)
    key_at = torch.zeros(rows, depth, dtype=torch.long)
    for row, (segment, i) in enumerate(zip(segments, members, strict=True)):
        own = torch.arange(starts[i], starts[i] + lengths[i])
        query_at[row, : lengths[i]] = own
        if segment.prefix is not None:
            begin = starts[segment.prefix]
            own = torch.cat([torch.arange(begin, begin + lengths[segment.prefix]), own])
        key_at[row, : keys[i]] = own
    alone = all(segment.prefix is None for segment in segments)
    # Every segment is here and none is padded: a bucket of some that fills as much by chance is not
    # the stream.
    whole = alone and rows == len(lengths) and rows * width == starts[-1]
    if alone and not (window and window < depth) and not (cpu and depth <= MATH_LENGTH):
        return Bucket(query_at, key_at, None, whole)
    length_b = torch.tensor([lengths[i] for i in members])[:, None, None]
    keys_b = torch.tensor([keys[i] for i in members])[:, None, None]
    query = (
        torch.arange(width)[None, :, None] + keys_b - length_b
    )  # place of each query among its keys
    key = torch.arange(depth)[None, None, :]
    mask = (key <= query) & (key < keys_b)
    if window:
        mask &= key > query - window
    mask |= (query >= keys_b) & (
        key == 0
    )  # padded queries attend somewhere, so that no row is empty
    return Bucket(query_at, key_at, mask[:, None], whole)


@dataclass(frozen=True)
class Extras:
    """What some architectures do to attention scores before the softmax.

    softcap: scores become cap tanh(score / cap) (Gemma 2). sinks_H: a further logit per head that
    takes its share of the probability and gives nothing (gpt-oss).
    """

    softcap: float | None = None
    sinks_H: Tensor | None = None

    def __bool__(self) -> bool:
        return bool(self.softcap) or self.sinks_H is not None

    def chances(self, scores_bHLL: Tensor, mask: Tensor) -> Tensor:
        """Attention probabilities [b, H, Lq, Lk] of scaled scores, in fp32; `mask` says who is
        seen."""
        scores = scores_bHLL.float()
        if self.softcap:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        if self.sinks_H is None:
            return torch.softmax(scores, dim=-1)
        sinks = self.sinks_H.float()[None, :, None, None].expand(*scores.shape[:3], 1)
        return torch.softmax(torch.cat([scores, sinks], dim=-1), dim=-1)[..., :-1]


PLAIN = Extras()


def eager_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float | None, extras: Extras
) -> Tensor:
    """Attention written out: q [b, H, Lq, D], k and v [b, heads, Lk, D] -> [b, H, Lq, D]."""
    scores = torch.matmul(
        q * (q.shape[-1] ** -0.5 if scale is None else scale), _repeated(k, q).transpose(-1, -2)
    )
    return torch.matmul(extras.chances(scores, mask).to(v.dtype), _repeated(v, q))


def packed_attention(
    plan: AttentionPlan,
    q_1HND: Tensor,
    k_1HND: Tensor,
    v_1HND: Tensor,
    scale: float | None,
    extras: Extras = PLAIN,
) -> Tensor:
    """Attention of a whole stream: -> [1, N, H, D]. Rows beyond the plan (fill-up) come out as
    zeros."""
    heads, dim = q_1HND.shape[1], v_1HND.shape[3]
    tokens = plan.output_at_N.numel()
    spare = q_1HND.shape[2] - tokens
    rows = [
        x[0, :, :tokens].transpose(0, 1).flatten(1) for x in (q_1HND, k_1HND, v_1HND)
    ]  # each [N, heads * D]
    short = [
        b
        for b in plan.buckets
        if q_1HND.device.type == "cpu" and b.key_at_bL.shape[1] <= MATH_LENGTH and not extras
    ]
    outputs: list[Tensor] = []
    if short:
        factor = dim**-0.5 if scale is None else scale
        outputs.append(_ShortAttention.apply(*rows, short, dim, factor))  # type: ignore[no-untyped-call]
    for bucket in plan.buckets[len(short) :]:  # buckets are in order of their length
        q, k, v = _parts(rows, bucket, dim)
        if extras:
            out = eager_attention(q, k, v, _mask_of(bucket), scale, extras)
        else:
            out = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=bucket.mask_b1LL,
                is_causal=bucket.causal,
                scale=scale,
                enable_gqa=q.shape[1] != k.shape[1],
            )
        outputs.append(out.transpose(1, 2).reshape(-1, heads * dim))
    if len(plan.buckets) == 1 and plan.buckets[0].whole:
        out_NC = outputs[0]
    else:  # an embedding look-up is a gather whose backward is deterministic and cheap
        out_NC = F.embedding(plan.output_at_N, torch.cat(outputs))
    return F.pad(out_NC, (0, 0, 0, spare)).view(1, -1, heads, dim)


def _mask_of(bucket: Bucket) -> Tensor:
    if bucket.mask_b1LL is not None:
        return bucket.mask_b1LL
    width = bucket.query_at_bL.shape[1]
    return torch.ones(width, width, dtype=torch.bool, device=bucket.query_at_bL.device).tril()


class _ShortAttention(torch.autograd.Function):
    """Plain products over buckets of short segments: rows [N, heads * D] -> [sum of b * Lq, H * D].

    Only the rows outlive the forward pass; gathered copies and probabilities are made again for the
    backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_NC: Tensor,
        k_NC: Tensor,
        v_NC: Tensor,
        buckets: Sequence[Bucket],
        dim: int,
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(q_NC, k_NC, v_NC)
        ctx.buckets, ctx.dim, ctx.scale = buckets, dim, scale
        outputs = []
        with mkl_matmul():
            for bucket in buckets:
                q, k, v = _parts((q_NC, k_NC, v_NC), bucket, dim)
                out = torch.matmul(_chances(q, k, bucket, scale), _repeated(v, q))
                outputs.append(out.transpose(1, 2).reshape(-1, q_NC.shape[1]))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        rows = ctx.saved_tensors
        found = [torch.zeros_like(x) for x in rows]
        sizes = [bucket.query_at_bL.numel() for bucket in ctx.buckets]
        with mkl_matmul():
            for bucket, out_grad in zip(ctx.buckets, grads[0].split(sizes), strict=True):
                q, k, v = _parts(rows, bucket, ctx.dim)
                g = out_grad.view(*bucket.query_at_bL.shape, -1, ctx.dim).transpose(1, 2)
                chances = _chances(q, k, bucket, ctx.scale)
                parts = [_summed(torch.matmul(chances.transpose(-1, -2), g), v)]
                slopes = torch.matmul(g, _repeated(v, q).transpose(-1, -2))
                slopes -= (slopes * chances).sum(-1, keepdim=True)
                slopes *= chances
                slopes *= ctx.scale
                parts = [
                    torch.matmul(slopes, _repeated(k, q)),
                    _summed(torch.matmul(slopes.transpose(-1, -2), q), k),
                    *parts,
                ]
                index = (bucket.query_at_bL, bucket.key_at_bL, bucket.key_at_bL)
                for total_NC, part, at_bL in zip(found, parts, index, strict=True):
                    total_NC.index_add_(
                        0, at_bL.flatten(), part.transpose(1, 2).reshape(at_bL.numel(), -1)
                    )
        return found[0], found[1], found[2], None, None, None


def _chances(q: Tensor, k: Tensor, bucket: Bucket, scale: float) -> Tensor:
    """Attention probabilities [b, H, Lq, Lk]."""
    assert bucket.mask_b1LL is not None
    scores = torch.matmul(q * scale, _repeated(k, q).transpose(-1, -2))
    return torch.softmax(
        scores.masked_fill_(~bucket.mask_b1LL, torch.finfo(scores.dtype).min), dim=-1
    )


def _repeated(x: Tensor, q: Tensor) -> Tensor:
    """Keys or values, one per query head."""
    return x if x.shape[1] == q.shape[1] else x.repeat_interleave(q.shape[1] // x.shape[1], dim=1)


def _summed(grad: Tensor, x: Tensor) -> Tensor:
    """The reverse of `_repeated`."""
    return grad if grad.shape[1] == x.shape[1] else grad.unflatten(1, (x.shape[1], -1)).sum(2)


def _parts(rows: Sequence[Tensor], bucket: Bucket, dim: int) -> list[Tensor]:
    """Queries, keys and values of a bucket: each [b, heads, L, D]."""
    index = (bucket.query_at_bL, bucket.key_at_bL, bucket.key_at_bL)
    return [
        _gather(x, at, bucket.whole).unflatten(-1, (-1, dim)).transpose(1, 2)
        for x, at in zip(rows, index, strict=True)
    ]


def _gather(rows_NC: Tensor, at_bL: Tensor, whole: bool) -> Tensor:
    return rows_NC.view(*at_bL.shape, -1) if whole else F.embedding(at_bL, rows_NC)
