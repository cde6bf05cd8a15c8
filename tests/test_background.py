"""Plain functions wait for asynchronous ones, also where an event loop is running already."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from accord.background import wait_for


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    if value < 0:
        raise ValueError("negative")
    return value


def test_it_waits_with_and_without_a_running_loop() -> None:
    async def notebook() -> int:
        return wait_for(answer(2))

    assert wait_for(answer(1)) == 1
    # in a thread: Playwright leaves a running loop in the main one
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, notebook()).result() == 2
    with pytest.raises(ValueError, match="negative"):
        wait_for(answer(-1))
