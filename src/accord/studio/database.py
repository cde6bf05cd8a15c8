"""The studio's database: SQLite in one file, or PostgreSQL. Writers queue up, readers do not wait.

SQLite: write-ahead log, every commit on disk before it is acknowledged, one writing connection per
process behind a lock, `BEGIN IMMEDIATE` so that two processes queue instead of failing half-way.
PostgreSQL: row locks (see queue.py), read committed; `transact` repeats what the server breaks off
(deadlock, serialization).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, StatementError
from sqlalchemy.exc import DataError as Unstorable
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from accord.errors import AccordError, ConfigError, DataError, RunError
from accord.files import disk_full

T = TypeVar("T")
BUSY_SECONDS = 30
"""How long a writer waits for another process before it gives up."""
THREADS = 40
"""Connections a process may hold: one per thread of the server's pool."""
RETRIES = 8
RETRY_STATES = ("40001", "40P01")
"""PostgreSQL's serialization_failure and deadlock_detected: nothing was done, the work may be
repeated."""


class Database:
    """Sessions to read and to write with; `now` is the studio's clock. Make one with
    `open_database`."""

    def __init__(self, url: URL, clock: Callable[[], float]) -> None:
        self.url, self.clock = url, clock
        self.sqlite = url.get_backend_name() == "sqlite"
        self._lock, self._writing = threading.Lock(), threading.local()
        if self.sqlite:
            self._writer = sqlite_engine(url, "BEGIN IMMEDIATE", poolclass=StaticPool)
            self._reader = sqlite_engine(
                url, "BEGIN", read_only=True, pool_size=4, max_overflow=THREADS - 4
            )
        else:
            self._writer = self._reader = postgres_engine(url)

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return self.clock()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction: committed at the end, rolled back on any error.

        Raises RunError when the disk is full, the file cannot be written or the server not be
        reached.
        """
        if getattr(self._writing, "here", False):
            raise RuntimeError("write() inside write(): hand the session on instead")
        with (
            self._alone(),
            self._named(),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database and may change nothing."""
        with self._named(), Session(self._reader, expire_on_commit=False) as session:
            if not self.sqlite:
                options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                session.connection(execution_options=options)
            yield session

    def transact(self, work: Callable[[Session], T]) -> T:
        """`work(session)` in a write transaction; repeated when PostgreSQL breaks it off. `work`
        must be repeatable."""
        for attempt in range(RETRIES):
            try:
                with self.write() as session:
                    return work(session)
            except DBAPIError as error:
                if (
                    getattr(error.orig, "sqlstate", None) not in RETRY_STATES
                    or attempt == RETRIES - 1
                ):
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Give all connections back."""
        self._writer.dispose()
        self._reader.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """SQLite: one writer per process. It allows one anyhow, and who waits here wakes at
        once."""
        with self._lock if self.sqlite else nullcontext():
            self._writing.here = True
            try:
                yield
            finally:
                self._writing.here = False

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            named = explain(error, self.url)
            if named is None:
                raise
            raise named from error
        except (StatementError, OverflowError, UnicodeEncodeError) as error:
            orig = error.orig if isinstance(error, StatementError) else error
            if not isinstance(error, Unstorable) and not isinstance(
                orig, (OverflowError, UnicodeEncodeError)
            ):
                raise
            raise DataError(
                f"something sent cannot be kept: {str(orig).splitlines()[0]}",
                "leave out NUL, half characters, huge numbers",
            ) from error


def open_database(
    url: str | Path, clock: Callable[[], float] = time.time, upgrade: bool = True
) -> Database:
    """Open the studio's database, making or upgrading its tables first (`upgrade=False`: refuse
    instead).

    url: a file (`studio.db`, `sqlite:///studio.db`) or `postgresql://user@host/name`. Raises
    ConfigError for a wrong address, a missing driver or a database newer than this code; RunError
    when it cannot be reached or written.
    """
    from accord.studio.migration import check_revision, migrate

    parsed = parse_url(url)
    if upgrade:
        migrate(parsed)
    else:
        check_revision(parsed)
    return Database(parsed, clock)


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
    raise ConfigError(f"{name!r} is no kind of database that the studio knows", _FORMS)


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
            f"no PostgreSQL server at {url.host or 'the local socket'}:{url.port or 5432} for {url.database}: {text}",
            "start it, or check host, port, name and password in the address",
        )
    if getattr(error.orig, "sqlstate", None) == "53100":
        return RunError(
            f"the disk of the PostgreSQL server is full: {text}", "free some space there"
        )
    return None
