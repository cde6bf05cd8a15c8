"""A studio out of a backup: into a database that holds nothing, all of it or nothing.

The tables are made as they were when the backup was made, filled, and upgraded to this code's; then
every chain of events is computed again. All that is one transaction (SQLite: in a file beside its
place, moved there at the end).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
    insert,
    text,
)
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.orm import Session
from sqlalchemy.schema import AddConstraint, DropConstraint, sort_tables_and_constraints

from accord.errors import ConfigError, RunError
from accord.files import write_atomically, write_error
from accord.studio.delivery import archive, backup
from accord.studio.delivery.archive import Archive, Manifest, Step
from accord.studio.storage import events, migration
from accord.studio.storage.engines import parse_url, safe_url

AT_ONCE = 1000
"""Rows stored together."""
STORED = JSON(none_as_null=True)
"""None is NULL, `JSON.NULL` the null of JSON."""
ROOM = 2
"""Bytes that a database takes per byte of an archive's tables, indexes included, at the most."""


class _NotKept(Exception):
    """Ends the transaction of a dry run."""


def restore(
    source: Path,
    url: str,
    step: Step,
    media: Path | None = None,
    without_media: bool = False,
    dry_run: bool = False,
) -> Manifest:
    """Fill an empty database with what a backup holds; returns that. dry_run: do all of it and keep
    nothing.

    media: where its clips go, a folder that is not there or empty. Raises ConfigError when the
    database or folder holds something or the backup is of a newer accord; DataError, with the
    place, when it is not as it was made; RunError when there is no room.
    """
    parsed = parse_url(url)
    with archive.opened(source) as held:
        if held.manifest.revision not in migration.revisions():
            raise ConfigError(
                f"{source} is of revision {held.manifest.revision}, which this accord does not "
                "know: a newer one made it",
                "upgrade accord (pip install --upgrade accord)",
            )
        _check_media(held.manifest, media, without_media)
        _check_place(held, parsed)
        held.check(step)

        def fill() -> None:
            if parsed.get_backend_name() != "sqlite":
                _fill(held, parsed, step, dry_run)
                return
            place = Path(str(parsed.database))
            _put(place, lambda at: _fill(held, _file(parsed, at), step, dry_run), dry_run)

        if media is None:
            fill()
        else:
            _put(media, lambda at: _unpack(held, at, fill, step), dry_run)
        return held.manifest


# --- where it goes --------------------------------------------------------------------------------
def _put(place: Path, write: Callable[[Path], object], dry_run: bool) -> None:
    """Write a file or folder aside and move it to its place; in a dry run throw it away."""
    if not dry_run:
        write_atomically(place, write)
        return
    beside = place.parent if place.parent.is_dir() else None
    try:
        with tempfile.TemporaryDirectory(prefix="accord-dry-run-", dir=beside) as folder:
            write(Path(folder) / place.name)
    except OSError as error:
        raise write_error(error, place) from error


def _file(url: URL, path: Path) -> URL:
    return url.set(database=str(path))


def _check_place(held: Archive, url: URL) -> None:
    """The database holds nothing, and there is room. (PostgreSQL is asked again in the
    transaction.)"""
    if url.get_backend_name() != "sqlite":
        with migration.connected(url) as connection:
            _refuse_used(connection, url)
        return
    path = Path(str(url.database))
    for there in (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "journal"))):
        if there.exists() and (there.is_dir() or there.stat().st_size):
            raise ConfigError(
                f"{there} holds something; a backup is restored into a new database only",
                "name a file that is not there with --database",
            )
    _check_room(path, ROOM * sum(table.bytes for table in held.manifest.tables.values()))


def _refuse_used(connection: Connection, url: URL) -> None:
    tables = connection.dialect.get_table_names(connection)
    if tables:
        raise ConfigError(
            f"the database {safe_url(url)} holds {len(tables)} tables "
            f"({', '.join(sorted(tables)[:3])} …); a backup is restored into an empty one only",
            "make a new one (createdb NAME) and name it with --database",
        )


def _check_room(path: Path, needed: int) -> None:
    there = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise RunError(
            f"{path} would need about {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free",
            "free some space, or choose another place",
        )


# --- clips ----------------------------------------------------------------------------------------
def _check_media(manifest: Manifest, media: Path | None, without: bool) -> None:
    if manifest.media is None:
        if media is not None:
            raise ConfigError(
                "the backup holds no clips: it was made without --media", "leave --media out"
            )
        return
    if (media is None) != without:
        raise ConfigError(
            f"the backup holds {manifest.media.files:,} clips",
            "say where they go (--media FOLDER) or that they stay there (--without-media)",
        )
    if media is not None and media.exists() and (not media.is_dir() or any(media.iterdir())):
        raise ConfigError(f"{media} holds something", "name a folder that is new or empty")


def _unpack(held: Archive, folder: Path, then: Callable[[], None], step: Step) -> None:
    _check_room(folder, held.unpacked())
    folder.mkdir()
    assert held.manifest.media is not None
    for done, (clip, blocks) in enumerate(held.clips(), 1):
        path = folder / clip.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            for block in blocks:
                file.write(block)
        step(done, held.manifest.media.files, "clips")
    then()


# --- rows -----------------------------------------------------------------------------------------
def _fill(held: Archive, url: URL, step: Step, dry_run: bool) -> None:
    with suppress(_NotKept), migration.connected(url) as connection:
        migration.alone(connection)
        _refuse_used(connection, url)
        migration.bring(connection, held.manifest.revision)
        _load(held, connection, step)
        migration.bring(connection)
        _compare_chains(held, connection)
        if dry_run:
            raise _NotKept


def _load(held: Archive, connection: Connection, step: Step) -> None:
    tables, _ = backup.studio_tables(connection)
    _compare_tables(held, tables)
    order: list[Table] = []
    loose: list[ForeignKeyConstraint] = []
    for table, keys in sort_tables_and_constraints(tables):  # type: ignore[no-untyped-call]
        if table is None:
            loose = list(keys)
        else:
            order.append(table)
    done, total = 0, held.manifest.rows
    with _later(held, connection, loose):
        for table in order:
            _empty(connection, table)
            for part in _batches(held, table):
                _insert(held, connection, table, part)
                done += len(part)
                step(done, total, f"rows, {table.name}")
            _count_on(held, connection, table)


def _empty(connection: Connection, table: Table) -> None:
    """Migrations put rows into new tables (the house's chain)."""
    connection.execute(table.delete())


def _compare_tables(held: Archive, tables: list[Table]) -> None:
    actual = {table.name: {column.name for column in table.columns} for table in tables}
    expected = held.manifest.tables
    for name in sorted(actual.keys() ^ expected.keys()):
        raise held.wrong(archive.MANIFEST, f"the table {name} is not in both, it and its revision")
    for name, columns in actual.items():
        if columns != set(expected[name].columns):
            odd = ", ".join(sorted(columns ^ set(expected[name].columns)))
            raise held.wrong(
                archive.MANIFEST, f"the table {name}: columns of its revision differ in {odd}"
            )


def _batches(held: Archive, table: Table) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    columns = {column.name: column for column in table.columns}
    for column in columns.values():
        if isinstance(column.type, JSON):
            column.type = STORED
    member = archive.table_member(table.name)
    rows = (
        (line, _values(held, f"{member} line {line}", columns, row))
        for line, row in held.rows(member)
    )
    while part := list(islice(rows, AT_ONCE)):
        yield part


def _values(
    held: Archive, place: str, columns: dict[str, Column[Any]], row: dict[str, Any]
) -> dict[str, Any]:
    """A row as the database takes it; SQLite itself would take any kind of value anywhere."""
    for name in row.keys() - columns.keys():
        raise held.wrong(place, f"there is no column {name!r}")
    values = {}
    for name, column in columns.items():
        value = row.get(name)
        if isinstance(column.type, JSON):
            values[name] = JSON.NULL if name in row and value is None else value
        elif name in row and not _fits(column, value):
            raise held.wrong(
                place, f"{name} = {str(value)[:60]!r} is not of the type {column.type}"
            )
        else:
            values[name] = value
        if name not in row and not column.nullable:
            raise held.wrong(place, f"{name} is missing")
    return values


def _fits(column: Column[Any], value: Any) -> bool:
    if isinstance(column.type, Boolean):
        return isinstance(value, bool)
    if isinstance(column.type, Integer):
        return type(value) is int and abs(value) < 1 << 63
    if isinstance(column.type, Float):
        return type(value) in (int, float)
    return isinstance(column.type, String) and isinstance(value, str)


def _insert(
    held: Archive, connection: Connection, table: Table, part: list[tuple[int, dict[str, Any]]]
) -> None:
    try:
        connection.execute(insert(table), [values for _, values in part])
    except OperationalError:
        raise  # about the place, not the rows
    except (StatementError, UnicodeEncodeError) as error:
        orig = getattr(error, "orig", error)
        lines = f"lines {part[0][0]} to {part[-1][0]}"
        raise held.wrong(
            f"{archive.table_member(table.name)} {lines}", " ".join(str(orig).split())
        ) from error


@contextmanager
def _later(
    held: Archive, connection: Connection, loose: list[ForeignKeyConstraint]
) -> Iterator[None]:
    """Rows that name each other: checked when all are there."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
        yield
        for table, line, parent, _ in connection.execute(text("PRAGMA foreign_key_check")):
            raise held.wrong(
                archive.table_member(table), f"row {line} names a row of {parent} that is missing"
            )
        return
    for key in loose:
        connection.execute(DropConstraint(key))
    yield
    for key in loose:
        try:
            connection.execute(AddConstraint(key))
        except StatementError as error:
            reason = " ".join(str(error.orig).split())
            raise held.wrong(archive.table_member(key.table.name), reason) from error


def _count_on(held: Archive, connection: Connection, table: Table) -> None:
    """PostgreSQL: new rows get ids after all there ever were. SQLite goes on after the highest."""
    if connection.dialect.name != "postgresql":
        return
    next_id = held.manifest.tables[table.name].next_id
    sequence = backup.sequence_of(connection, table)
    if next_id is None or sequence is None:
        return
    after = max(next_id, backup.next_id(connection, table) or 0)
    connection.execute(text("SELECT setval(:s, :n, false)"), {"s": sequence, "n": after})


def _compare_chains(held: Archive, connection: Connection) -> None:
    """Every chain is as whole as it was, and ends where it ended."""
    with Session(connection) as session:
        actual = backup.heads(session)
    expected = held.manifest.chains
    for chain in sorted(actual.keys() | expected.keys()):
        if actual.get(chain) != expected.get(chain):
            here = actual.get(chain)
            what = "is missing" if here is None else here.broken or "does not end where it ended"
            member = archive.table_member("event")
            raise held.wrong(member, f"{events.log_name(chain)}: {what}")
