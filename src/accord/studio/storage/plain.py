"""Text that can be kept and shown: no NUL (PostgreSQL stores none), no unpaired surrogates (no
answer could hold them)."""

from __future__ import annotations

from typing import Any

from accord.errors import ConfigError, DataError

SHORTEST_REASON, LONGEST_REASON = 3, 300
"""Characters of a reason that goes into the log."""


def reason_in(text: str) -> str:
    """What somebody gave as the reason, without blanks around it. Raises ConfigError for one that
    is too short to say anything, or too long."""
    reason = text.strip()
    if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        raise ConfigError(
            f"the reason has {len(reason)} characters",
            f"say why in {SHORTEST_REASON} to {LONGEST_REASON}: the log keeps it",
        )
    return reason


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
