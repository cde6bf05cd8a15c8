"""The length policy of a stage: applied, shown and stored before step 0."""

from __future__ import annotations

from collections.abc import Sequence

from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.stages.settings import LengthConfig
from accord.text.encoding import Example
from accord.text.language import Language
from accord.text.lengths import fit_lengths


def apply_lengths(
    examples: Sequence[Example], model: Language, config: LengthConfig, context: StageContext,
    dropped: dict[str, int] | None = None,
) -> list[Example]:  # fmt: skip
    """Keep, cut or drop examples as configured; the table goes to the user and to lengths.json."""
    kept, table = fit_lengths(
        examples, context.encoder(model), config.max_prompt_tokens, config.max_response_tokens, config.too_long,
        dropped, context=model.context,
    )  # fmt: skip
    for line in table.lines():
        context.say(line)
    write_json(context.folder / "lengths.json", table.values())
    return kept
