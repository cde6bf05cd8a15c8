"""The length policy of a stage: applied, shown and stored before step 0; and how many rows it may
drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from accord.runs.context import StageContext
from accord.runs.dropping import refuse_dropping
from accord.runs.stages.settings import LengthConfig
from accord.text.dropping import Need
from accord.text.encoding import Example
from accord.text.language import Language
from accord.text.lengths import fit_lengths


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
    if config.too_long == "drop":
        refuse_dropping(
            [n for n in needs if not n.fits(config.max_prompt_tokens, config.max_response_tokens)],
            needs,
            config.limits,
            context,
            unreadable,
        )
    fitting, table = fit_lengths(
        examples,
        context.encoder(model),
        config.max_prompt_tokens,
        config.max_response_tokens,
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
        refuse_dropping(lost, _as_needed(lost, needs, config), config.limits, context, unreadable)
    context.keep_table(table)
    return fitting


def _as_needed(lost: Sequence[Need], needs: Sequence[Need], config: LengthConfig) -> list[Need]:
    """What rows need where they are cut: those that can be need no more than the limits."""
    left, reached = Counter(lost), []
    for need in needs:
        within = Need(
            min(need.prompt, config.max_prompt_tokens),
            min(need.response, config.max_response_tokens),
        )
        reached.append(Need(need.prompt, within.response) if left[need] > 0 else within)
        left[need] -= 1
    return reached
