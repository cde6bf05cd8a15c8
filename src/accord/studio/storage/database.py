"""The studio's database: SQLite in one file, or PostgreSQL. Writers queue up, readers do not wait.

SQLite: write-ahead log, every commit on disk before it is acknowledged, one writing connection per
process behind a lock, `BEGIN IMMEDIATE` so that two processes queue instead of failing half-way.
PostgreSQL: row locks (see queue/claims.py), read committed; `transact` repeats what the server
breaks off (deadlock, serialization).
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL
from sqlalchemy.exc import DataError as Unstorable
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from accord.errors import ConfigError, DataError
from accord.studio.storage.engines import (
    THREADS,
    explain,
    parse_url,
    postgres_engine,
    sqlite_engine,
)
from accord.studio.storage.migration import check_revision, migrate

T = TypeVar("T")
RETRIES = 8
RETRY_STATES = ("40001", "40P01")
"""PostgreSQL's serialization_failure and deadlock_detected: nothing was done, the work may be
repeated."""


class Turns:
    """A lock that is handed on in the order in which it was asked for: who writes without a break
    does not keep others waiting."""

    def __init__(self) -> None:
        self._state, self._held = threading.Lock(), False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._state:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()
        except BaseException:  # interrupted while waiting
            with self._state:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                    raise
            self._hand_on()
            raise

    def __exit__(self, *_: object) -> None:
        self._hand_on()

    def _hand_on(self) -> None:
        with self._state:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class Database:
    """Sessions to read and to write with; `now` is the studio's clock. Make one with
    `open_database`."""

    def __init__(self, url: URL, clock: Callable[[], float]) -> None:
        self.url, self.clock = url, clock
        self.sqlite = url.get_backend_name() == "sqlite"
        self._lock, self._writing = Turns(), threading.local()
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
                "leave out NUL, unpaired surrogates, huge numbers",
            ) from error


def open_existing(url: str) -> Database:
    """A studio that is there; asking for data must not make an empty one."""
    check_there(url)
    return open_database(url)


def check_there(url: str) -> None:
    """Raise ConfigError where a database in a file is not there."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).is_file():
        raise ConfigError(
            f"there is no studio in {url}",
            "name its file with --database, or start it: accord studio",
        )


def open_database(
    url: str | Path, clock: Callable[[], float] = time.time, upgrade: bool = True
) -> Database:
    """Open the studio's database, making or upgrading its tables first (`upgrade=False`: refuse
    instead).

    url: a file (`studio.db`, `sqlite:///studio.db`) or `postgresql://user@host/name`. Raises
    ConfigError for a wrong address, a missing driver or a database newer than this code; RunError
    when it cannot be reached or written.
    """
    parsed = parse_url(url)
    if upgrade:
        migrate(parsed)
    else:
        check_revision(parsed)
    return Database(parsed, clock)
