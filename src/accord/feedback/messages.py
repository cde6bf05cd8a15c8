"""Messages of a conversation as chat models take them today: text, tool calls, tool results,
reasoning.

Names are those of the OpenAI and Hugging Face chat formats, so that a message goes into a chat
template as it stands and comes out of an export as it came in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Role = Literal["system", "developer", "user", "assistant", "tool"]


class RecordModel(BaseModel):
    """Base of everything in a record: unknown fields are refused, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPart(RecordModel):
    """A part of a message's content. Text only: images and audio are refused where a file is
    read."""

    type: Literal["text"] = "text"
    text: str


class FunctionCall(RecordModel):
    """The function called. arguments: as given, an object or (as OpenAI writes it) JSON in a
    string."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] | str = Field(default_factory=dict)


class ToolCall(RecordModel):
    """One call of a tool that an assistant's message makes; `id` is what its result refers to."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Message(RecordModel):
    """One turn of a conversation.

    content: text, or text in parts, or none beside reasoning or tool calls. reasoning_content: what
    an assistant thought before
    it answered. tool_calls: the calls an assistant makes. tool_call_id, name: of a tool's result,
    the call it
    answers and the tool. weight: of an assistant's message, how much training on it counts (0: it
    is context only).
    """

    role: Role
    content: str | list[TextPart] | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = Field(default_factory=list)
    tool_call_id: str | None = None
    name: str | None = None
    weight: float | None = Field(None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _consistent(self) -> Message:
        if self.content is None and not self.tool_calls and not self.reasoning_content:
            raise ValueError(f"the {self.role} message has no content and calls no tool")
        for name in ("reasoning_content", "tool_calls", "weight"):
            if self.role != "assistant" and getattr(self, name) not in (None, []):
                raise ValueError(
                    f"only an assistant's message has {name}, this one is the {self.role}'s"
                )
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError(
                f"only a tool's message has tool_call_id, this one is the {self.role}'s"
            )
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Role and content, and of the rest only what the message has."""
        fields = handler(self)
        return {k: v for k, v in fields.items() if k in ("role", "content") or v not in (None, [])}

    @property
    def text(self) -> str:
        """The content as one text, "" where there is none."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    @property
    def said(self) -> str:
        """Everything the message says, for reading and measuring: reasoning, content, tool calls as
        JSON."""
        calls = (json.dumps(call.model_dump(), ensure_ascii=False) for call in self.tool_calls)
        return "\n\n".join(part for part in (self.reasoning_content, self.text, *calls) if part)


Content = str | list[Message]
"""Free text, or messages. Of a response: text is what was written, to the letter; messages are
rendered by a model's chat template."""


class Clip(RecordModel):
    """A segment of an episode: the steps [start, stop) of the episode with this id."""

    episode: str = Field(min_length=1)
    start: int = Field(ge=0)
    stop: int

    @model_validator(mode="after")
    def _not_empty(self) -> Clip:
        if self.stop <= self.start:
            raise ValueError(f"the clip [{self.start}, {self.stop}) is empty")
        return self


class ClipSet(RecordModel):
    """Clips that one option stands for, all alike: what a policy does, what words are true of. The
    option is worth their mean."""

    clips: list[Clip] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> ClipSet:
        seen = set[Clip]()
        for clip in self.clips:
            if clip in seen:
                raise ValueError(f"the clip {plain(clip)} is there twice")
            seen.add(clip)
        return self


Behaviour = Clip | ClipSet
"""What an option shows, or stands for, that is no text."""


def clips_in(content: Content | Behaviour) -> list[Clip]:
    """The clips that a content is, or stands for; none of a text."""
    if isinstance(content, ClipSet):
        return content.clips
    return [content] if isinstance(content, Clip) else []


def plain(content: Content | Behaviour) -> str:
    """All that a content says, as text: itself; of one message what it says; of several, each after
    its role; of clips which they are."""
    if isinstance(content, str):
        return content
    if isinstance(content, Clip):
        return f"{content.episode} [{content.start}, {content.stop})"
    if isinstance(content, ClipSet):
        return ", ".join(map(plain, content.clips))
    if len(content) == 1:
        return content[0].said
    return "\n\n".join(f"{message.role}: {message.said}" for message in content)


def to_json(content: Content | Behaviour) -> Any:
    """A text as it is, messages as a list of dictionaries with the fields that each has, clips as
    a dictionary."""
    if isinstance(content, str):
        return content
    return content.model_dump() if isinstance(content, Behaviour) else messages_to_json(content)


def messages_to_json(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as chat templates and other tools take them."""
    return [message.model_dump() for message in messages]
