"""Rules by which personal data in texts is replaced:

    rules:
      - {kind: email, replace: "[e-mail]"}
      - {pattern: 'Case \\d+', replace: "[case]"}

A rule is of a kind of `personal_data`, or a regular expression. They are applied in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from accord.feedback.formats.use_log import Use
from accord.feedback.messages import Behaviour, Content
from accord.feedback.meta import has_passages
from accord.feedback.personal_data import UNREAD_META, WORDS, Kind, content_texts, find
from accord.feedback.records import Critique, Feedback, Spans, problem
from accord.feedback.words import counted
from accord.validation import Settings, read_text, read_yaml, validated

EXPECTED = "rules: a list of {kind: email, replace: TEXT} or {pattern: EXPRESSION, replace: TEXT}"


class RedactionRule(Settings):
    """What is replaced, and by what."""

    kind: Kind | None = Field(None, description="A kind of personal data.")
    pattern: str | None = Field(None, description="A regular expression (Python's).")
    replace: str = Field(description="What stands there instead, to the letter.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            found = re.compile(pattern or "x").search("")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if found is not None:
            raise ValueError("it fits where nothing is: every place between characters")
        return pattern

    @model_validator(mode="after")
    def _one_of_both(self) -> RedactionRule:
        if (self.kind is None) == (self.pattern is None):
            raise ValueError("give kind or pattern, one of them")
        return self

    @property
    def literal(self) -> str:
        """The replacement as `re.subn` takes it: a backslash means itself."""
        return self.replace.replace("\\", r"\\")

    @property
    def name(self) -> str:
        """How counts call it."""
        return self.kind or f"pattern {self.pattern}"


class RedactionRules(Settings):
    """A file of them."""

    rules: list[RedactionRule] = Field(min_length=1, description="In the order applied.")


def read_rules(path: Path) -> Redactor:
    """Raises ConfigError naming the field at fault."""
    raw = read_yaml(read_text(path), path.name, EXPECTED)
    return Redactor(validated(RedactionRules, raw, path.name).rules)


@dataclass
class Redactor:
    """Replaces in texts. replaced: how often, by rule; left_out: records that cannot be replaced
    in, by reason."""

    rules: Sequence[RedactionRule]
    replaced: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def text(self, text: str) -> str:
        """The text with every rule applied."""
        for rule in self.rules:
            if rule.pattern is not None:
                text, count = re.subn(rule.pattern, rule.literal, text)
            else:
                places = [one for one in find(text) if one.kind == rule.kind]
                for one in reversed(places):
                    text = text[: one.start] + rule.replace + text[one.end :]
                count = len(places)
            if count:
                self.replaced[rule.name] += count
        return text

    def content(self, content: Content | Behaviour) -> Any:
        """A prompt or response, as JSON holds it."""
        if isinstance(content, str):
            return self.text(content)
        if isinstance(content, list):
            dumped = [message.model_dump(mode="json", exclude_none=True) for message in content]
            return [{k: v if k == "role" else self._all(v) for k, v in m.items()} for m in dumped]
        return content.model_dump(mode="json")

    def record(self, record: Feedback) -> Feedback | None:
        """The record with its texts replaced, ids and names as they were; None, counted, where
        marked passages would point elsewhere afterwards, or the record says nothing any more."""
        marks = isinstance(record.choice, (Spans, Critique)) and record.choice.spans
        if (marks or has_passages(record.meta)) and any(
            self._changes(option.content) for option in record.options
        ):
            self.left_out["passages are marked in a text that was redacted"] += 1
            return None
        raw = record.model_dump(mode="json")
        raw["prompt"] = self.content(record.prompt)
        for option, dumped in zip(record.options, raw["options"], strict=True):
            dumped["content"] = self.content(option.content)
        raw["choice"] = self._words(raw["choice"])
        raw["meta"] = {k: v if k in UNREAD_META else self._all(v) for k, v in raw["meta"].items()}
        if "assist" in raw["meta"]:
            raw["meta"]["assist"] = self._words(raw["meta"]["assist"])
        try:
            return Feedback.model_validate(raw)
        except ValidationError as error:
            self.left_out[f"nothing to learn from is left: {problem(error)}"] += 1
            return None

    def records(self, records: Iterable[Feedback]) -> list[Feedback]:
        """All that are left."""
        return [done for one in records if (done := self.record(one)) is not None]

    def use(self, use: Use) -> Use:
        """A row of a log of use."""
        texts = ("prompt", "response", "edit", "before")
        given = {name: getattr(use, name) for name in texts}
        kept: dict[str, Any] = {
            name: _content(self.content(v)) for name, v in given.items() if v is not None
        }
        return replace(use, **kept)

    def lines(self) -> list[str]:
        """For people."""
        replaced = [
            f"redacted: {name}, {counted(count, 'time')}" for name, count in self.replaced.items()
        ]
        left_out = [f"{count:,} left out: {reason}" for reason, count in self.left_out.items()]
        return [*(replaced or ["redacted: nothing"]), *left_out]

    def _changes(self, content: Content | Behaviour) -> bool:
        alone = Redactor(self.rules)
        return any(alone.text(text) != text for text in content_texts(content))

    def _words(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: self._all(v) if k in WORDS else self._words(v) for k, v in value.items()}
        return [self._words(one) for one in value] if isinstance(value, list) else value

    def _all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._all(inner) for key, inner in value.items()}
        return [self._all(one) for one in value] if isinstance(value, list) else value


def _content(raw: Any) -> Content:
    from accord.feedback.messages import Message

    return raw if isinstance(raw, str) else [Message.model_validate(one) for one in raw]
