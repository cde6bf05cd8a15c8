"""An application behind a real address, for as long as a test needs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn


@dataclass
class Listening:
    """Where it listens; the server counts its connections."""

    url: str
    server: uvicorn.Server


@contextmanager
def listening(app: Any, **settings: Any) -> Iterator[Listening]:
    """Serve an ASGI application on a free port, in a thread. A server that does not start or stop
    fails the test. settings: of `uvicorn.Config`."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=5, **settings)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start: see its log above"
        time.sleep(0.01)
    try:
        yield Listening(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", server)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server does not stop"
