"""The feedback store: SQLite through SQLAlchemy; records are added once and never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Integer, String, Table, Text, create_engine, event, func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from accord.errors import ConfigError, DataError
from accord.feedback.records import Feedback, dump_line, parse_line
from accord.files import disk_full, write_atomically

AT_ONCE = 500
"""Records that are looked up and stored by one statement."""


class _Base(DeclarativeBase):
    pass


class _Row(_Base):
    __tablename__ = "feedback"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(24), index=True)
    annotator: Mapped[str] = mapped_column(String(128), index=True)
    record: Mapped[str] = mapped_column(Text)


_TABLE = cast(Table, _Row.__table__)
"""Rows go into it without a detour over objects."""


@dataclass(frozen=True)
class AddedRecords:
    """Records newly stored, and records that were there already with the same content."""

    new: int
    repeated: int


class FeedbackStore:
    """Append-only records in insertion order, in one SQLite file (WAL, durable when `add`
    returns)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        _check(path)
        self._engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _pragmas)
        with self._writing():
            _Base.metadata.create_all(self._engine)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            full = disk_full(error, self.path)
            if full is None:
                raise
            raise full from error

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    def __enter__(self) -> FeedbackStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, records: Iterable[Feedback]) -> AddedRecords:
        """Store records in one transaction.

        A record already there is counted as repeated; one with a known id but other content raises
        DataError, and nothing of the call is stored; so does RunError when the disk is full.
        """
        new = repeated = 0
        with self._writing(), Session(self._engine) as session, session.begin():
            pending = iter(records)
            while chunk := list(islice(pending, AT_ONCE)):
                rows = self._new(session, chunk)
                if rows:
                    session.execute(insert(_TABLE), rows)
                new, repeated = new + len(rows), repeated + len(chunk) - len(rows)
        return AddedRecords(new, repeated)

    def _new(self, session: Session, records: Sequence[Feedback]) -> list[dict[str, str]]:
        """Rows of those records that are neither stored nor given twice."""
        query = select(_Row.id, _Row.record).where(_Row.id.in_({r.id for r in records}))
        known = {row.id: row.record for row in session.execute(query)}
        rows = []
        for record in records:
            line = dump_line(record)
            stored = known.setdefault(record.id, line)
            if stored is line:
                columns = {"id": record.id, "kind": record.kind, "annotator": record.annotator}
                rows.append({**columns, "record": line})
            elif stored != line and parse_line(stored) != parse_line(line):
                raise DataError(
                    f"record {record.id!r} is already stored with other content",
                    "give it a new id",
                )
        return rows

    def records(self, kind: str | None = None, annotator: str | None = None) -> Iterator[Feedback]:
        """Records in insertion order, optionally of one kind or annotator."""
        query = select(_Row.record).order_by(_Row.number)
        if kind is not None:
            query = query.where(_Row.kind == kind)
        if annotator is not None:
            query = query.where(_Row.annotator == annotator)
        with Session(self._engine) as session:
            for line in session.scalars(query.execution_options(yield_per=500)):
                yield parse_line(line)

    def __len__(self) -> int:
        with Session(self._engine) as session:
            return int(session.scalar(select(func.count()).select_from(_Row)) or 0)

    def counts(self) -> dict[str, dict[str, int]]:
        """Records per annotator and kind."""
        result: dict[str, dict[str, int]] = {}
        with Session(self._engine) as session:
            query = select(_Row.annotator, _Row.kind, func.count()).group_by(
                _Row.annotator, _Row.kind
            )
            for annotator, kind, count in session.execute(
                query.order_by(_Row.annotator, _Row.kind)
            ):
                result.setdefault(annotator, {})[kind] = count
        return result

    def export_jsonl(self, path: Path) -> int:
        """Write all records as JSONL, atomically; returns their number."""
        return write_records(path, self.records())


def _check(path: Path) -> None:
    """Refuse a file that is something else, without writing into it. Raises ConfigError."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
            }
    except sqlite3.OperationalError:  # locked, or not to be read: opening it says more
        return
    except sqlite3.DatabaseError:
        fix = "judgements of a file go into a store with accord feedback import FILE STORE"
        raise ConfigError(f"{path} is not an SQLite file", fix) from None
    if {"project", "membership"} <= tables:
        raise ConfigError(
            f"{path} is the database of a studio, not a store of feedback",
            f"accord studio export PROJECT FILE --database {path}",
        )
    if tables and _Row.__tablename__ not in tables:
        raise ConfigError(
            f"{path} is another SQLite database, not a store of feedback", "choose another file"
        )


def write_records(path: Path, records: Iterable[Feedback]) -> int:
    """Write records as JSONL, atomically; returns their number."""
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with open(temporary, "w", encoding="utf-8") as handle:
            for record in records:
                handle.write(dump_line(record) + "\n")
                count += 1

    write_atomically(path, write)
    return count


def read_records(path: Path) -> list[Feedback]:
    """Records of a JSONL file; raises DataError naming the line."""
    with open(path, encoding="utf-8") as handle:
        return [
            parse_line(line, f"{path} line {number}")
            for number, line in enumerate(handle, 1)
            if line.strip()
        ]


def _pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
