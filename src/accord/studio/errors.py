"""What the studio refuses; the web front turns these into answers a person can use."""

from __future__ import annotations

from collections.abc import Mapping

from accord.errors import AccordError, ConfigError, DataError


class AnswerError(DataError):
    """An answer that cannot stand: `field` is the part of it at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class FieldError(ConfigError):
    """A form or a body that cannot stand. fields: part at fault -> why, the part "" where a rule is
    about several."""

    def __init__(self, fields: Mapping[str, str], fix: str | None = None) -> None:
        lines = [f"{field}: {why}" if field else why for field, why in fields.items()]
        super().__init__("\n".join(lines), fix)
        self.fields = dict(fields)

    @property
    def field(self) -> str | None:
        """The first part at fault."""
        return next((field for field in self.fields if field), None)


class NotHere(AccordError):
    """There is no such project, item, view or answer for this person."""


class NotAllowed(AccordError):
    """It exists, but this person may not do that."""


class Conflict(AccordError):
    """It was done already, or differently, elsewhere: reload and look."""
