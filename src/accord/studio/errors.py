"""What the studio refuses; the web front turns these into answers a person can use."""

from __future__ import annotations

from accord.errors import AccordError, DataError


class AnswerError(DataError):
    """An answer that cannot stand: `field` is the part of it at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotHere(AccordError):
    """There is no such project, item, view or answer for this person."""


class NotAllowed(AccordError):
    """It exists, but this person may not do that."""


class Conflict(AccordError):
    """It was done already, or differently, elsewhere: reload and look."""
