"""Counts in words: "1 annotator", "3 best/worst choices"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from accord.feedback.records import Feedback

_KINDS = {
    "best_worst": ("best/worst choice", "best/worst choices"),
    "step_labels": ("set of step labels", "sets of step labels"),
    "flags": ("set of flags", "sets of flags"),
    "spans": ("set of marked passages", "sets of marked passages"),
    "attribute_comparison": ("comparison by attributes", "comparisons by attributes"),
}


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number with its noun: 1 annotator, 1,200 annotators."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def kinds_counted(records: Iterable[Feedback]) -> str:
    """How many records of each kind, the most frequent first."""
    kinds = Counter(record.kind for record in records)
    return ", ".join(
        counted(number, *_KINDS.get(kind, (kind,))) for kind, number in kinds.most_common()
    )
