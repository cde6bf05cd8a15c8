"""Live chat: what the studio needs of a model, handed in by who starts it. The studio itself
imports none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from accord.errors import AccordError


@dataclass(frozen=True)
class Reply:
    """A response and who wrote it (kept with the answer, never shown to raters). finished: it ended
    by itself, not at the limit of tokens."""

    content: str
    producer: str
    finished: bool = True


class ChatError(AccordError):
    """No reply this time; the rater is told why and may try again. The message is for the log."""

    def __init__(self, why: Literal["failed", "busy", "too_long"], message: str) -> None:
        super().__init__(message)
        self.why = why


class ChatSampler(Protocol):
    """Writes responses to a conversation."""

    def reply(self, messages: Sequence[dict[str, Any]], count: int, seed: int) -> list[Reply]:
        """`count` responses to messages (as in feedback records) that end with the user's; the same
        seed, the same responses.

        Raises ChatError when there is none.
        """
