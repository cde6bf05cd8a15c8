"""What a record says of its options, as a judgement about their numbers."""

from __future__ import annotations

from collections.abc import Mapping

from accord.feedback.records import (
    WRITTEN,
    AttributeComparison,
    BestWorst,
    Choice,
    Comparison,
    Correction,
    Feedback,
    Ranking,
)
from accord.learning.judgements import Judgement, JudgementKind
from accord.learning.likelihoods import MOST_TIED


def unordered(record: Feedback) -> str | None:
    """Why the order of a ranking says nothing that a likelihood can use; None where it does."""
    if not isinstance(record.choice, Ranking):
        return None
    if len(record.choice.order) == 1 and len(record.choice.order[0]) > 2:
        return "ranking in which all are tied"
    if max(map(len, record.choice.order)) > MOST_TIED:
        return f"ranking with more than {MOST_TIED} tied"
    return None


def choice_of(
    record: Feedback, numbers: Mapping[str, int], annotator: int, margin: float = 0.0
) -> Judgement:
    """A choice among the options; of a correction, the edit over the original."""
    choice = record.choice
    if isinstance(choice, Correction):
        original = record.options[0].id
        return Judgement((numbers[WRITTEN], numbers[original]), None, annotator)
    if isinstance(choice, AttributeComparison):
        raise TypeError("an attribute_comparison has a choice for each attribute")
    return compared_by(choice, record, numbers, annotator, margin)


def compared_by(
    choice: Choice,
    record: Feedback,
    numbers: Mapping[str, int],
    annotator: int,
    margin: float = 0.0,
) -> Judgement:
    """A choice among the options of a record, whole or one of its parts."""
    kind, order = _order(choice, record)
    tied: tuple[int, ...] = ()
    wanted, doubt = 0.0, None
    if isinstance(choice, Ranking) and 1 < len(choice.order) < len(order):
        tied = tuple(map(len, choice.order))
    elif isinstance(choice, Comparison) and choice.preferred is not None:
        wanted = margin * ((choice.strength or 1) - 1) + float(record.meta.get("margin", 0.0))
        doubt = None if choice.probability is None else 1 - choice.probability
    shown = {option.id: option.shown_at for option in record.options}
    return Judgement(
        tuple(numbers[name] for name in order),
        tuple(shown[name] for name in order),
        annotator,
        kind,
        wanted,
        tied=tied,
        doubt=doubt,
    )


def _order(choice: Choice, record: Feedback) -> tuple[JudgementKind, list[str]]:
    """(what a choice says of a record's options, their names in the order in which it says so)."""
    if isinstance(choice, Ranking):
        if len(choice.order) == 1:
            return "tie", record.shown
        return "order", [name for group in choice.order for name in group]
    if isinstance(choice, BestWorst):
        ends = (choice.best, choice.worst)
        between = [name for name in record.shown if name not in ends]
        return "best_worst", [choice.best, *between, choice.worst]
    if not isinstance(choice, Comparison):
        raise TypeError(f"a {record.kind} compares nothing")
    if choice.preferred is None:
        return "tie", record.shown
    return "order", sorted(record.shown, key=lambda name: name != choice.preferred)
