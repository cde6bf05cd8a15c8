"""Prompts and responses to token ids, for plain text and for chat messages.

The one place where text is tokenised. A response's ids follow its prompt's ids exactly, and end with EOS if
and only if the response is finished; which tokens are trained follows from these lengths, so templates need
no generation markers and padding may equal EOS.

What people or models wrote is data: a special token spelled in a message or a response ("<|im_end|>") is
tokenised as letters and cannot end a turn or open another. A plain-text prompt alone may be a conversation
that somebody rendered already, so special tokens in it count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jinja2 import TemplateError

from accord.errors import DataError
from accord.text.conversations import role_of
from accord.text.packing import Group

Messages = Sequence[Any]
"""Chat messages: dicts (or models) with role and content."""
Prompt = str | Messages | Mapping[str, Any]
"""A text; messages; or {"messages": ..., "tools": ..., "chat_template_kwargs": ...}."""

# Unicode noncharacters: never part of text, so they can stand for something while a template renders.
_OPEN, _CLOSE, _MARK = "\ufdd0", "\ufdd1", "\ufdd2"
_LETTERS = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


class Tokenizer(Protocol):
    """What accord needs of a Hugging Face tokenizer."""

    bos_token_id: int | None
    eos_token_id: int | None
    eos_token: str | None
    chat_template: Any

    @property
    def all_special_tokens(self) -> list[str]: ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]: ...

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str: ...

    def apply_chat_template(
        self, conversation: list[dict[str, Any]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any: ...


@dataclass(frozen=True)
class Example:
    """One tokenised prompt with a response. finished: the response ended by itself (its EOS is trained).

    messages: the prompt's messages where it is a conversation (a length policy cuts between them).
    """

    prompt_ids: list[int]
    response_ids: list[int]
    finished: bool
    row: str
    messages: Messages | None = field(default=None, repr=False, compare=False)

    @property
    def group(self) -> Group:
        """As a packing group of one response."""
        return Group(self.prompt_ids, [self.response_ids])


class Encoder:
    """Tokenises for one model."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer: Tokenizer = tokenizer
        if tokenizer.eos_token_id is None:
            raise DataError("the tokenizer has no EOS token", "set eos_token: responses must be able to finish")
        added = (t.content for t in tokenizer.added_tokens_decoder.values() if t.special)
        self._names = sorted({*tokenizer.all_special_tokens, *added}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, self._names)))
        # SentencePiece-like tokenizers begin every text with a space; a continuation must not get one.
        self._adds_space = tokenizer.decode(self._ids("x") * 2) != "xx"

    def prompt(self, prompt: Prompt, row: str = "") -> list[int]:
        """Ids of a prompt: BOS (if the tokenizer has one) and text, or the chat template up to the reply."""
        prompt = _messages(prompt, row)
        return self._start(prompt, self._text_before(prompt, row), row)

    def example(self, prompt: Prompt, response: str | Messages, finished: bool = True, row: str = "") -> Example:
        """Tokenise a prompt with its response. An EOS written at the response's end is dropped, and set by
        `finished`. Raises DataError naming `row`."""
        eos = self.tokenizer.eos_token_id
        assert eos is not None
        prompt, response = _messages(prompt, row), self._without_eos(_reply_text(response, row))
        if not response.strip():
            raise DataError(f"row {row}: the response is empty", "remove the row or fill in the response")
        before = self._text_before(prompt, row)
        if isinstance(prompt, str):
            messages, after = None, self._as_letters(response)
        else:
            messages, after = prompt, self._reply(prompt, before, response, finished, row)
        ids = self._continuation(before, after)
        return Example(self._start(prompt, before, row), [*ids, eos] if finished else ids, finished, row, messages)

    def text(self, response_ids: Sequence[int]) -> str:
        """Text of a response, special tokens left out."""
        return self.tokenizer.decode(list(response_ids), skip_special_tokens=True)

    # --- text before and after the border ---------------------------------------------------------------
    def _text_before(self, prompt: str | Messages, row: str) -> str:
        if isinstance(prompt, str):
            return prompt
        if not prompt:
            raise DataError(f"row {row}: the prompt holds no messages", "give it a user message")
        if role_of(prompt[-1]) == "assistant":
            raise DataError(f"row {row}: the prompt ends with an assistant message", "make that message the response")
        return self._render(prompt, True, row)

    def _start(self, prompt: str | Messages, before: str, row: str) -> list[int]:
        ids, bos = self._ids(before), self.tokenizer.bos_token_id
        if isinstance(prompt, str) and bos is not None:
            ids = [bos, *ids]
        if not ids:
            raise DataError(f"row {row}: the prompt is empty", "give it text, or use a tokenizer with a BOS token")
        if ids[:2] == [bos] * 2:
            raise DataError(f"row {row}: the prompt starts with two BOS tokens", "remove the BOS text from the data")
        return ids

    def _reply(self, prompt: Messages, before: str, response: str, finished: bool, row: str) -> str:
        """The reply as the template writes it, without EOS; unfinished: without anything after its text."""
        tail = self._tail(prompt, before, response, row)
        if finished:
            end = tail.find(self.tokenizer.eos_token or _MARK)
            return tail if end < 0 else tail[:end]
        lead, mark, close = self._tail(prompt, before, _MARK, row).partition(_MARK)
        if not mark:
            raise DataError(f"row {row}: this chat template does not write the reply", "use another template")
        return lead + tail.removeprefix(lead).removesuffix(close)

    def _tail(self, prompt: Messages, before: str, response: str, row: str) -> str:
        whole = self._render([*prompt, {"role": "assistant", "content": response}], False, row)
        if not whole.startswith(before):
            raise DataError(
                f"row {row}: this chat template writes the prompt differently once a reply follows",
                "use a template whose prompt is a prefix of the whole conversation",
            )
        return whole[len(before) :]

    def _render(self, messages: Messages, reply: bool, row: str) -> str:
        if self.tokenizer.chat_template is None:
            raise DataError(
                f"row {row} is a conversation, but the tokenizer has no chat template",
                "use an instruction-tuned model, or plain-text prompts",
            )
        plain = [self._message(m, row) for m in messages]
        try:
            return str(self.tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=reply))
        except TemplateError as error:
            roles = ", ".join(str(m["role"]) for m in plain)
            raise DataError(
                f"row {row}: the chat template refuses the messages ({roles}): {error}",
                "bring the messages into the order that the template expects",
            ) from error

    def _message(self, message: Any, row: str) -> dict[str, Any]:
        plain = dict(message) if isinstance(message, Mapping) else message.model_dump()
        if not isinstance(plain.get("role"), str) or not isinstance(plain.get("content"), str):
            raise DataError(
                f"row {row}: a message needs a role and a content, both text; found {str(plain)[:80]}",
                'write {"role": "user", "content": "..."}',
            )
        return plain | {"content": self._as_letters(plain["content"])}

    # --- tokenising ------------------------------------------------------------------------------------
    def _without_eos(self, response: str) -> str:
        eos = self.tokenizer.eos_token
        while eos and response.rstrip().endswith(eos):
            response = response.rstrip().removesuffix(eos)
        return response

    def _as_letters(self, text: str) -> str:
        """Put a mark for every special token that the text spells, so that `_ids` takes it as letters."""
        return self._special.sub(lambda found: f"{_OPEN}{self._names.index(found[0])}{_CLOSE}", text)

    def _continuation(self, before: str, after: str) -> list[int]:
        """Ids of `after` where it continues `before`."""
        if self._adds_space:
            head, whole = self._ids(before), self._ids(before + after)
            if whole[: len(head)] == head:
                return whole[len(head) :]
        return self._ids(after)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = []
        for i, part in enumerate(_LETTERS.split(text)):  # odd parts are the marks' numbers
            if i % 2:
                ids += self._encode(self._names[int(part)], True)
            elif part:
                ids += self._encode(part, False)
        return ids

    def _encode(self, text: str, letters: bool) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=letters))


def _messages(prompt: Prompt, row: str) -> str | Messages:
    if not isinstance(prompt, Mapping):
        return prompt
    raise DataError(f"row {row}: tools and settings of the chat template are not supported here", "leave them out")


def _reply_text(response: str | Messages, row: str) -> str:
    """The text of a response that is one plain message."""
    if isinstance(response, str):
        return response
    first: Any = response[0]
    message = first if isinstance(first, Mapping) else first.model_dump()
    if len(response) > 1 or set(message) != {"role", "content"} or not isinstance(message["content"], str):
        raise DataError(f"row {row}: a response of several messages, or with more than text, is not supported here")
    return str(message["content"])
