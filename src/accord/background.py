"""One event loop in a thread of its own, for plain functions that wait for asynchronous ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from functools import cache
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds in which what is interrupted may close what it holds."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all calls: a notebook has one running already, and what is kept open
    (connections) belongs to the loop that it was opened in."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="accord's loop", daemon=True).start()
    return loop


def wait_for(found: Awaitable[T]) -> T:
    """The result of what is awaited; whatever it raises. Interrupted, it is cancelled, and has some
    seconds to come to its end before the interruption goes on."""
    ended = threading.Event()

    async def result() -> T:
        try:
            return await found
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(result(), _loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        ended.wait(PATIENCE)
        raise
