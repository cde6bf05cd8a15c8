"""Every test of the studio's data runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from benchmarks.postgres import server, why_not
from sqlalchemy import create_engine, text
from studio_rooms import Clock, Receiver

from accord.studio.storage.database import Database, open_database
from accord.studio.storage.engines import parse_url

_names = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server's address with {name} for the database; skips with the reason where none can run."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra postgres brings it)")
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with server() as address:
        open_database(
            address.format(name=_create(address, None))
        ).close()  # d0: migrated once, copied by every test
        yield address


def _create(address: str, template: str | None) -> str:
    name = f"d{next(_names)}"
    engine = create_engine(parse_url(address.format(name="postgres")), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        )
    engine.dispose()
    return name


@pytest.fixture(scope="session")
def new_postgres(postgres: str) -> Callable[[], str]:
    """Makes databases with the studio's tables on the server; returns their addresses."""
    return lambda: postgres.format(name=_create(postgres, "d0"))


@pytest.fixture(scope="session")
def bare_postgres(postgres: str) -> Callable[[], str]:
    """Makes databases without tables on the server; returns their addresses."""
    return lambda: postgres.format(name=_create(postgres, None))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty studio's database, made once."""
    path = tmp_path_factory.mktemp("empty") / "studio.db"
    open_database(path).close()
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, empty: Path) -> str:
    """The address of an empty database with the studio's tables."""
    if request.param == "sqlite":
        return str(shutil.copy(empty, tmp_path / "studio.db"))
    made: str = request.getfixturevalue("new_postgres")()
    return made


@pytest.fixture(params=["sqlite", "postgres"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return str(tmp_path / "bare.db")
    made: str = request.getfixturevalue("bare_postgres")()
    return made


@pytest.fixture
def clock() -> Clock:
    """A clock that goes only when told to."""
    return Clock()


@pytest.fixture
def db(url: str, clock: Clock) -> Iterator[Database]:
    """A database with the studio's tables, on the test's clock."""
    opened = open_database(url, clock)
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody else's server, on this machine."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(kept.status)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        yield kept
        server.shutdown()
