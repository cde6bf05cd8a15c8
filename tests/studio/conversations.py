"""Generated conversations, as chat models have them: reasoning, parts, calls of tools, results,
tools offered."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

WORDS = st.text(
    "abcdefgh äß東\n\t *_`#|\\<>$&\"'{}[]:,0123456789.-", min_size=1, max_size=40
).filter(lambda t: bool(t.strip()))
NAMES = st.from_regex(r"[a-z][a-z_]{2,12}", fullmatch=True)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6,
)  # fmt: skip
OBJECTS = st.dictionaries(NAMES, JSON_VALUES, max_size=3)
ARGUMENTS = (
    OBJECTS
    | OBJECTS.map(lambda o: json.dumps(o))
    | OBJECTS.map(lambda o: json.dumps(o, indent=1))
    | WORDS
)
PARTS = st.lists(WORDS.map(lambda text: {"type": "text", "text": text}), min_size=1, max_size=3)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call of a tool."""
    made = {"type": "function", "function": {"name": draw(NAMES), "arguments": draw(ARGUMENTS)}}
    name = draw(
        st.none() | st.from_regex(r"(call|toolu|chatcmpl-tool)_[0-9a-f]{6}", fullmatch=True)
    )
    return made if name is None else {"id": name, **made}


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """A message of an assistant, with any of text, parts, reasoning, calls; never nothing."""
    content, reasoning = draw(st.none() | WORDS | PARTS), draw(st.none() | WORDS)
    made: dict[str, Any] = {"role": "assistant", "content": content}
    said = draw(st.lists(calls(), min_size=int(content is None and reasoning is None), max_size=2))
    if reasoning is not None:
        made["reasoning_content"] = reasoning
    return (
        made | ({"tool_calls": said} if said else {}) | draw(st.just({}) | st.just({"weight": 0.5}))
    )


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages that a prompt may be."""
    first = st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user"]), "content": WORDS | PARTS}
    )
    result = st.fixed_dictionaries(
        {"role": st.just("tool"), "content": WORDS | OBJECTS.map(json.dumps)},
        optional={"tool_call_id": st.just("toolu_0a"), "name": NAMES},
    )
    return [
        *draw(st.lists(first, min_size=1, max_size=2)),
        *draw(st.lists(answers() | result, max_size=3)),
    ]


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """An item of two different responses, with tools and settings of the template or without."""
    options = st.lists(WORDS | st.lists(answers(), min_size=1, max_size=2), min_size=2, max_size=2)
    pair = draw(options.filter(lambda found: found[0] != found[1]))
    made: dict[str, Any] = {
        "prompt": draw(conversations()),
        "options": [{"content": content} for content in pair],
    }
    tools = draw(
        st.lists(
            OBJECTS.map(
                lambda o: {"type": "function", "function": {"name": "look", "parameters": o}}
            ),
            max_size=2,
        )
    )
    made |= {"tools": tools} if tools else {}
    return made | draw(
        st.just({}) | st.just({"weight": 0.25, "chat_template_kwargs": {"enable_thinking": False}})
    )


def texts_of(content: Any) -> list[str]:
    """All texts of messages; of calls the name and the arguments, names of fields too."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for message in content:
        inside = message["content"]
        if message["role"] == "tool" and isinstance(inside, str):
            found += leaves(inside)
            inside = None
        found += [message.get("reasoning_content") or ""]
        found += (
            [inside or ""] if not isinstance(inside, list) else [part["text"] for part in inside]
        )
        for call in message.get("tool_calls", []):
            found += [call["function"]["name"], *leaves(call["function"]["arguments"])]
        found.append(message.get("name") or "")
    return found


def leaves(value: Any) -> list[str]:
    """Names of fields and values of JSON, as text; JSON in a text is looked into."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return [value]
        return leaves(inner) if isinstance(inner, (dict, list)) else [value]
    if isinstance(value, dict):
        return [text for name, inner in value.items() for text in (name, *leaves_inside(inner))]
    return [text for inner in value for text in leaves_inside(inner)]


def leaves_inside(value: Any) -> list[str]:
    """As `leaves`, of a value that stands in JSON: texts are as they are."""
    if isinstance(value, (dict, list)):
        return leaves(value)
    return [value if isinstance(value, str) else json.dumps(value)]
