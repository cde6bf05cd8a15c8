"""The shapes of rows others use, each turned into feedback records."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from accord.feedback.formats.votes import is_votes, votes
from accord.feedback.records import Content, Feedback, Message, content_id

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}
SOURCE = "dataset"
"""The annotator of rows that do not name one."""


class RowError(ValueError):
    """This row cannot be used; the message says why."""


@dataclass(frozen=True)
class Shape:
    """One known shape. `matches` looks at field names and types only; `parse` yields records or raises RowError."""

    name: str
    fields: tuple[str, ...]
    matches: Callable[[Mapping[str, Any]], bool]
    parse: Callable[[Mapping[str, Any]], Iterator[Feedback]]


# --- building records ---------------------------------------------------------------------------------------------
def _record(
    kind: str, prompt: Content, contents: list[Content], choice: Any, row: Mapping[str, Any], **meta: Any
) -> Feedback:
    ids = [content_id(content, i) for i, content in enumerate(contents)]
    filled = choice(ids) if callable(choice) else choice
    options = [
        {"id": i, "content": c, "shown_at": place} for place, (i, c) in enumerate(zip(ids, contents, strict=True))
    ]
    annotator = str(row.get("annotator") or row.get("worker") or row.get("labeler") or SOURCE)
    body = {"kind": kind, "prompt": prompt, "options": options, "choice": filled, "annotator": annotator, "meta": meta}
    return Feedback.model_validate({"id": content_id(kind, prompt, contents, filled, annotator), **body})


def _preference(prompt: Content, chosen: Content, rejected: Content, row: Mapping[str, Any]) -> Iterator[Feedback]:
    if chosen == rejected:
        raise RowError("chosen and rejected are the same")
    for name, content in (("chosen", chosen), ("rejected", rejected)):
        if not _text(content).strip():
            raise RowError(f"{name} is empty")
    meta = {"margin": float(row["margin"])} if isinstance(row.get("margin"), (int, float)) else {}
    yield _record("comparison", prompt, [chosen, rejected], lambda ids: {"preferred": ids[0]}, row, **meta)


def _demonstration(prompt: Content, response: Content, row: Mapping[str, Any]) -> Iterator[Feedback]:
    if not _text(response).strip():
        raise RowError("the response is empty")
    yield _record("demonstration", prompt, [], {"content": response}, row)


def _text(content: Content) -> str:
    return content if isinstance(content, str) else " ".join(m.content for m in content)


def messages(value: Any) -> list[Message]:
    """Messages from role/content or from/value dictionaries."""
    found = []
    for turn in value:
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if role not in _ROLES or not isinstance(content, str):
            raise RowError(f"a message has role {role!r} and content of type {type(content).__name__}")
        found.append(Message(role=_ROLES[role], content=content))
    if not found:
        raise RowError("the conversation is empty")
    return found


def transcript(text: str) -> tuple[list[Message], str]:
    """An Anthropic HH transcript: (messages of the prompt, the last answer), cut at the last "Assistant:"."""
    pieces = _TURN.split(text)
    if len(pieces) < 3 or pieces[0].strip() or pieces[-2] != "Assistant":
        raise RowError('a transcript starts with "\\n\\nHuman:" and ends with an "\\n\\nAssistant:" turn')
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [Message(role=roles[r], content=c.strip()) for r, c in zip(pieces[1:-2:2], pieces[2:-2:2], strict=True)]  # type: ignore[arg-type]
    if not turns:
        raise RowError("the transcript has no prompt")
    return turns, pieces[-1].strip()


# --- parsers -------------------------------------------------------------------------------------------------------
def _accord(row: Mapping[str, Any]) -> Iterator[Feedback]:
    yield Feedback.model_validate(dict(row))


def _hh(row: Mapping[str, Any]) -> Iterator[Feedback]:
    (prompt, chosen), (other, rejected) = transcript(row["chosen"]), transcript(row["rejected"])
    if prompt != other:
        raise RowError("chosen and rejected answer different conversations")
    yield from _preference(prompt, chosen, rejected, row)


def _explicit(row: Mapping[str, Any]) -> Iterator[Feedback]:
    prompt = row["prompt"] if isinstance(row["prompt"], str) else messages(row["prompt"])
    sides = []
    for name in ("chosen", "rejected"):
        value = row[name]
        if isinstance(value, dict):
            value = [value]
        if isinstance(value, str):
            sides.append((prompt, value))
            continue
        turns = messages(value)
        if len(turns) > 1:  # the lists include the prompt (UltraFeedback binarized)
            sides.append((turns[:-1], turns[-1].content))
        else:
            asked = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
            sides.append((asked, turns[0].content))
    if sides[0][0] != sides[1][0]:
        raise RowError("chosen and rejected answer different prompts")
    yield from _preference(sides[0][0], sides[0][1], sides[1][1], row)


def _implicit(row: Mapping[str, Any]) -> Iterator[Feedback]:
    if isinstance(row["chosen"], str):
        common = os.path.commonprefix([row["chosen"], row["rejected"]])  # noqa: RUF071 (characters are meant)
        cut = max(common.rfind(" "), common.rfind("\n"))
        if cut <= 0:
            raise RowError("chosen and rejected share no prompt")
        yield from _preference(row["chosen"][:cut], row["chosen"][cut:], row["rejected"][cut:], row)
        return
    chosen, rejected = messages(row["chosen"]), messages(row["rejected"])
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise RowError("chosen and rejected must share all messages but the last")
    yield from _preference(chosen[:-1], chosen[-1].content, rejected[-1].content, row)


def _completion(row: Mapping[str, Any]) -> Iterator[Feedback]:
    conversational = not isinstance(row["prompt"], str)
    prompt = messages(row["prompt"]) if conversational else row["prompt"]
    completion = messages(row["completion"])[-1].content if conversational else row["completion"]
    if not isinstance(row.get("label"), bool):
        yield from _demonstration(prompt, completion, row)
        return
    if not completion.strip():
        raise RowError("the completion is empty")
    yield _record("thumb", prompt, [completion], {"up": row["label"]}, row)


def _stepwise(row: Mapping[str, Any]) -> Iterator[Feedback]:
    steps, labels = list(row["completions"]), [1 if label else -1 for label in row["labels"]]
    yield _record("step_labels", row["prompt"], ["\n".join(steps)], {"steps": steps, "labels": labels}, row)


def _conversation(row: Mapping[str, Any]) -> Iterator[Feedback]:
    turns = messages(row.get("messages") or row.get("conversations"))
    if isinstance(row.get("chosen"), dict):  # LLaMA-Factory's DPO rows
        yield from _preference(turns, messages([row["chosen"]])[0].content, messages([row["rejected"]])[0].content, row)
        return
    if turns[-1].role != "assistant" or len(turns) < 2:
        raise RowError("the conversation does not end with an answer")
    if isinstance(row.get("label"), bool):
        yield _record("thumb", turns[:-1], [turns[-1].content], {"up": row["label"]}, row)
    else:
        yield from _demonstration(turns[:-1], turns[-1].content, row)


def _alpaca(row: Mapping[str, Any]) -> Iterator[Feedback]:
    asked = row["instruction"] + (f"\n\n{row['input']}" if row.get("input") else "")
    yield from _demonstration([Message(role="user", content=asked)], row["output"], row)


def _prm800k(row: Mapping[str, Any]) -> Iterator[Feedback]:
    steps, labels = [], []
    for step in row["label"]["steps"]:
        chosen = step.get("chosen_completion")
        completions = step.get("completions") or []
        picked = (
            completions[chosen]
            if chosen is not None
            else (completions[0] if completions else step.get("human_completion"))
        )
        if picked is None or picked.get("rating") is None:
            break
        steps.append(picked["text"])
        labels.append(int(picked["rating"]))
    if not steps:
        raise RowError("no step has a rating")
    yield _record(
        "step_labels", row["question"]["problem"], ["\n".join(steps)], {"steps": steps, "labels": labels}, row
    )


def _tree(row: Mapping[str, Any]) -> Iterator[Feedback]:
    def visit(node: Mapping[str, Any], path: list[Message]) -> Iterator[Feedback]:
        role = _ROLES["assistant" if node["role"] == "assistant" else "user"]
        here = [*path, Message(role=role, content=node["text"])]
        replies = [r for r in node.get("replies", []) if r["role"] == "assistant" and r.get("rank") is not None]
        if len(replies) >= 2:
            order = sorted(range(len(replies)), key=lambda i: replies[i]["rank"])
            yield _record(
                "ranking", here, [r["text"] for r in replies], lambda ids: {"order": [[ids[i]] for i in order]}, row,
                message_ids=[r["message_id"] for r in replies],
            )  # fmt: skip
        for reply in node.get("replies", []):
            yield from visit(reply, here)

    yield from visit(row["prompt"], [])


def _ultrafeedback(row: Mapping[str, Any]) -> Iterator[Feedback]:
    for completion in row["completions"]:
        score = completion.get("overall_score")
        if score is not None:
            choice = {"scores": {"overall": float(score)}, "low": 0, "high": 10}
            yield _record("rating", row["instruction"], [completion["response"]], choice, row)


_ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def _helpsteer(row: Mapping[str, Any]) -> Iterator[Feedback]:
    choice = {"scores": {name: float(row[name]) for name in _ATTRIBUTES}, "low": 0, "high": 4}
    yield _record("rating", row["prompt"], [row["response"]], choice, row)


def _response(row: Mapping[str, Any]) -> Iterator[Feedback]:
    prompt = row["prompt"] if isinstance(row["prompt"], str) else messages(row["prompt"])
    yield from _demonstration(prompt, row["response"], row)


def _prompt_only(row: Mapping[str, Any]) -> Iterator[Feedback]:
    del row
    return iter(())


def _has(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: all(name in row for name in names)


def _is_hh(row: Mapping[str, Any]) -> bool:
    sides = (row.get("chosen"), row.get("rejected"))
    return "prompt" not in row and all(isinstance(s, str) and "\n\nAssistant:" in s for s in sides)


_ANSWERS = ("chosen", "rejected", "completion", "completions", "response", "messages", "conversations", "output")


def _is_prompt_only(row: Mapping[str, Any]) -> bool:
    """No column is called, or misspelt, like one that holds an answer."""
    return "prompt" in row and not any(difflib.get_close_matches(name, _ANSWERS, n=1, cutoff=0.75) for name in row)


SHAPES = (
    Shape("accord records", ("kind", "prompt", "options", "choice", "annotator"), _has("kind", "options", "choice"), _accord),
    Shape("Open-Assistant trees", ("message_tree_id", "prompt"), _has("message_tree_id", "prompt"), _tree),
    Shape("votes between models", ("model_a", "model_b", "winner"), is_votes, votes),
    Shape("PRM800K", ("question", "label"), lambda r: isinstance(r.get("question"), dict) and isinstance(r.get("label"), dict), _prm800k),
    Shape("UltraFeedback", ("instruction", "completions"), _has("instruction", "completions"), _ultrafeedback),
    Shape("HelpSteer", ("prompt", "response", *_ATTRIBUTES), _has("prompt", "response", *_ATTRIBUTES), _helpsteer),
    Shape("LLaMA-Factory / ShareGPT", ("conversations",), _has("conversations"), _conversation),
    Shape("Anthropic HH", ("chosen", "rejected"), _is_hh, _hh),
    Shape("TRL preference", ("prompt", "chosen", "rejected"), _has("prompt", "chosen", "rejected"), _explicit),
    Shape("TRL preference, implicit prompt", ("chosen", "rejected"), _has("chosen", "rejected"), _implicit),
    Shape("TRL stepwise", ("prompt", "completions", "labels"), _has("prompt", "completions", "labels"), _stepwise),
    Shape("TRL prompt-completion", ("prompt", "completion"), _has("prompt", "completion"), _completion),
    Shape("TRL conversational", ("messages",), _has("messages"), _conversation),
    Shape("Alpaca", ("instruction", "output"), _has("instruction", "output"), _alpaca),
    Shape("prompt-response", ("prompt", "response"), _has("prompt", "response"), _response),
    Shape("TRL prompt-only", ("prompt",), _is_prompt_only, _prompt_only),
)  # fmt: skip


def detect(row: Mapping[str, Any]) -> Shape | None:
    """The first shape that matches."""
    return next((shape for shape in SHAPES if shape.matches(row)), None)
