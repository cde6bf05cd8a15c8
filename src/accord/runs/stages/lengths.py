"""The length policy of a stage: applied, shown and stored before step 0; and how many rows it may
drop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from accord.errors import DataError
from accord.runs.context import StageContext
from accord.runs.dropping import allowing, refuse_dropping, rounded_up
from accord.runs.stages.settings import LengthConfig
from accord.text.dropping import Need
from accord.text.encoding import Example
from accord.text.language import Language
from accord.text.lengths import fit_lengths

AUTO_KEEPS = 0.99
"""Share of the rows whose length a limit of `auto` covers where longer rows are dropped."""


def apply_lengths(
    examples: Sequence[Example],
    model: Language,
    config: LengthConfig,
    context: StageContext,
    dropped: dict[str, int] | None = None,
    left_out: dict[str, int] | None = None,
    rows: Sequence[Sequence[str]] | None = None,
    unreadable: int = 0,
) -> list[Example]:
    """Keep, cut or drop examples as configured; the table goes to the user and to lengths.json.

    `rows`: names of the examples that stand or fall together (each by itself, unless given); of
    these, and of `unreadable` ones lost before, no more may be dropped than the stage allows:
    DataError names the limit at fault and one that would do.
    """
    by_row = {example.row: example for example in examples}
    together = (
        [[by_row[name] for name in names] for names in rows]
        if rows is not None
        else [[e] for e in examples]
    )
    needs = [
        Need(max(len(e.prompt_ids) for e in one), max(len(e.response_ids) for e in one))
        for one in together
    ]
    prompt, response = found_limits(config, needs, model.context, context)
    limits = {"max_prompt_tokens": prompt, "max_response_tokens": response}
    if config.too_long == "drop":
        lost = [n for n in needs if not n.fits(prompt, response)]
        try:
            refuse_dropping(lost, needs, limits, context, unreadable)
        except DataError as error:
            if "auto" not in (config.max_prompt_tokens, config.max_response_tokens):
                raise
            allowed = rounded_up(len(lost) + unreadable, len(needs) + unreadable)
            raise DataError(
                f"{error.message}; more does not fit the model's context of {model.context:,}",
                f"use a model with a longer context, or allow it: {allowing(allowed, context)}",
            ) from error
    fitting, table = fit_lengths(
        examples,
        context.encoder(model),
        prompt,
        response,
        config.too_long,
        dropped,
        context=model.context,
        left_out=left_out,
    )
    if config.too_long == "cut":
        there = {example.row for example in fitting}
        lost = [
            need
            for one, need in zip(together, needs, strict=True)
            if not all(e.row in there for e in one)
        ]
        reached = _as_needed(lost, needs, prompt, response)
        refuse_dropping(lost, reached, limits, context, unreadable)
    context.keep_table(table)
    return fitting


def found_limits(
    config: LengthConfig, needs: Sequence[Need], longest: int, context: StageContext
) -> tuple[int, int]:
    """The limits of prompt and response in tokens, found in the rows' needs where they are auto:
    what all rows need, or 99 % of them where longer ones are dropped; together at most `longest`,
    the model's context."""
    share = AUTO_KEEPS if config.too_long == "drop" else 1.0
    prompt, response = (
        _needed([getattr(need, part) for need in needs], share) if limit == "auto" else limit
        for part, limit in (
            ("prompt", config.max_prompt_tokens),
            ("response", config.max_response_tokens),
        )
    )
    if config.max_response_tokens == "auto":
        response = min(response, max(longest - prompt, longest // 2))
    if config.max_prompt_tokens == "auto":
        prompt = min(prompt, max(1, longest - response))
    found = [("max_prompt_tokens", prompt), ("max_response_tokens", response)]
    said = [f"{name} {limit:,}" for name, limit in found if getattr(config, name) == "auto"]
    if said:
        context.say(f"lengths from the data: {', '.join(said)}")
    return prompt, response


def _needed(tokens: Sequence[int], share: float) -> int:
    """What `share` of the rows need at most."""
    return sorted(tokens)[max(0, math.ceil(share * len(tokens)) - 1)]


def _as_needed(
    lost: Sequence[Need], needs: Sequence[Need], prompt: int, response: int
) -> list[Need]:
    """What rows need where they are cut: those that can be need no more than the limits."""
    left, reached = Counter(lost), []
    for need in needs:
        within = Need(min(need.prompt, prompt), min(need.response, response))
        reached.append(Need(need.prompt, within.response) if left[need] > 0 else within)
        left[need] -= 1
    return reached
