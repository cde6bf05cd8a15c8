"""Conversations as others write them, read as messages; what of a message no record holds is named.

Read are role/content and ShareGPT's from/value, OpenAI's tool calls (also the old `function_call`),
tool results, reasoning under its three names, content in parts of text, and what of a message is
trained (`weight`, `train`, `loss`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from accord.feedback.formats.values import RowError, empty, number, shown, truth, unpacked
from accord.feedback.messages import Message, Role
from accord.feedback.records import Behaviour, Content, problem

ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "bot", "chatbot", "model", "function_call", "tool_call"), "assistant"
    ),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response"), "tool"),
    "system": "system",
    "developer": "developer",
}
"""Who speaks, by the names that others use."""
_SIMPLE = {"role", "content"}
_SPEAKERS = ("system", "user", "assistant")
CALLS = ("function_call", "tool_call")
"""Roles whose content is a call of a tool, as JSON."""
REASONING = ("reasoning_content", "reasoning", "thinking")
TRAINED = ("weight", "train", "loss")
_KEYS = {
    "role", "from", "content", "value", "tool_calls", "function_call", "tool_call_id", "name", *REASONING, *TRAINED,  # noqa: E501
}  # fmt: skip
_CALLING = ("tool_calls", "function_call")
MEDIA = ("image", "images", "audio", "audios", "video", "videos", "image_url", "input_audio")
_REFUSED = {
    **dict.fromkeys(MEDIA, "accord reads text only"),
    **dict.fromkeys(("label", "labels", "kto_tag"), "a label belongs to a row, not to a message"),
    "refusal": "a refusal beside the content is not read",
}
_TEXT_PARTS = ("text", "input_text", "output_text")


def messages(value: Any) -> list[Message]:
    """The messages of a conversation. Raises RowError for what is none, naming what is wrong with
    it."""
    return [message for message, _ in _turns(value)]


def is_conversation(value: Any) -> bool:
    """Whether a value looks like a list of messages."""
    return (
        isinstance(value, (list, tuple)) and bool(value) and all(_is_turn(turn) for turn in value)
    )


def _is_turn(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return {"from", "value"} <= value.keys() or (
        "role" in value and any(key in value for key in ("content", *_CALLING))
    )


def unread(value: Any) -> Iterator[str]:
    """What no record holds of the messages in a value, at any depth: the name of each key, once per
    message."""
    if isinstance(value, (str, int, float)) or value is None:
        return
    if is_conversation(value) or _is_turn(value):
        try:
            for _, keys in _turns([value] if isinstance(value, Mapping) else value):
                yield from keys
        except RowError:
            return
    elif isinstance(value, (Mapping, list, tuple)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from unread(inner)


def _turns(value: Any) -> list[tuple[Message, list[str]]]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise RowError(f"a conversation is {type(value).__name__}, not a list of messages")
    if not value:
        raise RowError("the conversation is empty")
    return [_turn(turn) for turn in value]


def _turn(turn: Any) -> tuple[Message, list[str]]:
    """The message, and the keys that it does not hold."""
    if not isinstance(turn, Mapping):
        raise RowError(f"a message is {type(turn).__name__}, not an object with role and content")
    if (
        turn.keys() <= _SIMPLE
        and isinstance(turn.get("content"), str)
        and turn.get("role") in _SPEAKERS
    ):
        return Message(role=ROLES[turn["role"]], content=turn["content"]), []
    given = {str(key): value for key, value in turn.items() if value is not None}
    for key, why in _REFUSED.items():
        if not empty(given.get(key)):
            raise RowError(f"a message holds {key!r}: {why}")
    left = [
        f"key {key!r} of a message"
        for key, value in given.items()
        if key not in _KEYS | _REFUSED.keys() and not empty(value)
    ]
    role_given = _one_of(given, ("role", "from"))
    role = ROLES.get(role_given) if isinstance(role_given, str) else None
    if role is None:
        raise RowError(f"a message has the role {shown(role_given)}, not one of {', '.join(ROLES)}")
    content, thought = _content(_one_of(given, ("content", "value")), left)
    calls = [_call(call, left) for call in _calls(given)]
    if role_given in CALLS:
        calls += [
            _call(call, left) for call in _as_list(_json_of(content, f"the {role_given} message"))
        ]
        content = None
    fields = {
        "role": role,
        "content": content,
        "tool_calls": calls,
        "weight": _weight(given, role),
        "reasoning_content": _reasoning(given, role) if thought is None else thought,
        "name": given.get("name"),
        "tool_call_id": (
            _text(given, "tool_call_id") if role == "tool" else given.get("tool_call_id") or None
        ),
    }
    try:
        return Message.model_validate(fields), left
    except ValidationError as error:
        raise RowError(f"a message cannot be read: {problem(error)}") from None


def _one_of(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value under one of several names. Raises RowError where two say different things."""
    given_values = [(name, given[name]) for name in names if name in given]
    if any(value != given_values[0][1] for _, value in given_values[1:]):
        raise RowError(
            f"a message has {' and '.join(repr(name) for name, _ in given_values)}, which differ"
        )
    return given_values[0][1] if given_values else None


def _text(given: Mapping[str, Any], key: str) -> Any:
    """The value of a key, a number as text."""
    value = given.get(key)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _content(value: Any, left: list[str]) -> tuple[Any, str | None]:
    """(a text, text in parts or none, the reasoning among the parts); unread keys of parts go to
    `left`."""
    if value is None or isinstance(value, str):
        return value, None
    if not isinstance(value, (list, tuple)):
        raise RowError(f"a message's content is {type(value).__name__}, neither text nor parts")
    parts, thoughts = [], []
    for part in value:
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
            continue
        given = (
            {key: inner for key, inner in part.items() if inner is not None}
            if isinstance(part, Mapping)
            else {}
        )
        kind = given.get("type")
        media = (
            kind
            if isinstance(kind, str)
            and any(name in kind for name in ("image", "audio", "video", "file"))
            else None
        )
        if media or any(not empty(given.get(name)) for name in MEDIA):
            raise RowError(
                f"a message's content holds {media or 'an image, audio or video'}: accord reads"
                " text only"
            )
        key = "thinking" if kind == "thinking" else "text"
        if kind not in (*_TEXT_PARTS, "thinking") or not isinstance(given.get(key), str):
            raise RowError(
                f"a message's content has a part of type {shown(kind)}, which is not read"
            )
        left += [
            f"key {name!r} of a part of a message"
            for name, inner in given.items()
            if name not in ("type", key) and not empty(inner)
        ]
        if key == "thinking":
            thoughts.append(given[key])
        else:
            parts.append({"type": "text", "text": given[key]})
    return parts or None, "\n\n".join(thoughts) if thoughts else None


def _reasoning(given: Mapping[str, Any], role: str) -> Any:
    texts = {name: given[name] for name in REASONING if name in given}
    if role != "assistant":
        texts = {name: value for name, value in texts.items() if not empty(value)}
    return _one_of(texts, REASONING)


def _calls(given: Mapping[str, Any]) -> list[Any]:
    """The calls of a message: `tool_calls`, and the one `function_call` of earlier data."""
    calls = _as_list(_json_of(given.get("tool_calls"), "tool_calls"))
    old = _json_of(given.get("function_call"), "function_call")
    return [*calls, *_as_list(old)]


def _json_of(value: Any, what: str) -> Any:
    if isinstance(value, list) and what not in ("tool_calls", "function_call"):
        value = "".join(part["text"] for part in value)
    if isinstance(value, str) and not value.strip():
        return None
    return unpacked(value, what)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _call(call: Any, left: list[str]) -> dict[str, Any]:
    """A tool call with its function inside; names and arguments may stand directly in it."""
    if not isinstance(call, Mapping):
        raise RowError(f"a tool call is {type(call).__name__}, not an object")
    given = {key: value for key, value in call.items() if value is not None}
    inside = given.get("function")
    function = (
        {key: value for key, value in inside.items() if value is not None}
        if isinstance(inside, Mapping)
        else given
    )
    outer = (
        {"id", "type", "function"} if function is not given else {"id", "type", "name", "arguments"}
    )
    left += [
        f"key {key!r} of a tool call"
        for key, value in given.items()
        if key not in outer and not empty(value)
    ]
    if function is not given:
        left += [
            f"key {key!r} of a called function"
            for key, value in function.items()
            if key not in ("name", "arguments") and not empty(value)
        ]
    if given.get("type", "function") != "function":
        raise RowError(f"a tool call has the type {shown(given['type'])}, not 'function'")
    arguments = function.get("arguments", {})
    if not isinstance(arguments, (str, Mapping)):
        raise RowError(
            f"a tool call's arguments are {type(arguments).__name__}, neither an object nor JSON in"
            " a text"
        )
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise RowError(f"a tool call names {shown(name)}, no function")
    own = _text(given, "id")
    return {
        **({"id": own} if own is not None else {}),
        "function": {"name": name, "arguments": arguments},
    }


def _weight(given: Mapping[str, Any], role: str) -> float | None:
    """How much training on the message counts; none for what is never trained anyway."""
    weights = {
        name: float(truth(given[name], name)) if name != "weight" else number(given[name], name)
        for name in TRAINED
        if name in given
    }
    if len(set(weights.values())) > 1:
        raise RowError(f"a message has {' and '.join(map(repr, weights))}, which differ")
    weight = next(iter(weights.values()), None)
    if role == "assistant" or not weight:
        return weight if role == "assistant" else None
    raise RowError(
        f"a message of the {role} has {next(iter(weights))!r} {weight:g}: only what an assistant"
        " says is trained"
    )


def check_spoken(what: str, *contents: Content | Behaviour) -> None:
    """Raises RowError where messages say more than their text: tool calls, tools' results,
    reasoning; and for clips. what: the format that holds none."""
    if any(isinstance(content, Behaviour) for content in contents):
        raise RowError(f"{what} holds no clips of episodes")
    for message in (
        message for content in contents if isinstance(content, list) for message in content
    ):
        held = {
            "tool calls": message.tool_calls,
            "results of tools": message.role == "tool",
            "reasoning": message.reasoning_content,
        }
        if named := next((name for name, value in held.items() if value), None):
            raise RowError(f"{what} holds no {named}")


# --- beside the messages --------------------------------------------------------------------------
def tools_of(value: Any, column: str) -> list[dict[str, Any]]:
    """The functions offered: a list of JSON schemas, or that as JSON in a text; OpenAI's old
    `functions` become tools."""
    tools = unpacked(value, column) if not empty(value) else []
    if isinstance(tools, Mapping):
        tools = [tools]
    if not isinstance(tools, (list, tuple)) or not all(isinstance(tool, Mapping) for tool in tools):
        raise RowError(f"the column {column!r} is not a list of objects, each the schema of a tool")
    for tool in tools:
        if "function" not in tool and "name" not in tool:
            raise RowError(f"the column {column!r} has a tool without a name: {shown(dict(tool))}")
    return [
        {"type": "function", "function": dict(tool)} if column == "functions" else dict(tool)
        for tool in tools
    ]


def history_of(value: Any, column: str) -> list[Message]:
    """Earlier turns: messages, or pairs of what was asked and answered."""
    turns = unpacked(value, column)
    if is_conversation(turns):
        return messages(turns)
    history: list[Message] = []
    for pair in turns if isinstance(turns, (list, tuple)) else [None]:
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or not all(isinstance(one, str) for one in pair)
        ):
            raise RowError(
                f"the column {column!r} is not a list of messages, or of pairs [question, answer]"
            )
        history += [
            Message(role="user", content=pair[0]),
            Message(role="assistant", content=pair[1]),
        ]
    return history
