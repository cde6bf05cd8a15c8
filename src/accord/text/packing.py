"""The packed token stream: the one unit of computation for every loss.

A stream holds many sequences end to end without padding. A segment is one sequence's own slice, optionally
after a shared prefix (the prompt of K responses is stored and computed once). Which positions are scored,
against which token and for which response is said by explicit index vectors, never derived from token ids,
so padding, BOS or EOS ids have no influence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

SCORING_TOKENS = 8192
"""Default tokens per pass of functions that only score; four times that of training, since no activations are kept."""


@dataclass(frozen=True)
class Group:
    """One prompt with its responses. `ids` name the responses in error messages."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a prompt needs at least one token (a BOS token for free text)")
        if not self.responses or not all(self.responses):
            raise ValueError("every group needs responses of at least one token")

    @property
    def tokens(self) -> int:
        """Tokens this group takes in a stream, the prompt counted once."""
        return len(self.prompt) + sum(map(len, self.responses))


@dataclass(frozen=True)
class Segment:
    """A contiguous own slice of `length` tokens; `prefix` is the index of the segment it continues."""

    length: int
    prefix: int | None = None


@dataclass(frozen=True)
class PackedStream:
    """N tokens of R responses, S of them scored (suffixes as in the shapes below).

    token_ids_N, positions_N: the input and its rotary positions (a response continues its prompt).
    segments: own slices, in order, covering the stream exactly.
    score_at_S: index of the hidden state that predicts target s; targets_S: the predicted token;
    owners_S: which response it belongs to. Scores of one response are contiguous and in order.
    last_R: index of the last token of each response; lengths_R: response tokens.
    """

    token_ids_N: Tensor
    positions_N: Tensor
    segments: tuple[Segment, ...]
    score_at_S: Tensor
    targets_S: Tensor
    owners_S: Tensor
    last_R: Tensor
    lengths_R: Tensor

    @property
    def tokens(self) -> int:
        return int(self.token_ids_N.numel())

    @property
    def responses(self) -> int:
        return int(self.lengths_R.numel())

    @property
    def token_at_S(self) -> Tensor:
        """Stream index of each scored token itself (its state, after the token was read)."""
        starts = self.last_R - self.lengths_R + 1
        first_score = torch.cumsum(self.lengths_R, 0) - self.lengths_R
        offset = torch.arange(self.owners_S.numel(), device=self.owners_S.device) - first_score[self.owners_S]
        return starts[self.owners_S] + offset

    def to(self, device: torch.device | str) -> PackedStream:
        """The same stream with its tensors on `device`."""
        names = ("token_ids_N", "positions_N", "score_at_S", "targets_S", "owners_S", "last_R", "lengths_R")
        moved = {name: getattr(self, name).to(device) for name in names}
        return PackedStream(segments=self.segments, **moved)

    def sum_by_response(self, values_S: Tensor) -> Tensor:
        """Sum per-token values over each response: [S] -> [R]."""
        return values_S.new_zeros(self.responses).index_add(0, self.owners_S, values_S)


def pack(groups: Sequence[Group], share_prefix: bool = True) -> PackedStream:
    """Pack groups into one stream, responses in the order given.

    With `share_prefix` a prompt with several responses is stored once and its responses attend to it;
    otherwise (and for single responses, where it costs nothing) prompt and response are one segment.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    score_at: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
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
        for response in group.responses:
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
            score_at.append(prompt_end)
            score_at += range(start, start + len(response) - 1)
            targets += response
            lengths.append(len(response))
            last.append(len(token_ids) - 1)
    lengths_R = torch.tensor(lengths, dtype=torch.long)
    return PackedStream(
        token_ids_N=torch.tensor(token_ids, dtype=torch.long),
        positions_N=torch.tensor(positions, dtype=torch.long),
        segments=tuple(segments),
        score_at_S=torch.tensor(score_at, dtype=torch.long),
        targets_S=torch.tensor(targets, dtype=torch.long),
        owners_S=torch.repeat_interleave(torch.arange(len(lengths)), lengths_R),
        last_R=torch.tensor(last, dtype=torch.long),
        lengths_R=lengths_R,
    )


def micro_batches(groups: Sequence[Group], max_tokens: int) -> Iterator[tuple[int, int]]:
    """Cut `groups` into consecutive slices [start, end) of at most `max_tokens` tokens each.

    A memory knob only: losses are normalised over the whole batch. A single group above the budget gets a
    slice of its own; `cut_groups` cuts those whose responses may be apart.
    """
    start = used = 0
    for index, group in enumerate(groups):
        if used and used + group.tokens > max_tokens:
            yield start, index
            start, used = index, 0
        used += group.tokens
    if groups:
        yield start, len(groups)


def cut_groups(groups: Sequence[Group], max_tokens: int) -> list[Group]:
    """The same responses in the same order; a group above `max_tokens` becomes as few as fit, each with the prompt.

    For functions of single responses, where K samples of a prompt need not be in one pass. A response that is above the
    budget by itself stays whole.
    """
    found: list[Group] = []
    for group in groups:
        part: list[Sequence[int]] = []
        used = len(group.prompt)
        for response in group.responses if group.tokens > max_tokens else ():
            if part and used + len(response) > max_tokens:
                found.append(Group(group.prompt, part))
                part, used = [], len(group.prompt)
            part.append(response)
            used += len(response)
        found.append(Group(group.prompt, part) if part else group)
    return found


def streams(groups: Sequence[Group], max_tokens: int) -> Iterator[PackedStream]:
    """All responses of `groups` in order, packed into streams of at most `max_tokens`: for what is computed for each
    response by itself."""
    cut = cut_groups(groups, max_tokens)
    return (pack(cut[start:end]) for start, end in micro_batches(cut, max_tokens))


def response_offsets(groups: Sequence[Group]) -> list[int]:
    """Index of the first response of each group, with the total at the end."""
    return [0, *accumulate(len(group.responses) for group in groups)]
