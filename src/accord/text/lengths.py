"""Over-long examples: an error, or a policy the recipe chose; either way counted and shown before step 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from accord.errors import DataError
from accord.text.encoding import Encoder, Example

TooLong = Literal["error", "drop", "cut"]


@dataclass(frozen=True)
class LengthTable:
    """What happened to the rows. tokens: [minimum, median, 90th percentile, maximum] of prompt and response;
    eos_trained: share of responses that end with EOS; example: one decoded, the trained part in ⟦ ⟧."""

    rows: int
    kept: int
    cut: int
    dropped: dict[str, int]
    prompt_tokens: list[int]
    response_tokens: list[int]
    eos_trained: float
    example: str

    def lines(self) -> list[str]:
        """The table for a terminal."""
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "0"
        p, r = self.prompt_tokens, self.response_tokens
        return [
            f"{self.rows:,} rows: {self.kept:,} kept ({self.cut:,} of them cut), dropped: {dropped}",
            f"tokens (min/median/p90/max): prompt {p[0]}/{p[1]}/{p[2]}/{p[3]}, response {r[0]}/{r[1]}/{r[2]}/{r[3]}; "
            f"EOS trained on {self.eos_trained:.0%} of the responses",
            f"example: {self.example}",
        ]

    def values(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def fit_lengths(
    examples: Sequence[Example], encoder: Encoder, max_prompt: int, max_response: int, too_long: TooLong,
    dropped: dict[str, int] | None = None,
) -> tuple[list[Example], LengthTable]:  # fmt: skip
    """Apply the length policy. "cut" shortens prompts from the left (the BOS stays) and responses from the
    right, which then count as unfinished: an EOS is never invented.

    `dropped` are rows lost earlier, by reason, for the table. Raises DataError for "error", or when nothing
    is left.
    """
    kept: list[Example] = []
    lost, cut = Counter(dropped or {}), 0
    for example in examples:
        prompt, response = len(example.prompt_ids), len(example.response_ids)
        if prompt <= max_prompt and response <= max_response:
            kept.append(example)
        elif too_long == "error":
            part, found, limit = ("prompt", prompt, max_prompt) if prompt > max_prompt else ("response", response, max_response)
            raise DataError(
                f"row {example.row}: the {part} has {found} tokens, the limit is {limit}",
                f"raise max_{part}_tokens, or set too_long to drop or cut",
            )
        elif too_long == "drop":
            lost["too long"] += 1
        else:
            kept.append(_cut(example, max_prompt, max_response))
            cut += 1
    if not kept:
        raise DataError(f"none of {len(examples)} rows is left: {dict(lost)}", "raise the token limits")
    return kept, _table(kept, cut, lost, len(examples) + sum((dropped or {}).values()), encoder)


def _cut(example: Example, max_prompt: int, max_response: int) -> Example:
    prompt, response = example.prompt_ids, example.response_ids
    if len(prompt) > max_prompt:
        prompt = prompt[:1] + prompt[len(prompt) - max_prompt + 1 :]
    finished = example.finished and len(response) <= max_response
    return Example(prompt, response[:max_response], finished, example.row)


def _table(kept: Sequence[Example], cut: int, lost: Counter[str], rows: int, encoder: Encoder) -> LengthTable:
    decode = encoder.tokenizer.decode
    first = kept[0]
    return LengthTable(
        rows=rows, kept=len(kept), cut=cut, dropped=dict(lost),
        prompt_tokens=_spread([len(e.prompt_ids) for e in kept]),
        response_tokens=_spread([len(e.response_ids) for e in kept]),
        eos_trained=sum(e.finished for e in kept) / len(kept),
        example=f"{decode(first.prompt_ids)}⟦{decode(first.response_ids)}⟧",
    )  # fmt: skip


def _spread(counts: Sequence[int]) -> list[int]:
    return [int(v) for v in np.percentile(counts, [0, 50, 90, 100])]
