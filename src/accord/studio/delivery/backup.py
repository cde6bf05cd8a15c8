"""A consistent copy of a studio while it runs: one snapshot of all tables, in the portable form of
archive.py."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.orm import Session

from accord import __version__
from accord.errors import ConfigError
from accord.files import write_atomically
from accord.studio.delivery import archive
from accord.studio.delivery.archive import ChainEntry, Clip, Manifest, MediaEntry, Step, TableEntry
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.migration import VERSIONS, known_revision
from accord.studio.storage.tables import Base, Chain

AT_ONCE = 500
"""Rows fetched together."""


def back_up(
    db: Database, destination: Path, step: Step, media: Path | None = None, force: bool = False
) -> Manifest:
    """Write everything the database holds to `destination`, readable by this user alone; returns
    what it holds. Others go on reading and writing: what they commit meanwhile is not in it.

    media: a folder of clips to take along. step is told (rows done, of how many, of what). Raises
    ConfigError when the file is there (unless `force`), the database is none of a studio or made by
    a newer accord; RunError when something cannot be read or written.
    """
    if destination.is_dir() or (destination.exists() and not force):
        fix = "choose another name, or replace it with --force"
        raise ConfigError(f"{destination} exists", "name a file" if destination.is_dir() else fix)
    clips = [] if media is None else list(_clips(media))
    manifests: list[Manifest] = []

    def write(temporary: Path) -> None:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with (
            os.fdopen(handle, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as held,
            db.read() as session,
        ):
            manifest = _snapshot(held, session, db, step)
            if media is not None:
                listed = _add_clips(held, media, clips, step)
                manifest = manifest.model_copy(update={"media": listed})
            _add(held, archive.MANIFEST, [manifest.model_dump_json(indent=1).encode()])
            manifests.append(manifest)

    write_atomically(destination, write)
    return manifests[0]


# --- tables ---------------------------------------------------------------------------------------
def _snapshot(held: zipfile.ZipFile, session: Session, db: Database, step: Step) -> Manifest:
    connection = session.connection()
    revision = known_revision(connection, db.url)
    if revision is None:
        raise ConfigError("the database is empty", "name the studio's with --database")
    tables, others = studio_tables(connection)
    counts = {
        table.name: int(session.scalar(select(func.count()).select_from(table)) or 0)
        for table in tables
    }
    done, entries = 0, {}
    for table in tables:
        name = table.name

        def say(rows: int, name: str = name, before: int = done) -> None:
            step(before + rows, sum(counts.values()), f"rows, {name}")

        lines = _lines(connection, table, say)
        size, digest = _add(held, archive.table_member(name), lines)
        entries[name] = TableEntry(
            columns=[column.name for column in table.columns],
            rows=counts[name],
            bytes=size,
            sha256=digest,
            next_id=next_id(connection, table),
        )
        done += counts[name]
    return Manifest(
        made_at=datetime.fromtimestamp(db.now(), UTC).isoformat(timespec="seconds"),
        made_by=f"accord {__version__}",
        database=connection.dialect.name,
        revision=revision,
        tables=entries,
        chains=heads(session),
        left_out=others,
    )


def studio_tables(connection: Connection) -> tuple[list[Table], list[str]]:
    """(the studio's tables as this database has them, what an older or this revision made; the
    names of others)."""
    metadata = MetaData()
    metadata.reflect(bind=connection)
    ours = [t for name, t in sorted(metadata.tables.items()) if name in Base.metadata.tables]
    others = metadata.tables.keys() - Base.metadata.tables.keys() - {VERSIONS}
    return ours, sorted(others)


def heads(session: Session) -> dict[int, ChainEntry]:
    """Every chain of events, computed again."""
    entries = {}
    for chain in session.scalars(select(Chain.id).order_by(Chain.id)).all():
        verified = events.verify(session, chain)
        head = verified.head
        entries[chain] = ChainEntry(number=head.number, hash=head.hash, broken=verified.broken)
    return entries


def _lines(connection: Connection, table: Table, say: Any) -> Iterator[bytes]:
    """Rows in the order of their keys. JSON is read as text, so that its null is told from NULL."""
    names = [column.name for column in table.columns]
    parsed = {c.name for c in table.columns if isinstance(c.type, JSON)}
    query: Select[Any] = select(
        *(cast(c, Text).label(c.name) if c.name in parsed else c for c in table.columns)
    ).order_by(*table.primary_key.columns)
    result = connection.execute(query, execution_options={"yield_per": AT_ONCE})
    rows = 0
    for part in result.partitions():
        for row in part:
            values = {
                name: json.loads(value) if name in parsed else value
                for name, value in zip(names, row, strict=True)
                if value is not None
            }
            yield json.dumps(values, separators=(",", ":")).encode() + b"\n"
        rows += len(part)
        say(rows)


def next_id(connection: Connection, table: Table) -> int | None:
    """What the next row will be called; PostgreSQL remembers ids of rows that are gone."""
    keys = list(table.primary_key.columns)
    if len(keys) != 1 or not isinstance(keys[0].type, Integer):
        return None
    highest = int(connection.scalar(select(func.max(keys[0]))) or 0)
    if connection.dialect.name == "postgresql":
        sequence = sequence_of(connection, table)
        if sequence is None:
            return None
        query = text(f"SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM {sequence}")
        return max(highest + 1, int(connection.scalar(query) or 0))
    return highest + 1


def sequence_of(connection: Connection, table: Table) -> str | None:
    """PostgreSQL: the name of what counts a table's ids, quoted; None where nothing does."""
    key = next(iter(table.primary_key.columns)).name
    quoted = connection.dialect.identifier_preparer.quote(table.name)
    query = text("SELECT pg_get_serial_sequence(:table, :key)")
    sequence = connection.scalar(query, {"table": quoted, "key": key})
    return None if sequence is None else str(sequence)


# --- clips ----------------------------------------------------------------------------------------
def _clips(media: Path) -> Iterator[Path]:
    """Files of a folder, by name; raises ConfigError for what cannot be taken along."""
    if not media.is_dir():
        raise ConfigError(f"there is no folder {media}", "name the one given to accord studio")
    root = media.resolve()
    for path in sorted(media.rglob("*")):
        name = path.relative_to(media).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if not (path.is_file() and path.resolve().is_relative_to(root)):
            raise ConfigError(f"{path} is not a file of the folder", "take it out of the folder")
        if not archive.inside(name):
            raise ConfigError(f"{path}: not every system can have a file of this name", "rename it")
        yield path


def _add_clips(
    held: zipfile.ZipFile, media: Path, clips: list[Path], step: Step
) -> archive.MediaEntry:
    """The clips as they are (films are packed already), then the list of them."""
    listed = []
    for done, path in enumerate(clips, 1):
        name = path.relative_to(media).as_posix()
        with open(path, "rb") as file:
            blocks = iter(lambda file=file: file.read(archive.BLOCK), b"")  # type: ignore[misc]
            size, digest = _add(held, f"media/{name}", blocks, zipfile.ZIP_STORED)
        listed.append(Clip(path=name, bytes=size, sha256=digest))
        step(done, len(clips), "clips")
    lines = (clip.model_dump_json().encode() + b"\n" for clip in listed)
    size, digest = _add(held, archive.MEDIA, lines)
    return MediaEntry(files=len(listed), bytes=size, sha256=digest)


def _add(
    held: zipfile.ZipFile, name: str, blocks: Iterable[bytes], how: int = zipfile.ZIP_DEFLATED
) -> tuple[int, str]:
    """Write a part; (bytes, SHA-256)."""
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = how, 0o600 << 16
    size, digest = 0, hashlib.sha256()
    with held.open(info, "w", force_zip64=True) as member:
        for block in blocks:
            member.write(block)
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
