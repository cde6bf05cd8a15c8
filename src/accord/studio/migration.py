"""Bringing a database to this code's tables; one process at a time, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DatabaseError, OperationalError

from accord.errors import ConfigError, RunError
from accord.studio.engines import explain, parse_url, postgres_engine, sqlite_engine

ADVISORY = 0x_ACC0_12D
"""The PostgreSQL lock that upgrading processes queue up behind."""


def migrate(url: str | Path | URL) -> str:
    """Create or upgrade all tables; returns the revision. Several processes may call it at once.

    Raises ConfigError when the database was made by a newer accord, or holds something else.
    """
    from alembic import command

    parsed = parse_url(url)
    with _connected(parsed) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY})"))
        config = _config(connection)
        head = _head(config)
        if _known(connection, config, parsed) != head:
            command.upgrade(config, "head")
    return head


def check_revision(url: str | Path | URL) -> str:
    """The revision of a database that is up to date; raises ConfigError when it is not."""
    parsed = parse_url(url)
    with _connected(parsed) as connection:
        config = _config(connection)
        current = _known(connection, config, parsed)
        if current != _head(config):
            raise ConfigError(
                f"the database {shown(parsed)} is at revision {current or 'none'}, this code needs {_head(config)}",
                "start the studio on it once: accord studio --database upgrades it",
            )
    return _head(config)


def shown(url: URL) -> str:
    """The address without its password."""
    return url.render_as_string(hide_password=True)


def _known(connection: Connection, config: Any, url: URL) -> str | None:
    """The database's revision, which this code must know."""
    from alembic.script import ScriptDirectory

    tables = connection.dialect.get_table_names(connection)
    if "alembic_version" not in tables:
        if tables:
            raise ConfigError(
                f"the database {shown(url)} holds other tables ({', '.join(sorted(tables)[:5])}) and none of the studio's",
                "give the studio a database of its own",
            )
        return None
    current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    revisions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in revisions:
        raise ConfigError(
            f"the database {shown(url)} is at revision {current}, which this accord does not know: a newer one made it",
            "upgrade accord (pip install --upgrade accord), or open another database",
        )
    return current


def _head(config: Any) -> str:
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory.from_config(config).get_current_head())


def _config(connection: Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
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
