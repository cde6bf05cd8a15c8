"""Contents of items as they are stored: text, or messages as JSON. What they say, and which part of
them a task is about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from accord.feedback.messages import Clip, Content, Message
from accord.feedback.messages import plain as all_of

_CONTENT: TypeAdapter[Content] = TypeAdapter(Content)


def read(stored: Any) -> Content:
    """A stored content as text or messages."""
    return stored if isinstance(stored, str) else _CONTENT.validate_python(stored)


def plain(stored: Any) -> str:
    """All that a stored content says: reasoning, text, calls of tools, their results; of a clip
    which it is. Passages are counted and steps cut in it."""
    return all_of(Clip(**stored) if isinstance(stored, dict) else read(stored))


def topic(prompt: Any, tools: Sequence[Any] = ()) -> str:
    """What an item is about: its prompt and the tools offered. Names that stand there are no model
    naming itself."""
    schemas = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    return "\n".join([plain(prompt), *schemas])


def editable(stored: Any) -> str:
    """What a correction edits: the text itself, or that of the last message."""
    content = read(stored)
    return content if isinstance(content, str) else content[-1].text


def edited(stored: Any, text: str) -> Any:
    """A stored content whose `editable` text was replaced."""
    return text if isinstance(stored, str) else [*stored[:-1], {**stored[-1], "content": text}]


def call_ids(stored: Any) -> Iterator[str]:
    """Ids of the calls of tools that messages make or answer, as they come."""
    for message in [] if isinstance(stored, str) else read(stored):
        assert isinstance(message, Message)
        yield from (call.id for call in message.tool_calls if call.id)
        if message.tool_call_id:
            yield message.tool_call_id
