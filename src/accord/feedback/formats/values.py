"""Foreign values, read by one table of accepted spellings and never by truthiness.

What a number in a column of labels means is decided once for the whole column: 1 and 0, or 1, 0
(neutral) and -1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from accord.errors import DataError
from accord.feedback.formats.containers.jsons import decoded
from accord.feedback.formats.containers.notes import LOCAL, fault


class RowError(ValueError):
    """This row cannot be used, or this record cannot be written; the message says why."""


Scheme = Literal["binary", "signed"]
"""What 0 means in a column of labels: bad, or neutral (bad is -1 then)."""
Side = Literal[0, 1, "tie", "both_bad"]

_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "good", "up", "thumbs up", "👍", "like", "liked", "positive", "desirable"), True),  # noqa: E501
    **dict.fromkeys(("false", "f", "no", "n", "bad", "down", "thumbs down", "👎", "dislike", "disliked", "negative", "undesirable"), False),  # noqa: E501
}  # fmt: skip
_SIDES: dict[str, Side] = {
    **dict.fromkeys(("a", "left", "first", "1", "response a", "response 1", "model a", "answer a", "output 1"), 0),  # noqa: E501
    **dict.fromkeys(("b", "right", "second", "2", "response b", "response 2", "model b", "answer b", "output 2"), 1),  # noqa: E501
    **dict.fromkeys(("tie", "tied", "equal", "same", "both", "both good"), "tie"),
    **dict.fromkeys(("both bad", "bothbad", "tie (bothbad)", "neither"), "both_bad"),
}  # fmt: skip
_NO_ANSWER = {"", "none", "null", "n/a", "na", "nan", "no answer", "no thumb", "not rated"}


def empty(value: Any) -> bool:
    """Whether a cell says nothing: none, an empty text or list, or the number that tables write
    where there is none."""
    if isinstance(value, str):
        return not value
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, (list, tuple, Mapping)) and len(value) == 0)


def bare(value: Any) -> Any:
    """Python's value of a NumPy scalar; others as they are."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def shown(value: Any, limit: int = 60) -> str:
    """A value as a message quotes it: cut where it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * limit:
        return f"a number of {value.bit_length():,} bits"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _word(value: Any) -> str:
    return re.sub(r"[\s_-]+", " ", value.strip().lower()) if isinstance(value, str) else ""


def word(value: Any) -> bool | None:
    """What a word that means yes or no says; None for any other, and for numbers."""
    return _WORDS.get(_word(value))


def no_answer(value: Any) -> bool:
    """Whether a cell says that nobody answered: it is empty, or says so in a word."""
    return empty(value) or (isinstance(value, str) and _word(value) in _NO_ANSWER)


def number(value: Any, column: str) -> float:
    """A finite number, also one written as text. Raises RowError naming the column."""
    value = bare(value)
    try:
        parsed = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        parsed = math.nan
    if not math.isfinite(parsed):
        raise RowError(f"the column {column!r} is {shown(value)}, not a number")
    return parsed


def whole(value: Any, column: str) -> int:
    """A whole number, also one written as 2.0 or as text. Raises RowError naming the column."""
    parsed = number(value, column)
    if parsed != int(parsed):
        raise RowError(f"the column {column!r} is {shown(value)}, not a whole number")
    return int(parsed)


def truth(value: Any, column: str) -> bool:
    """True or false in any accepted spelling: true, yes, 1; false, no, 0. Raises RowError naming
    the column."""
    parsed = _label(value)
    if isinstance(parsed, bool):
        return parsed
    if parsed in (0, 1):
        return parsed == 1
    raise RowError(f"the column {column!r} is {shown(value)}, neither true nor false")


def marked(row: Mapping[str, Any], column: str, otherwise: bool = False) -> bool:
    """Whether a row is marked in a column of true and false; `otherwise` where it says nothing."""
    return otherwise if empty(row.get(column)) else truth(row[column], column)


LABELS = "true, false, yes, no, good, bad, up, down, 1, 0, -1"
"""The spellings of labels that messages name; `_WORDS` has them all."""


def _beyond(value: Any) -> bool:
    """Whether a cell is a number that no label is: 4 of five stars, a probability."""
    if isinstance(value, str) and not re.fullmatch(r"\s*[-+−]?\d+(\.\d*)?\s*", value):
        return False
    return not empty(value) and isinstance(bare(value), (str, int, float)) and _label(value) is None


def _label(value: Any) -> bool | int | None:
    """A word as true or false, a number as -1, 0 or 1, None for anything else."""
    value = bare(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if (word := _WORDS.get(_word(value))) is not None:
            return word
        if not re.fullmatch(r"\s*[-+−]?[01](\.0*)?\s*", value):
            return None
        value = float(value.replace("−", "-"))
    return int(value) if isinstance(value, (int, float)) and value in (-1, 0, 1) else None


def is_label(value: Any) -> bool:
    """Whether a cell says good, bad or neither as a label does."""
    return _label(value) is not None


def scheme_of(
    values: Iterable[Any], column: str, explained: Scheme | None, given_scheme: Scheme | None = None
) -> Scheme:
    """What the numbers of a whole column mean. explained: what the format says of 0 and 1; told:
    what the user says.

    Raises DataError for 0 and 1 that neither explains, and for other numbers beside them: of one to
    five stars, 1 is no praise.
    """
    cells = list(values)
    seen = [parsed for parsed in map(_label, cells) if parsed is not None]
    numbers = {parsed for parsed in seen if not isinstance(parsed, bool)}
    if numbers and (beyond := next((cell for cell in cells if _beyond(cell)), None)) is not None:
        raise DataError(
            f"the column {column!r} holds {shown(beyond)} beside"
            f" {', '.join(map(str, sorted(numbers)))}: a rating or a probability, no label",
            f"read it as a rating (--columns response=NAME,rating_overall={column}), or write what"
            f" is good and bad: {LABELS}",
        )
    if given_scheme is not None:
        return given_scheme
    words = len(seen) > sum(not isinstance(parsed, bool) for parsed in seen)
    if -1 in numbers:
        return "signed"
    if explained is None and 0 in numbers and not words:
        raise DataError(
            f"the column {column!r} holds 0 and 1, which may mean bad and good or neutral and good",
            "say which: labels: binary (0 is bad) or labels: signed (0 is neutral, -1 bad);"
            " --labels on the command line",
        )
    return explained or "binary"


def label(value: Any, column: str, scheme: Scheme) -> int:
    """1 good, -1 bad, 0 neutral. Raises RowError for what is no label, DataError for -1 in a column
    of 0 and 1."""
    parsed = _label(value)
    if parsed is None:
        odd = f"{shown(value)}, which is not a label, such as true, bad, 1 or -1"
        raise RowError(f"the column {column!r} is {'empty' if empty(value) else odd}")
    if isinstance(parsed, bool):
        return 1 if parsed else -1
    if scheme == "signed":
        return parsed
    if parsed == -1:
        raise DataError(
            f"the column {column!r} was taken to hold 1 and 0, and now holds -1",
            "say labels: signed (--labels signed)",
        )
    return 1 if parsed else -1


def side(value: Any, column: str) -> Side:
    """Which of two responses is meant. Raises RowError naming the column."""
    if (named := side_named(value)) is None:
        raise RowError(f"the column {column!r} is {shown(value)}, not one of a, b, tie, both_bad")
    return named


def side_named(value: Any) -> Side | None:
    """Which of two responses is meant; None for anything that names neither."""
    value = bare(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value in (1, 2):
        value = str(int(value))
    return _SIDES.get(_word(value).removesuffix(".0"))


def check_counted_from_one(values: Iterable[Any], column: str) -> None:
    """Raises DataError for a column of winners that holds 0: whether 1 is then the first or the
    second, it does not say."""
    if any(_label(value) == 0 and not isinstance(_label(value), bool) for value in values):
        raise DataError(
            f"the column {column!r} holds 0: it does not say whether 1 is then the first or the"
            " second response",
            "write a, b, tie, both_bad",
        )


def unpacked(value: Any, column: str) -> Any:
    """A list or object that a table holds as JSON in a text. Raises RowError naming the column."""
    if not isinstance(value, str):
        return value
    try:
        parsed = decoded(value)
    except (ValueError, RecursionError):
        raise RowError(f"the column {column!r} is {shown(value)}, not JSON") from None
    if reason := fault({column: parsed}, LOCAL.depth):
        raise RowError(reason)
    return parsed


def structure(value: Any) -> Any:
    """A list or object, also one that a table holds as JSON in a text; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return unpacked(value, "")
    except RowError:
        return value
