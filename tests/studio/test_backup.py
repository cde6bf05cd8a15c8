"""Backups: everything comes back, in either kind of database, and what is not as it was made is
named and leaves nothing behind."""

from __future__ import annotations

import json
import random
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, Float, Integer, Text, cast, insert, select, text, update
from sqlalchemy.schema import sort_tables
from studio_rooms import Clock, answer, pairs, person, project, served

from accord.cli.main import main
from accord.errors import AccordError, ConfigError, RunError
from accord.studio.delivery import archive, restoring
from accord.studio.delivery.backup import back_up
from accord.studio.delivery.restoring import restore
from accord.studio.queue import assigning
from accord.studio.storage import events
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.engines import parse_url
from accord.studio.storage.migration import bring, connected
from accord.studio.storage.tables import Account, Base, Event, Item, Slot

NASTY = ["", "\n", "\t", '"', "'", "\\", "a\u2028b", "Ünïcode 🏳️‍🌈", "\u202e", "null", "\\u0000", "%s", ":x", "{}"]  # fmt: skip


def quiet(*_: object) -> None: ...


# --- a studio with something in every table -------------------------------------------------------
def fill(db: Database, draw: random.Random, texts: list[str], values: list[Any]) -> None:
    """Rows of every table, of every kind of value, NULL and the null of JSON among them."""
    with db.write() as session:
        for table in sort_tables(Base.metadata.tables.values()):
            if table.name in ("chain", "event"):
                continue
            for number in range(1, 5):
                session.execute(insert(table).values(_row(table, number, draw, texts, values)))
            if table.name == "view":
                session.execute(update(Slot).values(view_id=2))
            if table.name == "project":
                _log(session, draw, texts, values)
    if not db.sqlite:  # as if the studio had made the rows itself, and removed the last
        with db.write() as session:
            for (name,) in session.execute(
                text("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
            ).all():
                session.execute(text(f"SELECT setval('{name}', 99)"))


def _log(session: Any, draw: random.Random, texts: list[str], values: list[Any]) -> None:
    for chain in (1, 2):
        events.open_chain(session, chain)
        for _ in range(3):
            said = {"said": draw.choice(values)}
            subject = draw.choice(texts)[:80]
            events.append(session, chain, "kind", subject, None, draw.random() * 1e9, said)
        events.append(session, chain, "kind", "erased", "a", 1.5, {"gone": 1})
        events.erase_payloads(session, chain, "erased", None, 2.0)


def _row(
    table: Any, number: int, draw: random.Random, texts: list[str], values: list[Any]
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name == "view_id" and table.name == "slot":
            row[column.name] = None  # views come later
        elif column.foreign_keys or column.primary_key:
            row[column.name] = number if isinstance(column.type, Integer) else f"{number}"
        elif column.nullable and draw.random() < 0.3:
            row[column.name] = None
        elif column.unique or any(column.name in key.columns for key in _unique(table)):
            row[column.name] = number if isinstance(column.type, Integer) else f"{number}"
        else:
            row[column.name] = _value(column, draw, texts, values)
    return row


def _unique(table: Any) -> list[Any]:
    return [c for c in table.constraints if c.__visit_name__ == "unique_constraint"]


def _value(column: Any, draw: random.Random, texts: list[str], values: list[Any]) -> Any:
    if isinstance(column.type, JSON):
        return draw.choice(values)
    if isinstance(column.type, Boolean):
        return draw.random() < 0.5
    if isinstance(column.type, Integer):
        return draw.randrange(-(2**31), 2**31)
    if isinstance(column.type, Float):
        return draw.choice([0.0, -0.0, 1.0, 1e-300, 1 / 3, 1e300, draw.random() * 1e10])
    return draw.choice(texts)[: column.type.length]


def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table by its key; JSON as its text, told from NULL."""
    db, found = open_database(url), {}
    with db.read() as session:
        for name, table in sorted(Base.metadata.tables.items()):
            columns = [
                cast(c, Text).label(c.name) if isinstance(c.type, JSON) else c
                for c in table.columns
            ]
            query = select(*columns).order_by(*table.primary_key.columns)
            found[name] = [tuple(row) for row in session.execute(query)]
    db.close()
    return found


@contextmanager
def filled(url: str, seed: int = 1, *more: Any) -> Iterator[Database]:
    db = open_database(url, Clock())
    values = [None, [], {}, 0, -1.5, True, "\x00 \ud800", {"b": 1, "a": [None, "ü"]}, *more]
    fill(db, random.Random(seed), NASTY, values)
    yield db
    db.close()


@pytest.fixture
def other_url(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Addresses of databases without tables, by kind."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return str(tmp_path / "other.db")
        address: str = request.getfixturevalue("bare_postgres")()
        return address

    return make


# --- there and back -------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_table_comes_back_in_either_kind_of_database(
    url: str, kind: str, other_url: Callable[[str], str], tmp_path: Path
) -> None:
    with filled(url) as db:
        made = back_up(db, tmp_path / "b.zip", quiet)
    other = other_url(kind)
    assert restore(tmp_path / "b.zip", other, quiet) == made
    before, after = contents(url), contents(other)
    assert all(before.values())  # something in every table
    assert before == after
    ids = next_ids(other)
    assert all(new > max(row[0] for row in after[name]) for name, new in ids.items())
    if "postgres" in url and kind == "postgres":
        assert set(ids.values()) == {100}  # ids of rows that are gone are not given again


def next_ids(url: str) -> dict[str, int]:
    """What new rows are called, of the tables that are easily added to."""
    db, found = open_database(url), {}
    with db.write() as session:
        account = Account(public="new", name="new", role="owner", created_at=0.0)
        session.add(account)
        session.flush()
        item = Item(project_id=1, key="new", prompt="?", options=[], draw=0.5)
        session.add(item)
        session.flush()
        found = {"account": account.id, "item": item.id}
        session.rollback()
    db.close()
    return found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
stored_texts = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=200
)


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(stored_texts, min_size=1), st.lists(json_values, min_size=1), st.integers())
def test_whatever_is_stored_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], values: list[Any], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("round")
    db = open_database(folder / "a.db")
    fill(db, random.Random(seed), texts, values)
    back_up(db, folder / "b.zip", quiet)
    db.close()
    restore(folder / "b.zip", str(folder / "c.db"), quiet)
    assert contents(str(folder / "a.db")) == contents(str(folder / "c.db"))


def test_work_goes_on_after_a_restore(
    db: Database, other_url: Callable[[str], str], tmp_path: Path
) -> None:
    made = project(db, pairs(3), overlap=2)
    ann, ben = (person(db, name, made) for name in ("ann", "ben"))
    answer(db, ann, served(db, made, ann))
    half = served(db, made, ben)
    back_up(db, tmp_path / "b.zip", quiet)
    other = other_url("sqlite" if db.sqlite else "postgres")
    restore(tmp_path / "b.zip", other, quiet)
    again = open_database(other, db.clock)
    answer(again, ben, half)  # the lease still holds
    answer(again, ann, served(again, made, ann))
    assert assigning.progress(again, made).filled == 3
    with again.read() as session:
        assert events.verify(session, made).broken is None
    again.close()


def test_a_backup_is_one_moment_of_a_studio_at_work(
    db: Database, other_url: Callable[[str], str], tmp_path: Path
) -> None:
    made = project(db, pairs(30), overlap=2)
    ann = person(db, "ann", made)
    with db.read() as session:
        before = events.head(session, made)
    told: list[tuple[int, int, str]] = []

    def meanwhile(done: int, total: int, what: str) -> None:
        told.append((done, total, what))
        answer(db, ann, served(db, made, ann))

    found = back_up(db, tmp_path / "b.zip", meanwhile)
    assert assigning.progress(db, made).filled == len(told) > 5
    assert told[-1][0] == told[-1][1] == found.rows
    assert found.chains[made].hash == before.hash
    other = other_url("sqlite" if db.sqlite else "postgres")
    restore(tmp_path / "b.zip", other, quiet)
    again = open_database(other)
    assert assigning.progress(again, made).filled == 0
    again.close()


def test_an_older_backup_is_upgraded(
    bare_url: str, other_url: Callable[[str], str], tmp_path: Path
) -> None:
    db = open_database(bare_url)
    made = project(db, pairs(2))
    db.close()
    with connected(db.url) as connection:  # as revision 0003 had it
        for column in ("tools", "chat_template_kwargs", "weight", "assistance"):
            connection.execute(text(f"ALTER TABLE item DROP COLUMN {column}"))
        connection.execute(text("DROP TABLE password_link"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    old = Database(db.url, Clock())
    assert back_up(old, tmp_path / "b.zip", quiet).revision == "0003"
    old.close()
    with connected(db.url) as connection:  # a backup changes nothing
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0003"
        bring(connection)
    other = other_url("postgres" if db.sqlite else "sqlite")
    restore(tmp_path / "b.zip", other, quiet)
    assert contents(other) == contents(bare_url)
    assert contents(other)["item"][0][1] == made


# --- what is not as it was made -------------------------------------------------------------------
Change = Callable[[dict[str, bytes]], None]


def changed(source: Path, change: Change, honest: bool = True) -> Path:
    """A copy of an archive whose parts were changed; `honest`: its manifest is made to fit."""
    with zipfile.ZipFile(source) as held:
        parts = {info.filename: held.read(info) for info in held.infolist()}
    change(parts)
    if honest and archive.MANIFEST in parts:
        told = json.loads(parts[archive.MANIFEST])
        for name, table in told["tables"].items():
            data = parts.get(f"tables/{name}.jsonl", b"")
            fits = {"bytes": len(data), "rows": data.count(b"\n")}
            table.update(fits, sha256=sha256(data).hexdigest())
        if told["media"]:
            data = parts["media.jsonl"]
            told["media"].update(bytes=len(data), sha256=sha256(data).hexdigest())
        parts[archive.MANIFEST] = json.dumps(told).encode()
    made = source.with_name("changed.zip")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as held:
        for name, data in parts.items():
            held.writestr(name, data)
    return made


def editing(table: str, edit: Callable[[list[dict[str, Any]]], object]) -> Change:
    def change(parts: dict[str, bytes]) -> None:
        rows = [json.loads(line) for line in parts[f"tables/{table}.jsonl"].splitlines()]
        edit(rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        parts[f"tables/{table}.jsonl"] = lines.encode()

    return change


def telling(**more: Any) -> Change:
    def change(parts: dict[str, bytes]) -> None:
        told = json.loads(parts[archive.MANIFEST])
        parts[archive.MANIFEST] = json.dumps({**told, **more}).encode()

    return change


def put(name: str, data: bytes | None) -> Change:
    def change(parts: dict[str, bytes]) -> None:
        parts.pop(name, None)
        if data is not None:
            parts[name] = data

    return change


def _next_id(parts: dict[str, bytes]) -> None:
    told = json.loads(parts[archive.MANIFEST])
    told["tables"]["slot"]["columns"].append("more")
    parts[archive.MANIFEST] = json.dumps(told).encode()


EDITED: list[tuple[Change, str]] = [
    (editing("account", lambda rows: rows[0].update(role=7)), r"account.jsonl line 1: role = '7' is not of the type VARCHAR"),
    (editing("account", lambda rows: rows[1].update(created_at="x")), r"account.jsonl line 2: created_at = 'x'"),
    (editing("account", lambda rows: rows[1].update(id=True)), r"account.jsonl line 2: id = 'True' is not of the type INT"),
    (editing("account", lambda rows: rows[2].pop("role")), r"account.jsonl line 3: role is missing"),
    (editing("account", lambda rows: rows[2].update(x=1)), r"account.jsonl line 3: there is no column 'x'"),
    (editing("account", lambda rows: rows.append(rows[0])), r"account.jsonl lines 1 to 5: .*(?i:unique)"),
    (editing("slot", lambda rows: rows[0].update(item_id=77)), r"slot.jsonl.*(names a row of item|77)"),
    (editing("slot", lambda rows: rows[0].update(view_id=78)), r"slot.jsonl.*(names a row of view|78)"),
    (editing("event", lambda rows: rows[1].update(at=3.5)), r"the log of project 1: event 2: time"),
    (editing("event", lambda rows: rows.pop(6)), r"the log of project 2: event 2 is missing"),
    (editing("chain", lambda rows: rows.pop(0)), r"tables/"),
    (editing("chain", lambda rows: rows[-1].update(hash="0" * 64)), r"the log of project 2: event 5: the chain.s head has another"),
    (put("tables/account.jsonl", b"[]\n"), r"account.jsonl line 1: it is not an object"),
    (put("tables/account.jsonl", b"{\n"), r"account.jsonl line 1: no JSON"),
    (put("tables/account.jsonl", b"[" * 100_000 + b"\n"), r"account.jsonl line 1: no JSON"),
    (put("tables/account.jsonl", b'{"a": 1}'), r"account.jsonl: 0 rows|account.jsonl"),
    (put("tables/view.jsonl", None), r"view.jsonl: it is missing"),
    (put("tables/more.jsonl", b""), r"more.jsonl: the manifest does not know it"),
    (put("../../evil", b"x"), r"evil: the manifest does not know it"),
    (put("media/x.mp4", b"x"), r"media/x.mp4: the manifest does not know it"),
    (put(archive.MANIFEST, None), r"is not a backup of a studio"),
        (telling(format="other"), r"not of the format"),
    (telling(version=2), r"of version 2, this accord reads 1"),
    (telling(revision="9999"), r"of revision 9999, which this accord does not know"),
    (telling(revision="0001"), r"manifest.json: the table password_link is not in both"),
    (telling(more=1), r"manifest.json: more: Extra"),
    (_next_id, r"columns of its revision differ in more"),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with filled(str(folder / "a.db")) as db:
        back_up(db, folder / "b.zip", quiet)
    return folder / "b.zip"


def refused(source: Path, url: str, said: str, **more: Any) -> AccordError:
    with pytest.raises(AccordError) as error:
        restore(source, url, quiet, **more)
    assert re.search(said, error.value.message), error.value.message
    assert str(source) in error.value.message
    return error.value


@pytest.mark.parametrize("number", range(len(EDITED)))
def test_what_was_edited_is_named_and_nothing_is_restored(
    made: Path, number: int, tmp_path: Path
) -> None:
    change, said = EDITED[number]
    refused(changed(made, change), str(tmp_path / "x.db"), said)
    assert list(tmp_path.iterdir()) == []


def test_postgresql_is_left_as_it_was(made: Path, other_url: Callable[[str], str]) -> None:
    address = other_url("postgres")
    for change, said in EDITED[5:9]:  # what the database itself finds, and the log
        refused(changed(made, change), address, said)
        with connected(parse_url(address)) as connection:
            assert connection.dialect.get_table_names(connection) == []
    restore(made, address, quiet, dry_run=True)
    restore(made, address, quiet)


def test_hashes_tell_what_was_edited(made: Path, tmp_path: Path) -> None:
    def edit(parts: dict[str, bytes]) -> None:
        parts["tables/account.jsonl"] = parts["tables/account.jsonl"].replace(b'"id":1', b'"id":9')

    source = changed(made, edit, honest=False)
    refused(source, str(tmp_path / "x.db"), r"account.jsonl: its content is not what was saved")
    source = changed(made, put(archive.MANIFEST, b"{"), honest=False)
    refused(source, str(tmp_path / "x.db"), r"manifest.json: no JSON")
    assert list(tmp_path.iterdir()) == []


def test_archives_that_are_cut_or_flipped(made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    draw = random.Random(4)
    cuts = [whole[: len(whole) * part // 7] for part in range(7)]
    flips = []
    for _ in range(60):
        place = draw.randrange(len(whole))
        flips.append(
            whole[:place] + bytes([whole[place] ^ (1 << draw.randrange(8))]) + whole[place + 1 :]
        )
    untouched = contents(str(made.with_name("a.db")))
    for data in (*cuts, *flips, b"", b"PK", random.Random(1).randbytes(999)):
        source = tmp_path / "broken.zip"
        source.write_bytes(data)
        if (said := why_not_restored(source, tmp_path / "x.db")) is not None:
            assert str(source) in said
            assert not (tmp_path / "x.db").exists()
        else:  # a bit that means nothing (a time, a comment)
            assert contents(str(tmp_path / "x.db")) == untouched
            (tmp_path / "x.db").unlink()


def why_not_restored(source: Path, to: Path) -> str | None:
    try:
        restore(source, str(to), quiet)
    except AccordError as error:
        return error.message
    return None


def test_a_bomb_is_not_unpacked(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LONGEST_ROW", 1 << 16)
    bomb = changed(made, put("tables/account.jsonl", b'{"a": "' + b" " * (1 << 20) + b'"}\n'))
    refused(bomb, str(tmp_path / "x.db"), r"account.jsonl line 1: more than 65,536 bytes")
    monkeypatch.setattr(archive, "LARGEST_MANIFEST", 1 << 16)
    bomb = changed(made, put(archive.MANIFEST, b" " * (1 << 17)), honest=False)
    refused(bomb, str(tmp_path / "x.db"), r"manifest.json: it has 131,072 bytes")
    monkeypatch.undo()
    monkeypatch.setattr(restoring, "ROOM", 1 << 50)
    with pytest.raises(RunError, match=r"would need about .* MiB"):
        restore(made, str(tmp_path / "x.db"), quiet)


def test_parts_with_the_same_name(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "twice.zip"
    source.write_bytes(made.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(source, "a") as held:
        held.writestr("tables/account.jsonl", "")
    refused(source, str(tmp_path / "x.db"), "two of its parts have the same name")


def test_a_log_that_was_broken_before_is_said_and_can_be_restored(tmp_path: Path) -> None:
    with filled(str(tmp_path / "a.db")) as db:
        with db.write() as session:
            session.execute(update(Event).where(Event.chain == 1, Event.number == 2).values(at=9.0))
        found = back_up(db, tmp_path / "b.zip", quiet)
    assert "event 2: time" in str(found.chains[1].broken)
    restore(tmp_path / "b.zip", str(tmp_path / "c.db"), quiet)
    assert contents(str(tmp_path / "c.db")) == contents(str(tmp_path / "a.db"))


# --- clips ----------------------------------------------------------------------------------------
def test_clips_come_along(tmp_path: Path) -> None:
    media = tmp_path / "media"
    (media / "films" / "deep").mkdir(parents=True)
    (media / "films" / "a b ü.mp4").write_bytes(b"film" * 1000)
    (media / "films" / "deep" / "c.webm").write_bytes(b"")
    with filled(str(tmp_path / "a.db")) as db:
        back_up(db, tmp_path / "b.zip", quiet, media)
    url, other = str(tmp_path / "c.db"), tmp_path / "other"
    with pytest.raises(ConfigError, match="holds 2 clips"):
        restore(tmp_path / "b.zip", url, quiet)
    with pytest.raises(ConfigError, match="holds something"):
        restore(tmp_path / "b.zip", url, quiet, media)
    assert not (tmp_path / "c.db").exists()
    restore(tmp_path / "b.zip", url, quiet, other)
    assert (other / "films" / "a b ü.mp4").read_bytes() == b"film" * 1000
    assert (other / "films" / "deep" / "c.webm").read_bytes() == b""
    restore(tmp_path / "b.zip", str(tmp_path / "d.db"), quiet, without_media=True)

    source = changed(tmp_path / "b.zip", put("media/films/deep/c.webm", b"other"))
    refused(source, str(tmp_path / "e.db"), "c.webm: its content", media=tmp_path / "m")
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "e.db").exists()
    (media / "films" / "out.mp4").symlink_to("/etc/hostname")
    with pytest.raises(ConfigError, match=r"out\.mp4 is not a file of the folder"):
        back_up(open_database(tmp_path / "a.db"), tmp_path / "f.zip", quiet, media)


def test_paths_that_lead_out(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "x").write_bytes(b"x")
    with filled(str(tmp_path / "a.db")) as db:
        back_up(db, tmp_path / "b.zip", quiet, tmp_path / "media")

    def leads(path: str, parts: dict[str, bytes]) -> None:
        parts[f"media/{path}"] = parts.pop("media/x")
        listed = json.loads(parts["media.jsonl"])
        parts["media.jsonl"] = json.dumps({**listed, "path": path}).encode() + b"\n"

    for path in ("../x", "/x", "a/../../x", "a//b", "", ".", "C:\\x", "a\\..\\x", "a\n"):
        source = changed(tmp_path / "b.zip", partial(leads, path))
        refused(source, str(tmp_path / "c.db"), "media", media=tmp_path / "deep" / "other")
        assert not (tmp_path / "deep" / "other").exists()
        assert not (tmp_path / "x").exists()


def test_a_dry_run_says_which_place_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "x").write_bytes(b"x")
    with filled(str(tmp_path / "a.db")) as db:
        back_up(db, tmp_path / "b.zip", quiet, tmp_path / "media")

    def clash(parts: dict[str, bytes]) -> None:
        """A clip in a folder that has the name of another clip."""
        parts["media/x/y"] = parts["media/x"]
        listed = json.loads(parts["media.jsonl"])
        parts["media.jsonl"] += json.dumps({**listed, "path": "x/y"}).encode() + b"\n"
        told = json.loads(parts[archive.MANIFEST])
        told["media"]["files"] = 2
        parts[archive.MANIFEST] = json.dumps(told).encode()

    source, other = changed(tmp_path / "b.zip", clash), tmp_path / "other"
    for dry_run in (True, False):
        with pytest.raises(RunError, match=f"cannot write {other}"):
            restore(source, str(tmp_path / "c.db"), quiet, other, dry_run=dry_run)
        assert not other.exists()


# --- the command ----------------------------------------------------------------------------------
def accord(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["studio", *map(str, arguments)])


def test_the_commands(url: str, other_url: Callable[[str], str], tmp_path: Path) -> None:
    with filled(url):
        pass
    destination = tmp_path / "b.zip"
    done = accord("backup", destination, "--database", url)
    assert done.exit_code == 0, done.output
    assert "hashes of passwords" in done.output
    assert sha256(destination.read_bytes()).hexdigest() in done.output
    assert stat.S_IMODE(destination.stat().st_mode) == 0o600
    again = accord("backup", destination, "--database", url)
    assert (again.exit_code, "--force" in again.output) == (2, True)
    assert accord("backup", destination, "--database", url, "--force").exit_code == 0
    other = other_url("sqlite" if "://" not in url else "postgres")
    tried = accord("restore", destination, "--database", other, "--dry-run")
    assert (tried.exit_code, "is whole and can be restored" in tried.output) == (0, True), (
        tried.output
    )
    done = accord("restore", destination, "--database", other)
    assert done.exit_code == 0, done.output
    assert "start it: accord studio --database" in done.output
    assert contents(other) == contents(url)
    refused = accord("restore", destination, "--database", other)
    assert (refused.exit_code, "holds" in refused.output) == (2, True)


def test_commands_that_have_nothing_to_work_on(tmp_path: Path) -> None:
    missing = accord("backup", tmp_path / "b.zip", "--database", tmp_path / "no.db")
    assert (missing.exit_code, "there is no studio in" in missing.output) == (2, True)
    assert list(tmp_path.iterdir()) == []
    gone = accord("restore", tmp_path / "b.zip", "--database", tmp_path / "no.db")
    assert (gone.exit_code, "cannot read" in gone.output) == (2, True)
    (tmp_path / "empty.db").touch()
    empty = accord("backup", tmp_path / "b.zip", "--database", tmp_path / "empty.db")
    assert (empty.exit_code, "the database is empty" in empty.output) == (2, True)
    assert not (tmp_path / "b.zip").exists()


def test_the_database_may_be_named_before_the_command(tmp_path: Path) -> None:
    missing = accord("--database", tmp_path / "no.db", "backup", tmp_path / "b.zip")
    assert f"there is no studio in {tmp_path / 'no.db'}" in missing.output
    both = ("--database", tmp_path / "a.db", "backup", "--database", tmp_path / "b.db")
    missing = accord(*both, tmp_path / "b.zip")
    assert f"there is no studio in {tmp_path / 'b.db'}" in missing.output
