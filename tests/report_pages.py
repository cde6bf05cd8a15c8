"""What a page says, as text."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skip = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._skip = False

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.parts.append(data)


def inner(path: Path) -> str:
    """The text of a page without its scripts, with single spaces."""
    text = _Text()
    text.feed(path.read_text(encoding="utf-8"))
    return " ".join("".join(text.parts).split())
