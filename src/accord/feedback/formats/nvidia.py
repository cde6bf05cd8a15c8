"""NVIDIA's HelpSteer sets: ratings of five attributes, preferences with their strength, edits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from accord.feedback.formats.columns import RowError, build, content_of
from accord.feedback.formats.making import answer, compared
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import Side, number, shown, unpacked, whole
from accord.feedback.records import Content, Feedback, Message

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")
STRONGEST = 3


def helpsteer(row: Row) -> Iterator[Feedback]:
    """HelpSteer and HelpSteer2: five attributes from 0 to 4."""
    choice = {"scores": {name: number(row[name], name) for name in ATTRIBUTES}, "low": 0, "high": 4}
    yield build("rating", _prompt(row["prompt"]), [answer(row, "response")], choice, row)


def _prompt(value: Any) -> Content:
    """A prompt of HelpSteer: a text, or several turns with <extra_id_1>User and
    <extra_id_1>Assistant between them."""
    if not isinstance(value, str) or "<extra_id_1>" not in value:
        return content_of(value)
    first, *others = _TURN.split(value)
    if not others or "<extra_id_1>" in "".join([first, *others]):
        raise RowError("the prompt holds <extra_id_1> in another way than between its turns")
    turns = (
        [("User", first), *zip(others[::2], others[1::2], strict=True)]
        if first.strip()
        else zip(others[::2], others[1::2], strict=True)
    )
    return [
        Message(role="user" if who == "User" else "assistant", content=text) for who, text in turns
    ]


def _by_strength(value: Any, column: str) -> tuple[Side, int | None]:
    """NVIDIA's preferences, from -3 (the first is much better) over 0 (equal) to 3 (the second is
    much better)."""
    strength = whole(value, column)
    if abs(strength) > STRONGEST:
        raise RowError(f"the column {column!r} is {shown(value)}, outside -3 to 3")
    if not strength:
        return "tie", None
    return (0 if strength < 0 else 1), abs(strength)


def helpsteer2(row: Row) -> Iterator[Feedback]:
    """HelpSteer2's preferences: response_1, response_2, preference_strength."""
    names = ("response_1", "response_2")
    outcome, strength = _by_strength(row["preference_strength"], "preference_strength")
    answers = [answer(row, name) for name in names]
    yield compared(_prompt(row["prompt"]), answers, outcome, row, names=names, strength=strength)


def helpsteer3(row: Row) -> Iterator[Feedback]:
    """HelpSteer3's preferences: a context of messages, response1, response2, overall_preference."""
    names = ("response1", "response2")
    outcome, strength = _by_strength(row["overall_preference"], "overall_preference")
    context = content_of(unpacked(row["context"], "context"))
    yield compared(
        context, [answer(row, name) for name in names], outcome, row, names=names, strength=strength
    )


def helpsteer3_edit(row: Row) -> Iterator[Feedback]:
    """HelpSteer3's edits: the edited response over the original one."""
    before, after = answer(row, "original_response"), answer(row, "edited_response")
    if before == after:
        raise RowError("original_response and edited_response are the same")
    context = content_of(unpacked(row["context"], "context"))
    yield build("correction", context, [before], {"content": after}, row)
