"""What reading met: rows that are none, by reason, and what is to be said; and what a row may
hold."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

NumberedRow = tuple[str, dict[str, Any]]
"""Where it stands ("file.jsonl line 3"), and the row."""
MAX_DIGITS = 100
"""Of an integer: longer ones are no numbers that anything computes with."""
MAX_FIELDS = 20_000
"""Of a row."""
_HALVES = re.compile("[\ud800-\udfff]")
_NO_CHARACTERS = re.compile(
    f"[\ufdd0-\ufdef{''.join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))}]"  # noqa: E501
)


@dataclass(frozen=True)
class Bounds:
    """How far reading may grow. unpacked: bytes of a compressed or columnar file once unpacked;
    whole: of a file that is held as one (.json); row: characters of a row of text, or of a quoted
    value; depth: of nesting; rows: how many, and five times as many lines; values: cells, and what
    JSON holds (objects count fourfold); ratio: bytes that one byte of a compressed file may stand
    for."""

    unpacked: int = 8 << 30
    whole: int = 1 << 30
    row: int = 16 << 20
    depth: int = 200
    rows: int = 1 << 40
    values: int = 1 << 40
    ratio: int = 1 << 40


LOCAL = Bounds()
"""For files of one's own."""
SENT = Bounds(
    unpacked=192 << 20,
    whole=64 << 20,
    row=4 << 20,
    depth=100,
    rows=200_000,
    values=2_000_000,
    ratio=100,
)
"""For files that others send."""


@dataclass
class Notes:
    """dropped: rows that could not be read, per reason; first: the first place of each; messages:
    lines for people."""

    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def drop(self, where: str, reason: str) -> None:
        """One row is left out."""
        self.dropped[reason] += 1
        self.first.setdefault(reason, where)

    def say(self, line: str) -> None:
        """Something to be said once."""
        if line not in self.messages:
            self.messages.append(line)


@dataclass(frozen=True)
class Unreadable:
    """Stands in a row for a value that cannot be read; its row is dropped for `reason`."""

    reason: str


def fault(row: dict[str, Any], depth: int) -> str | None:
    """Why the row cannot be used: an unpaired surrogate, no character, a huge integer, too deep.
    None where it can."""
    if len(row) > MAX_FIELDS:
        return f"it has more than {MAX_FIELDS:,} fields"
    try:
        if "".join((*row, *row.values())).isascii():  # most rows of tables: five times as fast
            return None
    except TypeError:
        pass
    for name, value in row.items():
        if (reason := _fault(value, depth)) or (reason := _fault(name, depth)):
            return f"the field {shortened(name)} {reason}"
    return None


def _fault(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return None if value.isascii() else _fault_of_text(value)
    if isinstance(value, Unreadable):
        return value.reason
    if isinstance(value, (dict, list)):
        if depth <= 0:
            return "is nested too deeply"
        parts = (
            value if isinstance(value, list) else [part for pair in value.items() for part in pair]
        )
        return next((reason for part in parts if (reason := _fault(part, depth - 1))), None)
    return None


def _fault_of_text(text: str) -> str | None:
    if _HALVES.search(text):
        return "contains an unpaired surrogate"
    if noncharacter := _NO_CHARACTERS.search(text):
        return f"holds U+{ord(noncharacter.group()):04X}, which Unicode reserves as no character"
    return None


def shortened(name: str, longest: int = 60) -> str:
    """A name from a file, for messages: quoted, bounded, printable."""
    safe = name.encode("utf-8", "backslashreplace").decode()
    return repr(safe if len(safe) <= longest else f"{safe[:longest]}…")
