"""An OpenAI-compatible endpoint on this machine that answers as a script says."""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from inspect import isawaitable
from typing import Any

from listening import listening


@dataclass
class Scripted:
    """What it was asked, in order, with its headers; how many calls were under way at most.

    answer(request, number) -> a text, a (status, headers, body), or a whole answer; or something to
    wait for that gives one. seconds: how long each takes."""

    answer: Callable[[dict[str, Any], int], Any]
    seconds: float = 0.0
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        self.asked.append(json.loads(body))
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        number = len(self.asked)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        found = self.answer(self.asked[number - 1], number)
        if isawaitable(found):
            found = await found
        status, headers, said = found if isinstance(found, tuple) else (200, {}, found)
        if isinstance(said, str) and status == 200:
            said = completion(said)
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": data})


def completion(
    text: str | None,
    finish: str = "stop",
    usage: tuple[int, int] | None = (10, 1),
    logps: dict[str, float] | None = None,
) -> dict[str, Any]:
    """An answer in the form of the OpenAI interface."""
    choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": finish}
    if logps is not None:
        likeliest = [{"token": token, "logprob": logp} for token, logp in logps.items()]
        choice["logprobs"] = {"content": [{"token": text, "top_logprobs": likeliest}]}
    found: dict[str, Any] = {"choices": [choice]}
    if usage is not None:
        found["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    return found


class _Scripts:
    """One server for all scripts, each under a path of its own: starting one takes a while."""

    def __init__(self) -> None:
        self.by_path: dict[str, Scripted] = {}
        self.open = ExitStack()
        self.url = self.open.enter_context(listening(self, lifespan="off")).url
        atexit.register(self.open.close)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.by_path[scope["path"].split("/")[1]](scope, receive, send)


_shared = cache(_Scripts)


@contextmanager
def scripted(
    answer: Callable[[dict[str, Any], int], Any], seconds: float = 0.0
) -> Iterator[Scripted]:
    """Serve it for as long as a test needs it."""
    shared = _shared()
    name = f"script-{len(shared.by_path)}"
    script = Scripted(answer, seconds, f"{shared.url}/{name}/v1")
    shared.by_path[name] = script
    yield script
