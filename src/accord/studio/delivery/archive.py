"""What a backup is: a ZIP of all tables as lines of JSON, and a manifest of what must be in it.

    manifest.json        revision, and of each table columns, rows, bytes, SHA-256; heads of the log
    tables/NAME.jsonl    a row per line; a column that is missing is NULL, null is the null of JSON
    media.jsonl          path, bytes and SHA-256 of each clip (where clips were asked for)
    media/PATH           the clips

Nothing in it belongs to one kind of database. Whoever opens one believes nothing: names, sizes,
counts and hashes are compared with the manifest before the first row is used.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accord.errors import ConfigError, DataError

FORMAT = "accord studio backup"
VERSION = 1
MANIFEST, MEDIA = "manifest.json", "media.jsonl"
LARGEST_MANIFEST = 16 << 20
"""Bytes; a table or the log of a project takes some hundred."""
LONGEST_ROW = 64 << 20
"""Bytes of a line: an item, a draft or an answer with all it says."""
BLOCK = 1 << 20
Step = Callable[[int, int, str], object]
"""Told (rows or bytes done, of how many, of what)."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 62)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableEntry(_Model):
    """A table. next_id: what its next row is called, where the database counts."""

    columns: list[str]
    rows: Count
    bytes: Count
    sha256: Sha256
    next_id: Count | None = None


class ChainEntry(_Model):
    """The head of a chain of events. broken: what was wrong with it when the backup was made."""

    number: Count
    hash: Sha256
    broken: str | None = None


class MediaEntry(_Model):
    """The list of clips; bytes and sha256 are the list's own."""

    files: Count
    bytes: Count
    sha256: Sha256


class Clip(_Model):
    """A line of the list of clips. path: within the folder, parts divided by a slash."""

    path: str
    bytes: Count
    sha256: Sha256


class Manifest(_Model):
    """What a backup holds. database: what kind it was made of; left_out: tables of others there."""

    format: Literal["accord studio backup"] = "accord studio backup"
    version: int = VERSION
    made_at: str
    made_by: str
    database: str
    revision: str
    secrets: str = (
        "hashes of passwords, sign-ins, tokens and invitations; secrets of webhooks; all texts"
    )
    tables: dict[str, TableEntry]
    chains: dict[int, ChainEntry]
    media: MediaEntry | None = None
    left_out: list[str] = []

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables.values())


def table_member(name: str) -> str:
    """Where a table stands in the archive."""
    return f"tables/{name}.jsonl"


class Archive:
    """A backup, opened to be read; every error says which part of which file is wrong."""

    def __init__(self, path: Path, held: zipfile.ZipFile) -> None:
        self.path, self._held = path, held
        self._members = self._listed()
        self.manifest = self._read_manifest()
        self._compare()

    # --- what is in it ---
    def _listed(self) -> dict[str, zipfile.ZipInfo]:
        members = {info.filename: info for info in self._held.infolist()}
        if len(members) != len(self._held.infolist()):
            raise self.wrong("", "two of its parts have the same name")
        for name, info in members.items():
            if info.flag_bits & 1 or info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                raise self.wrong(name, "it is encrypted, or packed in a way that no backup is")
        return members

    def _read_manifest(self) -> Manifest:
        info = self._members.get(MANIFEST)
        if info is None:
            raise ConfigError(
                f"{self.path} is not a backup of a studio: it has no {MANIFEST}",
                "name a file that `accord studio backup` wrote",
            )
        if info.file_size > LARGEST_MANIFEST:
            raise self.wrong(MANIFEST, f"it has {info.file_size:,} bytes")
        manifest = self._json(MANIFEST, b"".join(self._blocks(MANIFEST)))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise self.wrong(MANIFEST, f"it is not of the format {FORMAT!r}")
        if manifest.get("version") != VERSION:
            raise ConfigError(
                f"{self.path} is a backup of version {manifest.get('version')!r}, this accord "
                f"reads {VERSION}",
                "upgrade accord (pip install --upgrade accord)",
            )
        try:
            return Manifest.model_validate(manifest)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self.wrong(MANIFEST, f"{where}: {first['msg']}") from None

    def _compare(self) -> None:
        """The parts are those of the manifest, no more, no less, of the sizes it says."""
        sizes = {table_member(n): t.bytes for n, t in self.manifest.tables.items()}
        if self.manifest.media is not None:
            sizes[MEDIA] = self.manifest.media.bytes
        for name, size in sizes.items():
            if name not in self._members:
                raise self.wrong(name, "it is missing")
            if self._members[name].file_size != size:
                actual = self._members[name].file_size
                raise self.wrong(name, f"it has {actual:,} bytes, the manifest says {size:,}")
        clips = self.manifest.media is not None
        for name in self._members.keys() - sizes.keys() - {MANIFEST}:
            if not (clips and name.startswith("media/")):
                raise self.wrong(name, "the manifest does not know it")

    def unpacked(self) -> int:
        """Bytes of everything once unpacked."""
        return sum(info.file_size for info in self._members.values())

    # --- reading ---
    def check(self, step: Step) -> None:
        """Compare counts and hashes of all tables and the list of clips; raises DataError."""
        done, total = 0, sum(table.bytes for table in self.manifest.tables.values())
        for name, table in self.manifest.tables.items():
            member = table_member(name)
            digest, rows, last = hashlib.sha256(), 0, b"\n"
            for block in self._blocks(member):
                digest.update(block)
                rows, last = rows + block.count(b"\n"), block[-1:]
                done += len(block)
                step(done, total, f"bytes, {name}")
            if digest.hexdigest() != table.sha256:
                raise self.wrong(member, "its content is not what was saved (SHA-256)")
            if rows != table.rows or last != b"\n":
                raise self.wrong(member, f"{rows:,} rows, the manifest says {table.rows:,}")
        if self.manifest.media is not None:
            digest = hashlib.sha256()
            for block in self._blocks(MEDIA):
                digest.update(block)
            if digest.hexdigest() != self.manifest.media.sha256:
                raise self.wrong(MEDIA, "its content is not what was saved (SHA-256)")

    def rows(self, member: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(line, object) of a part that is lines of JSON."""
        with self._opened(member) as handle:
            number = 0
            while line := handle.readline(LONGEST_ROW + 1):
                number += 1
                if len(line) > LONGEST_ROW:
                    raise self.wrong(f"{member} line {number}", f"more than {LONGEST_ROW:,} bytes")
                row = self._json(f"{member} line {number}", line)
                if not isinstance(row, dict):
                    raise self.wrong(f"{member} line {number}", "it is not an object")
                yield number, row

    def clips(self) -> Iterator[tuple[Clip, Iterator[bytes]]]:
        """Each clip with its content; raises DataError for a path that leads out of a folder, and
        for content that is not what was saved (after the last block)."""
        listed = set()
        for number, row in self.rows(MEDIA):
            place = f"{MEDIA} line {number}"
            try:
                clip = Clip.model_validate(row)
            except ValidationError as error:
                raise self.wrong(place, error.errors()[0]["msg"]) from None
            if not inside(clip.path):
                raise self.wrong(place, f"{clip.path!r} leads out of the folder of clips")
            member = f"media/{clip.path}"
            if member in listed or member not in self._members:
                raise self.wrong(place, f"{member} is missing, or listed twice")
            listed.add(member)
            yield clip, self._clip(member, clip)
        surplus = {n for n in self._members if n.startswith("media/")} - listed
        if surplus:
            raise self.wrong(min(surplus), "the list of clips does not know it")

    def _clip(self, member: str, clip: Clip) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        for block in self._blocks(member):
            digest.update(block)
            size += len(block)
            yield block
        if (size, digest.hexdigest()) != (clip.bytes, clip.sha256):
            raise self.wrong(member, "its content is not what was saved (SHA-256)")

    def wrong(self, place: str, what: str) -> DataError:
        """The error for a part, or a line of one, that is not as it was made."""
        at = f"{place}: " if place else ""
        return DataError(
            f"{self.path} is not a whole backup: {at}{what}",
            "copy it again, or take another backup; nothing was restored",
        )

    def _json(self, place: str, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.wrong(place, f"no JSON ({error})") from None

    def _blocks(self, member: str) -> Iterator[bytes]:
        with self._opened(member) as handle:
            while block := handle.read(BLOCK):
                yield block

    @contextmanager
    def _opened(self, member: str) -> Iterator[IO[bytes]]:
        try:
            with self._held.open(self._members[member]) as handle:
                yield handle
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise self.wrong(member, str(error) or "it ends too early") from None


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """A backup to read. Raises ConfigError for what is none, DataError for a broken one."""
    try:
        held = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(
            f"{path} is not a whole backup: {error}",
            "name a file that `accord studio backup` wrote; if it is one, copy it again",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "check the path") from None
    with held:
        yield Archive(path, held)


def inside(path: str) -> bool:
    """Whether a path names something within its folder, on every system."""
    parts = path.split("/")
    return (
        bool(path)
        and not PurePosixPath(path).is_absolute()
        and not any(part in ("", ".", "..") or set(part) & set("\\:") for part in parts)
        and path.isprintable()
    )
