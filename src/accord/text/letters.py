"""What people and models wrote, kept apart from a model's control tokens.

A special token spelled in a text ("<|im_end|>") is data: tokenised as letters, it cannot end a turn
or open another. While a chat template renders, a mark of Unicode noncharacters stands in its place;
noncharacters that a text holds itself are marked in the same way, so nothing a text says can be
taken for a mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

OPEN, CLOSE, MARK = "\ufdd0", "\ufdd1", "\ufdd2"
_NUMBER = re.compile(f"{OPEN}([0-9]+){CLOSE}")


class Letters:
    """Marks what a text spells of `names` (special tokens), and finds the marks again."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted({*names, OPEN, CLOSE, MARK}, key=len, reverse=True)
        self._number = {name: number for number, name in enumerate(self._names)}
        self._own = re.compile(f"[{OPEN}{CLOSE}{MARK}]")
        self._spelled = re.compile("|".join(map(re.escape, self._names)))

    def marked(self, text: str) -> str:
        """The text with a mark for every special token that it spells."""
        return self._spelled.sub(lambda match: f"{OPEN}{self._number[match[0]]}{CLOSE}", text)

    def guarded(self, text: str) -> str:
        """The text with a mark only for noncharacters; its special tokens count."""
        return self._own.sub(lambda match: f"{OPEN}{self._number[match[0]]}{CLOSE}", text)

    def all_marked(self, value: Any) -> Any:
        """The same for every string within a JSON-like value, keys too."""
        if isinstance(value, str):
            return self.marked(value)
        if isinstance(value, dict):
            return {self.all_marked(key): self.all_marked(one) for key, one in value.items()}
        return [self.all_marked(one) for one in value] if isinstance(value, list | tuple) else value

    def parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """(part of a marked text, whether its special tokens are letters), in order; no part is
        empty."""
        for number, part in enumerate(_NUMBER.split(text)):  # odd parts are the marks' numbers
            if number % 2:
                yield self._names[int(part)], True
            elif part:
                yield part, False

    def plain(self, text: str) -> str:
        """A marked text as it is read."""
        return _NUMBER.sub(lambda match: self._names[int(match[1])], text) if OPEN in text else text
