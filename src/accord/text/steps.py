"""Where the steps of a response end, as token indices.

A response is tokenised once, as a whole, exactly as a policy writes it; steps are found afterwards
in its decoded text. A step ends with the first token that completes its text, so a separator may
share a token with the end of a step, or be spread over several, without changing what is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Decode = Callable[[Sequence[int]], str]


def decoder(tokenizer: Any) -> Decode:
    """Token ids to text: special tokens left out, every other character as it was written."""

    def decode(ids: Sequence[int]) -> str:
        return str(
            tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    return decode


def step_ends(decode: Decode, response_ids: Sequence[int], steps: Sequence[str]) -> list[int]:
    """Index of the last token of each of `steps`, which follow each other in the response.

    Space around a step does not count. The list is shorter than `steps` where one is not found: the
    response was cut before it, or is another text. Raises ValueError for a blank step.
    """
    text, at, ends = decode(response_ids), 0, []
    for step in steps:
        wanted = step.strip()
        if not wanted:
            raise ValueError("a step is blank")
        start = text.find(wanted, at)
        if start < 0:
            break
        at = start + len(wanted)
        ends.append(_token_of(decode, response_ids, text[:at]))
    return ends


def split_ends(decode: Decode, response_ids: Sequence[int], separator: str) -> list[int]:
    """The same for the parts that `separator` divides a response into; a blank response is one
    step: its last token."""
    parts = [part for part in decode(response_ids).split(separator) if part.strip()]
    return step_ends(decode, response_ids, parts) or [len(response_ids) - 1]


def _token_of(decode: Decode, ids: Sequence[int], text: str) -> int:
    """The first token after which the decoded text begins with `text` (bisected: more tokens only
    add to it)."""
    low, high = 0, len(ids) - 1
    while low < high:
        middle = (low + high) // 2
        if decode(ids[: middle + 1]).startswith(text):
            high = middle
        else:
            low = middle + 1
    return low
