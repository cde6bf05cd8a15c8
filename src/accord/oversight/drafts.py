"""What critics and revisers are handed and hand back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from accord.feedback.records import Span
from accord.oversight.constitution import Principle
from accord.text.chats import Prompt

UNANSWERED = "unanswered: "
"""How the reason begins where an endpoint gave no answer: the next try may get one."""


@dataclass(frozen=True)
class WrittenText:
    """A text that somebody wrote; finished: it ended by itself, not at a limit."""

    text: str
    finished: bool = True


@dataclass(frozen=True)
class Failure:
    """Why nothing usable was written."""

    reason: str


def usable(said: WrittenText | Failure, what: str) -> str | Failure:
    """The text, where it ended by itself and is not empty; what: it is, such as "the speech"."""
    if isinstance(said, Failure):
        return said
    if not said.finished:
        return Failure(f"{what} was cut at the limit of tokens")
    return said.text if said.text.strip() else Failure(f"{what} is empty")


@dataclass(frozen=True)
class Draft:
    """A response to a prompt, as far as it has come. row: the prompt's place among all."""

    row: int
    prompt: Prompt
    response: WrittenText
    producer: str

    @property
    def text(self) -> str:
        """What the response says."""
        return self.response.text


@dataclass(frozen=True)
class Criticism:
    """What a critic says of a draft. spans: the places it is about; violates: whether there is
    something to mend, None where the critic says it in words alone; invented: quotes of it that do
    not stand in the draft."""

    text: str
    spans: Sequence[Span] = field(default_factory=tuple)
    violates: bool | None = None
    invented: int = 0


class Critic(Protocol):
    """Says how drafts break a principle each. name: the annotator in its records."""

    name: str

    def critique(
        self, asked: Sequence[tuple[Draft, Principle]], seeds: Sequence[int]
    ) -> list[Criticism | Failure]:
        """One per draft, in order."""


class Reviser(Protocol):
    """Rewrites drafts after a critique each. name: the annotator in its records."""

    name: str

    def revise(
        self, asked: Sequence[tuple[Draft, Principle, Criticism]], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        """One per draft, in order."""
