"""`accord watch --page`: runs as they go, on a page of this machine alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from accord.cli.local_page import OWN_NAMES, address_of, listen_here, serve_here
from accord.cli.terminal import safe_text
from accord.report.live_page import LiveRuns, Values, live_page

PORT = 7870


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
    with listen_here(port, PORT) as listening:
        address = address_of(listening)
        click.echo(safe_text(f"{title}: {address} (Ctrl-C ends the page; the runs go on)"))
        serve_here(page_app(runs, title), listening)
