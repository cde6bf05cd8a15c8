"""What rows of every shape have in common: who judged, when, for how long; and records built from rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from accord.feedback.records import Content, Feedback, Message, content_id, to_json

SOURCE = "dataset"
"""The annotator of rows that do not name one."""
UNKNOWN_ORDER = "unknown"
"""`meta["shown"]` of a record whose source does not say in which order the options were shown."""
ANNOTATOR_COLUMNS = ("annotator", "worker", "worker_id", "labeler", "judge", "user_id")
TIME_COLUMNS = ("created_at", "timestamp", "created_date", "tstamp")
SECONDS_COLUMNS = ("active_seconds", "lead_time")
DERIVED = {"soft_label", "votes"}
"""Columns of our exports that are computed anew from the records."""
COMMON = {
    *ANNOTATOR_COLUMNS, *TIME_COLUMNS, *SECONDS_COLUMNS,
    "session", "guideline", "record_id", "shown_at", "weight", "finished", *DERIVED,
}  # fmt: skip
"""Columns understood in rows of any shape."""
_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}


class RowError(ValueError):
    """This row cannot be used, or this record cannot be written; the message says why."""


@dataclass(frozen=True)
class Left:
    """A part of a row that no record holds; a parser yields it among the records, and it is counted."""

    reason: str


Parsed = Feedback | Left


def annotator_of(row: Mapping[str, Any]) -> str:
    """Who judged; SOURCE when no column says so."""
    return str(_first(row, ANNOTATOR_COLUMNS, SOURCE))


def said(row: Mapping[str, Any]) -> dict[str, Any]:
    """Session, guideline, time and active seconds of a row, those it has."""
    found: dict[str, Any] = {
        name: str(row[name]) for name in ("session", "guideline") if row.get(name) not in (None, "")
    }
    if (when := _first(row, TIME_COLUMNS)) is not None:
        numeric = isinstance(when, (int, float))
        found["created_at"] = datetime.fromtimestamp(when, UTC).isoformat() if numeric else str(when)
    if (seconds := _first(row, SECONDS_COLUMNS)) is not None:
        try:
            found["active_seconds"] = float(seconds)
        except ValueError:
            raise RowError(f"the column 'active_seconds' is {seconds!r}, not a number") from None
    return found


def _first(row: Mapping[str, Any], names: Sequence[str], default: Any = None) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), default)


def option_ids(contents: Sequence[Content]) -> list[str]:
    """Equal content, equal id, in whatever row it stands; repeats within one row are numbered."""
    seen: Counter[str] = Counter()
    ids = []
    for content in contents:
        one = content_id(_bare(content))
        ids.append(one if not seen[one] else f"{one}-{seen[one]}")
        seen[one] += 1
    return ids


def _bare(content: Content) -> Content:
    """The text of a reply that is one plain message: it is the same response, however it was written down."""
    if not isinstance(content, str) and to_json(content) == [{"role": "assistant", "content": content[0].text}]:
        return content[0].text
    return content


def build(
    kind: str, prompt: Content, contents: Sequence[Content], choice: Any, row: Mapping[str, Any], *,
    ids: Sequence[str] | None = None, producers: Sequence[str | None] | None = None, places: Sequence[int] | None = None,
    annotator: str | None = None, record_id: str | None = None, meta: Mapping[str, Any] | None = None,
) -> Feedback:  # fmt: skip
    """A record about `contents`, answered with `choice` (or with choice(ids)), by whom and when the row says.

    places: where each was shown; without them the row's `shown_at`, else an order drawn from the content, so that
    what was preferred never looks as if it had always been shown first, and `meta["shown"]` says so. record_id: else
    the row's, else made from all of it: equal judgement, equal id.
    """
    names = list(ids) if ids is not None else option_ids(contents)
    filled = choice(names) if callable(choice) else choice
    who, common = annotator or annotator_of(row), said(row)
    wrote = list(producers) if producers is not None else [None] * len(names)
    kept = {**_finished(row.get("finished"), names), **(meta or {})}
    weight = _weight(row)
    extra: list[Any] = [common, kept] if common or kept else []
    extra += [] if weight == 1.0 else [weight]
    where, known = _places(places if places is not None else row.get("shown_at"), prompt, names)
    options = [
        {"id": i, "content": content, "producer": producer, "shown_at": place}
        for i, content, producer, place in zip(names, contents, wrote, where, strict=True)
    ]
    body = {"kind": kind, "prompt": prompt, "options": options, "choice": filled, "annotator": who, **common}
    own = record_id or row.get("record_id") or content_id(kind, prompt, contents, names, filled, who, *extra)
    return Feedback.model_validate(
        {"id": str(own), **body, "weight": weight, "meta": kept if known else {**kept, "shown": UNKNOWN_ORDER}}
    )


def _finished(told: Any, ids: Sequence[str]) -> dict[str, Any]:
    """`meta["finished"]` of a row that says whether its responses ended: by option, of a demonstration one value."""
    if isinstance(told, list) and len(told) == len(ids):
        return {"finished": dict(zip(ids, told, strict=True))}
    return {"finished": told} if isinstance(told, bool) and not ids else {}


def _weight(row: Mapping[str, Any]) -> float:
    """How much the judgement counts, 1 where the row does not say. Raises RowError for what is no weight."""
    told = row.get("weight")
    if told in (None, ""):
        return 1.0
    try:
        weight = float(told)
    except (TypeError, ValueError):
        weight = float("nan")
    if isinstance(told, bool) or not math.isfinite(weight) or weight < 0:
        raise RowError(f"the column 'weight' is {told!r}, not a number of 0 or more")
    return weight


def _places(given: Any, prompt: Content, ids: Sequence[str]) -> tuple[list[int], bool]:
    """(place of each option, whether the source says so)."""
    if given is not None:
        return list(given), True
    drawn = sorted(range(len(ids)), key=lambda i: content_id(prompt, ids[i]))
    places = [0] * len(ids)
    for place, i in enumerate(drawn):
        places[i] = place
    return places, len(ids) < 2


def messages(value: Any) -> list[Message]:
    """Messages from role/content or from/value dictionaries."""
    found = []
    for turn in value:
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if role not in _ROLES or not isinstance(content, str):
            raise RowError(f"a message has role {role!r} and content of type {type(content).__name__}")
        found.append(Message(role=_ROLES[role], content=content))
    if not found:
        raise RowError("the conversation is empty")
    return found


def content_of(value: Any) -> Content:
    """Text as it is, a list as messages; raises RowError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return messages(value)
    raise RowError(f"a text is {type(value).__name__}, neither text nor messages")


def flat(content: Content) -> str:
    """All that a content says, without roles; "" where it says nothing."""
    return content if isinstance(content, str) else " ".join(m.said for m in content)
