"""Serve the studio: uvicorn on this machine, one or more processes, the first owner's link when
there is none yet."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import TypeAdapter

from accord.errors import ConfigError
from accord.network import NO_ANSWER, http_client
from accord.studio.people import invitations
from accord.studio.people.openid import OpenId, OpenIdError, OpenIdSettings
from accord.studio.storage.database import open_database
from accord.studio.storage.engines import safe_url
from accord.studio.tasks.chat import ChatSampler
from accord.studio.web.app import StudioConfig, create_app

SERVING = "ACCORD_STUDIO_SERVING"
"""What `serve` was asked for, as JSON, for the worker processes."""
OIDC_SECRET = "ACCORD_OIDC_SECRET"
"""Given by whoever starts the studio: on the command line everybody on the machine could read
it."""


Application = str | Callable[[], FastAPI]
HERE = "accord.studio.server:from_environment"


@dataclass(frozen=True)
class Serving:
    """What `serve` is asked for. host: 127.0.0.1 unless the studio stands behind something that
    does TLS."""

    database: str
    host: str = "127.0.0.1"
    port: int = 8600
    workers: int = 1
    media: Path | None = None
    https: bool = False
    private_webhooks: bool = False
    openid: OpenIdSettings | None = None

    @property
    def address(self) -> str:
        """Where a browser on this machine finds it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"


_SERVING = TypeAdapter(Serving)


def for_workers(wanted: Serving) -> str:
    """What worker processes find in the environment."""
    return _SERVING.dump_json(wanted).decode()


def from_environment(sampler: ChatSampler | None = None) -> FastAPI:
    """The application for a worker process, by what `serve` set in the environment."""
    wanted = _SERVING.validate_json(os.environ[SERVING])
    return create_app(
        StudioConfig(
            wanted.database,
            wanted.media,
            sampler,
            https=wanted.https,
            private_webhooks=wanted.private_webhooks,
            openid=wanted.openid,
        )
    )


def check_port(host: str, port: int) -> None:
    """Raises ConfigError when nobody could listen there, with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {port} is taken on {host}",
                    f"the studio may be running already; else choose another: --port {port + 1}",
                ) from None
            if error.errno == errno.EACCES:
                raise ConfigError(
                    f"port {port} needs special rights", "choose a port above 1023"
                ) from None
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror}", "use --host 127.0.0.1"
            ) from None
        except (OverflowError, UnicodeError):
            raise ConfigError(
                f"{host}:{port} is not an address", "ports go from 1 to 65535"
            ) from None


def serve(
    wanted: Serving,
    open_browser: bool,
    say: Callable[[str], object],
    application: Application = HERE,
) -> None:
    """Serve until interrupted. `say` prints a line; `application` makes the application: with
    several workers by its name.

    Raises ConfigError for a bad address or port, RunError for a database that cannot be used.
    """
    check_port(wanted.host, wanted.port)
    database = open_database(wanted.database)
    setup = invitations.setup_link(database)
    database.close()
    where = f"{wanted.address}/setup?token={setup}" if setup else wanted.address
    say(f"accord studio on {wanted.address} (database {safe_url(wanted.database)})")
    if setup:
        say(f"first visit, to make the owner's account (works once):\n  {where}")
    say("stop with Ctrl-C")
    if wanted.openid is not None:
        _say_openid(wanted.openid, say)
    if open_browser:
        threading.Thread(target=_open_when_up, args=(wanted.address, where), daemon=True).start()
    os.environ[SERVING] = for_workers(wanted)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        application,
        factory=True,
        host=wanted.host,
        port=wanted.port,
        workers=wanted.workers,
        log_level="warning",
        server_header=False,
        proxy_headers=True,
    )


def _say_openid(given: OpenIdSettings, say: Callable[[str], object]) -> None:
    """Whether the provider can be used; passwords open the studio anyhow, so it starts without it
    too."""
    try:
        OpenId(given, time.time).discover()
    except OpenIdError as error:
        say(f"warning: {given.name} cannot be used to sign in at the moment: {error.message}")
    else:
        say(
            f"sign-in with {given.name}: it must know this studio's address ending in "
            "/login/openid/back"
        )


def _open_when_up(address: str, where: str) -> None:
    with http_client(1, "accord") as client:
        for _ in range(100):
            with suppress(*NO_ANSWER):
                client.get(f"{address}/login").raise_for_status()
                webbrowser.open(where)
                return
            time.sleep(0.1)
