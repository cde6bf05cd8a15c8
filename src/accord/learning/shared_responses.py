"""Rows that share a prompt as one group of its different responses, so that each is computed
once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from accord.text.packing import Mask, PromptGroup


@dataclass(frozen=True)
class SharedGroup:
    """A prompt with its different responses. rows: which rows are made of them; places: where the
    responses of each row stand."""

    group: PromptGroup
    rows: Sequence[int]
    places: Sequence[tuple[int, ...]]


@dataclass
class _Collected:
    """What is known so far of one prompt."""

    responses: list[Sequence[int]] = field(default_factory=list)
    masks: list[Mask | None] = field(default_factory=list)
    place_of: dict[object, int] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    places: list[tuple[int, ...]] = field(default_factory=list)
    tokens: int = 0

    def missing(self, group: PromptGroup) -> int:
        """Tokens that the responses of `group` would add."""
        new = {key: len(key[0]) for key in _keys(group) if key not in self.place_of}
        return sum(new.values())

    def add(self, row: int, group: PromptGroup) -> None:
        """Take up one more row of the prompt."""
        self.tokens += self.missing(group)
        for number, key in enumerate(_keys(group)):
            if key not in self.place_of:
                self.place_of[key] = len(self.responses)
                self.responses.append(group.responses[number])
                self.masks.append(group.mask(number))
        self.rows.append(row)
        self.places.append(tuple(self.place_of[key] for key in _keys(group)))


def share_responses(rows: Sequence[PromptGroup], max_tokens: int) -> list[SharedGroup]:
    """Rows of one prompt share its tokens, and a response that stands in several of them is there
    once, as long as the group keeps within `max_tokens`.

    A log-probability does not depend on what else is in its group, so sums over rows stay what they
    were. Four responses in six pairs cost less than a third.
    """
    open_: dict[tuple[int, ...], _Collected] = {}
    done: list[_Collected] = []
    for row, group in enumerate(rows):
        key = tuple(group.prompt)
        found = open_.get(key)
        if found is None or found.tokens + found.missing(group) > max_tokens:
            found = open_[key] = _Collected(tokens=len(key))
            done.append(found)
        found.add(row, group)
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
    masks = found.masks if any(mask is not None for mask in found.masks) else ()
    group = PromptGroup(prompt, found.responses, masks)
    return SharedGroup(group, found.rows, found.places)


def _keys(group: PromptGroup) -> list[tuple[tuple[int, ...], tuple[bool, ...] | None]]:
    """What makes a response of a prompt another one: its tokens, and which of them are scored."""
    masks = [group.mask(i) for i in range(len(group.responses))]
    return [
        (tuple(response), None if mask is None else tuple(mask))
        for response, mask in zip(group.responses, masks, strict=True)
    ]
