"""Votes between models: rows that name the two models and the winner, with or without what they wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import Left, Parsed, RowError, build, messages
from accord.feedback.formats.values import side
from accord.feedback.records import Content, content_id


def is_votes(row: Mapping[str, Any]) -> bool:
    """Two named models and a winner."""
    return "winner" in row and ({"model_a", "model_b"} <= row.keys() or {"left", "right"} <= row.keys())


def votes(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """One comparison; the first model is the one shown first (left). Without conversations the options are empty texts."""
    names = [str(row[key]) for key in (("model_a", "model_b") if "model_a" in row else ("left", "right"))]
    outcome = side(row["winner"], "winner")
    if names[0] == names[1]:
        raise RowError("a model against itself")
    prompt, texts = _texts(row)
    ids = [content_id(name, text) for name, text in zip(names, texts, strict=True)]
    choice = {"preferred": ids[outcome]} if isinstance(outcome, int) else {outcome: True}
    number = row.get("question_id", row.get("id"))
    yield build(
        "comparison", prompt, texts, choice, row, ids=ids, producers=names, places=[0, 1],
        meta={"texts": any(texts), **({"question": number} if number is not None else {})},
    )  # fmt: skip
    if any(len(row.get(f"conversation_{side}") or ()) > 2 for side in "ab"):
        yield Left("turns after the first of a conversation: the user's are not kept, the answers are joined")


def _texts(row: Mapping[str, Any]) -> tuple[Content, list[str]]:
    """(prompt, both answers); conversations must agree up to the last turn."""
    sides = [row.get("conversation_a"), row.get("conversation_b")]
    if not all(isinstance(side, list) and side for side in sides):
        prompt = row.get("prompt", row.get("question_id", ""))
        return str(prompt), [str(row.get("answer_a", "")), str(row.get("answer_b", ""))]
    turns = [messages(side) for side in sides]
    shared = turns[0][:1]  # in a longer conversation each model answered its own history: kept as texts
    answers = ["\n\n".join(m.said for m in side if m.role == "assistant") for side in turns]
    return shared, answers
