"""What a rater sees of an item: all of it, in the stored order, without names or ids that tell who
wrote it, harmless.

How text becomes HTML is in markup.py, what is hidden in blinding.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from accord.feedback.messages import Message, ToolCall
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue.assigning import Served
from accord.studio.tasks import contents
from accord.studio.tasks.blinding import (
    answer_as_shown,
    call_numbers,
    mask_content,
    mask_editable,
    mask_steps,
    mask_whole,
    with_numbers,
)  # fmt: skip
from accord.studio.tasks.clips import clip_name
from accord.studio.tasks.helping import help_of
from accord.studio.tasks.markup import (
    json_html,
    plain_html,
    safe_html,
    spread_json,
    verbatim_html,
    visible,
)
from accord.studio.tasks.masking import mask_names
from accord.studio.tasks.parts import steps_of

Shown = dict[str, Any]
"""A message: role, name, the call it answers, and its parts [{kind, html, raw, name, call}]. kind:
reasoning, text, call (of the tool `name`, with its arguments) or result; raw: the text as it was
written, where `html` is not that."""
Text = Literal["markdown", "plain"]


# --- the whole screen -----------------------------------------------------------------------------
def screen(served: Served, settings: ProjectSettings, media: str) -> dict[str, Any]:
    """A served view as the browser gets it: no ids, no producers, no names; text as safe HTML.
    media: where clips are."""
    by_id = {option["id"]: option for option in served.options}
    options = [
        _option(place, by_id[name], served, settings, media)
        for place, name in enumerate(served.order, 1)
    ]
    prompt = with_numbers(served.prompt, call_numbers(served.prompt))
    return {
        "view": served.view_id,
        "lease": served.lease,
        "expires_at": served.expires_at,
        "prompt": messages_html(
            prompt, "system" if settings.task == "chat" else "user", settings.text
        ),
        "tools": tools_html(served.tools),
        "template": json_html(served.chat_template_kwargs) if served.chat_template_kwargs else None,
        "options": options,
        "turns": [turn_html(turn, settings) for turn in served.shown.get("turns", [])],
        "assist": help_of(served, settings),
        "categories": served.categories,
        "guideline": served.guideline,
        "draft": _draft_for_browser(served, settings),
        "active_seconds": served.active_seconds,
        "resumed": served.resumed,
    }


def _draft_for_browser(served: Served, settings: ProjectSettings) -> dict[str, Any] | None:
    """{state}: the screen as the browser left it; {answer}: an answer that was taken back, in the
    browser's words."""
    if served.draft is None or "state" in served.draft:
        return served.draft
    return {"answer": answer_as_shown(served.draft, served, settings)}


def _option(
    place: int, option: dict[str, Any], served: Served, settings: ProjectSettings, media: str
) -> Shown:
    content = option["content"]
    if option.get("drawing"):
        steps = content["stop"] - content["start"] if isinstance(content, dict) else None
        return {"id": str(place), "drawing": option["drawing"], "steps": steps, "messages": []}
    if settings.task == "clips":
        return {
            "id": str(place),
            "src": f"{media}/{served.view_id}/{clip_name(content, place)}",
            "messages": [],
        }
    topic = contents.topic(served.prompt, served.tools)
    masked, _ = mask_content(content, topic, settings.mask)
    numbered = with_numbers(masked, call_numbers(served.prompt, content))
    shown: dict[str, Any] = {
        "id": str(place),
        "messages": messages_html(numbered, "assistant", settings.text),
    }
    if settings.task == "spans":
        shown["text"] = mask_whole(content, topic, settings.mask).text
    if settings.task == "correction":
        shown["text"] = mask_editable(content, topic, settings.mask).text
    if settings.task == "steps":
        shown["steps"] = [
            (plain_html if settings.text == "plain" else safe_html)(s)
            for s in mask_steps(steps_of(option), content, topic, settings.mask)
        ]
    return shown


def turn_html(turn: dict[str, Any], settings: ProjectSettings) -> dict[str, Any]:
    """One turn of a live chat: what was written, and the two answers."""
    shown = [
        {
            "id": o["id"],
            "messages": messages_html(
                mask_names(o["content"], turn["user"], settings.mask).text,
                "assistant",
                settings.text,
            ),
        }
        for o in turn["options"]
    ]
    return {"user": messages_html(turn["user"], "user", settings.text), "options": shown}


# --- messages -------------------------------------------------------------------------------------
def messages_html(content: Any, role: str, text: Text = "markdown") -> list[Shown]:
    """A stored text, or messages, for the page; nothing for an empty text."""
    if isinstance(content, str):
        parts = [_written("text", content, text)] if content.strip() else []
        return [{"role": role, "name": None, "call": None, "parts": parts}] if parts else []
    messages = contents.read(content)
    assert not isinstance(messages, str)
    return [_message(message, text) for message in messages]


def _message(message: Message, text: Text) -> Shown:
    parts = (
        [_written("reasoning", message.reasoning_content, text)]
        if message.reasoning_content
        else []
    )
    texts = (
        [part.text for part in message.content]
        if isinstance(message.content, list)
        else [message.text]
    )
    kind = "result" if message.role == "tool" else "text"
    parts += [_written(kind, one, text) for one in texts if one.strip()]
    parts += [_call(call) for call in message.tool_calls]
    return {
        "role": message.role,
        "name": message.name and visible(message.name),
        "call": message.tool_call_id and visible(message.tool_call_id),
        "parts": parts,
    }


def _written(kind: str, text: str, how: Text) -> Shown:
    """What was written. What a tool returned is data, no Markdown."""
    if kind == "result":
        return _part(kind, verbatim_html(spread_json(text) or text), text)
    return _part(kind, plain_html(text)) if how == "plain" else _part(kind, safe_html(text), text)


def _call(call: ToolCall) -> Shown:
    given = call.function.arguments
    raw = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return _part("call", json_html(given), raw, call.function.name, call.id)


def _part(
    kind: str, html: str, raw: str | None = None, name: str | None = None, call: str | None = None
) -> Shown:
    return {
        "kind": kind,
        "html": html,
        "raw": None if raw is None else visible(raw),
        "name": name and visible(name),
        "call": call and visible(call),
    }


def tools_html(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Tools offered to the model: the name of each, and its schema."""
    return [{"name": _name_of(tool), "html": json_html(tool)} for tool in tools]


def _name_of(tool: Mapping[str, Any]) -> str:
    inner = tool.get("function")
    return visible(str((inner if isinstance(inner, Mapping) else tool).get("name", "")))
