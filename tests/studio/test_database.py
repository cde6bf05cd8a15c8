"""The database: schema, upgrades, refusals with the fix in them, several processes, a kill in the
middle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, select, text
from sqlalchemy.exc import OperationalError
from studio_rooms import pairs, person, project

from accord.errors import ConfigError, RunError
from accord.studio.errors import Conflict
from accord.studio.people import accounts, rate_limits
from accord.studio.queue import assigning
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.engines import explain, parse_url, postgres_engine, sqlite_engine
from accord.studio.storage.migration import check_revision, migrate
from accord.studio.storage.tables import Account, Base


def engine(url: str) -> Any:
    parsed = parse_url(url)
    return (
        sqlite_engine(parsed, "BEGIN")
        if parsed.get_backend_name() == "sqlite"
        else postgres_engine(parsed)
    )


def _defaults(_: Any, inspected: Any, column: Any, found: str | None, *__: Any) -> bool | None:
    """Whether defaults differ; PostgreSQL cannot compare JSON itself. None: as alembic does it."""
    if not isinstance(column.type, JSON):
        return None
    told = None if column.server_default is None else str(column.server_default.arg)
    return (None if found is None else found.partition("::")[0].strip("'")) != told


def test_the_migrations_make_the_tables_of_the_code(bare_url: str) -> None:
    assert migrate(bare_url) == "0006"
    assert migrate(bare_url) == "0006"
    made = engine(bare_url)
    with made.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": _defaults}
        )
        assert compare_metadata(context, Base.metadata) == []
    made.dispose()


def test_several_processes_upgrade_at_once(bare_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(bare_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert check_revision(bare_url) == "0006"


def test_a_newer_database_is_refused(url: str) -> None:
    open_database(url).close()
    made = engine(url)
    with made.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    made.dispose()
    with pytest.raises(ConfigError, match=r"0999.*newer") as refused:
        open_database(url)
    assert "pip install --upgrade accord" in str(refused.value)


def test_an_older_database_is_refused_where_upgrades_are_off(bare_url: str) -> None:
    with pytest.raises(ConfigError, match="revision none") as refused:
        open_database(bare_url, upgrade=False)
    assert "accord studio --database upgrades it" in str(refused.value)
    open_database(bare_url).close()
    open_database(bare_url, upgrade=False).close()


def test_another_programs_database_is_left_alone(bare_url: str) -> None:
    made = engine(bare_url)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE other (x INTEGER)"))
    made.dispose()
    with pytest.raises(ConfigError, match="other"):
        open_database(bare_url)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://host/name", "mysql"), ("sqlite://", "needs a file"), ("sqlite:///:memory:", "needs a file"),
        ("postgresql://host:port/x", "cannot read"), ("nonsense://", "nonsense"),
    ],
)  # fmt: skip
def test_addresses_that_are_none(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        open_database(address)
    assert "postgresql://USER" in str(refused.value)


def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database at all, " * 100)
    with pytest.raises(RunError, match="not an SQLite file"):
        open_database(tmp_path / "notes.db")
    with pytest.raises(RunError, match="cannot write"):
        open_database(tmp_path)
    with pytest.raises(RunError, match="cannot make the folder"):
        open_database(tmp_path / "notes.db" / "deeper" / "studio.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(RunError, match="permissions"):
        open_database(tmp_path / "studio.db")


def test_no_server_there(postgres: str) -> None:
    del postgres  # psycopg is there
    with pytest.raises(RunError, match=r"no PostgreSQL server at 127\.0\.0\.1:1 ") as refused:
        open_database("postgresql://ann:secret@127.0.0.1:1/studio")
    assert "secret" not in str(refused.value)


def test_no_such_database_on_the_server(postgres: str) -> None:
    with pytest.raises(RunError, match="does not exist"):
        open_database(postgres.format(name="nowhere"))


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="psycopg") as refused:
        open_database("postgresql://host/name")
    assert "accord[postgres]" in str(refused.value)


def test_a_full_disk_is_said_and_what_was_stored_stays(tmp_path: Path) -> None:
    db = open_database(tmp_path / "studio.db")
    made = project(db, pairs(2))
    ann = person(db, "ann", made)
    with db.write() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar()
        session.execute(
            text(f"PRAGMA max_page_count = {pages}")
        )  # what a full disk looks like to SQLite

    def go_on() -> None:
        for number in range(200):
            person(db, f"ann-{number}", made, attributes={"much": "x" * 5000})

    with pytest.raises(RunError, match="no space left"):
        go_on()
    with db.read() as session:
        assert session.get_one(Account, ann).name == "ann"
    db.close()


def test_reading_cannot_write(db: Database) -> None:
    def try_it() -> None:
        with db.read() as session:
            session.execute(text("UPDATE chain SET number = 7"))

    with pytest.raises(Exception, match=r"readonly|read-only"):
        try_it()


def test_a_reader_sees_one_state(db: Database) -> None:
    query = select(Account.name)
    with db.read() as session:
        assert list(session.scalars(query)) == []
        person(db, "ann")
        assert list(session.scalars(query)) == []
    with db.read() as session:
        assert list(session.scalars(query)) == ["ann"]


def test_writers_in_one_process_queue_up(db: Database) -> None:
    def write(number: int) -> None:
        with db.write() as session:
            session.execute(text("UPDATE chain SET number = number + 1 WHERE id = 0"))
            time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        assert session.execute(text("SELECT number FROM chain WHERE id = 0")).scalar() == 8


def test_a_write_inside_a_write_is_refused(db: Database) -> None:
    with pytest.raises(RuntimeError, match="inside"), db.write(), db.write():
        pass
    person(db, "ann")  # and the lock is free again


def test_deadlocks_are_repeated(db: Database) -> None:
    """Two transactions lock two rows in opposite order: on PostgreSQL the server breaks one off,
    and it is repeated."""
    with db.write() as session:
        session.execute(
            text("INSERT INTO chain (id, number, hash) VALUES (901, 0, 'x'), (902, 0, 'x')")
        )
    barrier = threading.Barrier(2)
    tries: list[int] = []

    def move(rows: tuple[int, int]) -> None:
        def work(session: Any) -> None:
            tries.append(rows[0])
            session.execute(text(f"UPDATE chain SET number = number + 1 WHERE id = {rows[0]}"))
            if not db.sqlite and tries.count(rows[0]) == 1:
                barrier.wait(20)
            session.execute(text(f"UPDATE chain SET number = number + 1 WHERE id = {rows[1]}"))

        db.transact(work)

    threads = [threading.Thread(target=move, args=(rows,)) for rows in ((901, 902), (902, 901))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        assert session.execute(text("SELECT number FROM chain WHERE id > 900")).scalars().all() == [
            2,
            2,
        ]
    assert (
        len(tries) == 2 if db.sqlite else len(tries) >= 3
    )  # what is repeated may meet the other once more


def test_unknown_errors_are_not_explained_away() -> None:
    error = OperationalError("SELECT 1", {}, Exception("no such table: x"))
    assert explain(error, parse_url("studio.db")) is None


WRITER = """
import sys
from accord.studio.storage.database import open_database
from sqlalchemy import text
db = open_database(sys.argv[1], upgrade=False)
with db.write() as session:
    session.execute(text("UPDATE chain SET number = 77 WHERE id = 0"))
    print("changed", flush=True)
    sys.stdin.read()
"""


def test_a_kill_in_the_middle_of_a_transaction_leaves_nothing(url: str, db: Database) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "changed\n"
    process.kill()
    process.communicate()
    person(db, "ann")  # the lock went with the process
    with db.read() as session:
        assert session.execute(text("SELECT number FROM chain WHERE id = 0")).scalar() == 0
    assert isinstance(assigning.next_view(db, project(db), person(db, "bob", 1)), assigning.Served)


def test_a_limit_on_tries_is_one_for_all_processes(url: str) -> None:
    """Four processes' connections, all at once: exactly as many tries pass as the limit says."""
    processes = [open_database(url, lambda: 1_800_000_000.0) for _ in range(4)]
    barrier, passed = threading.Barrier(16), []

    def attempts(db: Database) -> None:
        barrier.wait(60)
        for _ in range(3):
            with contextlib.suppress(rate_limits.TooMany):
                rate_limits.attempt(db, "login", "olga")
                passed.append(1)

    threads = [threading.Thread(target=attempts, args=(processes[n % 4],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == rate_limits.LIMITS["login"][0]
    with processes[0].read() as session:
        assert rate_limits.refusals(session, 0) == {"login": 48 - len(passed)}
    for db in processes:
        db.close()


def test_a_name_is_found_however_it_is_spelled(db: Database) -> None:
    with db.write() as session:
        made = accounts.create_account(session, "Ärmel  Ωmega", None, "annotator", 0.0, None)
        for spelling in ("Ärmel Ωmega", "ärmel ωmega", " ÄRMEL\u3000ΩMEGA ", "A\u0308rmel Ωmega"):
            found = accounts.find_account(session, spelling)
            assert found is not None, spelling
            assert found.id == made.id
            assert accounts.same_name(spelling) == accounts.same_name(made.name)
        with pytest.raises(Conflict):
            accounts.create_account(session, "ärmel ωMEGA", None, "annotator", 0.0, None)
