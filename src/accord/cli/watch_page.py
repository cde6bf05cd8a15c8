"""`accord watch --page`: runs as they go, on a page of this machine alone."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import click
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from accord.cli.terminal import safe_text
from accord.errors import ConfigError
from accord.report.live_page import LiveRuns, Values, live_page

HOST, PORT = "127.0.0.1", 7870
OWN_NAMES = [HOST, "localhost"]
"""Of this machine: a page elsewhere that a name server sends here is refused."""


def page_app(runs: LiveRuns, title: str) -> FastAPI:
    """The page, what it is told, and the runs' reports."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES)
    page = live_page(title)

    @app.get("/", response_class=HTMLResponse)
    def whole() -> str:
        return page

    @app.get("/state")
    def state() -> Values:
        return runs.state()

    @app.get("/runs/{number}/report.html", response_class=FileResponse)
    def report(number: int) -> Path:
        path = runs.report_of(number)
        if path is None:
            raise HTTPException(404, "this run has no report yet")
        return path

    return app


def serve_page(runs: LiveRuns, places: Sequence[Path], port: int | None) -> None:
    """Until Ctrl-C. Raises ConfigError where the port is taken."""
    title = ", ".join(str(place) for place in places)
    with _listening(port) as listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        click.echo(safe_text(f"{title}: {address} (Ctrl-C ends the page; the runs go on)"))
        config = uvicorn.Config(page_app(runs, title), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int | None) -> socket.socket:
    """On the port; on a free one where nobody asked for one and the usual is taken."""
    for wanted in (PORT, 0) if port is None else (port,):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, wanted))
        except OSError as error:
            taken.close()
            reason = error.strerror or str(error)
            continue
        return taken
    raise ConfigError(
        f"port {port} cannot be used: {reason}", "leave --port out: a free one is found"
    )
