"""Segments of a text, and the tags of conditional training before them (Korbak et al. 2023).

A segment ends with a token at which a sentence or a line ends: a rule on single tokens, so that a
sampler, which sees one token after the other, cuts a text where training cut it. A tag is a token
that is read and nothing else: it has no place among the tokens that are predicted, so it is neither
scored nor sampled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from accord.text.packing import PackedStream, Segment

GOOD, BAD = "<good>", "<bad>"
KEY = "accord_tags"
"""The setting of a model's config.json that holds its tags."""
_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*\s*$|\n$")


@dataclass(frozen=True)
class Tags:
    """The tags a model was trained with. good, bad: their ids, above those of all other tokens;
    ends: ids after which a segment ends, BOS (after which the first one begins) among them."""

    good: int
    bad: int
    ends: frozenset[int]

    @classmethod
    def of(cls, config: Any) -> Tags | None:
        """The tags that a model's configuration (ours or transformers') names; None without."""
        raw = getattr(config, "raw", None)
        told = raw.get(KEY) if isinstance(raw, dict) else getattr(config, KEY, None)
        if told is None:
            return None
        return cls(int(told["good"]), int(told["bad"]), frozenset(map(int, told["ends"])))

    def setting(self) -> dict[str, Any]:
        """As config.json holds them."""
        return {"good": self.good, "bad": self.bad, "ends": sorted(self.ends)}

    @property
    def swapped(self) -> Tags:
        """Good for bad, to see what a tag does."""
        return replace(self, good=self.bad, bad=self.good)

    @property
    def first(self) -> int:
        """Ids from here on are tags."""
        return min(self.good, self.bad)

    def tagged(self, ids: Sequence[int]) -> list[int]:
        """`ids` with the good tag before every segment that begins within them or after them."""
        return [one for i in ids for one in ((i, self.good) if i in self.ends else (i,))]

    @cached_property
    def _ends(self) -> Tensor:
        return torch.tensor(sorted(self.ends), dtype=torch.long)

    def insert(self, stream: PackedStream) -> tuple[PackedStream, Tensor]:
        """A stream with the good tag after every token that ends a segment, and for each token [N]
        the index there of the state that predicts what follows it: its own, or its tag's.

        The index vectors of the new stream are those of the old one, and of no use.
        """
        ids_N = stream.token_ids_N
        after_N = torch.isin(ids_N, self._ends.to(ids_N.device))
        at_N = torch.arange(len(ids_N), device=ids_N.device) + after_N.cumsum(0)
        ids = ids_N.new_empty(len(ids_N) + int(after_N.sum()))
        ids[at_N] = self.good
        ids[at_N - after_N.long()] = ids_N
        parts = after_N.split([segment.length for segment in stream.segments])
        segments, starts = list[Segment](), list[int]()
        for old, part in zip(stream.segments, parts, strict=True):
            before = None if old.prefix is None else (starts[old.prefix], segments[old.prefix])
            segments.append(Segment(old.length + int(part.sum()), old.prefix))
            starts.append(0 if before is None else before[0] + before[1].length)
        positions = torch.cat(
            [
                torch.arange(start, start + one.length, device=ids_N.device)
                for start, one in zip(starts, segments, strict=True)
            ]
        )
        read = replace(stream, token_ids_N=ids, positions_N=positions, segments=tuple(segments))
        return read, at_N


def ending_ids(tokenizer: Any, count: int) -> frozenset[int]:
    """Those of a tokenizer's ids below `count` after which a sentence or a line ends."""
    texts = (tokenizer.decode([one], skip_special_tokens=False) for one in range(count))
    return frozenset(one for one, text in enumerate(texts) if _END.search(text))


def segments_of(ids: Sequence[int], ends: frozenset[int]) -> Iterator[tuple[int, int]]:
    """[start, end) of each segment of a document's tokens, the last one perhaps without an end."""
    start = 0
    for at, one in enumerate(ids, 1):
        if one in ends or at == len(ids):
            yield start, at
            start = at
