"""Details of records that a row of some format does not say: counted, so that nothing is lost in
silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from accord.feedback.formats.columns import option_ids
from accord.feedback.records import Behaviour, Feedback, StepLabels, plain

TABLES = ("csv-pairwise", "csv-ratings")
"""Shapes written as CSV."""
_KEPT_META = {"shown", "finished", "margin"}
_HOLDS_MESSAGES = (
    "trl-preference",
    "trl-preference-implicit",
    "trl-unpaired",
    "trl-completion",
    *TABLES,
)


def lost_details(records: Sequence[Feedback], shape: str) -> dict[str, int]:
    """Details of written records that their rows do not say, each with the number of records that
    have it."""
    lost: Counter[str] = Counter()
    for record in records:
        lost.update({*_lost_messages(record, shape), *_lost_fields(record, shape)})
    return dict(lost)


def _lost_messages(record: Feedback, shape: str) -> Iterator[str]:
    if shape in _HOLDS_MESSAGES:
        return
    if record.tools:
        yield "tools"
    if record.chat_template_kwargs:
        yield "chat_template_kwargs"
    contents = [
        record.prompt,
        *(o.content for o in record.options),
        getattr(record.choice, "content", ""),
    ]
    for message in (m for content in contents if isinstance(content, list) for m in content):
        if isinstance(message.content, list):
            yield "the parts of a message (joined)"
        if message.weight is not None:
            yield "weight of a message"
        if message.name is not None:
            yield "name of a message"
    if any(isinstance(option.content, list) for option in record.options):
        yield "that a response was written as messages"


def _lost_fields(record: Feedback, shape: str) -> Iterator[str]:
    """Producers, ids of options, further meta data: what only some shapes have a place for."""
    if shape in TABLES:
        return
    if shape in ("trl-stepwise", "prm800k") and any(
        option.producer is not None for option in record.options
    ):
        yield "who wrote a response (producer)"
    contents = [o.content for o in record.options if not isinstance(o.content, Behaviour)]
    if shape != "oasst" and [option.id for option in record.options] != option_ids(contents):
        yield "ids of responses"
    held = {
        "trl-stepwise": _KEPT_META,
        "prm800k": {*_KEPT_META, "prm800k"},
        "oasst": {"shown", "oasst"},
    }.get(shape, _KEPT_META)
    yield from (f"meta: {name}" for name in record.meta if name not in held)
    if isinstance(record.choice, StepLabels) and any(
        plain(o.content) != "\n".join(record.choice.steps) for o in record.options
    ):
        yield "how steps were joined"
