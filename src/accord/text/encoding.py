"""Prompts and responses to token ids, for plain text and for chat messages.

The one place where text is tokenised. A response's ids follow its prompt's ids exactly, and end
with a stop token if and only if the response is finished; which tokens are trained follows from
these lengths, so templates need no generation markers and padding may equal EOS.

A response is given in one of two ways. Text is what was written, to the letter, after what the chat
template puts before a
reply: nothing is added, stripped or moved, so a policy's own samples come back as they were, those
cut within their reasoning too. Messages are rendered by the template, as transformers renders the
whole conversation, up to the stop token of the last one; between several, what others said (a
tool's result) is read and not trained.

A response ends with the first special token that the template writes behind a reply (`<|im_end|>`,
`<end_of_turn>`, ...), of plain text with EOS. Samplers stop there, and rewards are trained and read
there.

What people or models wrote is data: a special token spelled in a message or a response
("<|im_end|>") is tokenised as letters and cannot end a turn or open another. A plain-text prompt
alone may be a conversation that somebody rendered already, so special tokens in it count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from accord.errors import DataError
from accord.text.chats import Asked, Chat, Messages, Prompt, said
from accord.text.letters import Letters
from accord.text.packing import PromptGroup, common_start

__all__ = ["Encoder", "Example", "Messages", "Prompt", "Response"]

Response = str | Messages
"""A text: what was written, to the letter; or messages, which the template renders."""


class Tokenizer(Protocol):
    """What accord needs of a Hugging Face tokenizer."""

    bos_token_id: int | None
    eos_token_id: int | None
    eos_token: str | None
    chat_template: Any

    @property
    def all_special_tokens(self) -> list[str]: ...

    @property
    def special_tokens_map(self) -> Mapping[str, Any]: ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]: ...

    def encode(
        self, text: str, *, add_special_tokens: bool, split_special_tokens: bool
    ) -> list[int]: ...

    def decode(
        self,
        token_ids: Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str: ...


@dataclass(frozen=True)
class Example:
    """One tokenised prompt with a response. finished: the response ended by itself (its stop token
    is trained).

    mask: which of the response's tokens are trained (None: all). weight: how much the example
    counts, of an encoder that of the response's message, where it has one. asked, answered: what
    was tokenised. text: what the response's ids stand for.
    lost_reasoning: earlier replies whose reasoning the template leaves out.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    finished: bool
    row: str
    mask: list[bool] | None = None
    weight: float = 1.0
    asked: Prompt = field(default="", repr=False, compare=False)
    answered: Response = field(default="", repr=False, compare=False)
    text: str = field(default="", repr=False, compare=False)
    lost_reasoning: int = 0

    @property
    def group(self) -> PromptGroup:
        """As a packing group of one response."""
        return PromptGroup(
            self.prompt_ids,
            [self.response_ids],
            () if self.mask is None else [self.mask],
            self.weight,
        )

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return len(self.response_ids) if self.mask is None else sum(self.mask)


class Encoder:
    """Tokenises for one model. chat_template: used instead of the tokenizer's own, a file or the
    template itself;
    chat_template_kwargs: its settings (enable_thinking, ...); those of a row win."""

    def __init__(
        self,
        tokenizer: Any,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.tokenizer: Tokenizer = tokenizer
        if tokenizer.eos_token_id is None:
            raise DataError(
                "the tokenizer has no EOS token", "set eos_token: responses must be able to finish"
            )
        added = tokenizer.added_tokens_decoder.items()
        self._ids_of = {str(token.content): int(index) for index, token in added}
        special = {
            *tokenizer.all_special_tokens,
            *(token.content for _, token in added if token.special),
        }
        self._letters = Letters(special)
        self._chat = Chat(
            tokenizer, self._letters, sorted(special), chat_template, chat_template_kwargs
        )
        # SentencePiece-like tokenizers begin every text with a space; a continuation must not get
        # one.
        self._anchor = self._ids("x")
        self._adds_space = tokenizer.decode(self._anchor * 2) != "xx"

    @property
    def stop_ids(self) -> list[int]:
        """The tokens at which a sampler stops: those that end a reply in the chat template, plain
        or calling a tool, and EOS."""
        names = [str(self.tokenizer.eos_token)]
        if self.tokenizer.chat_template is not None:
            names = [*self._chat.ends().stops, *names]
        return list(dict.fromkeys(self._id(name) for name in names))

    def stop_id(self, prompt: Prompt) -> int:
        """The token that ends a finished response to this prompt."""
        if isinstance(prompt, str):
            return self._id(str(self.tokenizer.eos_token))
        return self._id(self._chat.ends(self._chat.asked(prompt, "")).stop)

    def prompt(self, prompt: Prompt, row: str = "") -> list[int]:
        """Ids of a prompt: BOS (if the tokenizer has one) and text, or the chat template up to the
        reply."""
        if isinstance(prompt, str):
            return self._start(self._letters.guarded(prompt), True, row)
        return self._start(self._chat.checked(self._asked(prompt, row), (), row)[0], False, row)

    def example(
        self, prompt: Prompt, response: Response, finished: bool = True, row: str = ""
    ) -> Example:
        """Tokenise a prompt with its response. A stop token written at the response's end is
        dropped, and set by `finished`.

        An unfinished response of one message is text, too: templates write whole messages only.
        Raises DataError naming `row`.
        """
        messages = (
            [] if isinstance(response, str) else [_dictionary(message) for message in response]
        )
        text = response if isinstance(response, str) else _plain_text(messages)
        weights = _weights(messages, row)
        if isinstance(prompt, str):
            if text is None:
                raise DataError(
                    f"row {row}: a response of messages follows a prompt of messages",
                    "make both the same",
                )
            before, lost = self._letters.guarded(prompt), 0
            close: tuple[str, ...] = (str(self.tokenizer.eos_token),)
        else:
            asked = self._asked(prompt, row)
            if text is None or (messages and finished):
                example = self._rendered(asked, messages, weights, finished, row)
                return replace(example, asked=prompt, answered=response)
            before, lost = self._chat.checked(asked, (), row)
            close = self._chat.ends(asked).close
        written = self._unstopped(text, close)
        if not written.strip():
            raise DataError(
                f"row {row}: the response is empty", "remove the row or fill in the response"
            )
        ids = self._continuation(before, self._letters.marked(written))
        return Example(
            self._start(before, isinstance(prompt, str), row),
            ids + [self._id(name) for name in close] * finished,
            finished,
            row,
            weight=weights[0] if weights else 1.0,
            asked=prompt,
            answered=response,
            text=written + "".join(close) * finished,
            lost_reasoning=lost,
        )

    def text(self, response_ids: Sequence[int]) -> str:
        """Text of a response, special tokens left out, every space kept."""
        return self._decoded(response_ids, True)

    def round_trips(self, example: Example) -> bool:
        """Whether the response's ids give back its text (where it was cut, its beginning), and so
        these ids again."""
        decoded = self._decoded(example.response_ids, False)
        if example.finished or decoded == example.text:
            return decoded == example.text
        return example.text.startswith(decoded.rstrip("\ufffd"))  # a cut may go through a character

    # --- conversations ----------------------------------------------------------------------------
    def _asked(self, prompt: Messages | Mapping[str, Any], row: str) -> Asked:
        asked = self._chat.asked(prompt, row)
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
    ) -> Example:
        """Prompt and response as the template writes them both; trained is what the assistant
        wrote, with its stop tokens."""
        ends, first = self._chat.ends(asked), len(asked.messages)
        if any(message.get("role") != "assistant" for message in (response[0], response[-1])):
            raise DataError(
                f"row {row}: a response begins and ends with a message of the assistant's",
                "move the others",
            )
        replies = self._chat.messages(response, row)
        if content := replies[-1].get("content"):
            replies[-1]["content"] = self._letters.marked(
                self._unstopped(self._letters.plain(content), ends.stops)
            )
        if not any(True for _ in said(replies[-1])):
            raise DataError(
                f"row {row}: the response is empty", "remove the row or fill in the response"
            )
        everything = [*asked.messages, *replies]
        whole, lost = self._chat.checked(asked, replies, row)
        places = [first + i for i, message in enumerate(replies) if message["role"] == "assistant"]
        starts = [self._border(everything, i, whole, asked, row) for i in places]
        stop = re.compile("|".join(map(re.escape, ends.stops)))
        matches = [
            stop.search(whole, at, limit)
            for at, limit in zip(starts, [*starts[1:], len(whole)], strict=True)
        ]
        if not all(matches[:-1]):
            raise DataError(
                f"row {row}: {self._chat.name} writes no {' or '.join(ends.stops)} behind "
                "each reply of the response",
                "make each an example of its own (turns: every)",
            )
        stops = [len(whole) if one is None else one.end() for one in matches]
        if not finished:
            stops[-1] = self._cut(
                replies[-1],
                whole[: matches[-1].start() if matches[-1] else len(whole)],
                starts[-1],
                row,
            )
        ids, mask, at = list[int](), list[bool](), starts[0]
        for start, end, weight in zip(starts, stops, weights, strict=True):
            for place, part, trained in (
                (at, whole[at:start], False),
                (start, whole[start:end], weight > 0),
            ):
                new = self._continuation(whole[:place], part) if part else []
                ids, mask = [*ids, *new], [*mask, *[trained] * len(new)]
            at = end
        text = self._letters.plain(whole[starts[0] : at])
        if finished and matches[-1] is None:
            ids, mask, text = (
                [*ids, self._id(ends.stop)],
                [*mask, weights[-1] > 0],
                text + ends.stop,
            )
        return Example(
            self._start(whole[: starts[0]], False, row),
            ids,
            finished,
            row,
            None if all(mask) else mask,
            weights[0] if len(weights) == 1 else 1.0,
            text=text,
            lost_reasoning=lost,
        )

    def _border(
        self, everything: list[dict[str, Any]], index: int, whole: str, asked: Asked, row: str
    ) -> int:
        """Where in the whole text the reply with this index begins: behind what the template writes
        before a reply, as far as it stays there once the reply follows (some templates open a block
        of reasoning that finished replies do not have)."""
        before = self._chat.render(everything[:index], asked, True, row)
        if whole.startswith(before):
            return len(before)
        history = self._chat.render(everything[:index], asked, False, row)
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

    # --- tokenising -------------------------------------------------------------------------------
    def _start(self, before: str, add_bos: bool, row: str) -> list[int]:
        ids, bos = self._ids(before), self.tokenizer.bos_token_id
        if add_bos and bos is not None:
            ids = [bos, *ids]
        if not ids:
            raise DataError(
                f"row {row}: the prompt is empty",
                "give it text, or use a tokenizer with a BOS token",
            )
        if ids[:2] == [bos] * 2:
            raise DataError(
                f"row {row}: the prompt starts with two BOS tokens",
                "remove the BOS text from the data",
            )
        return ids

    def _unstopped(self, response: str, stops: Sequence[str]) -> str:
        """The text without stop tokens that are written at its end."""
        names = tuple({*stops, str(self.tokenizer.eos_token)})
        while (bare := response.rstrip()).endswith(names):
            response = next(bare.removesuffix(name) for name in names if bare.endswith(name))
        return response

    def _continuation(self, before: str, after: str) -> list[int]:
        """Ids of `after` where it continues `before`."""
        if self._adds_space:
            head, whole = self._ids(before), self._ids(before + after)
            if whole[: len(head)] == head:
                return whole[len(head) :]
        return self._ids(after)

    def _ids(self, marked: str) -> list[int]:
        ids: list[int] = []
        for part, letters in self._letters.parts(marked):
            ids += self.tokenizer.encode(
                part, add_special_tokens=False, split_special_tokens=letters
            )
        return ids

    def _id(self, name: str) -> int:
        if name == self.tokenizer.eos_token:
            assert self.tokenizer.eos_token_id is not None
            return self.tokenizer.eos_token_id
        return self._ids_of[name]

    def _decoded(self, ids: Sequence[int], without_special: bool) -> str:
        """Text of ids where they continue others: some decoders drop the space before a text's
        first word."""
        lead = self._anchor if self._adds_space else []
        text = self.tokenizer.decode(
            [*lead, *ids], skip_special_tokens=without_special, clean_up_tokenization_spaces=False
        )
        return text.removeprefix("x") if lead else text


def _dictionary(message: Any) -> dict[str, Any]:
    return dict(message) if isinstance(message, Mapping) else dict(message.model_dump())


def _plain_text(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The text of one message that is text alone; None for others."""
    if len(messages) != 1 or any(
        messages[0].get(name) for name in ("reasoning_content", "tool_calls")
    ):
        return None
    content = messages[0].get("content")
    return (
        "".join(str(part.get("text", "")) for part in content)
        if isinstance(content, list)
        else content
    )


def _weights(messages: Sequence[Mapping[str, Any]], row: str) -> list[float]:
    """How much each reply among the messages counts; of several each 0 (it is context only) or
    1."""
    given = [message.get("weight") for message in messages if message.get("role") == "assistant"]
    weights = [1.0 if weight is None else float(weight) for weight in given]
    if messages and not any(weight > 0 for weight in weights):
        raise DataError(
            f"row {row}: no message of the response is trained (weight 0)", "leave the row out"
        )
    if odd := [weight for weight in weights if len(weights) > 1 and weight not in (0, 1)]:
        raise DataError(
            f"row {row}: a message of the response has the weight {odd[0]:g}",
            "of several messages each counts 1 or, as context only, 0; a weight for all of "
            "them is the record's",
        )
    return weights
