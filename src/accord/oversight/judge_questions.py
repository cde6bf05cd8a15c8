"""What an AI judge is asked: templates with places for prompt, responses and principle, and the
answers that count.

A template is a text with {names} in braces (a brace itself is written twice). What stands in a
response is put in as it is, braces and all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Literal

from accord.errors import ConfigError, DataError
from accord.validation import suggest

JudgeForm = Literal["pairwise", "pointwise", "rubric"]
"""pairwise: which of two is better; pointwise: a score; rubric: whether each criterion is met."""
PAIRWISE = """Two responses to the same prompt are compared.

Prompt:
{prompt}

Response A:
{first}

Response B:
{second}

Which response is better, A or B?"""
BY_PRINCIPLE = PAIRWISE.removesuffix("Which response is better, A or B?") + (
    "What is asked of them:\n{principle}\n\nWhich response is better by this alone, A or B?"
)
POINTWISE = """A response to a prompt is scored.

Prompt:
{prompt}

Response:
{response}

How good is the response, from {low} (worst) to {high} (best)?"""
POINTWISE_BY_PRINCIPLE = POINTWISE.removesuffix(
    "How good is the response, from {low} (worst) to {high} (best)?"
) + (
    "What is asked of it:\n{principle}\n\nHow good is the response by this alone, from {low}"
    " (worst) to {high} (best)?"
)
RUBRIC = """A response to a prompt is checked.

Prompt:
{prompt}

Response:
{response}

Criterion:
{principle}

Does the response meet the criterion, Yes or No?"""
REASON = "\n\nFirst think it through, point by point. Do not decide yet."
"""What is added where a judge reasons before it answers."""
_NEEDED: dict[JudgeForm, tuple[str, ...]] = {
    "pairwise": ("prompt", "first", "second"),
    "pointwise": ("prompt", "response"),
    "rubric": ("prompt", "response", "principle"),
}
_MAY: dict[JudgeForm, tuple[str, ...]] = {
    "pairwise": (),
    "pointwise": ("low", "high"),
    "rubric": (),
}
MOST_TEMPLATE_BYTES = 2**16


@dataclass(frozen=True)
class Criterion:
    """What a judge goes by: a principle of a constitution, with its weight (> 0)."""

    id: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class JudgeQuestion:
    """One question. text: as it is put, which does not say how to answer; closing: says so;
    allowed: the answers that count."""

    prompt: str
    responses: tuple[str, ...]
    criterion: Criterion | None
    text: str
    closing: str
    allowed: tuple[str, ...]


@dataclass(frozen=True)
class JudgeTemplate:
    """How questions of a form are put; low, high: ends of the scale of scores, whole numbers."""

    form: JudgeForm
    text: str
    low: int = 1
    high: int = 5

    @property
    def hash(self) -> str:
        """Of all that decides what is asked, 16 hexadecimal digits."""
        scale = f"{self.low}-{self.high}" if self.form == "pointwise" else ""
        return hashlib.sha256(f"{self.form}\n{scale}\n{self.text}".encode()).hexdigest()[:16]

    @property
    def allowed(self) -> tuple[str, ...]:
        """The answers that count."""
        if self.form == "pairwise":
            return ("A", "B")
        if self.form == "rubric":
            return ("Yes", "No")
        return tuple(str(score) for score in range(self.low, self.high + 1))

    def filled(
        self, prompt: str, responses: Sequence[str], criterion: Criterion | None = None
    ) -> JudgeQuestion:
        """The question about one response, or two in the order shown."""
        names = ("first", "second") if self.form == "pairwise" else ("response",)
        values: dict[str, object] = dict(zip(names, responses, strict=True))
        values |= {"prompt": prompt, "low": self.low, "high": self.high}
        values["principle"] = "" if criterion is None else criterion.text
        return JudgeQuestion(
            prompt,
            tuple(responses),
            criterion,
            self.text.format(**values),
            closing(self.allowed),
            self.allowed,
        )


def closing(allowed: Sequence[str]) -> str:
    """How to answer."""
    if all(len(one) == 1 and one.isalpha() for one in allowed):
        return f"Answer with one letter, {' or '.join(allowed)}, and nothing else."
    if all(one.isdigit() for one in allowed):
        return f"Answer with one number from {allowed[0]} to {allowed[-1]}, and nothing else."
    return f"Answer with one word, {' or '.join(allowed)}, and nothing else."


def usual_template(
    form: JudgeForm, by_principle: bool, scale: tuple[int, int] = (1, 5)
) -> JudgeTemplate:
    """The packaged one. Raises ConfigError for a rubric without criteria."""
    texts = {
        "pairwise": BY_PRINCIPLE if by_principle else PAIRWISE,
        "pointwise": POINTWISE_BY_PRINCIPLE if by_principle else POINTWISE,
        "rubric": RUBRIC,
    }
    return checked_template(form, texts[form], by_principle, scale, "the packaged template")


def read_template(
    path: Path, form: JudgeForm, by_principle: bool, scale: tuple[int, int] = (1, 5)
) -> JudgeTemplate:
    """The template in a text file. Raises DataError where it cannot be read, ConfigError for
    placeholders that are unknown or missing."""
    try:
        with open(path, "rb") as handle:
            raw = handle.read(MOST_TEMPLATE_BYTES + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the template {path} cannot be read: {error}", "name a text file") from (
            error
        )
    if len(raw) > MOST_TEMPLATE_BYTES:
        raise DataError(
            f"the template {path} has more than {MOST_TEMPLATE_BYTES:,} bytes",
            "a template is a question with {names} in it",
        )
    return checked_template(form, text.strip(), by_principle, scale, f"the template {path}")


def checked_template(
    form: JudgeForm, text: str, by_principle: bool, scale: tuple[int, int], called: str
) -> JudgeTemplate:
    """A template whose placeholders and scale are as its form needs them. Raises ConfigError."""
    if form == "rubric" and not by_principle:
        raise ConfigError(
            "a rubric needs criteria", "name a constitution: its principles are asked one by one"
        )
    needed = (*_NEEDED[form], *(("principle",) if by_principle and form != "rubric" else ()))
    known = [*needed, *_MAY[form]]
    found = _placeholders(text, called, known)
    for name in found:
        if name not in known:
            why = " (there is no constitution)" if name == "principle" else ""
            raise ConfigError(
                f"{called} names {{{name}}}, which a {form} question does not have{why}",
                f"{suggest(name, known)}write {{{'}, {'.join(known)}}}; a brace itself twice",
            )
    if missing := [name for name in needed if name not in found]:
        raise ConfigError(
            f"{called} lacks {{{'}, {'.join(missing)}}}: a {form} judge would not see it",
            f"put {{{'}, {'.join(missing)}}} where it belongs",
        )
    low, high = scale
    if form == "pointwise" and not (0 <= low < high <= 9):
        raise ConfigError(
            f"a scale from {low} to {high}: the first token of an answer has to tell the score",
            "take whole numbers within 0 to 9, such as 1 to 5",
        )
    return JudgeTemplate(form, text, low, high)


def _placeholders(text: str, called: str, known: Sequence[str]) -> list[str]:
    try:
        fields = list(Formatter().parse(text))
    except ValueError as error:
        raise ConfigError(
            f"{called} has a brace that is not closed or opened: {error}",
            f"write {{{known[0]}}} for the prompt, and a brace itself twice: {{{{ or }}}}",
        ) from None
    for _, name, form, conversion in fields:
        if name is not None and (form or conversion):
            raise ConfigError(
                f"{called}: {{{name}}} is given a format", f"write {{{name}}} and nothing else"
            )
    return [name for _, name, _, _ in fields if name is not None]
