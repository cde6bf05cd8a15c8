"""Chat models behind an OpenAI-compatible endpoint (`POST …/chat/completions`): vLLM, llama.cpp,
Ollama, hosted ones.

The key goes to the named address alone: redirects are not followed, and over http it leaves this
machine for nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from accord.errors import AccordError, ConfigError
from accord.network import LOCAL, NO_ANSWER, bounded, http_client, why

MOST_BYTES = 8 * 2**20


class EndpointError(AccordError):
    """No usable answer: not reached, refused, too slow, or not what was asked for. Asking again may
    help."""


@dataclass(frozen=True)
class Completion:
    """A response; finished: it ended by itself, not at the limit of tokens."""

    text: str
    finished: bool


@dataclass
class Endpoint:
    """A model called `model` at `url` (the part before /chat/completions, usually …/v1).

    timeout: seconds without a byte of the answer. Raises ConfigError for what cannot be an address.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.password
        ):
            raise ConfigError(
                f"{self.url!r} is not the address of an endpoint",
                "write it like http://127.0.0.1:8000/v1",
            )
        if not self.model:
            raise ConfigError(
                f"which model at {self.url}?", f"name it behind a #, like {self.url}#my-model"
            )
        if self.key and parts.scheme == "http" and parts.hostname not in LOCAL:
            raise ConfigError(
                f"the key of {self.url} would be readable on its way",
                "use an https address, or none of its keys",
            )
        self._client = http_client(self.timeout, "accord")
        self._limit = "max_tokens"

    def complete(
        self, messages: Sequence[Mapping[str, str]], max_tokens: int, temperature: float, seed: int
    ) -> Completion:
        """One response to messages [{role, content}]. Raises EndpointError.

        The seed is sent; whether the endpoint honours it is its own affair. A temperature of 1 is
        left out: some models take no other. Newer hosted models call the limit
        max_completion_tokens, which is found out once.
        """
        said: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(m) for m in messages],
            "seed": seed,
        }
        if temperature != 1:
            said["temperature"] = temperature
        try:
            return self._read(self._post({**said, self._limit: max_tokens}))
        except EndpointError as error:
            if self._limit != "max_tokens" or "max_completion_tokens" not in error.message:
                raise
            self._limit = "max_completion_tokens"
        return self._read(self._post({**said, self._limit: max_tokens}))

    def _post(self, said: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        where = f"{self.url.rstrip('/')}/chat/completions"
        try:
            status, body = bounded(
                self._client,
                "POST",
                where,
                MOST_BYTES,
                content=json.dumps(said).encode(),
                headers=headers,
            )
            if 200 <= status < 300:
                return json.loads(body)
        except (*NO_ANSWER, ValueError) as error:
            raise EndpointError(f"{where}: {why(error)}") from None
        fix = "check the key in ACCORD_CHAT_KEY" if status in (401, 403) else None
        detail = body[:600].decode(errors="replace")
        raise EndpointError(f"{where}: HTTP {status} {detail!r}", fix)

    def _read(self, found: Any) -> Completion:
        try:
            choice = found["choices"][0]
            text, why = choice["message"]["content"], choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise EndpointError(
                f"{self.url} answers in another form: {str(found)[:200]!r}"
            ) from None
        if not isinstance(text, str) or not text.strip():
            raise EndpointError(
                f"{self.model} at {self.url} answered with nothing (finish_reason {why!r})"
            )
        return Completion(text, why != "length")
