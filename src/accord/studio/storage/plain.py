"""Text that can be kept and shown: no NUL (PostgreSQL stores none), no unpaired surrogates (no
answer could hold them)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from accord.errors import DataError

LONGEST_REASON = 300
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=LONGEST_REASON)
]
"""Why something was done to somebody or their answer: the log keeps it."""


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
                f"the text {ascii(one)[:80]} contains NUL or an unpaired surrogate",
                "remove it, or send the whole character",
            )


def keeps(text: str) -> bool:
    """Whether a text can be stored in every database and sent as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
