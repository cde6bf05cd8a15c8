"""Messages of a conversation as people and models give them, and as chat templates take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from accord.errors import DataError
from accord.text.letters import Letters

FIELDS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", "weight")


def as_given(message: Any, letters: Letters, row: str) -> dict[str, Any]:
    """A message as templates take it; special tokens that it spells are marked. Raises DataError
    naming `row`."""
    given = message if isinstance(message, Mapping) else message.model_dump()
    role, content = given.get("role"), _joined(given.get("content"))
    if not isinstance(role, str) or not isinstance(content, str | None):
        raise DataError(
            f"row {row}: a message needs a role and a content, both text; found {str(given)[:80]}",
            'write {"role": "user", "content": "..."}',
        )
    fields: dict[str, Any] = {"role": letters.marked(role)}
    if content is not None:
        fields["content"] = letters.marked(content)
    if len(given) > 2:
        fields |= _other_fields(given, letters, row)
    if content is None and not fields.get("tool_calls") and not fields.get("reasoning_content"):
        raise DataError(
            f"row {row}: a message needs a role and a content, both text; found {str(given)[:80]}",
            'write {"role": "user", "content": "..."}',
        )
    return fields


def _joined(content: Any) -> Any:
    """Parts of text as one text; anything else as it is."""
    if isinstance(content, list | tuple) and all(
        isinstance(part, Mapping) and part.get("type") == "text" for part in content
    ):
        return "".join(str(part.get("text", "")) for part in content)
    return content


def _other_fields(given: Mapping[str, Any], letters: Letters, row: str) -> dict[str, Any]:
    """What a message has beside role and content."""
    if unknown := [name for name in given if name not in FIELDS]:
        raise DataError(
            f"row {row}: a message has no {unknown[0]!r}", f"its fields are {', '.join(FIELDS)}"
        )
    fields: dict[str, Any] = {
        n: letters.marked(str(given[n]))
        for n in FIELDS[2:6]
        if n != "tool_calls" and given.get(n) is not None
    }
    if calls := given.get("tool_calls"):
        fields["tool_calls"] = [_call(call, letters, row) for call in calls]
    return fields


def _call(call: Any, letters: Letters, row: str) -> dict[str, Any]:
    """A call with its arguments as an object, also where they are JSON in a string, as OpenAI
    writes them."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError(
            f"row {row}: a tool call needs a function with a name; found {str(call)[:80]}"
        )
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            arguments = None
    if not isinstance(arguments, Mapping):
        raise DataError(
            f"row {row}: the arguments of the call of {function['name']!r} are not a JSON"
            f" object: {str(function['arguments'])[:80]!r}",
            "repair the row, or give the response as text, to the letter",
        )
    own = {
        **call,
        "type": call.get("type") or "function",
        "function": {**function, "arguments": dict(arguments)},
    }
    marked: dict[str, Any] = letters.all_marked({k: v for k, v in own.items() if v is not None})
    return marked


def dictionary(message: Any) -> dict[str, Any]:
    """A message's fields by name, also of a model."""
    return dict(message) if isinstance(message, Mapping) else dict(message.model_dump())


def plain_text(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The text of one message that is text alone; None for others."""
    if len(messages) != 1 or any(
        messages[0].get(name) for name in ("reasoning_content", "tool_calls")
    ):
        return None
    content = _joined(messages[0].get("content"))
    return content if isinstance(content, str) else None


def reply_weights(messages: Sequence[Mapping[str, Any]], row: str) -> list[float]:
    """How much each reply among the messages counts; of several each 0 (it is context only) or
    1."""
    given = [message.get("weight") for message in messages if message.get("role") == "assistant"]
    weights = [1.0 if weight is None else float(weight) for weight in given]
    if messages and not any(weight > 0 for weight in weights):
        raise DataError(
            f"row {row}: no message of the response is trained (weight 0)", "leave the row out"
        )
    if odd := [weight for weight in weights if len(weights) > 1 and weight not in (0, 1)]:
        raise DataError(
            f"row {row}: a message of the response has the weight {odd[0]:g}",
            "of several messages each counts 1 or, as context only, 0; a weight for all of "
            "them is the record's",
        )
    return weights
