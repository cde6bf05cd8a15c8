"""What is examined on beside what was trained on: texts of any rows, and how many were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.examine.behaviour.leaks import contaminated
from accord.feedback.formats.reading import SUFFIXES, read_rows
from accord.feedback.formats.source import AnySpec
from accord.text.chats import Prompt


def texts_of(spec: AnySpec, say: Callable[[str], None]) -> Iterator[str]:
    """Every text in rows, however deep it lies, and every line of other text files. say: is told
    how many rows could not be looked at."""
    path = spec if isinstance(spec, Path) else None
    if path is not None and not path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
        with path.open(encoding="utf-8") as lines:
            yield from lines
        return
    read = read_rows(str(spec) if isinstance(spec, Path) else spec)
    for reason, count in read.dropped.items():
        say(f"{spec}: {count:,} rows not looked at: {reason}")
    yield from _strings([row for _, row in read.rows])


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        inside: Iterable[object] = value.values() if isinstance(value, dict) else value
        for part in inside:
            yield from _strings(part)


def last_said(prompt: Prompt) -> str:
    """A prompt's text, or what its last message says."""
    if isinstance(prompt, str):
        return prompt
    messages: Sequence[Any] = prompt["messages"] if isinstance(prompt, Mapping) else prompt
    return " ".join(_strings(dict(messages[-1]).get("content")))


def seen(examined: Sequence[str], trained: Iterable[str]) -> tuple[int, int]:
    """(items that were trained on word by word, items that share a run of 13 words with what
    was)."""
    exact, overlapping = contaminated(examined, trained)
    return sum(exact), sum(overlapping)
