"""The packed token stream: the one unit of computation for every loss.

A stream holds many sequences end to end without padding. A segment is one sequence's own slice,
optionally after a shared prefix (the prompt of K responses is stored and computed once). Which
positions are scored, against which token and for which response is said by explicit index vectors,
never derived from token ids, so padding, BOS or EOS ids have no influence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress
from typing import Any

import torch
from torch import Tensor

SCORING_TOKENS = 8192
"""Default tokens per pass of functions that only score; four times that of training, since no
activations are kept."""


Mask = Sequence[bool]
"""Per token of a response whether it is scored; in its place None: all are."""


@dataclass(frozen=True)
class PromptGroup:
    """One prompt with its responses.

    masks: per response which of its tokens are scored (none given: all). What is not scored, such
    as a tool's result between two messages of an assistant, is read like a prompt. weight: how much
    the responses count where examples are learned from as they are.
    """

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]
    masks: Sequence[Mask | None] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a prompt needs at least one token (a BOS token for free text)")
        if not self.responses or not all(self.responses):
            raise ValueError("every group needs responses of at least one token")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"a weight is a finite number, 0 or more, not {self.weight!r}")
        sizes = [None if mask is None else len(mask) for mask in self.masks]
        if sizes and (
            len(sizes) != len(self.responses)
            or any(
                n is not None and n != len(r) for n, r in zip(sizes, self.responses, strict=True)
            )
        ):
            raise ValueError(
                f"masks of {sizes} do not fit responses of {[len(r) for r in self.responses]} "
                "tokens"
            )

    def mask(self, response: int) -> Mask | None:
        """Which tokens of a response are scored; None: all."""
        return self.masks[response] if self.masks else None

    def only(self, *responses: int) -> PromptGroup:
        """The prompt with these of its responses."""
        masks = [self.mask(i) for i in responses] if self.masks else ()
        return PromptGroup(self.prompt, [self.responses[i] for i in responses], masks, self.weight)

    @property
    def scored(self) -> list[int]:
        """How many tokens of each response are scored."""
        if not self.masks:
            return [len(response) for response in self.responses]
        pairs = zip(self.responses, self.masks, strict=True)
        return [len(response) if mask is None else sum(mask) for response, mask in pairs]

    @property
    def tokens(self) -> int:
        """Tokens this group takes in a stream, the prompt counted once."""
        return len(self.prompt) + sum(map(len, self.responses))


@dataclass(frozen=True)
class Segment:
    """A contiguous own slice of `length` tokens; `prefix` is the index of the segment it
    continues."""

    length: int
    prefix: int | None = None


@dataclass(frozen=True)
class PackedStream:
    """N tokens of R responses, S of them scored (suffixes as in the shapes below).

    token_ids_N, positions_N: the input and its rotary positions (a response continues its prompt).
    segments: own slices, in order, covering the stream exactly.
    score_at_S: index of the hidden state that predicts target s; targets_S: the predicted token;
    owners_S: which response it belongs to; token_at_S: index of the token itself (its state, after
    it was read). Scores of one response are contiguous and in order.
    last_R: index of the last token of each response; lengths_R: response tokens; scored_R: how many
    of them are scored.
    """

    token_ids_N: Tensor
    positions_N: Tensor
    segments: tuple[Segment, ...]
    score_at_S: Tensor
    targets_S: Tensor
    owners_S: Tensor
    token_at_S: Tensor
    last_R: Tensor
    lengths_R: Tensor
    scored_R: Tensor

    @property
    def tokens(self) -> int:
        return int(self.token_ids_N.numel())

    @property
    def responses(self) -> int:
        return int(self.lengths_R.numel())

    def to(self, device: torch.device | str) -> PackedStream:
        """The same stream with its tensors on `device`."""
        moved = {name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return PackedStream(segments=self.segments, **moved)

    def sum_by_response(self, values_S: Tensor) -> Tensor:
        """Sum per-token values over each response: [S] -> [R]."""
        return values_S.new_zeros(self.responses).index_add(0, self.owners_S, values_S)


def pack(groups: Sequence[PromptGroup], share_prefix: bool = True) -> PackedStream:
    """Pack groups into one stream, responses in the order given.

    With `share_prefix` a prompt with several responses is stored once and its responses attend to
    it; otherwise (and for single responses, where it costs nothing) prompt and response are one
    segment.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    score_at: list[int] = []
    targets: list[int] = []
    token_at: list[int] = []
    lengths: list[int] = []
    scored: list[int] = []
    last: list[int] = []
    for group in groups:
        prompt = list(group.prompt)
        shared = share_prefix and len(group.responses) > 1
        if shared:
            prefix = len(segments)
            segments.append(Segment(len(prompt)))
            prompt_end = len(token_ids) + len(prompt) - 1
            token_ids += prompt
            positions += range(len(prompt))
        for number, response in enumerate(group.responses):
            if shared:
                segments.append(Segment(len(response), prefix))
                positions += range(len(prompt), len(prompt) + len(response))
            else:
                prompt_end = len(token_ids) + len(prompt) - 1
                segments.append(Segment(len(prompt) + len(response)))
                token_ids += prompt
                positions += range(len(prompt) + len(response))
            start = len(token_ids)
            token_ids += response
            before = [prompt_end, *range(start, start + len(response) - 1)]
            mask = group.mask(number) or [True] * len(response)
            score_at += compress(before, mask)
            targets += compress(response, mask)
            token_at += compress(range(start, start + len(response)), mask)
            lengths.append(len(response))
            scored.append(sum(mask))
            last.append(len(token_ids) - 1)
    scored_R = torch.tensor(scored, dtype=torch.long)
    return PackedStream(
        token_ids_N=torch.tensor(token_ids, dtype=torch.long),
        positions_N=torch.tensor(positions, dtype=torch.long),
        segments=tuple(segments),
        score_at_S=torch.tensor(score_at, dtype=torch.long),
        targets_S=torch.tensor(targets, dtype=torch.long),
        owners_S=torch.repeat_interleave(torch.arange(len(lengths)), scored_R),
        token_at_S=torch.tensor(token_at, dtype=torch.long),
        last_R=torch.tensor(last, dtype=torch.long),
        lengths_R=torch.tensor(lengths, dtype=torch.long),
        scored_R=scored_R,
    )


def micro_batches(groups: Sequence[PromptGroup], max_tokens: int) -> Iterator[tuple[int, int]]:
    """Cut `groups` into consecutive slices [start, end) of at most `max_tokens` tokens each.

    A memory knob only: losses are normalised over the whole batch. A single group above the budget
    gets a slice of its own; `cut_groups` cuts those whose responses may be apart.
    """
    start = used = 0
    for index, group in enumerate(groups):
        if used and used + group.tokens > max_tokens:
            yield start, index
            start, used = index, 0
        used += group.tokens
    if groups:
        yield start, len(groups)


def cut_groups(groups: Sequence[PromptGroup], max_tokens: int) -> list[PromptGroup]:
    """The same responses in the same order; a group above `max_tokens` becomes as few as fit, each
    with the prompt.

    For functions of single responses, where K samples of a prompt need not be in one pass. A
    response that is above the budget by itself stays whole.
    """
    pieces: list[PromptGroup] = []
    for group in groups:
        part: list[int] = []
        used = len(group.prompt)
        for number, response in enumerate(group.responses) if group.tokens > max_tokens else ():
            if part and used + len(response) > max_tokens:
                pieces.append(group.only(*part))
                part, used = [], len(group.prompt)
            part.append(number)
            used += len(response)
        pieces.append(group.only(*part) if part else group)
    return pieces


def common_start(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many items both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def join(groups: Sequence[PromptGroup]) -> PromptGroup:
    """One group of all the responses, whose prompts may end differently: what the prompts do not
    share goes before each response, and is not scored."""
    if len(weights := {group.weight for group in groups}) > 1:
        raise ValueError(f"groups of the weights {sorted(weights)} are not joined: a group has one")
    shared = min(common_start(groups[0].prompt, group.prompt) for group in groups)
    responses: list[Sequence[int]] = []
    masks: list[Mask | None] = []
    for group in groups:
        own = list(group.prompt[shared:])
        for number, response in enumerate(group.responses):
            mask = group.mask(number)
            responses.append([*own, *response] if own else response)
            masks.append([False] * len(own) + list(mask or [True] * len(response)) if own else mask)
    given = masks if any(mask is not None for mask in masks) else ()
    return PromptGroup(groups[0].prompt[:shared], responses, given, groups[0].weight)


def streams(groups: Sequence[PromptGroup], max_tokens: int) -> Iterator[PackedStream]:
    """All responses of `groups` in order, packed into streams of at most `max_tokens`: for what is
    computed for each response by itself."""
    cut = cut_groups(groups, max_tokens)
    return (pack(cut[start:end]) for start, end in micro_batches(cut, max_tokens))


def response_offsets(groups: Sequence[PromptGroup]) -> list[int]:
    """Index of the first response of each group, with the total at the end."""
    return [0, *accumulate(len(group.responses) for group in groups)]
