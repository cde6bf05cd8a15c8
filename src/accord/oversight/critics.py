"""Critics: Python functions that mark the places at fault, and models that are asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from accord.errors import ConfigError, RunError
from accord.examine.behaviour.refusal import refuses
from accord.feedback.messages import Content, plain
from accord.feedback.records import Span, asked_fields
from accord.oversight.constitution import Constitution, Principle
from accord.oversight.drafts import Criticism, Draft, Failure
from accord.oversight.writers import Writer
from accord.text.chats import Prompt

SpanFunction = Callable[[Any, str], list[Span]]
"""(prompt, response) -> the places at fault, in characters of the response."""
KEPT = "It keeps to this principle."
PRESENTED = "This is a prompt, and a response to it.\n\nPrompt:\n{prompt}\n\nResponse:\n{response}"
_CONTENT: TypeAdapter[Any] = TypeAdapter(Content)
_QUOTE = re.compile(r'"([^"\n]{3,300})"|“([^”\n]{3,300})”')


# --- functions ------------------------------------------------------------------------------------
def words(prompt: Any, response: str, words: Sequence[str]) -> list[tuple[int, int, str]]:
    """The places of these words, whole and in whatever case."""
    del prompt
    if isinstance(words, str) or not words or not all(isinstance(w, str) and w for w in words):
        raise ConfigError(f"words = {words!r} is no list of words", "write words: [bad, worst]")
    pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?!\w)"
    found = re.finditer(pattern, response, re.IGNORECASE)
    return [(match.start(), match.end(), match[0].lower()) for match in found]


READY_CRITICS: dict[str, Callable[..., Sequence[Any]]] = {"words": words}
"""What `accord:NAME` means as a critic."""


def marking(function: Callable[[Any, str], Any], who: str) -> SpanFunction:
    """A function that gives (start, end) or (start, end, note), with what it gives checked."""
    return lambda prompt, response: checked_spans(function(prompt, response), response, who)


def checked_spans(found: Any, text: str, who: str) -> list[Span]:
    """What a critic's function returned, as spans of the text. Raises RunError naming the function
    and the span for one that is none, or lies outside."""
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Sequence):
        raise RunError(
            f"{who} returned {type(found).__name__}, not a list of spans",
            "return [(start, end), ...] or [(start, end, note), ...]; an empty list: all is well",
        )
    return [_span(one, text, who) for one in found]


def _span(one: Any, text: str, who: str) -> Span:
    parts = tuple(one) if isinstance(one, Sequence) and not isinstance(one, str) else ()
    whole = all(type(part) is int for part in parts[:2])
    named = len(parts) == 2 or (len(parts) == 3 and isinstance(parts[2], str | None))
    if not whole or not named:
        raise RunError(
            f"{who} returned {str(one)[:80]!r}, which is no span",
            "a span is (start, end) or (start, end, note), in characters of the response",
        )
    start, end = parts[:2]
    if not 0 <= start < end <= len(text):
        raise RunError(
            f"{who} returned the span [{start}, {end}) of a response of {len(text)} characters:"
            f" {text[:60]!r}",
            f"spans are not empty and lie in [0, {len(text)}); count characters, not bytes or"
            " tokens",
        )
    return Span(start=start, end=end, note=parts[2] if len(parts) == 3 else None)


class RuleCritic:
    """A function per principle, by its id, see `marking`."""

    name = "rules"

    def __init__(self, constitution: Constitution, functions: Mapping[str, SpanFunction]) -> None:
        """Raises ConfigError where a principle has no function, or a function no principle."""
        for name in functions:
            constitution.by_id(name)
        missing = [one.id for one in constitution.principles if one.id not in functions]
        if missing:
            raise ConfigError(
                f"no function finds what breaks {' and '.join(missing)}",
                "name one per principle: critics: {PRINCIPLE: module:function}",
            )
        self.constitution, self.functions = constitution, functions

    def spans(self, prompt: Prompt, text: str, principle: str) -> list[Span]:
        """What breaks one principle."""
        return self.functions[principle](prompt, text)

    def counts(self, prompt: Prompt, text: str) -> dict[str, int]:
        """How many places break each principle."""
        return {one.id: len(self.spans(prompt, text, one.id)) for one in self.principles}

    @property
    def principles(self) -> Sequence[Principle]:
        return self.constitution.principles

    def critique(
        self, asked: Sequence[tuple[Draft, Principle]], seeds: Sequence[int]
    ) -> list[Criticism | Failure]:
        """Where each draft breaks its principle."""
        del seeds
        return [self._one(draft, principle) for draft, principle in asked]

    def _one(self, draft: Draft, principle: Principle) -> Criticism:
        spans = self.spans(draft.prompt, draft.text, principle.id)
        if not spans:
            return Criticism(KEPT, violates=False)
        quoted = ", ".join(f'"{draft.text[one.start : one.end]}"' for one in spans)
        return Criticism(f"{principle.text} It has {quoted}.", spans, violates=True)


# --- models ---------------------------------------------------------------------------------------
class ModelCritic:
    """A model that is asked for a critique in words. What it quotes to the letter becomes spans;
    quotes that do not stand in the response are counted as invented."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.name = writer, writer.name

    def critique(
        self, asked: Sequence[tuple[Draft, Principle]], seeds: Sequence[int]
    ) -> list[Criticism | Failure]:
        """A critique each; none where it was cut off, empty or refused."""
        conversations = [[opening(draft, principle)] for draft, principle in asked]
        answers = self.writer.write(conversations, seeds)
        return [
            answer if isinstance(answer, Failure) else self._read(answer.text, answer.finished, d)
            for answer, (d, _) in zip(answers, asked, strict=True)
        ]

    def _read(self, text: str, finished: bool, draft: Draft) -> Criticism | Failure:
        if not text.strip():
            return Failure("the critique is empty")
        if not finished:
            return Failure(f"the critique was cut at {self.writer.limit} tokens")
        if refuses([text])[0]:
            return Failure("the critic refused")
        spans, invented = quoted_spans(text, draft.text)
        return Criticism(text.strip(), spans, None, invented)


def opening(draft: Draft, principle: Principle) -> dict[str, str]:
    """The message that shows a draft and asks for a critique."""
    asked = plain(asked_prompt(draft.prompt))
    shown = PRESENTED.format(prompt=asked, response=draft.text)
    return {"role": "user", "content": f"{shown}\n\n{principle.critique}"}


def asked_prompt(prompt: Prompt) -> Any:
    """Text or messages of a prompt, as a record has them."""
    return _CONTENT.validate_python(asked_fields(prompt)["prompt"])


def quoted_spans(critique: str, text: str) -> tuple[list[Span], int]:
    """(places of the text that a critique quotes to the letter, each quote's first; how many quotes
    do not stand in it)."""
    quotes = dict.fromkeys(a or b for a, b in _QUOTE.findall(critique))
    places = [(text.find(quote), quote) for quote in quotes]
    spans = [Span(start=at, end=at + len(quote)) for at, quote in places if at >= 0]
    return sorted(spans, key=lambda one: one.start), sum(at < 0 for at, _ in places)
