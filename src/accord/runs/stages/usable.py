"""Records as stages on texts read them: those that count and are about texts, and what each of
their responses says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from accord.feedback.records import (
    WRITTEN,
    Behaviour,
    Content,
    Correction,
    Demonstration,
    Feedback,
    content_id,
    plain,
    to_json,
)


def usable(records: Sequence[Feedback]) -> tuple[list[Feedback], Counter[str]]:
    """(records that a stage on texts can use, how many others there are by reason)."""
    reasons = [_unusable(record) for record in records]
    usable_records = [record for record, reason in zip(records, reasons, strict=True) if not reason]
    return usable_records, Counter(reason for reason in reasons if reason)


def _unusable(record: Feedback) -> str:
    if not record.weight:
        return f"{record.kind} of weight 0"
    clips = any(isinstance(option.content, Behaviour) for option in record.options)
    return f"{record.kind} of clips, which are not texts" if clips else ""


def ended(record: Feedback, option: str) -> bool:
    """Whether a response of the record ends there (a policy's may have been cut off); so it does
    unless the record says not."""
    finished: Any = record.meta.get("finished", True)
    return finished if isinstance(finished, bool) else finished.get(option, True)


def prompt_key(record: Feedback) -> str:
    """The same for records that ask the same, with the same tools and settings of the template."""
    return content_id(record.asked)


class Response(NamedTuple):
    """A response of a record: its name there, what it says as JSON, whether it ends there, whether
    it says nothing."""

    name: str
    said: str
    finished: bool
    blank: bool

    @property
    def content(self) -> Any:
        """As an encoder takes it: a text to the letter, or messages."""
        return json.loads(self.said)


def responses(record: Feedback) -> dict[str, Response]:
    """The responses a record is about, by their names in it."""
    contents: dict[str, Content | Behaviour] = {
        option.id: option.content for option in record.options
    }
    if isinstance(record.choice, Correction | Demonstration):
        contents[WRITTEN] = record.choice.content
    return {
        name: Response(
            name, json.dumps(to_json(content)), ended(record, name), not plain(content).strip()
        )
        for name, content in contents.items()
    }


def row_name(record: Feedback, response: str, taken: Collection[str]) -> str:
    """What a response is called in messages and tables; records may share an id, names are told
    apart."""
    name = f"{record.id}/{response}"
    return name if name not in taken else f"{name} ({len(taken)})"
