"""Engines of the studio's databases: how an address is read, what every connection is set to, and
what a driver's errors mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from accord.errors import AccordError, ConfigError, RunError
from accord.files import disk_full

BUSY_SECONDS = 30
"""How long a writer waits for another process before it gives up."""
THREADS = 40
"""Connections a process may hold: one per thread of the server's pool."""


def parse_url(url: str | Path | URL) -> URL:
    """The address as SQLAlchemy wants it; raises ConfigError for what is none of ours."""
    if isinstance(url, URL):
        return url
    text = str(url)
    if "://" not in text:
        text = f"sqlite:///{text}"
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(f"cannot read the database address {text!r}", _FORMS) from None
    name = parsed.drivername
    if name == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError("the studio needs a file: several connections share the data", _FORMS)
        return parsed
    if name in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigError(f"{name!r} is not a kind of database that the studio knows", _FORMS)


def safe_url(url: str | Path | URL) -> str:
    """The address without its password."""
    return parse_url(url).render_as_string(hide_password=True)


_FORMS = (
    "write a file's path (studio.db), sqlite:///PATH, or postgresql://USER:PASSWORD@HOST:PORT/NAME"
)


def sqlite_engine(url: URL, begin: str, read_only: bool = False, **pool: Any) -> Engine:
    """An engine whose transactions start with `begin`, durable at commit."""
    _make_folder(url)
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS}, **pool
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver starts no transactions of its own
        connection.create_function(
            "lower", 1, _lower, deterministic=True
        )  # SQLite's own knows ASCII alone
        pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"]
        for pragma in [
            *pragmas,
            f"busy_timeout={BUSY_SECONDS * 1000}",
            *(["query_only=ON"] if read_only else []),
        ]:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def postgres_engine(url: URL) -> Engine:
    """An engine with a connection per thread; raises ConfigError when psycopg is not installed."""
    try:
        return create_engine(url, pool_size=8, max_overflow=THREADS - 8, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PostgreSQL needs the package psycopg, which is not installed",
            'pip install "accord[postgres]"',
        ) from error


def _make_folder(url: URL) -> None:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {folder}: {error.strerror}",
            "choose another place for the database",
        ) from error


def explain(error: DBAPIError, url: URL) -> AccordError | None:
    """What a driver's error means to the person who started the studio; None when it is not about
    the place."""
    text = " ".join(str(error.orig).split())
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        full = disk_full(error, path)
        if full is not None:
            return RunError(
                full.message, "free some space; everything that was acknowledged is stored"
            )
        if "readonly" in text or "unable to open" in text:
            return RunError(
                f"cannot write the database {path}: {text}", "check the path and its permissions"
            )
        if "locked" in text:
            return RunError(
                f"another process has been writing to {path} for {BUSY_SECONDS} s",
                "end it, or use PostgreSQL for several machines",
            )
        return None
    if (
        getattr(error.orig, "sqlstate", None) is None or error.connection_invalidated
    ):  # no server answered
        return RunError(
            f"no PostgreSQL server at {url.host or 'the local socket'}:{url.port or 5432} for "
            f"{url.database}: {text}",
            "start it, or check host, port, name and password in the address",
        )
    if getattr(error.orig, "sqlstate", None) == "53100":
        return RunError(
            f"the disk of the PostgreSQL server is full: {text}", "free some space there"
        )
    return None
