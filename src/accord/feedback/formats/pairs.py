"""Two answers told apart from what was asked: where chosen and rejected hold the whole
conversation, and where not."""

from __future__ import annotations

import re

from accord.feedback.formats.columns import RowError
from accord.feedback.formats.turns import ROLES
from accord.feedback.records import Content, Message


def sides(
    prompt: Content | None, chosen: Content, rejected: Content
) -> tuple[Content, Content, Content]:
    """(prompt, chosen, rejected) without what the two have in common.

    Each side is an answer (a text, or messages that begin with the assistant's), or a whole
    conversation; of two such the prompt is what they share before an assistant's message, and a
    prompt given beside must stand in it.
    """
    whole = [_is_whole(side) for side in (chosen, rejected)]
    if not any(whole):
        if prompt is None:
            raise RowError("chosen and rejected share no prompt")
        texts = isinstance(chosen, str) and isinstance(rejected, str)
        asked_prompt = (
            prompt
            if texts or not isinstance(prompt, str)
            else [Message(role="user", content=prompt)]
        )
        return asked_prompt, chosen, rejected
    if not all(whole):
        raise RowError("one of chosen and rejected holds the prompt, the other does not")
    assert isinstance(chosen, list)
    assert isinstance(rejected, list)
    count = _shared(chosen, rejected)
    if not count:
        raise RowError("chosen and rejected answer different prompts")
    _check_holds(chosen[:count], prompt)
    return chosen[:count], chosen[count:], rejected[count:]


def _is_whole(side: Content) -> bool:
    return isinstance(side, list) and side[0].role not in ("assistant", "tool")


def _shared(one: list[Message], other: list[Message]) -> int:
    """How many messages both begin with, up to a place where both go on with the assistant's."""
    most = min(len(one), len(other)) - 1
    count = next((i for i in range(most) if one[i] != other[i]), most)
    while count > 0 and not one[count].role == other[count].role == "assistant":
        count -= 1
    return count


def _check_holds(shared: list[Message], prompt: Content | None) -> None:
    """Raises RowError where the prompt given beside two conversations is not what they begin
    with."""
    if prompt is None:
        return
    if isinstance(prompt, str):
        held = any(
            prompt.strip() in m.text for m in shared if m.role == "user"
        ) or not _words_beyond(prompt, shared)
    else:
        held = any(shared[i : i + len(prompt)] == prompt for i in range(len(shared)))
    if not held:
        raise RowError("the prompt is not what chosen and rejected begin with")


def _words_beyond(transcript: str, shared: list[Message]) -> set[str]:
    """Words of a transcript that no message says, names of speakers aside."""
    for text in sorted((m.text.strip() for m in shared), key=len, reverse=True):
        transcript = transcript.replace(text, " ") if text else transcript
    return set(re.findall(r"\w+", transcript.lower())) - ROLES.keys()
