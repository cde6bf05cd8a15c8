"""The feedback record: one judgement by one annotator, whatever its kind and whoever judged.

The order in which options were shown is stored with them; the choice names options by id, never by
side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Literal, get_args

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from accord.errors import DataError
from accord.feedback.messages import (
    Behaviour,
    Clip,
    ClipSet,
    Content,
    Message,
    RecordModel,
    plain,
    to_json,
)
from accord.feedback.meta import check_meta, check_passages, has_passages

# with the record, what it is made of
__all__ = ["Behaviour", "Clip", "ClipSet", "Content", "Message", "plain", "to_json"]

VERSION = 2
"""Of the fields of a record. 1 (records without a version): messages of role and text alone, the
weight in `meta`."""
WRITTEN = "(written)"
"""The name, within its record, of the response an annotator wrote: of `meta.finished`, too."""


class Option(RecordModel):
    """A response as offered: `shown_at` is its place on the screen, 0 is left or top."""

    id: str = Field(min_length=1)
    content: Content | Behaviour
    producer: str | None = None
    shown_at: int = Field(ge=0)


# --- choices --------------------------------------------------------------------------------------
class _Choice(RecordModel):
    """What was chosen. kind: its name in a record; fewest, most: how many options it can be about
    (None: any number)."""

    kind: ClassVar[str]
    fewest: ClassVar[int] = 1
    most: ClassVar[int | None] = 1

    def named(self) -> list[str]:
        """The option ids that the choice names."""
        return []

    def check(self, options: list[Option]) -> None:
        """Raise ValueError when the choice does not fit the options; that it names only these is
        checked elsewhere."""


class Comparison(_Choice):
    """Two options: one preferred, a tie, or both bad.

    strength: how much better, 1 to 3. probability: of the preferred one being better, .5 to 1 (a
    soft label; without it the preference is certain).
    """

    kind = "comparison"
    fewest, most = 2, 2
    preferred: str | None = None
    tie: bool = False
    both_bad: bool = False
    strength: int | None = Field(None, ge=1, le=3)
    probability: float | None = Field(None, ge=0.5, le=1)

    @model_validator(mode="after")
    def _one_answer(self) -> Comparison:
        if (self.preferred is not None) == (self.tie or self.both_bad):
            raise ValueError("name the preferred option, or say tie or both_bad, not both")
        if self.probability is not None and self.preferred is None:
            raise ValueError("a probability is that of a preferred option being better: name it")
        return self

    def named(self) -> list[str]:
        return [] if self.preferred is None else [self.preferred]


class AttributeComparison(_Choice):
    """Two options compared on several attributes (helpful, honest, ...), each answered like a
    comparison."""

    kind = "attribute_comparison"
    fewest, most = 2, 2
    attributes: dict[str, Comparison] = Field(min_length=1)

    def named(self) -> list[str]:
        return [name for part in self.attributes.values() for name in part.named()]


class Ranking(_Choice):
    """Groups of option ids, best first; ids in the same group are tied. `all_bad`: none of them
    would do."""

    kind = "ranking"
    fewest, most = 2, None
    order: list[list[str]] = Field(min_length=1)
    all_bad: bool = False

    def named(self) -> list[str]:
        return [name for group in self.order for name in group]

    def check(self, options: list[Option]) -> None:
        if sorted(self.named()) != sorted(option.id for option in options):
            raise ValueError("a ranking names every option exactly once")


class BestWorst(_Choice):
    """The best and the worst of K options."""

    kind = "best_worst"
    fewest, most = 3, None
    best: str
    worst: str

    def named(self) -> list[str]:
        return [self.best, self.worst]

    def check(self, options: list[Option]) -> None:
        if self.best == self.worst:
            raise ValueError("best and worst are the same option")


class Rating(_Choice):
    """Scores per attribute on a scale [low, high], for the one option shown."""

    kind = "rating"
    scores: dict[str, float] = Field(min_length=1)
    low: float = 0.0
    high: float = 4.0

    @model_validator(mode="after")
    def _in_range(self) -> Rating:
        for name, score in self.scores.items():
            if not self.low <= score <= self.high:
                raise ValueError(f"score {name} = {score} is outside [{self.low:g}, {self.high:g}]")
        return self


class Thumb(_Choice):
    """Good or not, for the one option shown."""

    kind = "thumb"
    up: bool


class Correction(_Choice):
    """An edited version of the one option shown: the edit is preferred to the original."""

    kind = "correction"
    content: Content


class Demonstration(_Choice):
    """A response written by the annotator; no options are shown."""

    kind = "demonstration"
    fewest, most = 0, 0
    content: Content


class StepLabels(_Choice):
    """Per step of the one option shown: 1 good, 0 neutral, -1 bad (PRM800K)."""

    kind = "step_labels"
    steps: list[str] = Field(min_length=1)
    labels: list[Literal[-1, 0, 1]]

    @model_validator(mode="after")
    def _same_length(self) -> StepLabels:
        if len(self.steps) != len(self.labels):
            raise ValueError(f"{len(self.steps)} steps but {len(self.labels)} labels")
        return self


class Span(RecordModel):
    """The characters [start, end) of an option's text (code points), marked."""

    start: int = Field(ge=0)
    end: int
    label: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Span:
        if self.end <= self.start:
            raise ValueError(f"the span [{self.start}, {self.end}) is empty")
        return self


def _check_spans(spans: list[Span], options: list[Option]) -> None:
    length = max(len(plain(option.content)) for option in options)
    if any(span.end > length for span in spans):
        raise ValueError(f"a span ends beyond the option's {length} characters")


class Critique(_Choice):
    """What is good or bad about the options shown, in words.

    principle: of a constitution, by which it was judged. spans: the parts of the one option that it
    is about.
    """

    kind = "critique"
    most = None
    text: str = Field(min_length=1)
    principle: str | None = None
    spans: list[Span] = Field(default_factory=list)

    def check(self, options: list[Option]) -> None:
        if self.spans and len(options) > 1:
            raise ValueError(f"spans mark one option, {len(options)} are shown")
        _check_spans(self.spans, options)


class Argument(_Choice):
    """A turn of a debate: the case for one of the options. side: the option argued for; quotes:
    taken from the prompt, to the letter; round: the turn's number, from 1."""

    kind = "argument"
    fewest, most = 2, None
    side: str
    text: str = Field(min_length=1)
    quotes: list[str] = Field(default_factory=list)
    round: int = Field(1, ge=1)

    def named(self) -> list[str]:
        return [self.side]


class Flags(_Choice):
    """Answers to yes/no questions (true, false), or labels chosen from a list (one or several),
    about what is shown.

    Without options they are about the prompt.
    """

    kind = "flags"
    fewest, most = 0, None
    flags: dict[str, bool | str | list[str]] = Field(min_length=1)


class Spans(_Choice):
    """Marked parts of the one option shown; an empty list says that there was nothing to mark."""

    kind = "spans"
    spans: list[Span]

    def check(self, options: list[Option]) -> None:
        _check_spans(self.spans, options)


class Skip(_Choice):
    """The annotator gave no answer: unsure, not able to judge, content they do not want to see,
    ..."""

    kind = "skip"
    fewest, most = 0, None
    reason: str = Field(min_length=1)


Choice = (
    Comparison | AttributeComparison | Ranking | BestWorst | Rating | Thumb | Correction | Demonstration | StepLabels  # noqa: E501
    | Critique | Argument | Flags | Spans | Skip
)  # fmt: skip
CHOICES: dict[str, type[_Choice]] = {choice.kind: choice for choice in get_args(Choice)}
"""What is chosen in a record of each kind."""
Kind = Literal[
    "comparison", "attribute_comparison", "ranking", "best_worst", "rating", "thumb", "correction", "demonstration",  # noqa: E501
    "step_labels", "critique", "argument", "flags", "spans", "skip",
]  # fmt: skip


# --- the record -----------------------------------------------------------------------------------
class Feedback(RecordModel):
    """One judgement. `session` groups the judgements of one sitting; `guideline` is the version
    judged by.

    tools, chat_template_kwargs: what the model was offered beside the prompt's messages (JSON
    schemas of functions; settings of the chat template such as enable_thinking). weight: how much
    the judgement counts in training, 0 or more.
    """

    id: str = Field(min_length=1)
    version: Literal[2] = 2
    kind: Kind
    prompt: Content
    tools: list[dict[str, Any]] = Field(default_factory=list)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    options: list[Option]
    choice: Choice
    annotator: str = Field(min_length=1)
    session: str | None = None
    guideline: str | None = None
    active_seconds: float | None = Field(None, ge=0)
    created_at: str | None = None
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    meta: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _typed_choice(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        raw = _upgraded(raw)
        if isinstance(raw.get("choice"), dict) and raw.get("kind") in CHOICES:
            return raw | {"choice": CHOICES[raw["kind"]].model_validate(raw["choice"])}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> Feedback:
        choice, ids = self.choice, [option.id for option in self.options]
        if choice.kind != self.kind:
            raise ValueError(f"a {self.kind} needs a choice of type {CHOICES[self.kind].__name__}")
        if len(set(ids)) != len(ids):
            raise ValueError(f"option ids repeat: {ids}")
        if {option.shown_at for option in self.options} != set(range(len(ids))):
            raise ValueError("shown_at must number the options 0, 1, 2, ... without gaps")
        if len(ids) < choice.fewest or (choice.most is not None and len(ids) > choice.most):
            raise ValueError(f"a {self.kind} cannot have {len(ids)} options")
        choice.check(self.options)
        if unknown := set(choice.named()) - set(ids):
            raise ValueError(f"the choice names {sorted(unknown)}, the options are {sorted(ids)}")
        _check_prompt_extras(self.prompt, self.tools, self.chat_template_kwargs)
        check_meta(self.meta)
        if has_passages(self.meta):
            check_passages(self.meta, {o.id: len(plain(o.content)) for o in self.options})
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """All fields; tools and chat_template_kwargs where there are any."""
        fields = handler(self)
        return {k: v for k, v in fields.items() if v or k not in ("tools", "chat_template_kwargs")}

    @property
    def in_order(self) -> list[Option]:
        """The options in the order shown."""
        return sorted(self.options, key=attrgetter("shown_at"))

    @property
    def shown(self) -> list[str]:
        """Option ids in the order shown."""
        return [option.id for option in self.in_order]

    @property
    def asked(self) -> Any:
        """The prompt with what was offered beside it, see `asking`."""
        return asking(self.prompt, self.tools, self.chat_template_kwargs)


def asking(
    prompt: Content,
    tools: Sequence[Any] = (),
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """A prompt as `accord.text.encoding.Encoder` takes it: a text; messages; or, where there are
    tools or settings of the chat template, a dictionary of these and the messages. Raises
    ValueError for these beside a text."""
    _check_prompt_extras(prompt, tools, chat_template_kwargs)
    extras = {"tools": tools, "chat_template_kwargs": chat_template_kwargs}
    extras = {name: value for name, value in extras.items() if value}
    return {"messages": to_json(prompt), **extras} if extras else to_json(prompt)


def _check_prompt_extras(
    prompt: Content, tools: Sequence[Any], chat_template_kwargs: Mapping[str, Any] | None
) -> None:
    if isinstance(prompt, str) and (tools or chat_template_kwargs):
        raise ValueError("tools and chat_template_kwargs go with messages: the prompt is a text")


def asked_fields(prompt: Any) -> dict[str, Any]:
    """What `Feedback.asked` says as fields of a record: prompt and, where there are any, tools and
    chat_template_kwargs."""
    if not isinstance(prompt, Mapping):
        return {"prompt": prompt}
    return {
        "prompt": prompt["messages"],
        **{name: value for name, value in prompt.items() if name != "messages"},
    }


def _upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """A record of an earlier version as one of this version; raises ValueError for a later one."""
    version = raw.get("version", 1)
    if version == VERSION:
        return raw
    if version != 1:
        raise ValueError(
            f"this is a record of version {version!r}; versions 1 and {VERSION} are read"
        )
    upgraded = {**raw, "version": VERSION}
    if isinstance(raw.get("meta"), dict) and "weight" in raw["meta"]:
        upgraded["meta"] = {name: value for name, value in raw["meta"].items() if name != "weight"}
        upgraded["weight"] = raw["meta"]["weight"]
    return upgraded


def content_id(*parts: Any) -> str:
    """A short id from content: equal content, equal id."""
    texts = all(type(part) is str for part in parts)
    line = f"[{', '.join(map(_json_text, parts))}]" if texts else _sorted_json(parts)
    return hashlib.sha256(line.encode()).hexdigest()[:16]


_sorted_json = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, default=lambda m: m.model_dump()
).encode
_plain_json = json.JSONEncoder(ensure_ascii=False).encode
_json_text = json.encoder.encode_basestring  # what these encoders write a text by


_UNION = {
    "str",
    "float",
    "bool",
    "list[Message]",
    "list[TextPart]",
    "list[str]",
    "Clip",
    "ClipSet",
    "dict[str,any]",
}
"""How pydantic calls the members of a union in the place of an error; those that check themselves
it calls function-after[...]."""


def problem(error: ValidationError) -> str:
    """The field at fault and what is wrong with it; of a union's members the one that the value
    came closest to: whose fields are right, but not together, or else that with the deepest
    error."""
    deepest = max(error.errors(), key=lambda one: (one["type"] == "value_error", len(one["loc"])))
    parts = [str(part) for part in deepest["loc"] if part not in _UNION]
    path = ".".join(part for part in parts if not part.startswith("function-")) or "record"
    other = f", not {type(deepest['input']).__name__}" if deepest["type"].endswith("_type") else ""
    return f"{path}: {deepest['msg'].removeprefix('Value error, ')}{other}"


def dump_line(record: Feedback) -> str:
    """One JSON line, without the newline."""
    return _plain_json(record.model_dump(mode="json"))


def parse_line(line: str, where: str = "the record") -> Feedback:
    """Read one JSON line; raises DataError naming `where`, the field and the value."""
    try:
        return Feedback.model_validate_json(line)
    except ValidationError as error:
        raise DataError(
            f"{where}: {problem(error)}", "see docs/records.md for the fields of a record"
        ) from None
