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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

from accord.errors import DataError
from accord.text.chats import Chat, Messages, Prompt, Response
from accord.text.letters import Letters
from accord.text.packing import PromptGroup

__all__ = ["Encoder", "Example", "Messages", "Prompt", "Response"]


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
        return self._id(self._chat.stop(prompt))

    def prompt(self, prompt: Prompt, row: str = "") -> list[int]:
        """Ids of a prompt: BOS (if the tokenizer has one) and text, or the chat template up to the
        reply."""
        return self._start(self._chat.before(prompt, row)[0], isinstance(prompt, str), row)

    def example(
        self, prompt: Prompt, response: Response, finished: bool = True, row: str = ""
    ) -> Example:
        """Tokenise a prompt with its response. A stop token written at the response's end is
        dropped, and set by `finished`.

        An unfinished response of one message is text, too: templates write whole messages only.
        Raises DataError naming `row`.
        """
        written = self._chat.written(prompt, response, finished, row)
        ids, mask, before = list[int](), list[bool](), written.start
        for part, trained in written.parts:
            new = self._continuation(before, part) if part else []
            ids, mask, before = [*ids, *new], [*mask, *[trained] * len(new)], before + part
        for name in written.stops:
            ids, mask = [*ids, self._id(name)], [*mask, written.parts[-1][1]]
        return Example(
            self._start(written.start, isinstance(prompt, str), row),
            ids,
            finished,
            row,
            None if all(mask) else mask,
            written.weight,
            asked=prompt,
            answered=response,
            text=written.text,
            lost_reasoning=written.lost_reasoning,
        )

    def text(self, response_ids: Sequence[int]) -> str:
        """Text of a response, special tokens left out, every space kept."""
        return self._decoded(response_ids, True)

    def token_ends(self, response_ids: Sequence[int]) -> list[int]:
        """Where in `text(response_ids)` each token ends, in characters. A character of several
        tokens belongs to the last of them; a special token ends where the one before it does."""
        ends, start, text = list[int](), 0, ""
        for end in range(1, len(response_ids) + 1):
            piece = self._decoded(response_ids[start:end], True)
            whole = end == len(response_ids) or not piece.endswith("\ufffd")
            ends.append(len(text) + (len(piece) if whole else 0))
            if whole:
                text, start = text + piece, end
        if text == (said := self.text(response_ids)):
            return ends
        # Decoders that treat a token by its neighbours: the text up to each token.
        lengths = (len(self.text(response_ids[:end])) for end in range(1, len(response_ids)))
        return [min(end, len(said)) for end in accumulate([*lengths, len(said)], max)]

    def round_trips(self, example: Example) -> bool:
        """Whether the response's ids give back its text (where it was cut, its beginning), and so
        these ids again."""
        decoded = self._decoded(example.response_ids, False)
        if example.finished or decoded == example.text:
            return decoded == example.text
        return example.text.startswith(decoded.rstrip("\ufffd"))  # a cut may go through a character

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
