"""Conversations checked and split into demonstrations: which assistant turns are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from accord.errors import DataError

Turns = Literal["last", "every"]
LEADING = ("system", "developer")
"""Roles that speak before the conversation begins."""
ROLES = (*LEADING, "user", "assistant", "tool")


def check_messages(messages: Sequence[Any], row: str = "") -> None:
    """Raise DataError unless every message has a known role and says something, system and
    developer messages come first if at all, no two assistant messages follow each other (other than
    with tool calls), and every tool result answers a call."""
    if not messages:
        raise DataError(
            f"row {row}: there are no messages", "a conversation needs a user message and an answer"
        )
    calls: list[Any] = []
    before: Any = {}
    for number, message in enumerate(messages, 1):
        role, content = role_of(message), _get(message, "content")
        says = isinstance(content, str | list) or (
            content is None
            and role == "assistant"
            and (_get(message, "tool_calls") or _get(message, "reasoning_content"))
        )
        if not isinstance(role, str) or not says:
            raise DataError(
                f"row {row}: message {number} needs a role and a content, both text",
                "repair the row",
            )
        if role not in ROLES:
            raise DataError(
                f"row {row}: message {number} has the role {role!r}",
                f"roles are {', '.join(ROLES)}",
            )
        if role in LEADING and number > 1 and role_of(before) not in LEADING:
            raise DataError(
                f"row {row}: message {number} is a {role} message in the middle", "put it first"
            )
        if role == role_of(before) == "assistant" and not (
            _get(message, "tool_calls") or _get(before, "tool_calls")
        ):
            raise DataError(
                f"row {row}: messages {number - 1} and {number} are both the assistant's",
                "join them",
            )
        if role == "tool":
            _check_result(message, calls, number, row)
        calls += [_get(call, "id") for call in _get(message, "tool_calls") or ()]
        before = message


def _check_result(message: Any, calls: Sequence[Any], number: int, row: str) -> None:
    answered = _get(message, "tool_call_id")
    if not calls:
        raise DataError(
            f"row {row}: message {number} is a tool's result, but no tool was called",
            "repair the row",
        )
    if answered is not None and all(call is not None for call in calls) and answered not in calls:
        raise DataError(
            f"row {row}: message {number} answers the tool call {answered!r}, there are {calls}",
            "repair the row",
        )


def split_conversation(
    conversation: Sequence[Any] | Mapping[str, Any], turns: Turns = "last", row: str = ""
) -> list[tuple[Any, list[Any]]]:
    """(prompt, response) pairs of a conversation: messages, or a dictionary of messages, tools and
    chat_template_kwargs.

    A turn of the assistant's is all that follows a user's message up to the assistant's last before
    the next: it may call tools and read their results. "last": the last turn answers everything
    before it (what follows is left out). "every": each turn is a response of its own to all that
    came before it, so every turn is trained once, with the prompt that the policy will see.
    Messages of weight 0 are context only, and a turn of nothing else is not trained. An opening
    assistant message (nobody spoke yet) is context only. Raises DataError when there is no
    assistant message to train on, or the messages are malformed.
    """
    given = conversation["messages"] if isinstance(conversation, Mapping) else conversation
    messages = list(given)
    check_messages(messages, row)
    examples, users = [], [i for i, message in enumerate(messages) if role_of(message) == "user"]
    for user, following in zip(users, [*users[1:], len(messages)], strict=True):
        replies = [i for i in range(user, following) if role_of(messages[i]) == "assistant"]
        trained = [i for i in replies if _get(messages[i], "weight") != 0]
        if trained:
            examples.append((messages[: replies[0]], messages[replies[0] : trained[-1] + 1]))
    if not examples:
        roles = ", ".join(role_of(message) for message in messages)
        raise DataError(
            f"row {row}: no assistant message answers a user ({roles}), or those that do have "
            "the weight 0",
            "is the answer missing?",
        )
    chosen = examples if turns == "every" else examples[-1:]
    return [(_with_messages(conversation, prompt), response) for prompt, response in chosen]


def drop_oldest_turn(messages: Sequence[Any]) -> list[Any] | None:
    """The conversation (dicts or models) without its oldest turn: the next one begins with a user
    message, and no tool's result loses its call; system and developer messages stay. None when only
    one turn is left."""
    roles = [role_of(message) for message in messages]
    start = next((i for i, role in enumerate(roles) if role not in LEADING), len(roles))
    for i in range(start + 1, len(messages)):
        turned = roles[i] == "user" and any(role != "user" for role in roles[start:i])
        if turned and not _answers_earlier(messages[i:]):
            return [*messages[:start], *messages[i:]]
    return None


def _answers_earlier(messages: Sequence[Any]) -> bool:
    """Whether a tool's result stands here without its call."""
    calls: list[Any] = []
    for message in messages:
        calls += [_get(call, "id") for call in _get(message, "tool_calls") or ()]
        answered = _get(message, "tool_call_id")
        if role_of(message) == "tool" and (
            not calls or (answered is not None and None not in calls and answered not in calls)
        ):
            return True
    return False


def shorter(prompt: Any) -> Any | None:
    """A prompt of messages, alone or with tools, without its oldest turn; None when only one is
    left."""
    messages = drop_oldest_turn(prompt["messages"] if isinstance(prompt, Mapping) else prompt)
    return None if messages is None else _with_messages(prompt, messages)


def role_of(message: Any) -> Any:
    """The role of a message, whether a dict or a model."""
    return _get(message, "role")


def _with_messages(prompt: Any, messages: list[Any]) -> Any:
    return {**prompt, "messages": messages} if isinstance(prompt, Mapping) else messages


def _get(message: Any, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)
