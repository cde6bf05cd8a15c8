"""Conversations as a model's chat template writes them, with the proof that nothing said is lost on
the way.

A template is foreign code: it may refuse a role, leave it out, or put something else in its place.
So every rendered
conversation is checked: what each message says stands in the text, or the row is refused, naming
role and template. The one exception is the reasoning of earlier replies, which some templates drop
by design; it is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from accord.errors import ConfigError, DataError
from accord.text.letters import MARK, Letters
from accord.text.messages import as_given, dictionary, plain_text, reply_weights
from accord.text.packing import common_start
from accord.text.templates import GIVEN, choose, read_template, render, settings_of

Messages = Sequence[Any]
"""Chat messages: dicts (or models) with the fields of `accord.feedback.messages.Message`."""
Prompt = str | Messages | Mapping[str, Any]
"""A text; messages; or {"messages": ..., "tools": ..., "chat_template_kwargs": ...}."""
Response = str | Messages
"""A text: what was written, to the letter; or messages, which the template renders."""

_THOUGHT = re.compile(r"</?(?:think|thinking|seed:think)>|\[/?THINK\]")
"""Marks of reasoning within a content, which templates take apart."""
_MANY = 20_000
_TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)
"""What a template raises where it was not written for the messages that it is given."""


@dataclass(frozen=True)
class Asked:
    """A prompt of messages, ready for a template: special tokens spelled in it are marked."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    """Of tools and settings: equal for equal ones."""


@dataclass(frozen=True)
class Ends:
    """How replies end. close: the special tokens behind a plain reply up to the stop token, mostly
    that alone; call: the stop token of a reply that calls a tool (None: the template cannot write
    one)."""

    close: tuple[str, ...]
    call: str | None = None

    @property
    def stop(self) -> str:
        """The token that ends a plain reply."""
        return self.close[-1]

    @property
    def stops(self) -> list[str]:
        """Each once, the plain one first."""
        return [self.stop] if self.call in (None, self.stop) else [self.stop, str(self.call)]


@dataclass(frozen=True)
class Written:
    """A prompt with its response as text to be tokenised; special tokens spelled in it are marked.

    start: up to where the response begins; parts: of the response, in order, each with whether it
    is trained; stops: special tokens set behind the last part, trained as it is; text: what the
    response says, with its stops; weight: how much it counts, by its message; lost_reasoning:
    earlier replies whose reasoning the template leaves out.
    """

    start: str
    parts: list[tuple[str, bool]]
    stops: tuple[str, ...]
    text: str
    weight: float
    lost_reasoning: int


class Chat:
    """Renders conversations for one tokenizer; `template` instead of its own, `settings` for every
    conversation."""

    def __init__(
        self,
        tokenizer: Any,
        letters: Letters,
        special: Sequence[str],
        template: str | None,
        settings: Mapping[str, Any] | None,
    ) -> None:
        self._templates = tokenizer.chat_template if template is None else read_template(template)
        self._special = dict(tokenizer.special_tokens_map)
        self._eos = str(tokenizer.eos_token)
        self._letters, self._settings = letters, dict(settings or {})
        self._control = re.compile(
            "|".join(re.escape(n) for n in sorted(special, key=len, reverse=True)) or r"(?!)"
        )
        where = getattr(tokenizer, "name_or_path", None) or getattr(tokenizer, "folder", None)
        self.name = (
            "the chat template given"
            if template
            else f"the chat template of {where or 'this tokenizer'}"
        )
        self._kept: dict[Any, tuple[tuple[int, str], ...]] = {}
        self._ends: dict[str, Ends] = {}
        self._forms: dict[str, tuple[str | None, bool]] = {}
        if self._settings:
            if self._templates is None:
                raise ConfigError(
                    f"chat_template_kwargs {sorted(settings or {})}: the tokenizer has no "
                    "chat template"
                )
            if (odd := self._unknown(self._settings, False)) is not None:
                raise ConfigError(
                    f"chat_template_kwargs: {self.name} knows no {odd!r}", "leave it out"
                )

    # --- prompts with responses -------------------------------------------------------------------
    def stop(self, prompt: Prompt) -> str:
        """The token that ends a finished reply to this prompt."""
        return self._eos if isinstance(prompt, str) else self.ends(self.asked(prompt, "")).stop

    def before(self, prompt: Prompt, row: str) -> tuple[str, int]:
        """(the prompt as text, up to where the reply begins; replies within it that lost their
        reasoning, see `checked`)."""
        if isinstance(prompt, str):
            return self._letters.guarded(prompt), 0
        return self.checked(self._asked(prompt, row), (), row)

    def written(self, prompt: Prompt, response: Response, finished: bool, row: str) -> Written:
        """A prompt with its response, as text to be tokenised. Raises DataError naming `row`."""
        messages = [] if isinstance(response, str) else [dictionary(one) for one in response]
        text = response if isinstance(response, str) else plain_text(messages)
        weights = reply_weights(messages, row)
        if isinstance(prompt, str):
            if text is None:
                raise DataError(
                    f"row {row}: a response of messages follows a prompt of messages",
                    "make both the same",
                )
            close: tuple[str, ...] = (self._eos,)
            before, lost = self.before(prompt, row)
        else:
            asked = self._asked(prompt, row)
            if text is None or (messages and finished):
                return self._rendered(asked, messages, weights, finished, row)
            before, lost = self.checked(asked, (), row)
            close = self.ends(asked).close
        said_here = self._unstopped(text, close)
        if not said_here.strip():
            raise DataError(
                f"row {row}: the response is empty", "remove the row or fill in the response"
            )
        stops = close if finished else ()
        return Written(
            before,
            [(self._letters.marked(said_here), True)],
            stops,
            said_here + "".join(stops),
            weights[0] if weights else 1.0,
            lost,
        )

    def _asked(self, prompt: Messages | Mapping[str, Any], row: str) -> Asked:
        asked = self.asked(prompt, row)
        if not asked.messages:
            raise DataError(f"row {row}: the prompt holds no messages", "give it a user message")
        if asked.messages[-1]["role"] == "assistant":
            raise DataError(
                f"row {row}: the prompt ends with an assistant message",
                "make that message the response",
            )
        return asked

    def _rendered(
        self,
        asked: Asked,
        response: list[dict[str, Any]],
        weights: Sequence[float],
        finished: bool,
        row: str,
    ) -> Written:
        """Prompt and response as the template writes them both; trained is what the assistant
        wrote, with its stop tokens."""
        replies, ends = self._replies(response, asked, row), self.ends(asked)
        whole, lost = self.checked(asked, replies, row)
        first = len(asked.messages)
        everything = [*asked.messages, *replies]
        places = [first + i for i, message in enumerate(replies) if message["role"] == "assistant"]
        starts = [self._border(everything, i, whole, asked, row) for i in places]
        matches = self._stops(whole, starts, ends, row)
        stops = [len(whole) if one is None else one.end() for one in matches]
        if not finished:
            limit = matches[-1].start() if matches[-1] else len(whole)
            stops[-1] = self._cut(replies[-1], whole[:limit], starts[-1], row)
        parts, at = list[tuple[str, bool]](), starts[0]
        for start, end, weight in zip(starts, stops, weights, strict=True):
            parts += [(whole[at:start], False), (whole[start:end], weight > 0)]
            at = end
        added = (ends.stop,) if finished and matches[-1] is None else ()
        return Written(
            whole[: starts[0]],
            parts,
            added,
            self._letters.plain(whole[starts[0] : at]) + "".join(added),
            weights[0] if len(weights) == 1 else 1.0,
            lost,
        )

    def _replies(
        self, response: list[dict[str, Any]], asked: Asked, row: str
    ) -> list[dict[str, Any]]:
        """The messages of a response, as the template takes them, without a stop token at its
        end."""
        if any(message.get("role") != "assistant" for message in (response[0], response[-1])):
            raise DataError(
                f"row {row}: a response begins and ends with a message of the assistant's",
                "move the others",
            )
        replies = self.messages(response, row)
        if content := replies[-1].get("content"):
            bare = self._unstopped(self._letters.plain(content), self.ends(asked).stops)
            replies[-1]["content"] = self._letters.marked(bare)
        if not any(True for _ in said(replies[-1])):
            raise DataError(
                f"row {row}: the response is empty", "remove the row or fill in the response"
            )
        return replies

    def _stops(
        self, whole: str, starts: Sequence[int], ends: Ends, row: str
    ) -> list[re.Match[str] | None]:
        """The stop token behind each reply, of the last one None where the template writes none."""
        stop = re.compile("|".join(map(re.escape, ends.stops)))
        matches = [
            stop.search(whole, at, limit)
            for at, limit in zip(starts, [*starts[1:], len(whole)], strict=True)
        ]
        if not all(matches[:-1]):
            raise DataError(
                f"row {row}: {self.name} writes no {' or '.join(ends.stops)} behind "
                "each reply of the response",
                "make each an example of its own (turns: every)",
            )
        return matches

    def _border(
        self, everything: list[dict[str, Any]], index: int, whole: str, asked: Asked, row: str
    ) -> int:
        """Where in the whole text the reply with this index begins: behind what the template writes
        before a reply, as far as it stays there once the reply follows (some templates open a block
        of reasoning that finished replies do not have)."""
        before = self.render(everything[:index], asked, True, row)
        if whole.startswith(before):
            return len(before)
        history = self.render(everything[:index], asked, False, row)
        if whole.startswith(history):
            own = [
                at
                for _, piece in said(everything[index])
                if (at := whole.find(piece, len(history))) >= 0
            ]
            return min(common_start(before, whole), *own, len(whole))
        raise DataError(
            f"row {row}: this chat template writes the prompt differently once a reply follows",
            "use a template whose prompt is a prefix of the whole conversation",
        )

    def _cut(self, message: Mapping[str, Any], whole: str, start: int, row: str) -> int:
        """Where an unfinished message ends: behind the last that it says."""
        if message.get("tool_calls"):
            raise DataError(
                f"row {row}: the response was cut within a tool call",
                "give it as text, to the letter",
            )
        pieces = list(said({**message, "reasoning_content": None})) or list(said(message))
        piece = pieces[-1][1]
        return whole.rindex(piece, start) + len(piece)

    def _unstopped(self, response: str, stops: Sequence[str]) -> str:
        """The text without stop tokens that are written at its end."""
        names = tuple({*stops, self._eos})
        while (bare := response.rstrip()).endswith(names):
            response = next(bare.removesuffix(name) for name in names if bare.endswith(name))
        return response

    # --- what is given to the template ------------------------------------------------------------
    def asked(self, prompt: Messages | Mapping[str, Any], row: str) -> Asked:
        """The prompt checked and marked. Raises DataError naming `row`."""
        if not isinstance(prompt, Mapping):
            return Asked(self.messages(prompt, row), None, self._settings, "")
        if unknown := sorted(set(prompt) - {"messages", "tools", "chat_template_kwargs"}):
            raise DataError(
                f"row {row}: a prompt has no {unknown[0]!r}",
                "it has messages, tools and chat_template_kwargs",
            )
        own, tools = prompt.get("chat_template_kwargs") or {}, prompt.get("tools") or None
        if own and (odd := self._unknown(own, bool(tools))) is not None:
            raise DataError(
                f"row {row}: chat_template_kwargs has {odd!r}, which {self.name} does not know",
                "leave it out, or use the template that it belongs to",
            )
        settings = self._letters.all_marked({**self._settings, **own})
        tools = self._letters.all_marked(tools)
        key = json.dumps([tools, settings], sort_keys=True, default=str) if tools or own else ""
        return Asked(self.messages(prompt.get("messages") or (), row), tools, settings, key)

    def messages(self, messages: Messages, row: str) -> list[dict[str, Any]]:
        """Messages as templates take them; special tokens that they spell are marked."""
        return [as_given(message, self._letters, row) for message in messages]

    def _unknown(self, settings: Mapping[str, Any], tools: bool) -> str | None:
        known = settings_of(choose(self._templates, tools) or "") - (GIVEN - {"documents"})
        return next((name for name in settings if name not in known), None)

    # --- rendering --------------------------------------------------------------------------------
    def render(self, messages: Messages, asked: Asked, reply: bool, row: str) -> str:
        """The messages as text; with `reply` up to where the next reply begins."""
        template = choose(self._templates, asked.tools is not None)
        if template is None:
            raise DataError(
                f"row {row} is a conversation, but the tokenizer has no chat template",
                "use an instruction-tuned model, or give a template: chat_template=accord:plain has"
                " turns as text, chat_template=FILE is your own",
            )
        if any(message.get("tool_calls") for message in messages):
            empty, as_json = self._form(template)
            messages = [_with_calls(message, empty, as_json) for message in messages]
        try:
            return render(template, messages, self._special, reply, asked.tools, asked.settings)
        except _TEMPLATE_ERRORS as error:
            roles = ", ".join(str(m["role"]) for m in messages)
            raise DataError(
                f"row {row}: the chat template refuses the messages ({roles}): {error}",
                "bring the messages into the order that the template expects",
            ) from error

    def _form(self, template: str) -> tuple[str | None, bool]:
        """How the template takes calls: the content of a message that only calls tools, and whether
        arguments are JSON in a string; the first form in which it writes a call whole, null and
        objects where none does."""
        if template not in self._forms:
            name, value = f"{MARK}0{MARK}", f"{MARK}1{MARK}"
            call = {
                "id": "123456789",
                "type": "function",
                "function": {"name": name, "arguments": {"a": value}},
            }
            talk: list[dict[str, Any]] = [
                {"role": "user", "content": "x"},
                {"role": "assistant", "tool_calls": [call]},
            ]
            self._forms[template] = None, False
            for empty, as_json in ((None, False), ("", False), (None, True), ("", True)):
                try:
                    text = render(
                        template,
                        [_with_calls(m, empty, as_json) for m in talk],
                        self._special,
                        False,
                        None,
                        {},
                    )
                except _TEMPLATE_ERRORS:
                    continue
                if name in text and value in text:
                    self._forms[template] = empty, as_json
                    break
        return self._forms[template]

    def checked(
        self, asked: Asked, response: Sequence[dict[str, Any]], row: str
    ) -> tuple[str, int]:
        """(prompt and response as text; how many replies within the prompt lost their reasoning, by
        the template's design).

        Without a response the text goes up to where the reply begins. Raises DataError where it
        leaves out anything else.
        """
        messages, reply = [*asked.messages, *response], not response
        text = self.render(messages, asked, reply, row)
        # Short contents stand in many texts by accident, so the shape is tried with marks too.
        lost = {
            (i, part) for i, part in self._left_out(messages, asked, reply) if messages[i].get(part)
        }
        for i, message in enumerate(messages):
            lost.update(
                (i, part)
                for part, piece in said(message)
                if piece not in text and not _escaped(piece, text)
            )
        for i, part in sorted(lost):
            if part != "reasoning_content" or i >= len(asked.messages):
                what = f"({part}) " if part != "content" else ""
                raise DataError(
                    f"row {row}: {self.name} leaves out what the {messages[i]['role']} says "
                    f"{what}in message {i + 1}",
                    "use a model or a chat_template that writes it, or leave such rows out",
                )
        for name in tool_names(asked.tools):
            if name not in text:
                raise DataError(
                    f"row {row}: {self.name} does not show the tool {name!r}",
                    "use a template that knows tools",
                )
        return text, len({i for i, _ in lost})

    def _left_out(
        self, messages: Sequence[Mapping[str, Any]], asked: Asked, reply: bool
    ) -> tuple[tuple[int, str], ...]:
        """(message, part) that the template leaves out of conversations of this shape, found with
        marks for their texts."""
        shape = (
            tuple(
                (
                    m["role"],
                    *(
                        (k, len(m[k]) if k == "tool_calls" else bool(m[k]))
                        for k in m
                        if k != "role"
                    ),
                )
                for m in messages
            ),
            asked.key,
            reply,
        )
        if shape not in self._kept:
            if len(self._kept) > _MANY:
                self._kept.clear()
            self._kept[shape] = self._try(messages, asked, reply)
        return self._kept[shape]

    def _try(
        self, messages: Sequence[Mapping[str, Any]], asked: Asked, reply: bool
    ) -> tuple[tuple[int, str], ...]:
        marks: dict[str, tuple[int, str]] = {}

        def mark(i: int, part: str) -> str:
            marks[f"{MARK}{len(marks)}{MARK}"] = i, part
            return f"{MARK}{len(marks) - 1}{MARK}"

        probe = []
        for i, message in enumerate(messages):
            reply_fields = {
                k: mark(i, k) if k in ("content", "reasoning_content") and v else v
                for k, v in message.items()
            }
            if calls := message.get("tool_calls"):
                reply_fields["tool_calls"] = [
                    {
                        **c,
                        "function": {
                            "name": mark(i, "tool_calls"),
                            "arguments": {"a": mark(i, "tool_calls")},
                        },
                    }
                    for c in calls
                ]
            probe.append(reply_fields)
        try:
            text = self.render(probe, asked, reply, "")
        except DataError:  # what the row itself says decides
            return ()
        return tuple(sorted({place for name, place in marks.items() if name not in text}))

    # --- where replies end ------------------------------------------------------------------------
    def ends(self, asked: Asked | None = None) -> Ends:
        """How a reply to this prompt ends (None: to any, by the settings for every conversation).

        It ends with the first special token that the template writes behind a reply; of several
        without anything between them with EOS, if that is one. Where there is none it ends with the
        token that opens the next turn, else with EOS.
        """
        settings = self._settings if asked is None else asked.settings
        key = json.dumps(settings, sort_keys=True, default=str) if asked and asked.key else ""
        if key not in self._ends:
            self._ends[key] = self._find_ends(settings)
        return self._ends[key]

    def _find_ends(self, settings: Mapping[str, Any]) -> Ends:
        function = {
            "name": "f",
            "description": "f",
            "parameters": {"type": "object", "properties": {}},
        }
        plain = Asked([], None, dict(settings))
        tooled = Asked([], [{"type": "function", "function": function}], dict(settings))
        user, reply = {"role": "user", "content": "x"}, {"role": "assistant", "content": MARK}
        call = {
            "id": "123456789",
            "type": "function",
            "function": {"name": "f", "arguments": {"x": MARK}},
        }
        result = {"role": "tool", "tool_call_id": "123456789", "name": "f", "content": "x"}
        calls = {"role": "assistant", "content": "", "tool_calls": [call]}
        behind = self._tail([user, reply], plain)
        close = self._close(behind)
        open_ended = not close
        if open_ended:
            close = self._close(self._tail([user, reply, user], plain))[:1] or (self._eos,)
        tail = self._tail([user, calls], tooled)
        if tail is None:
            return Ends(close)
        if open_ended:
            on = self._tail([user, calls, result], tooled) or ""
            return Ends(close, (self._close(on.removeprefix(tail)) or close)[0])
        tokens = self._control.findall(tail)
        return Ends(close, close[-1] if close[-1] in tokens else tokens[-1] if tokens else None)

    def _close(self, tail: str | None) -> tuple[str, ...]:
        """The first special tokens of a tail, up to EOS where nothing stands between, else the
        first alone."""
        run: list[str] = []
        end = -1
        for match in self._control.finditer(tail or ""):
            if run and match.start() != end:
                break
            run.append(match[0])
            end = match.end()
        return tuple(run[: run.index(self._eos) + 1] if self._eos in run else run[:1])

    def _tail(self, messages: Messages, asked: Asked) -> str | None:
        """What the template writes behind the mark; None where it refuses such messages or leaves
        the mark out."""
        try:
            _, mark, tail = self.render(messages, asked, False, "").rpartition(MARK)
        except DataError:
            return None
        return tail if mark else None


def _with_calls(message: Mapping[str, Any], empty: str | None, as_json: bool) -> Mapping[str, Any]:
    """The message as a template takes it: `empty` for content that a message which calls tools has
    not, arguments as JSON."""
    calls = message.get("tool_calls")
    if not calls:
        return message
    fields = {"content": empty, **message}
    if as_json:
        fields["tool_calls"] = [
            {
                **call,
                "function": {
                    **call["function"],
                    "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
                },
            }
            for call in calls
        ]
    return fields


def said(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(part, text) of everything a message says: content, reasoning, names and arguments of calls,
    as templates must write them."""
    content = message.get("content")
    if content:
        pieces = (
            _THOUGHT.split(content)
            if message["role"] == "assistant" and _THOUGHT.search(content)
            else [content]
        )
        yield from (
            ("content" if piece is pieces[-1] else "reasoning_content", p)
            for piece in pieces
            if (p := piece.strip())
        )
    if thought := (message.get("reasoning_content") or "").strip():
        yield "reasoning_content", thought
    for call in message.get("tool_calls", ()):
        yield "tool_calls", call["function"]["name"]
        yield from (("tool_calls", leaf) for leaf in _leaves(call["function"]["arguments"]))


def _leaves(value: Any) -> Iterator[str]:
    """Keys, texts and numbers within a JSON value."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield key
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, str) and value.strip():
        yield value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)


def _escaped(piece: str, text: str) -> bool:
    """Whether the text holds the piece as JSON, as some templates write a tool's arguments and
    results."""
    return json.dumps(piece, ensure_ascii=False)[1:-1] in text or json.dumps(piece)[1:-1] in text


def tool_names(tools: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    """The names of the functions offered."""
    for tool in tools or ():
        name = (
            (tool.get("function") or tool).get("name")
            if isinstance(tool.get("function") or tool, Mapping)
            else None
        )
        if isinstance(name, str):
            yield name
