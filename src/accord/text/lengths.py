"""Over-long examples: an error, or a policy the recipe chose; either way counted and shown before
step 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from accord.errors import DataError, by_reason
from accord.text.conversations import shorter
from accord.text.encoding import Encoder, Example
from accord.text.packing import common_start

TooLong = Literal["error", "drop", "cut"]


@dataclass(frozen=True)
class LengthTable:
    """What happened to the rows. tokens: [minimum, median, 90th percentile, maximum] of prompt and
    response;
    eos_trained: share of responses that end with their stop token; example: one decoded, the
    trained part in ⟦ ⟧.

    round_trip: share of responses whose tokens give back their text (and so the same tokens again);
    changed: a row that does not, as it was and as its tokens read. lost_reasoning: rows of whose
    earlier replies the chat template leaves out the
    reasoning, by design. left_out: what was found beside the rows and is in none of them, by
    reason.
    """

    rows: int
    kept: int
    cut: int
    dropped: dict[str, int]
    prompt_tokens: list[int]
    response_tokens: list[int]
    eos_trained: float
    example: str
    round_trip: float = 1.0
    changed: str = ""
    lost_reasoning: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The table for a terminal."""
        dropped = by_reason(self.dropped) or "0"
        p, r = self.prompt_tokens, self.response_tokens
        return [
            f"{self.rows:,} rows: {self.kept:,} kept ({self.cut:,} of them cut), dropped: "
            f"{dropped}",
            f"tokens (min/median/p90/max): prompt {p[0]}/{p[1]}/{p[2]}/{p[3]}, response "
            f"{r[0]}/{r[1]}/{r[2]}/{r[3]}; "
            f"EOS trained on {self.eos_trained:.0%} of the responses",
            f"text → tokens → text gives back {_share(self.round_trip)} of the responses"
            + (f"; not {self.changed}" if self.changed else ""),
            *(
                [
                    f"{self.lost_reasoning:,} rows: the chat template leaves out the "
                    "reasoning of earlier replies, by design"
                ]
                if self.lost_reasoning
                else []
            ),
            f"example: {self.example}",
            *([f"beside the rows: {by_reason(self.left_out)}"] if self.left_out else []),
        ]

    def values(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def fit_lengths(
    examples: Sequence[Example],
    encoder: Encoder,
    max_prompt: int,
    max_response: int,
    too_long: TooLong,
    dropped: dict[str, int] | None = None,
    context: int | None = None,
    left_out: dict[str, int] | None = None,
) -> tuple[list[Example], LengthTable]:
    """Apply the length policy, in tokens (a response's EOS counts).

    "cut" shortens prompts from the left and responses from the right, which then count as
    unfinished: an EOS is never invented. Of a plain prompt the BOS stays; of a conversation whole
    turns go, oldest first, and the system message stays; when its last turn alone is too long, the
    row is dropped, and counted as such. So is a row of whose response the limit leaves nothing that
    is trained.

    `dropped` are rows lost earlier, `left_out` parts of rows that are in no example, by reason, for
    the table. `context`: the model's longest sequence; a row that is still longer is an error
    whatever the policy. Raises DataError for "error", or when nothing is left.
    """
    fitting: list[Example] = []
    lost, cut = Counter(dropped or {}), 0
    for example in examples:
        prompt, response = len(example.prompt_ids), len(example.response_ids)
        if prompt <= max_prompt and response <= max_response:
            fitting.append(example)
        elif too_long == "error":
            raise _too_long(example, max_prompt, max_response)
        elif too_long == "drop":
            lost["too long"] += 1
        elif (shorter := _cut(example, encoder, max_prompt, max_response)) is None:
            lost["last message alone too long"] += 1
        elif not shorter.trained:
            lost["nothing trained is left of the response"] += 1
        else:
            fitting.append(shorter)
            cut += 1
    if not fitting:
        raise DataError(
            f"none of {len(examples)} rows is left: {by_reason(lost)}", "raise the token limits"
        )
    _check_context(fitting, context)
    rows = len(examples) + sum((dropped or {}).values())
    return fitting, replace(_table(fitting, cut, lost, rows, encoder), left_out=left_out or {})


def _too_long(example: Example, max_prompt: int, max_response: int) -> DataError:
    part, length, limit = "prompt", len(example.prompt_ids), max_prompt
    if length <= limit:
        part, length, limit = "response", len(example.response_ids), max_response
    return DataError(
        f"row {example.row}: the {part} has {length} tokens, the limit is {limit}",
        f"raise max_{part}_tokens, or set too_long to drop or cut",
    )


def _check_context(examples: Sequence[Example], context: int | None) -> None:
    for example in examples:
        total = len(example.prompt_ids) + len(example.response_ids)
        if context is not None and total > context:
            raise DataError(
                f"row {example.row}: {len(example.prompt_ids)} prompt and "
                f"{len(example.response_ids)} response tokens "
                f"exceed the model's context of {context}",
                "lower max_prompt_tokens and max_response_tokens, and set too_long to drop or cut",
            )


def _cut(example: Example, encoder: Encoder, max_prompt: int, max_response: int) -> Example | None:
    """The example within the limits; None when its conversation cannot be cut between turns."""
    while len(example.prompt_ids) > max_prompt:
        prompt = example.prompt_ids
        if isinstance(example.asked, str):
            keep = 1 if prompt[0] == encoder.tokenizer.bos_token_id else 0
            example = replace(
                example, prompt_ids=prompt[:keep] + prompt[len(prompt) - max_prompt + keep :]
            )
            continue
        shortened_prompt = shorter(example.asked)
        if shortened_prompt is None:
            return None
        shortened = encoder.example(
            shortened_prompt, example.answered, example.finished, example.row
        )
        example = replace(shortened, weight=example.weight)
    if len(example.response_ids) <= max_response:
        return example
    mask = None if example.mask is None else example.mask[:max_response]
    return replace(
        example, response_ids=example.response_ids[:max_response], finished=False, mask=mask
    )


def _table(
    examples: Sequence[Example], cut: int, lost: Counter[str], rows: int, encoder: Encoder
) -> LengthTable:
    odd = [example for example in examples if not encoder.round_trips(example)]
    return LengthTable(
        rows=rows,
        kept=len(examples),
        cut=cut,
        dropped=dict(lost),
        prompt_tokens=_spread([len(e.prompt_ids) for e in examples]),
        response_tokens=_spread([len(e.response_ids) for e in examples]),
        eos_trained=sum(e.finished for e in examples) / len(examples),
        example=show_example(examples[0], encoder),
        round_trip=1 - len(odd) / len(examples),
        changed=_changed(odd[0], encoder) if odd else "",
        lost_reasoning=sum(e.lost_reasoning > 0 for e in examples),
    )


def _changed(example: Example, encoder: Encoder) -> str:
    """Where an example's text and what its tokens read come apart."""
    decoded = encoder.tokenizer.decode(example.response_ids)
    at = max(0, common_start(example.text, decoded) - 10)
    return f"row {example.row}: {example.text[at : at + 40]!r} reads {decoded[at : at + 40]!r}"


def _share(share: float) -> str:
    """A share that is said to be 100 % only where it is."""
    return "100%" if share == 1 else f"{min(share, 0.999):.1%}"


def show_example(example: Example, encoder: Encoder) -> str:
    """The example decoded, its trained parts in ⟦ ⟧."""
    decode = encoder.tokenizer.decode
    parts = [decode(example.prompt_ids)]
    mask = example.mask or [True] * len(example.response_ids)
    for trained, run in groupby(
        zip(mask, example.response_ids, strict=True), key=lambda pair: pair[0]
    ):
        text = decode([token for _, token in run])
        parts.append(f"⟦{text}⟧" if trained else text)
    return "".join(parts)


def _spread(counts: Sequence[int]) -> list[int]:
    return [int(v) for v in np.percentile(counts, [0, 50, 90, 100])]
