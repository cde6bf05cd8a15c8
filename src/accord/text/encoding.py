"""Prompts and responses to token ids, for plain text and for chat messages.

The one place where text is tokenised. A response's ids follow its prompt's ids exactly, and end with EOS if
and only if the response is finished; which tokens are trained follows from these lengths, so templates need
no generation markers and padding may equal EOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from accord.errors import DataError
from accord.text.packing import Group

Messages = Sequence[Any]
"""Chat messages: dicts (or models) with role and content."""


class Tokenizer(Protocol):
    """What accord needs of a Hugging Face tokenizer."""

    bos_token_id: int | None
    eos_token_id: int | None
    eos_token: str | None
    chat_template: Any

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str: ...

    def apply_chat_template(self, conversation: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool) -> Any: ...


@dataclass(frozen=True)
class Example:
    """One tokenised prompt with a response. finished: the response ended by itself (its EOS is trained)."""

    prompt_ids: list[int]
    response_ids: list[int]
    finished: bool
    row: str

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

    def prompt(self, prompt: str | Messages, row: str = "") -> list[int]:
        """Ids of a prompt: BOS (if the tokenizer has one) and text, or the chat template up to the reply."""
        if isinstance(prompt, str):
            bos = self.tokenizer.bos_token_id
            ids = ([bos] if bos is not None else []) + self._ids(prompt)
        else:
            ids = self._ids(self._render(prompt, reply=True, row=row))
        if not ids:
            raise DataError(f"row {row}: the prompt is empty", "give it text, or use a tokenizer with a BOS token")
        if ids[:2] == [self.tokenizer.bos_token_id] * 2:
            raise DataError(f"row {row}: the prompt starts with two BOS tokens", "remove the BOS text from the data")
        return ids

    def example(self, prompt: str | Messages, response: str, finished: bool = True, row: str = "") -> Example:
        """Tokenise a prompt with its response."""
        if not response.strip():
            raise DataError(f"row {row}: the response is empty", "remove the row or fill in the response")
        ids = self._ids(response) if isinstance(prompt, str) else self._ids(self._reply(prompt, response, row))
        eos = self.tokenizer.eos_token_id
        assert eos is not None
        while ids and ids[-1] == eos:
            ids.pop()
        return Example(self.prompt(prompt, row), [*ids, eos] if finished else ids, finished, row)

    def text(self, response_ids: Sequence[int]) -> str:
        """Text of a response, special tokens left out."""
        return self.tokenizer.decode(list(response_ids), skip_special_tokens=True)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _reply(self, prompt: Messages, response: str, row: str) -> str:
        """The reply as the template writes it, up to its end-of-turn token."""
        before = self._render(prompt, reply=True, row=row)
        whole = self._render([*prompt, {"role": "assistant", "content": response}], reply=False, row=row)
        if not whole.startswith(before):
            raise DataError(
                f"row {row}: this chat template writes the prompt differently once a reply follows",
                "use a template whose prompt is a prefix of the whole conversation",
            )
        tail = whole[len(before) :]
        end = tail.find(self.tokenizer.eos_token or "\0")
        return tail if end < 0 else tail[:end]

    def _render(self, messages: Messages, reply: bool, row: str) -> str:
        if self.tokenizer.chat_template is None:
            raise DataError(
                f"row {row} is a conversation, but the tokenizer has no chat template",
                "use an instruction-tuned model, or plain-text prompts",
            )
        plain = [m if isinstance(m, dict) else m.model_dump() for m in messages]
        return str(self.tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=reply))
