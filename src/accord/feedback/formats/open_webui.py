"""Open WebUI's feedback export: a thumb for one message of a chat; where several models answered it
is a vote between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import Left, Parsed, RowError, build, messages, name_in
from accord.feedback.formats.making import answer, ranked, unused
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import empty, number, shown
from accord.feedback.records import Message

OWN = ("id", "user_id", "type", "data", "meta", "snapshot", "created_at")
_DATA = ("rating", "model_id", "sibling_model_ids", "comment", "details")
_META = ("model_id", "message_id", "base_models")
HIGHEST = 10


def is_open_webui(row: Row) -> bool:
    """A rating of a message, with the chat it stands in or without."""
    data = row.get("data")
    return (
        row.get("type") == "rating"
        and isinstance(data, Mapping)
        and "rating" in data
        and "meta" in row
    )


def open_webui(row: Row) -> Iterator[Parsed]:
    """A thumb up (1) or down (-1): with answers of other models beside it, that it is better or
    worse than all of them; a score from 1 to 10 and words are records beside it. Reason, tags and
    what else is told stay in `meta.source`."""
    data, chat = row["data"], _chat(row)
    own = str((row.get("meta") or {}).get("message_id"))
    if own not in chat:
        raise RowError("the rated message is not in the snapshot of its chat")
    if data["rating"] not in (1, -1):
        raise RowError(f"the rating is {shown(data['rating'])}, not 1 or -1")
    prompt, rated = _before(chat, own), chat[own]
    others = _siblings(chat, own, data.get("sibling_model_ids") or [])
    further = {
        name: value for name, value in data.items() if name not in _DATA and not empty(value)
    }
    about = {
        name: value
        for name, value in (row.get("meta") or {}).items()
        if name not in _META and not empty(value)
    }
    columns = {name: value for name, value in row.items() if name not in OWN and not empty(value)}
    source = {"feedback": row.get("id"), **further, **({"meta": about} if about else {})}
    more: dict[str, Any] = {"meta": {"source": source, **({"columns": columns} if columns else {})}}
    common = {
        **{name: row[name] for name in ("user_id", "created_at") if name in row},
        "session": row.get("id"),
    }
    texts = [answer(message, "content") for message in (rated, *others)]
    wrote = [name_in(data, "model_id"), *(name_in(message, "model") for message in others)]
    missing = len(data.get("sibling_model_ids") or []) - len(others)
    if others:
        yield ranked(
            prompt, texts, [data["rating"], *[0.0] * len(others)], common, producers=wrote, **more
        )
    else:
        yield build(
            "thumb", prompt, texts, {"up": data["rating"] == 1}, common, producers=wrote, **more
        )
    yield from [Left("answer of another model that is not in the snapshot")] * missing
    yield from [Left("message of the chat that was neither asked nor judged")] * (
        len(chat) - len(prompt) - 1 - len(others)
    )
    yield from unused(data.get("details") or {}, ("rating",), "the details")
    alone = {"producers": wrote[:1], **more}
    if not empty(score := (data.get("details") or {}).get("rating")):
        choice = {"scores": {"rating": number(score, "details.rating")}, "low": 1, "high": HIGHEST}
        yield build("rating", prompt, texts[:1], choice, common, **alone)
    if not empty(words := data.get("comment")):
        yield build("critique", prompt, texts[:1], {"text": words}, common, **alone)


def _chat(row: Row) -> Mapping[str, Mapping[str, Any]]:
    try:
        history = row["snapshot"]["chat"]["chat"]["history"]["messages"]
    except (KeyError, TypeError):
        raise RowError(
            "the export holds no snapshot of the chat, so that the texts are missing"
        ) from None
    if not isinstance(history, Mapping):
        raise RowError("the snapshot's messages are not an object that maps ids to messages")
    return history


def _before(chat: Mapping[str, Mapping[str, Any]], own: str) -> list[Message]:
    """The messages that a message answers, from the chat's start."""
    path: list[Mapping[str, Any]] = []
    above = chat[own].get("parentId")
    while above is not None:
        if above not in chat or len(path) > len(chat):
            raise RowError("the chat's messages do not lead back to its start")
        if not empty(chat[above].get("files")):
            raise RowError("a message of the chat comes with files: accord reads text only")
        path.append({name: chat[above].get(name) for name in ("role", "content")})
        above = chat[above].get("parentId")
    return messages(path[::-1])


def _siblings(
    chat: Mapping[str, Mapping[str, Any]], own: str, models: list[str]
) -> list[Mapping[str, Any]]:
    """The answers of other models to the same message; of several by one model the last."""
    above = chat[own].get("parentId")
    by_model = {
        name_in(message, "model"): message
        for name, message in chat.items()
        if name != own and message.get("parentId") == above and message.get("role") == "assistant"
    }
    return [by_model[model] for model in models if model in by_model]
