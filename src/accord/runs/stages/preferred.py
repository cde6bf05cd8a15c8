"""The preferred answers of judgements as demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accord.feedback.records import Feedback

ORDERING = ("comparison", "ranking")
"""Kinds of records that say which answer is better."""


def preferred_answers(record: Feedback) -> Iterator[Feedback]:
    """The preferred answer of a comparison; of a ranking each answer, once for every one it is
    better than; none that is blank. Those of one record share its weight.

    Whether it finished, where that is known, goes along: fine-tuning would otherwise teach to stop
    in mid-sentence.
    """
    from accord.feedback.records import Feedback, asked_fields
    from accord.runs.stages.usable import ended, responses

    named, better = responses(record), list(winners(record))
    for number, option in enumerate(better):
        if not named[option].blank:
            yield Feedback.model_validate(
                {
                    "id": f"{record.id}-{number}",
                    "kind": "demonstration",
                    **asked_fields(record.asked),
                    "options": [],
                    "choice": {"content": named[option].content},
                    "annotator": record.annotator,
                    "weight": record.weight / len(better),
                    "meta": (
                        {"finished": ended(record, option)} if "finished" in record.meta else {}
                    ),
                }
            )


def winners(record: Feedback) -> Iterator[str]:
    """The option that wins, for each pair that has a winner."""
    from accord.feedback.records import Comparison, Ranking

    choice = record.choice
    if isinstance(choice, Comparison):
        if choice.preferred is not None and choice.probability != 0.5:
            yield choice.preferred
        return
    if not isinstance(choice, Ranking):
        raise TypeError(f"a {record.kind} orders no options")
    for place, group in enumerate(choice.order):
        worse = sum(map(len, choice.order[place + 1 :]))
        yield from (option for option in group for _ in range(worse))
