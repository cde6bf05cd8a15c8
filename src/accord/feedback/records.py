"""The feedback record: one judgement by one annotator, whatever its kind and whoever judged.

The order in which options were shown is stored with them; the choice names options by id, never by side.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from accord.errors import DataError


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Model):
    """One turn of a conversation, in the OpenAI / Hugging Face format."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


Content = str | list[Message]
"""Free text, or messages."""


def plain(content: Content) -> str:
    """Text of an option: itself, or its last message."""
    return content if isinstance(content, str) else content[-1].content


def to_json(content: Content) -> Any:
    """A text as it is, messages as a list of {"role", "content"}."""
    return content if isinstance(content, str) else [message.model_dump() for message in content]


class Option(_Model):
    """A response as offered: `shown_at` is its place on the screen, 0 is left or top."""

    id: str = Field(min_length=1)
    content: Content
    producer: str | None = None
    shown_at: int = Field(ge=0)


class Comparison(_Model):
    """Two options: one preferred (with an optional strength 1..3), a tie, or both bad."""

    preferred: str | None = None
    tie: bool = False
    both_bad: bool = False
    strength: int | None = Field(None, ge=1, le=3)

    @model_validator(mode="after")
    def _one_answer(self) -> Comparison:
        if (self.preferred is not None) == (self.tie or self.both_bad):
            raise ValueError("name the preferred option, or say tie or both_bad, not both")
        return self


class AttributeComparison(_Model):
    """Two options compared on several attributes (helpful, honest, ...), each answered like a comparison."""

    attributes: dict[str, Comparison] = Field(min_length=1)


class Ranking(_Model):
    """Groups of option ids, best first; ids in the same group are tied. `all_bad`: none of them would do."""

    order: list[list[str]] = Field(min_length=1)
    all_bad: bool = False


class BestWorst(_Model):
    """The best and the worst of K options."""

    best: str
    worst: str


class Rating(_Model):
    """Scores per attribute on a scale [low, high], for the one option shown."""

    scores: dict[str, float] = Field(min_length=1)
    low: float = 0.0
    high: float = 4.0

    @model_validator(mode="after")
    def _in_range(self) -> Rating:
        for name, score in self.scores.items():
            if not self.low <= score <= self.high:
                raise ValueError(f"score {name} = {score} is outside [{self.low:g}, {self.high:g}]")
        return self


class Thumb(_Model):
    """Good or not, for the one option shown."""

    up: bool


class Correction(_Model):
    """An edited version of the one option shown: the edit is preferred to the original."""

    content: Content


class Demonstration(_Model):
    """A response written by the annotator; no options are shown."""

    content: Content


class StepLabels(_Model):
    """Per step of the one option shown: 1 good, 0 neutral, -1 bad (PRM800K)."""

    steps: list[str] = Field(min_length=1)
    labels: list[Literal[-1, 0, 1]]

    @model_validator(mode="after")
    def _same_length(self) -> StepLabels:
        if len(self.steps) != len(self.labels):
            raise ValueError(f"{len(self.steps)} steps but {len(self.labels)} labels")
        return self


class Critique(_Model):
    """What is good or bad about the options shown, in words."""

    text: str = Field(min_length=1)


class Flags(_Model):
    """Answers to yes/no questions (true, false), or labels chosen from a list (one or several), about what is shown.

    Without options they are about the prompt.
    """

    flags: dict[str, bool | str | list[str]] = Field(min_length=1)


class Span(_Model):
    """The characters [start, end) of an option's text (code points; of its last message), marked."""

    start: int = Field(ge=0)
    end: int
    label: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Span:
        if self.end <= self.start:
            raise ValueError(f"the span [{self.start}, {self.end}) is empty")
        return self


class Spans(_Model):
    """Marked parts of the one option shown; an empty list says that there was nothing to mark."""

    spans: list[Span]


class Skip(_Model):
    """The annotator gave no answer: unsure, not able to judge, content they do not want to see, ..."""

    reason: str = Field(min_length=1)


CHOICES: dict[str, type[_Model]] = {
    "comparison": Comparison, "attribute_comparison": AttributeComparison, "ranking": Ranking, "best_worst": BestWorst,
    "rating": Rating, "thumb": Thumb, "correction": Correction, "demonstration": Demonstration,
    "step_labels": StepLabels, "critique": Critique, "flags": Flags, "spans": Spans, "skip": Skip,
}  # fmt: skip
Kind = Literal[
    "comparison", "attribute_comparison", "ranking", "best_worst", "rating", "thumb", "correction", "demonstration",
    "step_labels", "critique", "flags", "spans", "skip",
]  # fmt: skip
_OPTIONS: dict[str, tuple[int, int | None]] = {
    "comparison": (2, 2), "attribute_comparison": (2, 2), "ranking": (2, None), "best_worst": (3, None),
    "demonstration": (0, 0), "critique": (1, None), "flags": (0, None), "skip": (0, None),
}  # fmt: skip
"""Fewest and most options of a kind; the others are about exactly one."""


class Feedback(_Model):
    """One judgement. `session` groups the judgements of one sitting; `guideline` is the version judged by."""

    id: str = Field(min_length=1)
    kind: Kind
    prompt: Content
    options: list[Option]
    choice: Annotated[Any, Field(description="the choice model of `kind`")]
    annotator: str = Field(min_length=1)
    session: str | None = None
    guideline: str | None = None
    active_seconds: float | None = Field(None, ge=0)
    created_at: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _typed_choice(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("choice"), dict) and raw.get("kind") in CHOICES:
            return raw | {"choice": CHOICES[raw["kind"]].model_validate(raw["choice"])}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> Feedback:
        expected = CHOICES[self.kind]
        if not isinstance(self.choice, expected):
            raise ValueError(f"a {self.kind} needs a choice of type {expected.__name__}")
        ids = [option.id for option in self.options]
        if len(set(ids)) != len(ids):
            raise ValueError(f"option ids repeat: {ids}")
        if sorted(option.shown_at for option in self.options) != list(range(len(ids))):
            raise ValueError("shown_at must number the options 0, 1, 2, ... without gaps")
        self._check_choice(set(ids))
        return self

    def _check_choice(self, ids: set[str]) -> None:
        choice, count = self.choice, len(ids)
        fewest, most = _OPTIONS.get(self.kind, (1, 1))
        if count < fewest or (most is not None and count > most):
            raise ValueError(f"a {self.kind} cannot have {count} options")
        named: list[str] = []
        if isinstance(choice, Comparison | AttributeComparison):
            parts = [choice] if isinstance(choice, Comparison) else choice.attributes.values()
            named = [part.preferred for part in parts if part.preferred is not None]
        elif isinstance(choice, Ranking):
            named = [i for group in choice.order for i in group]
            if sorted(named) != sorted(ids):
                raise ValueError("a ranking names every option exactly once")
        elif isinstance(choice, BestWorst):
            named = [choice.best, choice.worst]
            if choice.best == choice.worst:
                raise ValueError("best and worst are the same option")
        elif isinstance(choice, Spans):
            length = len(plain(self.options[0].content))
            if any(span.end > length for span in choice.spans):
                raise ValueError(f"a span ends beyond the option's {length} characters")
        unknown = set(named) - ids
        if unknown:
            raise ValueError(f"the choice names {sorted(unknown)}, the options are {sorted(ids)}")

    @property
    def shown(self) -> list[str]:
        """Option ids in the order shown."""
        return [option.id for option in sorted(self.options, key=lambda o: o.shown_at)]


def content_id(*parts: Any) -> str:
    """A short id from content: equal content, equal id."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=lambda m: m.model_dump())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dump_line(record: Feedback) -> str:
    """One JSON line, without the newline."""
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False)


def parse_line(line: str, where: str = "the record") -> Feedback:
    """Read one JSON line; raises DataError naming `where`, the field and the value."""
    try:
        return Feedback.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"]) or "record"
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{where}: {path}: {message}", "see docs/records.md for the fields of a record") from None
