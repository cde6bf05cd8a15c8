"""Live chat: what the studio needs of a model, handed in by who starts it. The studio itself imports none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Reply:
    """A response and who wrote it (kept with the answer, never shown to raters)."""

    content: str
    producer: str


class ChatSampler(Protocol):
    """Writes responses to a conversation."""

    def reply(self, messages: Sequence[dict[str, str]], count: int, seed: int) -> list[Reply]:
        """`count` responses to messages [{role, content}] that end with the user's; the same seed, the same responses."""
