"""What reading data needs to know of a model: how it spells, and how long it can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Language(Protocol):
    """A model's tokenizer and the longest sequence it was made for, in tokens; a loaded model is
    one."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def context(self) -> int: ...


@dataclass(frozen=True)
class ReadLanguage:
    """The same, read from a model's files without its weights."""

    tokenizer: Any
    context: int
