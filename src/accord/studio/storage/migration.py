"""Bringing a database to this code's tables; one process at a time, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DatabaseError, OperationalError

from accord.errors import ConfigError, RunError
from accord.studio.storage.engines import (
    explain,
    parse_url,
    postgres_engine,
    safe_url,
    sqlite_engine,
)

VERSIONS = "alembic_version"
"""The table that says which migrations a database has had."""
ADVISORY = 0x_ACC0_12D
"""The PostgreSQL lock that upgrading processes queue up behind."""


def migrate(url: str | Path | URL) -> str:
    """Create or upgrade all tables; returns the revision. Several processes may call it at once.

    Raises ConfigError when the database was made by a newer accord, or holds something else.
    """
    parsed = parse_url(url)
    with connected(parsed) as connection:
        alone(connection)
        head = revisions()[0]
        if known_revision(connection, parsed) != head:
            bring(connection)
    return head


def alone(connection: Connection) -> None:
    """Wait for others who make or upgrade tables, until the end of the transaction. SQLite has one
    writer anyhow."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY})"))


def bring(connection: Connection, revision: str = "head") -> None:
    """Make or upgrade the tables in the connection's transaction, up to a revision."""
    from alembic import command

    command.upgrade(_config(connection), revision)


@cache
def revisions() -> tuple[str, ...]:
    """All that this code knows, the newest first."""
    from alembic.script import ScriptDirectory

    walked = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(script.revision for script in walked)


def check_revision(url: str | Path | URL) -> str:
    """The revision of a database that is up to date; raises ConfigError when it is not."""
    parsed = parse_url(url)
    with connected(parsed) as connection:
        head = revisions()[0]
        current = known_revision(connection, parsed)
        if current != head:
            raise ConfigError(
                f"the database {safe_url(parsed)} is at revision {current or 'none'}, this code "
                f"needs {head}",
                "start the studio on it once: accord studio --database upgrades it",
            )
    return head


def known_revision(connection: Connection, url: URL) -> str | None:
    """The database's revision, None for an empty one. Raises ConfigError when this code does not
    know it, or other tables are there alone."""
    tables = connection.dialect.get_table_names(connection)
    if VERSIONS not in tables:
        if tables:
            raise ConfigError(
                f"the database {safe_url(url)} holds other tables "
                f"({', '.join(sorted(tables)[:5])}) and none of the studio's",
                "give the studio a database of its own",
            )
        return None
    current = connection.execute(text(f"SELECT version_num FROM {VERSIONS}")).scalar()
    if current is not None and current not in revisions():
        raise ConfigError(
            f"the database {safe_url(url)} is at revision {current}, which this accord does not "
            "know: a newer one made it",
            "upgrade accord (pip install --upgrade accord), or open another database",
        )
    return current


def _config(connection: Connection | None = None) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """A connection in one transaction that may change tables: committed at the end, rolled back on
    any error."""
    sqlite = url.get_backend_name() == "sqlite"
    engine = sqlite_engine(url, "BEGIN IMMEDIATE") if sqlite else postgres_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise explain(error, url) or error from error
    except DatabaseError as error:
        if "not a database" in str(error):
            raise RunError(f"{url.database} is not an SQLite file", "give another path") from error
        raise
    finally:
        engine.dispose()
