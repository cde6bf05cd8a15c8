"""`accord studio`: the labelling studio on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from accord.studio.server import Serving, serve


def run_studio(
    database: str, host: str, port: int, workers: int, open_browser: bool, media: Path | None, https: bool
) -> None:
    """Serve until Ctrl-C."""
    serve(Serving(database, host, port, workers, media, https), open_browser, click.echo)
