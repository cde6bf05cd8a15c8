"""Conversations checked and split into demonstrations: which assistant turns are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from accord.errors import DataError


class Message(TypedDict):
    """One chat message."""

    role: str
    content: str


Turns = Literal["last", "every"]


def check_messages(messages: Sequence[Message], row: str = "") -> None:
    """Raise DataError unless every message has a role and a content (text), a system message comes first if at
    all, and no two assistant messages follow each other."""
    if not messages:
        raise DataError(f"row {row}: there are no messages", "a conversation needs a user message and an answer")
    before = ""
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise DataError(f"row {row}: message {number} needs a role and a content, both text", "repair the row")
        if role == "system" and number > 1:
            raise DataError(f"row {row}: message {number} is a system message in the middle", "put it first")
        if role == before == "assistant":
            raise DataError(f"row {row}: messages {number - 1} and {number} are both the assistant's", "join them")
        before = role


def split_conversation(
    messages: Sequence[Message], turns: Turns = "last", row: str = ""
) -> list[tuple[list[Message], str]]:
    """(prompt, response) pairs of a conversation.

    "last": the last assistant message answers everything before it (what follows is left out). "every": each
    assistant message is a response of its own to all that came before it, so every turn is trained once, with
    the prompt that the policy will see. An opening assistant message (nobody spoke yet) is context only.
    Raises DataError when there is no assistant message to train on, or the messages are malformed.
    """
    check_messages(messages, row)
    answers = [
        i for i, message in enumerate(messages)
        if message["role"] == "assistant" and any(m["role"] == "user" for m in messages[:i])
    ]  # fmt: skip
    if not answers:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"row {row}: no assistant message answers a user ({roles})", "is the answer missing?")
    chosen = answers if turns == "every" else answers[-1:]
    return [(list(messages[:i]), messages[i]["content"]) for i in chosen]


def drop_oldest_turn(messages: Sequence[Any]) -> list[Any] | None:
    """The conversation (dicts or models) without its oldest turn: the next one begins with a user message; a
    system message stays. None when only one turn is left."""
    roles = [role_of(message) for message in messages]
    start = 1 if roles[:1] == ["system"] else 0
    for i in range(start + 1, len(messages)):
        if roles[i] == "user" and any(role != "user" for role in roles[start:i]):
            return [*messages[:start], *messages[i:]]
    return None


def role_of(message: Any) -> Any:
    """The role of a message, whether a dict or a model."""
    return message.get("role") if isinstance(message, Mapping) else getattr(message, "role", None)
