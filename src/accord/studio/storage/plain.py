"""Text that can be kept and shown: no NUL (PostgreSQL stores none), no half characters (no answer
could hold them)."""

from __future__ import annotations

from typing import Any

from accord.errors import DataError


def check_text(value: Any) -> None:
    """Look at every text in JSON, names of fields too. Raises DataError for one that cannot be
    kept."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str) and not keeps(one):
            raise DataError(
                f"the text {ascii(one)[:80]} holds NUL or half a character",
                "remove it, or write the character whole",
            )


def keeps(text: str) -> bool:
    """Whether a text can be stored in every database and sent as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
