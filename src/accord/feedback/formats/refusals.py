"""Files that hold no judgement, refused with what they are and what to do with them; and plain
texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from accord.errors import DataError
from accord.feedback.formats.columns import Parsed, RowError, build
from accord.feedback.formats.shape import Parse, Row

_RESPONSE = re.compile(r"(response|answer|completion|output)_?([ab12])", re.IGNORECASE)
_VERDICT = re.compile(
    r"winner|prefer|choice|label|better|chosen|vote|rating|score|rank", re.IGNORECASE
)


def is_items(row: Row) -> bool:
    """A prompt and several responses, and no column that could say which is better."""
    several = "responses" in row or sum(bool(_RESPONSE.fullmatch(name)) for name in row) > 1
    return "prompt" in row and several and not any(_VERDICT.search(name) for name in row)


def refuse_items(rows: Sequence[Row], source: Path) -> Parse:
    """Raises DataError."""
    del rows
    raise DataError(
        f"{source.name} holds prompts and responses that nobody judged: items to be judged, not"
        " feedback",
        "put them before people with the studio, or add who wins (columns response_a, response_b,"
        " winner)",
    )


def is_text(row: Row) -> bool:
    """A text, and beside it nothing that could be an answer or a judgement."""
    return "text" in row and not any(name != "text" and _NOT_ALONE.search(name) for name in row)


_NOT_ALONE = re.compile(
    r"label|answer|response|prompt|chosen|rejected|completion|output|accept|message|role|rating",
    re.I,
)


def text(row: Row) -> Iterator[Parsed]:
    """A demonstration of the whole text, with an empty prompt."""
    if not isinstance(row["text"], str) or not row["text"].strip():
        raise RowError("the text is empty")
    yield build("demonstration", "", [], {"content": row["text"]}, row)
