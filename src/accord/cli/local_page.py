"""Pages of commands, for this machine alone: where they listen, and who is answered."""

from __future__ import annotations

import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from accord.errors import ConfigError

HOST = "127.0.0.1"
OWN_NAMES = [HOST, "localhost"]
"""Of this machine: a page elsewhere that a name server sends here is refused."""


def listen_here(port: int | None, usual: int = 0) -> socket.socket:
    """Listening on the port; where nobody asked for one on the usual one, or a free one. Raises
    ConfigError where the port is taken."""
    for wanted in (usual, 0) if port is None else (port,):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, wanted))
            taken.listen()
        except OSError as error:
            taken.close()
            reason = error.strerror or str(error)
            continue
        return taken
    raise ConfigError(
        f"port {port} cannot be used: {reason}", "leave --port out: a free one is found"
    )


def address_of(listening: socket.socket) -> str:
    """Where a browser finds what listens there."""
    return f"http://{HOST}:{listening.getsockname()[1]}/"


def serve_here(app: ASGIApp, listening: socket.socket) -> None:
    """Until Ctrl-C, which is how a page ends, and no error."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    with suppress(KeyboardInterrupt):  # the server has closed everything, and raises it again
        uvicorn.Server(config).run(sockets=[listening])
