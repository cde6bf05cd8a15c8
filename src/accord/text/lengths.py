"""Over-long examples: an error, or a policy the recipe chose; either way counted and shown before step 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from accord.errors import DataError
from accord.text.conversations import drop_oldest_turn
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
    dropped: dict[str, int] | None = None, context: int | None = None,
) -> tuple[list[Example], LengthTable]:  # fmt: skip
    """Apply the length policy, in tokens (a response's EOS counts).

    "cut" shortens prompts from the left and responses from the right, which then count as unfinished: an EOS
    is never invented. Of a plain prompt the BOS stays; of a conversation whole turns go, oldest first, and the
    system message stays; when its last turn alone is too long, the row is dropped, and counted as such.

    `dropped` are rows lost earlier, by reason, for the table. `context`: the model's longest sequence; a row
    that is still longer is an error whatever the policy. Raises DataError for "error", or when nothing is left.
    """
    kept: list[Example] = []
    lost, cut = Counter(dropped or {}), 0
    for example in examples:
        prompt, response = len(example.prompt_ids), len(example.response_ids)
        if prompt <= max_prompt and response <= max_response:
            kept.append(example)
        elif too_long == "error":
            raise _too_long(example, max_prompt, max_response)
        elif too_long == "drop":
            lost["too long"] += 1
        elif (shorter := _cut(example, encoder, max_prompt, max_response)) is None:
            lost["last message alone too long"] += 1
        else:
            kept.append(shorter)
            cut += 1
    if not kept:
        raise DataError(f"none of {len(examples)} rows is left: {dict(lost)}", "raise the token limits")
    _check_context(kept, context)
    return kept, _table(kept, cut, lost, len(examples) + sum((dropped or {}).values()), encoder)


def _too_long(example: Example, max_prompt: int, max_response: int) -> DataError:
    part, found, limit = "prompt", len(example.prompt_ids), max_prompt
    if found <= limit:
        part, found, limit = "response", len(example.response_ids), max_response
    return DataError(
        f"row {example.row}: the {part} has {found} tokens, the limit is {limit}",
        f"raise max_{part}_tokens, or set too_long to drop or cut",
    )


def _check_context(kept: Sequence[Example], context: int | None) -> None:
    for example in kept:
        total = len(example.prompt_ids) + len(example.response_ids)
        if context is not None and total > context:
            raise DataError(
                f"row {example.row}: {len(example.prompt_ids)} prompt and {len(example.response_ids)} response tokens "
                f"exceed the model's context of {context}",
                "lower max_prompt_tokens and max_response_tokens, and set too_long to drop or cut",
            )


def _cut(example: Example, encoder: Encoder, max_prompt: int, max_response: int) -> Example | None:
    """The example within the limits; None when its conversation cannot be cut between turns."""
    prompt, response, messages = example.prompt_ids, example.response_ids, example.messages
    while len(prompt) > max_prompt:
        if messages is None:
            keep = 1 if prompt[0] == encoder.tokenizer.bos_token_id else 0
            prompt = prompt[:keep] + prompt[len(prompt) - max_prompt + keep :]
        else:
            messages = drop_oldest_turn(messages)
            if messages is None:
                return None
            prompt = encoder.prompt(messages, example.row)
    finished = example.finished and len(response) <= max_response
    return Example(prompt, response[:max_response], finished, example.row, messages)


def _table(kept: Sequence[Example], cut: int, lost: Counter[str], rows: int, encoder: Encoder) -> LengthTable:
    return LengthTable(
        rows=rows, kept=len(kept), cut=cut, dropped=dict(lost),
        prompt_tokens=_spread([len(e.prompt_ids) for e in kept]),
        response_tokens=_spread([len(e.response_ids) for e in kept]),
        eos_trained=sum(e.finished for e in kept) / len(kept),
        example=show_example(kept[0], encoder),
    )  # fmt: skip


def show_example(example: Example, encoder: Encoder) -> str:
    """The example decoded, its trained part in ⟦ ⟧."""
    decode = encoder.tokenizer.decode
    return f"{decode(example.prompt_ids)}⟦{decode(example.response_ids)}⟧"


def _spread(counts: Sequence[int]) -> list[int]:
    return [int(v) for v in np.percentile(counts, [0, 50, 90, 100])]
