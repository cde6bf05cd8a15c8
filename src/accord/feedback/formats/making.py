"""Records that layouts have in common, each made in one place: a pair and its outcome, a ranking, a
demonstration.

Every one refuses the row where an answer is missing or says nothing, or where two answers are the
same: nobody can prefer one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from accord.feedback.formats.columns import (
    Left,
    RowError,
    bare_reply,
    build,
    content_of,
    flat,
    how_much,
    name_in,
    written_as,
)
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import empty, number
from accord.feedback.messages import Role
from accord.feedback.records import Content, Feedback, Message

SIDES = ("chosen", "rejected")
PRODUCERS = ("{}_model", "{}-model", "{}_generator", "{}_policy", "model_{}", "{}_model_name")
"""Columns that say who wrote the answer of a side."""
PRODUCER_COLUMNS = tuple(name.format(side) for side in SIDES for name in PRODUCERS)
PAIR_COLUMNS = ("margin", "strength", "probability", *PRODUCER_COLUMNS)
"""Columns that may stand beside a chosen and a rejected answer."""
_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}


def producers_of(row: Row, sides: Sequence[str] = SIDES) -> list[str | None]:
    """Who wrote the answer of each side, where a column says so."""
    columns = _producer_columns(tuple(sides))
    names_by_side = ([name_in(row, name) for name in names if name in row] for names in columns)
    return [next(filter(None, names), None) for names in names_by_side]


@lru_cache(maxsize=64)
def _producer_columns(sides: tuple[str, ...]) -> list[list[str]]:
    return [[name.format(side) for name in PRODUCERS] for side in sides]


def answer(row: Row, name: str) -> Content:
    """The answer in a column; raises RowError where there is none."""
    if row.get(name) is None:
        raise RowError(f"{name} is missing")
    content = content_of(row[name])
    _check_filled(content, name)
    return content


def _check_filled(content: Content, name: str) -> None:
    if not flat(content).strip():
        raise RowError(f"{name} is empty")


def user(text: Any, *more: Any) -> list[Message]:
    """A user's message: what is asked, and after an empty line what it is asked about."""
    parts = [part for part in (text, *more) if part not in (None, "")]
    if not parts or not all(isinstance(part, str) for part in parts) or not str(parts[0]).strip():
        raise RowError("the prompt is empty" if not parts else "the prompt is not text")
    return [Message(role="user", content="\n\n".join(parts))]


def unused(value: Mapping[str, Any], used: Sequence[str], what: str) -> Iterator[Left]:
    """What an object within a row holds beyond what was read of it."""
    for name, inner in value.items():
        if name not in used and not empty(inner):
            yield Left(f"key {name!r} of {what}")


def check_apart(contents: Sequence[Content], names: Sequence[str]) -> None:
    """Raises RowError where an answer says nothing, or one of two the same as the other."""
    for name, content in zip(names, contents, strict=True):
        _check_filled(content, name)
    if len(contents) == 2 and bare_reply(contents[0]) == bare_reply(contents[1]):
        raise RowError(f"{names[0]} and {names[1]} are the same")


def compared(
    prompt: Content,
    contents: Sequence[Content],
    outcome: int | str,
    row: Row,
    *,
    names: Sequence[str] = SIDES,
    strength: int | None = None,
    probability: float | None = None,
    **more: Any,
) -> Feedback:
    """A comparison: the place of the preferred one of two answers, "tie" or "both_bad"; more goes
    to `build`."""
    check_apart(contents, names)
    how = {"strength": strength, "probability": probability}
    how = {name: value for name, value in how.items() if value is not None}

    def choice(ids: Sequence[str]) -> dict[str, Any]:
        return (
            {"preferred": ids[outcome], **how}
            if isinstance(outcome, int)
            else {outcome: True, **how}
        )

    return build("comparison", prompt, contents, choice, row, **more)


def preference(
    prompt: Content, chosen: Content, rejected: Content, row: Row, **more: Any
) -> Iterator[Feedback]:
    """A comparison of a row that names the chosen and the rejected answer, and beside them perhaps
    margin and strength."""
    meta = {} if empty(row.get("margin")) else {"margin": number(row["margin"], "margin")}
    more = {
        "producers": producers_of(row),
        **how_much(row),
        **more,
        "meta": {**meta, **more.get("meta", {})},
    }
    yield compared(prompt, [chosen, rejected], 0, row, **more)


def ranked(
    prompt: Content, contents: Sequence[Content], scores: Sequence[float], row: Row, **more: Any
) -> Feedback:
    """A ranking by scores, higher is better; equal scores are tied. Of two answers it is a
    comparison."""
    names = [f"answer {place}" for place in range(1, len(contents) + 1)]
    check_apart(contents, names)
    if len(contents) < 2:
        raise RowError("fewer than two answers are ranked")
    if len(contents) == 2:
        outcome: int | str = "tie" if scores[0] == scores[1] else int(scores[1] > scores[0])
        return compared(prompt, contents, outcome, row, names=names, **more)
    levels = sorted(set(scores), reverse=True)

    def choice(ids: Sequence[str]) -> dict[str, Any]:
        return {
            "order": [
                [i for i, s in zip(ids, scores, strict=True) if s == level] for level in levels
            ]
        }

    return build("ranking", prompt, contents, choice, row, **more)


def demonstration(prompt: Content, response: Content, row: Row, **more: Any) -> Iterator[Feedback]:
    """An answer that shows how it is done."""
    if not flat(response).strip():
        raise RowError("the response is empty")
    (content,) = written_as([response], row)
    yield build(
        "demonstration",
        prompt,
        [],
        {"content": content},
        {k: v for k, v in row.items() if k != "written_as"},
        **more,
    )


def turns(text: str) -> list[Message]:
    """The messages of a transcript in Anthropic's writing, "\\n\\nHuman: … \\n\\nAssistant: …"; an
    empty last one is left out."""
    spoken = _messages_of(text)
    return spoken[:-1] if spoken[-1] == Message(role="assistant", content="") else spoken


def _messages_of(text: str) -> list[Message]:
    start, *pieces = _TURN.split(text)
    if not pieces or start.strip():
        raise RowError('a transcript starts with "\\n\\nHuman:"')
    return [
        Message(role=_SPEAKERS[who], content=what.strip())
        for who, what in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def transcript(text: str) -> tuple[list[Message], str]:
    """An Anthropic HH transcript: (messages of the prompt, the last answer), cut at the last
    "Assistant:"."""
    *prompt, answer = _messages_of(text)
    if answer.role != "assistant":
        raise RowError('a transcript ends with an "\\n\\nAssistant:" turn')
    if not prompt:
        raise RowError("the transcript has no prompt")
    return prompt, answer.text
