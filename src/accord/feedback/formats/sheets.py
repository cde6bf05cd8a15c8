"""Answers to a form about a prompt and some responses, as annotation tools export them: each
becomes a record.

A sheet is one task as one annotator saw it: fields, by name, and answers, by question. Tools do not
say what a field
is for, so that it is told from its name: `prompt`, `instruction`, `messages`, ... is the prompt;
`response`, `answer_1`, `completion-b`, ... are the responses, in the order of the task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accord.feedback.formats.columns import Left, Parsed, RowError, build, content_of
from accord.feedback.formats.making import check_apart
from accord.feedback.formats.turns import is_conversation, unread
from accord.feedback.formats.values import empty, side_named, word
from accord.feedback.records import Content, Feedback, content_id

PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "messages",
    "conversation",
    "chat",
    "dialogue",
    "input",
    "text",
)
_ANSWER = re.compile(
    r"^(response|answer|completion|generation|output|reply|option|candidate|chosen|rejected)"
    r"([-_ ]?(\d+|[a-z]|left|right|one|two|three|four|first|second|text|old|new))?$",
    re.IGNORECASE,
)
_OVERALL = re.compile(
    r"overall|prefer|better|best|winner|choice|compar|pairwise|ranking|rank\b", re.IGNORECASE
)
_EDIT = re.compile(r"correct|edit|rewrit|revis|improv|refin", re.I)


@dataclass(frozen=True)
class Sheet:
    """One task: its prompt, its responses by name (in the order shown), and what else it holds."""

    prompt: Content
    responses: dict[str, Content]
    producers: dict[str, str] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answerer:
    """Turns the answers of one annotator on one sheet into records; `common`: annotator, time,
    seconds of them;
    `source`: where they come from, which also makes their ids."""

    sheet: Sheet
    common: Mapping[str, Any]
    source: Mapping[str, Any]

    def record(
        self, kind: str, names: Sequence[str], choice: Any, question: str, **source: Any
    ) -> Feedback:
        """A record about the named responses, shown in the order of the sheet. Raises RowError
        where responses that are compared say nothing, or two of them the same."""
        contents = [self.sheet.responses[name] for name in names]
        if kind in ("comparison", "ranking", "attribute_comparison"):
            check_apart(contents, names)
        order = [name for name in self.sheet.responses if name in names]
        meta: dict[str, Any] = {"source": {**self.source, "question": question, **source}}
        if names:
            meta["source"]["fields"] = list(names)
        if self.sheet.other:
            meta["fields"] = self.sheet.other
        return build(
            kind,
            self.sheet.prompt,
            contents,
            choice,
            self.common,
            producers=[self.sheet.producers.get(n) for n in names],
            places=[order.index(n) for n in names],
            record_id=content_id(meta["source"], dict(self.common), kind, list(names)),
            meta=meta,
        )

    def skip(self, reason: str) -> Parsed:
        """No answer was given."""
        return self.record("skip", list(self.sheet.responses), {"reason": reason}, "")

    def side(self, question: str, outcome: int | str) -> Feedback:
        """A comparison of the sheet's two responses: 0 the first, 1 the second, "tie" or
        "both_bad"."""
        names = list(self.sheet.responses)
        if len(names) != 2:
            raise RowError(
                f"{question} compares two responses, the task has {len(names)}:"
                f" {', '.join(names) or 'none'}"
            )
        answer = (
            (lambda ids: {"preferred": ids[outcome]})
            if isinstance(outcome, int)
            else {outcome: True}
        )
        return self.record("comparison", names, answer, question)

    def ranking(self, question: str, groups: Sequence[Sequence[str]]) -> Iterator[Parsed]:
        """Groups of response names, best first; responses that nobody placed are counted."""
        names = [name for group in groups for name in group]
        if unknown := set(names) - set(self.sheet.responses):
            raise RowError(
                f"{question} ranks {sorted(unknown)}, the task holds"
                f" {', '.join(self.sheet.responses)}"
            )
        yield from [Left("response that was not ranked")] * (len(self.sheet.responses) - len(names))
        if len(names) < 2:
            yield Left("ranking of fewer than two responses")
            return
        place = {name: i for i, name in enumerate(names)}
        order = [[place[name] for name in group] for group in groups if group]
        yield self.record(
            "ranking", names, lambda ids: {"order": [[ids[i] for i in g] for g in order]}, question
        )

    def rating(self, question: str, score: float, scales: ScaleGuess, about: str | None) -> Parsed:
        """A score for the response it is about; `meta["source"]["scale"]` says when its range was
        guessed."""
        name = self._one(question, about)
        if name is None:
            return Left(f"rating {question!r}: the task does not say of which response")
        low, high = scales.range(question)
        guessed = {} if question in scales.known else {"scale": "guessed"}
        return self.record(
            "rating",
            [name],
            {"scores": {question: float(score)}, "low": low, "high": high},
            question,
            **guessed,
        )

    def text(self, question: str, text: str, about: str | None) -> Parsed:
        """Words: a response written where the task has none; an edit of one, by the question's
        name; or a critique."""
        if not text.strip():
            return Left(f"empty text for {question!r}")
        if not self.sheet.responses:
            return self.record("demonstration", [], {"content": text}, question)
        name = self._one(question, about)
        if _EDIT.search(question):
            if name is None:
                return Left(f"edit {question!r}: the task does not say of which response")
            return self.record("correction", [name], {"content": text}, question)
        return self.record(
            "critique", [name] if name else list(self.sheet.responses), {"text": text}, question
        )

    def label(
        self, question: str, labels: Sequence[str], about: str | None, several: bool
    ) -> Parsed:
        """Labels: which of two responses is better where they name them; yes or no; else as they
        are."""
        names, one = list(self.sheet.responses), labels[0] if len(labels) == 1 else None
        if one is not None and not several and about is None and len(names) == 2:
            side: Any = names.index(one) if one in names else side_named(one)
            if side is not None:
                return self.side(question, side)
        answer: Any = list(labels)
        if one is not None and not several:
            answer = one if (named := word(one)) is None else named
        name = self._one(question, about)
        return self.record(
            "flags", [name] if name else names, {"flags": {question: answer}}, question
        )

    def spans(self, question: str, spans: Sequence[Mapping[str, Any]], about: str | None) -> Parsed:
        """Marked parts of one response."""
        name = self._one(question, about)
        if name is None:
            return Left(f"spans {question!r}: not in a response")
        return self.record("spans", [name], {"spans": list(spans)}, question)

    def _one(self, question: str, about: str | None) -> str | None:
        """The response meant: the one named, the only one, or the one whose name the question
        holds."""
        names = list(self.sheet.responses)
        if about is not None and about in names:
            return about
        if len(names) == 1:
            return names[0]
        held = [
            name for name in names if re.search(rf"(^|[-_ ]){re.escape(name)}($|[-_ ])", question)
        ]
        return held[0] if len(held) == 1 else None


def settled(answerer: Answerer, parts: Sequence[Parsed]) -> Iterator[Parsed]:
    """The parts of one annotator's answers; of several comparisons of the same two responses, the
    one that asks for the better one overall (by its question's name) stays a comparison, the others
    become one by attributes."""
    sides = [p for p in parts if isinstance(p, Feedback) and p.kind == "comparison"]
    overall = [p for p in sides if _OVERALL.search(_question(p))]
    apart = [] if len(sides) < 2 else [p for p in sides if len(overall) != 1 or p is not overall[0]]
    yield from (part for part in parts if part not in apart)
    if apart:
        answer = {"attributes": {_question(p): p.choice for p in apart}}
        yield answerer.record("attribute_comparison", list(answerer.sheet.responses), answer, "")


def _question(record: Feedback) -> str:
    return str(record.meta["source"]["question"])


def sheet_of(fields: Mapping[str, Any], named: Sequence[str] = ()) -> Sheet:
    """The sheet of a task's fields; `named` are fields that a question names as what it compares.

    A conversation whose task has no response is about its last answer. Raises RowError when nothing
    is a prompt.
    """
    texts = {name: value for name, value in fields.items() if _is_text(value)}
    prompt = next(
        (
            name
            for wanted in PROMPTS
            for name in texts
            if name.lower() == wanted and name not in named
        ),
        None,
    )
    answers = [name for name in dict.fromkeys(named) if name in texts]
    if len(answers) < 2:
        answers = [n for n in texts if n in named or (n != prompt and _ANSWER.match(n))]
    if prompt is None:
        prompt = next((name for name in texts if name not in answers), None)
    if prompt is None:
        raise RowError(
            f"no field is a prompt: {', '.join(fields) or 'there is none'} (rename one to prompt)"
        )
    content = content_of(texts[prompt])
    responses = {name: content_of(texts[name]) for name in answers}
    other = {
        name: value for name, value in fields.items() if name != prompt and name not in responses
    }
    if isinstance(content, list) and not responses:
        last = max((i for i, m in enumerate(content) if m.role == "assistant"), default=0)
        if last:
            after = [m.model_dump() for m in content[last + 1 :]]
            responses, content = {"last answer": [content[last]]}, content[:last]
            other |= {"after": after} if after else {}
    return Sheet(content, responses, {}, other)


def left_of(row: Mapping[str, Any], read: Sequence[str], fields: str) -> Iterator[Left]:
    """What no record holds of a task: columns other than `read`, keys of the messages in its
    `fields`."""
    yield from (
        Left(f"column {name!r}")
        for name, value in row.items()
        if name not in read and not empty(value)
    )
    yield from map(Left, unread(row.get(fields)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or is_conversation(value)


@dataclass
class ScaleGuess:
    """Ranges of ratings, which exports leave out: up to the least of `usual` that holds all answers
    to a question."""

    usual: tuple[float, ...] = (5, 7, 10, 100)
    low: float = 1
    known: dict[str, tuple[float, float]] = field(default_factory=dict)
    seen: dict[str, list[float]] = field(default_factory=dict)

    def see(self, question: str, score: float) -> None:
        """Take an answer into account."""
        self.seen.setdefault(question, []).append(float(score))

    def range(self, question: str) -> tuple[float, float]:
        """(lowest, highest) answer of a question."""
        if question in self.known:
            return self.known[question]
        seen = self.seen[question]
        return min(self.low, *seen), next(
            (top for top in self.usual if top >= max(seen)), max(seen)
        )
