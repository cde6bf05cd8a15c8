"""What an AI judge is shown, and its verdicts as feedback records like anybody's.

A pair becomes a `comparison` with the probability of the preferred one (a tie where the judge is
exactly undecided), a score a `rating`, criteria a `rating` of their weighted share and `flags` of
each. What got no verdict is a `skip` with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from accord.errors import DataError
from accord.feedback.formats.columns import UNKNOWN_ORDER, option_ids
from accord.feedback.messages import Behaviour, Content, Message, plain
from accord.feedback.records import (
    Correction,
    Demonstration,
    Feedback,
    Option,
    asked_fields,
    content_id,
)
from accord.oversight.ai_judge import AiJudge, JudgedItem, Softening
from accord.oversight.judge_questions import JudgeForm

SCORE = "score"
"""The attribute of pointwise ratings and of the weighted share of criteria."""
UNCHANGED = Softening()


@dataclass(frozen=True)
class JudgeItem:
    """A response, or a pair of them, to a prompt (as `Feedback.asked`); finished: by option id,
    where it is known."""

    asked: Any
    options: tuple[Option, ...]
    finished: dict[str, bool] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[str, list[str]]:
        """(prompt, responses) as texts."""
        asked = self.asked["messages"] if isinstance(self.asked, dict) else self.asked
        if not isinstance(asked, str):
            asked = plain([Message.model_validate(one) for one in asked])
        return asked, [plain(option.content) for option in self.options]


@dataclass(frozen=True)
class _Written:
    """A response as it was found; finished: whether it ended, where that is known."""

    id: str
    content: Content
    producer: str | None
    finished: bool | None


@dataclass
class _Prompt:
    """Everything that was written to one prompt, by text. together: texts side by side."""

    asked: Any
    texts: dict[str, _Written] = field(default_factory=dict)
    together: dict[tuple[str, str], None] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)

    def add(self, written: Sequence[_Written]) -> None:
        """What one record holds."""
        found = []
        for one in written:
            text = plain(one.content)
            found.append(text)
            self.texts.setdefault(text, one)
            self.ids.setdefault(one.id, set()).add(text)
        for pair in combinations(dict.fromkeys(found), 2):
            if pair[::-1] not in self.together:
                self.together[pair] = None

    def id_of(self, text: str) -> str:
        """The id by which other records know it, where it means nothing else; else by content."""
        own = self.texts[text]
        return own.id if len(self.ids[own.id]) == 1 else option_ids([own.content])[0]


def items_of(
    records: Sequence[Feedback], form: JudgeForm
) -> tuple[list[JudgeItem], dict[str, int]]:
    """(what there is to judge, each once, in the order of the records; what cannot be judged, by
    reason). Pairs are of responses that stood side by side, and, for prompts whose responses only
    stand alone, of all of them. Raises DataError where there is nothing."""
    left_out: Counter[str] = Counter()
    prompts: dict[str, _Prompt] = {}
    for record in records:
        written = list(_written(record))
        if not written:
            left_out[f"{record.kind} without a response"] += 1
        elif any(isinstance(one.content, Behaviour) for one in written):
            left_out["a clip: only texts are judged"] += 1
        else:
            prompts.setdefault(repr(record.asked), _Prompt(record.asked)).add(written)
            left_out["two responses that are the same text"] += len(written) - len(
                {plain(one.content) for one in written}
            )
    items = [item for prompt in prompts.values() for item in _items(prompt, form, left_out)]
    found = {reason: count for reason, count in left_out.items() if count}
    if not items:
        raise DataError(
            f"there is nothing to judge {form} ({found or 'no records'})",
            "a pairwise judge needs two different responses to a prompt, others one",
        )
    return items, found


def _written(record: Feedback) -> Iterator[_Written]:
    """Everything that was written in a record."""
    finished = record.meta.get("finished")
    for one in record.options:
        ended = finished.get(one.id) if isinstance(finished, dict) else None
        yield _Written(one.id, one.content, one.producer, ended)  # type: ignore[arg-type]
    if isinstance(record.choice, Correction | Demonstration):
        content, ended = record.choice.content, finished if isinstance(finished, bool) else None
        yield _Written(option_ids([content])[0], content, record.annotator, ended)


def _items(prompt: _Prompt, form: JudgeForm, left_out: Counter[str]) -> Iterator[JudgeItem]:
    if form != "pairwise":
        groups: list[tuple[str, ...]] = [(text,) for text in prompt.texts]
    else:
        groups = list(prompt.together) or list(combinations(prompt.texts, 2))
        if not groups:
            left_out["a prompt with one response: no pair"] += 1
    for texts in groups:
        ids = {text: prompt.id_of(text) for text in sorted(texts)}
        found = [(ids[text], prompt.texts[text]) for text in ids]
        options = tuple(
            Option(id=name, content=one.content, producer=one.producer, shown_at=place)
            for place, (name, one) in enumerate(found)
        )
        ended = {name: one.finished for name, one in found if one.finished is not None}
        yield JudgeItem(prompt.asked, options, ended)


def records_of(
    item: JudgeItem,
    judged: JudgedItem,
    judge: AiJudge,
    guideline: str | None,
    soften: Softening = UNCHANGED,
) -> list[Feedback]:
    """What a judge says of an item as records: one, and of a rubric two."""
    ids = [option.id for option in item.options]
    asked = asked_fields(item.asked)
    own = content_id(judge.name, judge.template.hash, guideline or "", repr(item.asked), *ids)
    meta: dict[str, Any] = {"judge": _meta(item, judged, judge, soften)}
    if item.finished:
        meta["finished"] = item.finished
    if len(ids) == 2:
        meta["shown"] = UNKNOWN_ORDER

    def record(kind: str, choice: dict[str, Any], part: str = "") -> Feedback:
        return Feedback.model_validate(
            {
                "id": f"judge-{own}{part}",
                "kind": kind,
                **asked,
                "options": [option.model_dump() for option in item.options],
                "choice": choice,
                "annotator": judge.name,
                "session": f"judge-{own}" if judge.template.form == "rubric" else None,
                "guideline": guideline,
                "meta": meta,
            }
        )

    if judged.value is None:
        return [record("skip", {"reason": judged.reason or "no answer"})]
    if judge.template.form == "pairwise":
        return [record("comparison", _preference(soften(judged.value), ids))]
    if judge.template.form == "pointwise":
        scores = {SCORE: judged.value}
        scale = {"low": judge.template.low, "high": judge.template.high}
        return [record("rating", {"scores": scores, **scale})]
    flags = {name: met > 0.5 for name, met in judged.by_criterion.items()}
    return [
        record("rating", {"scores": {SCORE: judged.value}, "low": 0, "high": 1}),
        record("flags", {"flags": flags}, "-flags"),
    ]


def _preference(value: float, ids: Sequence[str]) -> dict[str, Any]:
    if value == 0.5:
        return {"tie": True}
    preferred, sure = (ids[0], value) if value > 0.5 else (ids[1], 1 - value)
    return {"preferred": preferred, "probability": sure}


def _meta(item: JudgeItem, judged: JudgedItem, judge: AiJudge, soften: Softening) -> dict[str, Any]:
    found: dict[str, Any] = {"model": judge.name, "template": judge.template.hash}
    if judged.orders is not None:
        first, second = (option.id for option in item.options)
        found["orders"] = [
            {"order": [first, second], "probability": judged.orders[0]},
            {"order": [second, first], "probability": 1 - judged.orders[1]},
        ]
        found |= {n: v for n, v in asdict(soften).items() if v != 1}
    more = {
        "principles": judged.by_criterion,
        "read": list(judged.how),
        "key": judged.key,
        "mass": judged.mass,
        "cost": judged.cost,
        "tokens": judged.tokens or None,
    }
    return found | {n: value for n, value in more.items() if value is not None and value != {}}
