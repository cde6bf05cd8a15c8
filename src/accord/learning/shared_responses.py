"""Rows that share a prompt as one group of its different responses, so that each is computed
once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from accord.text.packing import PromptGroup


@dataclass(frozen=True)
class SharedGroup:
    """A prompt with its different responses. rows: which rows are made of them; places: where the
    responses of each row stand."""

    group: PromptGroup
    rows: Sequence[int]
    places: Sequence[tuple[int, ...]]


Key = tuple[tuple[int, ...], tuple[bool, ...] | None]
"""What makes a response of a prompt another one: its tokens, and which of them are scored."""


@dataclass
class _Collected:
    """What is known so far of one prompt."""

    place_of: dict[Key, int] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    places: list[tuple[int, ...]] = field(default_factory=list)
    tokens: int = 0

    def missing(self, keys: Sequence[Key]) -> int:
        """Tokens that responses would add."""
        return sum(len(key[0]) for key in set(keys) if key not in self.place_of)

    def add(self, row: int, keys: Sequence[Key]) -> None:
        """Take up one more row of the prompt."""
        self.tokens += self.missing(keys)
        self.rows.append(row)
        self.places.append(tuple(self.place_of.setdefault(k, len(self.place_of)) for k in keys))


def share_responses(rows: Sequence[PromptGroup], max_tokens: int) -> list[SharedGroup]:
    """Rows of one prompt share its tokens, and a response that stands in several of them is there
    once, as long as the group keeps within `max_tokens`.

    A log-probability does not depend on what else is in its group, so sums over rows stay what they
    were. Four responses in six pairs cost less than a third.
    """
    open_: dict[tuple[int, ...], _Collected] = {}
    done: list[_Collected] = []
    for row, group in enumerate(rows):
        prompt, keys = tuple(group.prompt), _keys(group)
        found = open_.get(prompt)
        if found is None or found.tokens + found.missing(keys) > max_tokens:
            found = open_[prompt] = _Collected(tokens=len(prompt))
            done.append(found)
        found.add(row, keys)
    return [_shared(rows[one.rows[0]].prompt, one) for one in done]


def rows_of(groups: Sequence[SharedGroup]) -> list[int]:
    """The rows of `groups`, in their order."""
    return [row for shared in groups for row in shared.rows]


def values_by_row(groups: Sequence[SharedGroup], values_R: Tensor) -> Tensor:
    """Values of all responses of `groups`, in order, as those of each row's K responses: [R] ->
    [rows, K], in the order of `rows_of`."""
    places, start = [], 0
    for shared in groups:
        places += [[start + place for place in row] for row in shared.places]
        start += len(shared.group.responses)
    return values_R[torch.tensor(places, device=values_R.device)]


def _shared(prompt: Sequence[int], found: _Collected) -> SharedGroup:
    responses = [list(tokens) for tokens, _ in found.place_of]
    masks = [None if mask is None else list(mask) for _, mask in found.place_of]
    scored = masks if any(mask is not None for mask in masks) else ()
    return SharedGroup(PromptGroup(prompt, responses, scored), found.rows, found.places)


def _keys(group: PromptGroup) -> list[Key]:
    masks = [group.mask(i) for i in range(len(group.responses))]
    return [
        (tuple(response), None if mask is None else tuple(mask))
        for response, mask in zip(group.responses, masks, strict=True)
    ]
