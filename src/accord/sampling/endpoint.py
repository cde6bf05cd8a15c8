"""Chat models behind an OpenAI-compatible endpoint (`POST …/chat/completions`): vLLM, llama.cpp,
Ollama, hosted ones.

The key goes to the named address alone: redirects are not followed, and over http it leaves this
machine for nobody. What comes back is searched for it before anything else is done with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np

from accord.errors import AccordError, ConfigError
from accord.network import LOCAL, NO_ANSWER, bounded, bounded_async, http_client, why

MOST_BYTES = 8 * 2**20
LATER = (408, 409, 425, 429)
"""Statuses below 500 that another try may not meet."""
HOPELESS = (401, 402, 403, 404, 405)
"""Statuses that every other question would meet too."""
NO_CREDIT = b"insufficient_quota"
"""What hosted models call it, with status 429, when nothing is left to pay with."""


class EndpointError(AccordError):
    """No usable answer: not reached, refused, too slow, or not what was asked for.

    again: another try may help; hopeless: no other question would fare better; wait: seconds that
    the endpoint asks for; charged: it may have answered, so that it may have been paid for.
    """

    def __init__(
        self,
        message: str,
        fix: str | None = None,
        again: bool = True,
        hopeless: bool = False,
        wait: float | None = None,
        charged: bool = False,
    ) -> None:
        super().__init__(message, fix)
        self.again, self.hopeless, self.wait, self.charged = again, hopeless, wait, charged


@dataclass(frozen=True)
class Completion:
    """A response; finished: it ended by itself, not at the limit of tokens; prompt_tokens,
    response_tokens: as the endpoint counted them, None where it did not say; first_logps: of the
    likeliest first tokens, nats, None where they were not asked for or not given."""

    text: str
    finished: bool
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    first_logps: Mapping[str, float] | None = None


@dataclass(frozen=True)
class ChatQuestion:
    """One call: messages (role, content); top_logprobs: how many of the likeliest first tokens are
    wanted with their log-probabilities (the OpenAI interface allows 20), 0 for none."""

    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    top_logprobs: int = 0


@dataclass
class Endpoint:
    """A model called `model` at `url` (the part before /chat/completions, usually …/v1).

    timeout: seconds without a byte of the answer; key_name: the variable that the key comes from.
    Raises ConfigError for what cannot be an address.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0
    key_name: str = "ACCORD_CHAT_KEY"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.password
            or parts.query
        ):
            shown = parts._replace(query="…", netloc=parts.netloc.rpartition("@")[2]).geturl()
            raise ConfigError(
                f"{shown!r} is not the address of an endpoint",
                "write it like http://127.0.0.1:8000/v1, without passwords and parameters",
            )
        if not self.model:
            raise ConfigError(
                f"which model at {self.url}?", f"name it behind a #, like {self.url}#my-model"
            )
        if self.key and not (self.key.isascii() and self.key.isprintable() and " " not in self.key):
            raise ConfigError(
                f"the key in {self.key_name} has blanks, line breaks or signs that no key has",
                "set it again",
            )
        if self.key and parts.scheme == "http" and parts.hostname not in LOCAL:
            raise ConfigError(
                f"the key of {self.url} would be readable on its way",
                "use an https address, or none of its keys",
            )
        self._client = http_client(self.timeout, "accord")
        self._limit = "max_tokens"
        self.gives_logprobs = True

    def complete(
        self, messages: Sequence[Mapping[str, str]], max_tokens: int, temperature: float, seed: int
    ) -> Completion:
        """One response to messages [{role, content}]. Raises EndpointError.

        The seed is sent; whether the endpoint honours it is its own affair. A temperature of 1 is
        left out: some models take no other. Newer hosted models call the limit
        max_completion_tokens, which is found out once.
        """
        asked = tuple((m["role"], m["content"]) for m in messages)
        question = ChatQuestion(asked, max_tokens, temperature, seed)
        said = self._said(question)
        try:
            found = self._read(self._post(said))
        except EndpointError as error:
            if not self._adapts(said, error):
                raise
            found = self._read(self._post(self._said(question)))
        if not found.text.strip():
            reason = "stop" if found.finished else "length"
            raise EndpointError(
                f"{self.model} at {self.url} answered with nothing (finish_reason {reason!r})"
            )
        return found

    async def answer(self, client: httpx2.AsyncClient, question: ChatQuestion) -> Completion:
        """One response, which may be empty. Raises EndpointError; within `timeout` seconds in
        all."""
        said = self._said(question)
        while True:
            try:
                async with asyncio.timeout(self.timeout):
                    status, headers, body = await bounded_async(
                        client, "POST", self._where, MOST_BYTES, **self._sent(said)
                    )
                return self._read(self._found(status, body, headers.get("retry-after")))
            except TimeoutError:
                raise EndpointError(
                    f"{self._where}: no answer within {self.timeout:g} s", charged=True
                ) from None
            except NO_ANSWER as error:
                raise self._failed(error) from None
            except EndpointError as error:
                if not self._adapts(said, error):
                    raise
                said = self._said(question)

    @property
    def _where(self) -> str:
        return f"{self.url.rstrip('/')}/chat/completions"

    def _said(self, question: ChatQuestion) -> dict[str, Any]:
        said: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": role, "content": text} for role, text in question.messages],
            "seed": question.seed,
            self._limit: question.max_tokens,
        }
        if question.temperature != 1:
            said["temperature"] = question.temperature
        if question.top_logprobs and self.gives_logprobs:
            said |= {"logprobs": True, "top_logprobs": question.top_logprobs}
        return said

    def _adapts(self, said: Mapping[str, Any], error: EndpointError) -> bool:
        """Whether a refusal says how it wants to be asked, by what it was sent."""
        if "max_tokens" in said and "max_completion_tokens" in error.message:
            self._limit = "max_completion_tokens"
        elif "logprobs" in said and not error.again and "logprobs" in error.message:
            self.gives_logprobs = False
        else:
            return False
        return True

    def _sent(self, said: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return {"content": json.dumps(said).encode(), "headers": headers}

    def _post(self, said: Mapping[str, Any]) -> Any:
        try:
            status, body = bounded(
                self._client, "POST", self._where, MOST_BYTES, **self._sent(said)
            )
        except NO_ANSWER as error:
            raise self._failed(error) from None
        return self._found(status, body, None)

    def _failed(self, error: Exception) -> EndpointError:
        reached = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        return EndpointError(f"{self._where}: {why(error)}", charged=reached)

    def _found(self, status: int, body: bytes, retry_after: str | None) -> Any:
        """What an answer says. Raises EndpointError for one that is none."""
        if self.key:
            body = body.replace(self.key.encode(), b"***")
        if 200 <= status < 300:
            try:
                return json.loads(body)
            except ValueError as error:
                raise EndpointError(f"{self._where}: {why(error)}", charged=True) from None
        broke = status == 402 or NO_CREDIT in body
        fix = f"check the key in {self.key_name}" if status in (401, 403) else None
        raise EndpointError(
            f"{self._where}: HTTP {status} {body.decode(errors='replace')[:600]!r}",
            "nothing is left to pay with; ask its provider" if broke else fix,
            again=(status in LATER or status >= 500) and not broke,
            hopeless=status in HOPELESS or 300 <= status < 400 or broke,
            wait=_seconds(retry_after),
        )

    def _read(self, found: Any) -> Completion:
        try:
            choice = found["choices"][0]
            text, why = choice["message"]["content"], choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise EndpointError(
                f"{self.url} answers in another form: {str(found)[:200]!r}", charged=True
            ) from None
        usage = found.get("usage")
        text = text if isinstance(text, str) else ""
        return Completion(
            text,
            why != "length",
            _count(usage, "prompt_tokens"),
            _count(usage, "completion_tokens"),
            _first_logps(choice),
        )


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def _first_logps(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """Of the likeliest first tokens, nats; those that read alike are put together."""
    try:
        listed = choice["logprobs"]["content"][0]["top_logprobs"]
        found: dict[str, float] = {}
        for one in listed:
            token, logp = str(one["token"]), min(float(one["logprob"]), 0.0)
            found[token] = float(np.logaddexp(found.get(token, -np.inf), logp))
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return found or None


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header: a number, or a date."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        seconds = float(retry_after)
        return max(0.0, seconds) if np.isfinite(seconds) else None
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return None
