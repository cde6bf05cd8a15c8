"""Ready reward functions for answers that can be checked: exact ones, maths, format and length; and
how profane a text is.

Named `accord:exact`, `accord:math`, `accord:format`, `accord:count`, `accord:length` and
`accord:profanity` in a recipe. Each takes texts (or lists of messages, as TRL gives them) and
returns one score per response, None for what it cannot judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from accord.errors import ConfigError

THINK_FORMAT = r"<think>(?!.*<think>)(.*?)</think>.*"
"""Reasoning once, at the start, and an answer after it."""
_NUMBER = re.compile(
    r"(?<![\w.])-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s*/\s*\d+)?%?"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
"""No exponents: 1e999999999 is nine characters and fills the memory."""
_SAYS = re.compile(r"(?:final answer|answer)\s*(?:is|:)\s*:?\s*(.+)", re.IGNORECASE)
_WORDLESS = re.compile(r"\\(?:left|right|,|!|;|text\{[^{}]*\}|mathrm\{[^{}]*\})|[\s$]|\\[()\[\]]")


Answers = Sequence[Any] | str | float
"""One for each row, or one for all of them."""


def exact(responses: Sequence[Any], answer: Answers) -> list[float | None]:
    """1 where the response is the row's `answer` (of a list: one of them), else 0; without regard
    to case, spaces and a full stop at the end. None where the row has no answer."""

    def score(response: str, wanted: Any) -> float | None:
        accepted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        known = [_plain(str(one)) for one in accepted if one is not None]
        return float(_plain(response) in known) if known else None

    return [score(_text(r), a) for r, a in _answered(responses, answer)]


def math(responses: Sequence[Any], answer: Answers) -> list[float | None]:
    r"""1 where the response's final answer equals the row's `answer`, else 0.

    The final answer is what stands in the last \boxed{}, else after the last `####`, else after
    "answer is" or "answer:", else the last number; of the row's `answer` without any of these it is
    the whole. Numbers are compared by value (1/2 = 0.5 =
    \frac{1}{2}, 1,000 = 1000, 50% = 0.5 or 50), everything else as it is written but for spaces.
    None where the row has no answer.
    """

    def score(response: str, wanted: Any) -> float | None:
        if wanted is None or not str(wanted).strip():
            return None
        found, right = final_answer(response), _marked(str(wanted))
        return float(found is not None and equal(found, str(wanted) if right is None else right))

    return [score(_text(r), a) for r, a in _answered(responses, answer)]


def _answered(responses: Sequence[Any], answer: Answers) -> Iterable[tuple[Any, Any]]:
    """Responses with their answers."""
    if isinstance(answer, (str, int, float)):
        answer = [answer] * len(responses)
    return zip(responses, answer, strict=True)


def format_(responses: Sequence[Any], pattern: str = THINK_FORMAT) -> list[float]:
    """1 where the whole response matches the regular expression `pattern`, else 0; by default
    <think>…</think> once, then the answer."""
    whole = compiled(pattern)
    return [float(whole.fullmatch(_text(r).strip()) is not None) for r in responses]


def count(responses: Sequence[Any], pattern: str) -> list[float]:
    """How often the regular expression `pattern` is found in the response; give it a negative
    weight where it is a fault."""
    part = compiled(pattern)
    return [float(sum(1 for _ in part.finditer(_text(r)))) for r in responses]


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression of a recipe; raises ConfigError for what is none."""
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ConfigError(
            f"pattern {pattern!r} is no regular expression: {error}", "correct it"
        ) from error


def length(
    responses: Sequence[Any], completion_ids: Sequence[Sequence[int]], longest: int, margin: int = 0
) -> list[float]:
    """0 up to `longest` - `margin` tokens, falling to -1 at `longest` and beyond (the soft overlong
    punishment of DAPO, Yu et al. 2025, eq. 13)."""
    if not 0 <= margin < longest:
        raise ConfigError(
            f"longest {longest} and margin {margin}: the margin lies below the longest",
            "give longest in tokens, and a smaller margin",
        )
    free = longest - margin
    return [
        0.0 if n <= free else -1.0 if n > longest else (free - n) / margin
        for n in map(len, completion_ids)
    ]


def profanity(responses: Sequence[Any]) -> list[float]:
    """The probability of each response that people call it profane, see
    `accord.text.profanity`; give it a negative weight where it is a fault."""
    from accord.text.profanity import profanity_of

    return profanity_of([_text(response) for response in responses])


READY: dict[str, Callable[..., Any]] = {
    "exact": exact, "math": math, "format": format_, "count": count, "length": length,
    "profanity": profanity,
}  # fmt: skip


def check_ready(name: str) -> None:
    """Raise ConfigError where a ready function needs a package that is not installed."""
    if name == "profanity":
        from accord.text.profanity import classifier

        classifier()


# --- final answers --------------------------------------------------------------------------------
def final_answer(text: str) -> str | None:
    """The final answer in a text, see `math`; None where there is none."""
    marked = _marked(text)
    numbers = _numbers(text)
    return numbers[-1] if marked is None and numbers else marked


def _marked(text: str) -> str | None:
    """What is marked as the final answer."""
    if (boxed := _last_boxed(text)) is not None:
        return boxed
    if "####" in text:
        return text.rpartition("####")[2].strip().partition("\n")[0]
    if said := _SAYS.findall(text):
        numbers = _numbers(said[-1])
        return numbers[0] if numbers else said[-1].strip().rstrip(".")
    return None


def equal(one: str, other: str) -> bool:
    """Whether two answers are equal: by value where both are numbers, else as written."""
    left, right = value_of(one), value_of(other)
    if left is not None and right is not None:
        percent = one.strip().endswith("%") != other.strip().endswith("%")
        return left == right or (percent and (left * 100 == right or left == right * 100))
    return _bare(one) == _bare(other)


def value_of(text: str) -> Fraction | None:
    r"""The number that a text is: 1,234.5, 3/4, \frac{3}{4}, $5, 50%; None for anything else."""
    bare = _FRACTION.sub(r"(\1)/(\2)", _bare(text)).replace("(", "").replace(")", "")
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", bare)
    share, digits = (100, bare[:-1]) if bare.endswith("%") else (1, bare)
    top, slash, below = digits.partition("/")
    if not all(map(_DECIMAL.fullmatch, [top, *([below] if slash else [])])):
        return None
    try:
        value = Fraction(top) / Fraction(below) if slash else Fraction(top)
    except (ValueError, ZeroDivisionError):
        return None
    return value / share


def _numbers(text: str) -> list[str]:
    return [m.strip() for m in _NUMBER.findall(text) if any(c.isdigit() for c in m)]


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed")
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place]
    return None


def _bare(text: str) -> str:
    return _WORDLESS.sub("", text).replace("\\%", "%").rstrip(".")


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()


def _text(response: Any) -> str:
    """The text of a response: itself, or the contents of its messages."""
    if isinstance(response, str):
        return response
    return "".join(str(message["content"]) for message in response)
