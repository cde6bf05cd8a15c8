"""Rows kept aside from training, to measure on."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from accord.errors import DataError
from accord.feedback.formats.source import DataSpec, name_of
from accord.runs.stages.settings import Aside
from accord.seeds import derive_seed

Row = TypeVar("Row")


def set_aside(
    rows: Sequence[Row],
    evaluation: Aside,
    key: Callable[[Row], Hashable] | None = None,
    what: str = "rows",
) -> tuple[list[Row], list[Row]]:
    """(rows to train on, rows kept aside): `evaluation` of them, or that share, from the end.

    With `key` (the prompt, say) all rows of one key are on the same side: as many more are kept
    aside as that takes. Raises DataError where nothing would be left to train on.
    """
    wanted = len(rows) - left_to_train(len(rows), evaluation, what)
    held = set(range(len(rows) - wanted, len(rows)))
    if key is not None:
        keys = [key(row) for row in rows]
        apart = {keys[place] for place in held}
        held = {place for place, one in enumerate(keys) if one in apart}
    if len(held) == len(rows):
        raise DataError(
            f"all {len(rows)} {what} are on the prompts that are to be kept aside",
            "lower evaluation, or name other data for it",
        )
    train = [row for place, row in enumerate(rows) if place not in held]
    return train, [row for place, row in enumerate(rows) if place in held]


def kept_back(rows: int, evaluation: object) -> int:
    """How many of `rows` are kept aside; none where `evaluation` is data of its own, or nothing."""
    if isinstance(evaluation, float):
        return max(1, round(evaluation * rows))
    return evaluation if isinstance(evaluation, int) else 0


def left_to_train(rows: int, evaluation: object, what: str = "rows") -> int:
    """Rows of `rows` that are not kept aside. Raises DataError where none would be left."""
    held = kept_back(rows, evaluation)
    if held >= rows:
        raise DataError(
            f"{rows:,} {what}, but {held:,} are to be kept aside",
            "lower evaluation, or name other data for it",
        )
    return rows - held


def drawn(rows: Sequence[Row], limit: int | None, seed: int) -> list[Row]:
    """At most `limit` of the rows, drawn at random, in their order."""
    if limit is None or limit >= len(rows):
        return list(rows)
    places = random.Random(derive_seed(seed, "limit")).sample(range(len(rows)), limit)
    return [rows[place] for place in sorted(places)]


def aside_text(evaluation: Aside | DataSpec | None) -> str:
    """What is kept aside, in words."""
    if evaluation is None:
        return "nothing"
    if isinstance(evaluation, float):
        return f"{evaluation:.0%}"
    return str(evaluation) if isinstance(evaluation, int) else name_of(evaluation)


def heldout_text(loss: float | None, agreement: float | None) -> str:
    """Held-out measures as a summary ends with them."""
    ordered = "" if agreement is None else f", agreement {agreement:.1%}"
    return "" if loss is None else f"; held out: loss {loss:.3f}{ordered}"


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that there are."""
    return {name: value for name, value in values.items() if value is not None}
