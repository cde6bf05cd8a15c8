"""The studio's queue under load and murder: raters in several processes that are killed (-9) at
random.

    python -m benchmarks.studio --database sqlite --workers 1 2 4 --clients 32 --slots 2000
    --kill-every 1.0

Each client asks for an item and answers it (`next_view` + `submit`, straight on the functions).
Before it sends, it notes the key; when the answer is acknowledged, it notes that. A client that
comes back after a kill sends again what was not
acknowledged. One JSON line per run: answers acknowledged but not stored (`lost`), slots or
annotators with two answers (`duplicates`), and the server's time for next + submit, waiting
included. `--think` is the mean time a rater thinks (exponential); at 0 the raters are machines and
the times say how long the queue for the processor is.

    python -m benchmarks.studio --database sqlite --large 1000000

What a large project costs beside a small one: seconds to count both for the home page, of that
page, and of next + submit; to raise the large one's overlap by one, and how long others wait
meanwhile: somebody who writes in the small project and a rater in the large one, both without a
break.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert, literal, select, text, update
from starlette.testclient import TestClient

from accord.studio.errors import Conflict
from accord.studio.people import accounts
from accord.studio.projects import editing
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.storage import events
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.engines import parse_url
from accord.studio.storage.tables import Account, Answer, Item, Slot
from accord.studio.web.app import StudioConfig, create_app
from accord.studio.web.security import session_cookie
from benchmarks.postgres import server


# --- a worker: some clients as threads ------------------------------------------------------------
def work(url: str, project: int, accounts: list[int], folder: Path, think: float) -> None:
    """Judge until nothing is left; what happens is noted in a file per client."""
    db = open_database(url, upgrade=False)
    threads = [
        threading.Thread(target=_client, args=(db, project, a, folder / f"{a}.log", think))
        for a in accounts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.close()


def _client(db: Database, project: int, account: int, log: Path, think: float) -> None:
    draw = random.Random(time.time_ns())
    with open(log, "a", buffering=1) as notes:
        waiting = _unacknowledged(log)
        if waiting is not None:
            _send(db, account, notes, waiting)
        while True:
            if think:
                time.sleep(draw.expovariate(1 / think))
            began = time.perf_counter()
            view = assigning.next_view(db, project, account)
            asked = time.perf_counter() - began
            if isinstance(view, assigning.Nothing):
                if view.reason == "done":
                    return
                time.sleep(0.05)
                continue
            note = {
                "key": f"{account}-{time.time_ns()}",
                "view": view.view_id,
                "lease": view.lease,
                "order": view.order,
            }
            notes.write(json.dumps(note) + "\n")
            began = time.perf_counter()
            _send(db, account, notes, note, asked, began)


def _send(
    db: Database,
    account: int,
    notes: Any,
    note: dict[str, Any],
    asked: float | None = None,
    began: float | None = None,
) -> None:
    answer = {"preferred": note["order"][0]}
    try:
        receipt = assigning.submit(db, account, note["view"], note["lease"], note["key"], answer)
    except Conflict as error:
        notes.write(json.dumps({"conflict": str(error)}) + "\n")
        return
    took = None if asked is None or began is None else asked + time.perf_counter() - began
    notes.write(json.dumps({"acknowledged": receipt.answer_id, "seconds": took}) + "\n")


def _unacknowledged(log: Path) -> dict[str, Any] | None:
    """The last answer sent, if nothing was heard of it."""
    lines = [line for line in log.read_text().splitlines() if line.endswith("}")]
    last = json.loads(lines[-1]) if lines else {}
    return last if "key" in last else None


# --- the house ------------------------------------------------------------------------------------
def run(url: str, options: argparse.Namespace, workers: int) -> dict[str, Any]:
    """One run on an empty database; what it measured."""
    db = open_database(url)
    project, accounts = _prepare(db, options)
    shares = [accounts[start::workers] for start in range(workers)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        kills = _shepherd(url, project, shares, folder, options)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        notes = [
            json.loads(line)
            for log in folder.iterdir()
            for line in log.read_text().splitlines()
            if line[-1:] == "}"
        ]
    found = _check(
        db, project, {n["acknowledged"] for n in notes if "acknowledged" in n}, options.overlap
    )
    db.close()
    times = sorted(1000 * n["seconds"] for n in notes if n.get("seconds") is not None)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return {
        "database": options.database,
        "workers": workers,
        "clients": options.clients,
        "slots": options.slots,
        "overlap": options.overlap,
        "think_s": options.think,
        "kills": kills,
        "seconds": round(seconds, 1),
        **found,
        "conflicts": sum("conflict" in n for n in notes),
        "answers_per_s": round(len(times) / seconds, 1),
        "client_cpu_ms": round(1000 * cpu / max(1, len(times)), 2),
        **{
            f"p{share}_ms": round(times[min(len(times) - 1, len(times) * share // 100)], 1)
            for share in (50, 95, 99)
        },
    }


def _prepare(db: Database, options: argparse.Namespace) -> tuple[int, list[int]]:
    made = editing.create_project(
        db, ProjectSettings(name="Load", overlap=options.overlap, lease_minutes=0.5), None
    )
    count = options.slots // options.overlap
    rows = ({"prompt": f"Question {n}", "options": [f"One {n}", f"Two {n}"]} for n in range(count))
    editing.add_items(db, made, rows)
    with db.write() as session:
        people = [
            Account(public=f"p{n}", name=f"Rater {n}", role="annotator", created_at=db.now())
            for n in range(options.clients)
        ]
        session.add_all(people)
        session.flush()
        for account in people:
            editing.add_member(session, made, account.id, "annotator", db.now(), None)
        accounts = [account.id for account in people]
    if options.done:
        _fill(db, made, options.done)
    return made, accounts


def _fill(db: Database, project: int, share: float) -> None:
    """Pretend that a share of the items was judged before, first come first served."""
    with db.write() as session:
        query = (
            select(Item.id)
            .where(Item.project_id == project)
            .order_by(Item.priority.desc(), Item.draw.desc())
        )
        items = list(session.scalars(query))
        done = items[: int(len(items) * share)]
        for start in range(0, len(done), 500):
            part = done[start : start + 500]
            for slot in session.scalars(select(Slot).where(Slot.item_id.in_(part))):
                slot.answer_id = f"before-{slot.id}"
            session.flush()
            session.execute(update(Item).where(Item.id.in_(part)).values(state="full"))


def _shepherd(
    url: str, project: int, shares: list[list[int]], folder: Path, options: argparse.Namespace
) -> int:
    """Keep every worker going until its clients are done, killing one now and then; returns the
    number of kills.

    Only a worker that has answered something since it started is killed: otherwise a slow machine
    would never finish.
    """
    draw = random.Random(options.seed)

    def noted(share: list[int]) -> int:
        return sum(log.stat().st_size for a in share if (log := folder / f"{a}.log").exists())

    def start(number: int) -> tuple[subprocess.Popen[bytes], int]:
        share = shares[number]
        job = {
            "url": url,
            "project": project,
            "accounts": share,
            "folder": str(folder),
            "think": options.think,
        }
        command = [sys.executable, "-m", "benchmarks.studio", "--job", json.dumps(job)]
        return subprocess.Popen(command), noted(share)

    running = {number: start(number) for number in range(len(shares))}
    kills, next_kill = 0, time.monotonic() + options.kill_every
    try:
        while running:
            time.sleep(0.02)
            for number, (process, _) in list(running.items()):
                code = process.poll()
                if code == 0:
                    del running[number]
                elif code == -signal.SIGKILL:
                    running[number] = start(number)
                elif code is not None:
                    raise RuntimeError(f"a worker failed with exit code {code}")
            if options.kill_every and kills < options.most_kills and time.monotonic() > next_kill:
                at_work = [
                    n
                    for n, (_, before) in sorted(running.items())
                    if noted(shares[n]) > before + 1000
                ]
                if at_work:
                    running[draw.choice(at_work)][0].kill()
                    kills += 1
                    next_kill = time.monotonic() + options.kill_every * draw.uniform(0.5, 1.5)
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()
    return kills


def _check(db: Database, project: int, acknowledged: set[str], overlap: int) -> dict[str, Any]:
    with db.read() as session:
        answers = list(
            session.execute(
                select(Answer.id, Answer.account_id, Answer.item_id, Answer.extra).where(
                    Answer.project_id == project, Answer.state == "live"
                )
            )
        )
        slots = list(
            session.execute(select(Slot.item_id, Slot.answer_id).where(Slot.project_id == project))
        )
        chain = events.verify(session, project)
    filled = [slot.answer_id for slot in slots if slot.answer_id is not None]
    per_item = Counter(slot.item_id for slot in slots)
    duplicates = (
        len(filled) - len(set(filled)) + sum(count > overlap for count in per_item.values())
    )
    duplicates += sum(
        count - 1 for count in Counter((a.account_id, a.item_id) for a in answers).values()
    )
    return {
        "duplicates": duplicates,
        "lost": len(acknowledged - {a.id for a in answers}),
        "answers": len(answers),
        "unfilled": len(slots) - len(filled),
        "extra": sum(a.extra for a in answers),
        "chain": chain.broken or "whole",
    }


@contextmanager
def databases(kind: str) -> Iterator[Any]:
    """A function that gives the address of a new empty database, on a disk and durable."""
    numbers = iter(range(1000))
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield lambda: f"{folder}/load{next(numbers)}.db"
        return
    with server(durable=True) as address:

        def create() -> str:
            name = f"load{next(numbers)}"
            engine = create_engine(
                parse_url(address.format(name="postgres")), isolation_level="AUTOCOMMIT"
            )
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            engine.dispose()
            return address.format(name=name)

        yield create


# --- a large project beside a small one -----------------------------------------------------------
def large(url: str, slots: int, overlap: int = 10) -> dict[str, Any]:
    """A project with so many slots, a third of them filled; what was measured."""
    db = open_database(url)
    big, small = _large_projects(db, slots, overlap)
    found: dict[str, Any] = {"database": "sqlite" if db.sqlite else "postgres", "slots": slots}
    for name, project in (("large", big), ("small", small)):
        found[f"count_{name}_seconds"] = round(
            min(_seconds(partial(assigning.progress, db, project)) for _ in range(3)), 4
        )
    found["home_seconds"] = round(min(_home(db)), 3)
    alone = partial(_turn, db, big, _rater(db, big, "Alone"))
    turns = sorted(_seconds(alone) for _ in range(200))
    found |= {
        "turn_p50_ms": round(1000 * turns[100], 1),
        "turn_p99_ms": round(1000 * turns[197], 1),
    }
    judge, writes, done = _rater(db, big, "Beside"), [], threading.Event()
    waits: list[float] = []
    others = [
        threading.Thread(
            target=_again, args=(done, writes, partial(editing.pause, db, small, None))
        ),
        threading.Thread(target=_again, args=(done, waits, partial(_turn, db, big, judge))),
    ]
    for other in others:
        other.start()
    settings = ProjectSettings(name="Big", overlap=overlap + 1)
    found["overlap_seconds"] = round(
        _seconds(lambda: editing.update_settings(db, big, settings, None)), 2
    )
    done.set()
    for other in others:
        other.join()
    db.close()
    for name, times in (("write", sorted(writes)), ("turn", sorted(waits))):
        found[f"meanwhile_{name}s"] = len(times)
        found[f"meanwhile_{name}_p99_ms"] = round(1000 * times[len(times) * 99 // 100], 1)
        found[f"longest_{name}_seconds"] = round(times[-1], 3)
    return found


def _large_projects(db: Database, slots: int, overlap: int) -> tuple[int, int]:
    big, small = (
        editing.create_project(db, ProjectSettings(name=name, overlap=n), None)
        for name, n in (("Big", overlap), ("Small", 2))
    )
    editing.add_items(db, small, [{"prompt": "Q", "options": ["a", "b"]}])
    option = [{"id": "a", "content": "one"}, {"id": "b", "content": "two"}]
    rows = [
        {
            "project_id": big,
            "key": f"k{n}",
            "prompt": f"Question {n}",
            "options": option,
            "draw": n / slots,
            "purpose": "work",
        }
        for n in range(slots // overlap)
    ]
    with db.write() as session:
        session.execute(insert(Item), rows)
        for number in range(1, overlap + 1):
            every = select(literal(big), Item.id, literal(number)).where(Item.project_id == big)
            session.execute(insert(Slot).from_select(["project_id", "item_id", "number"], every))
        session.execute(text("UPDATE slot SET answer_id = 'a' || id WHERE id % 3 = 0"))
    if not db.sqlite:
        engine = create_engine(db.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
    return big, small


def _home(db: Database) -> list[float]:
    """Seconds of an owner's home page, three times."""
    with db.write() as session:
        account = accounts.create_account(session, "Owner", None, "owner", db.now(), None)
        cookie = accounts.begin_session(session, account, db.now())
    client = TestClient(create_app(StudioConfig(db)), cookies={session_cookie(False): cookie})

    def ask() -> None:
        answer = client.get("/", follow_redirects=False)
        if answer.status_code != 200 or "Big" not in answer.text:
            raise RuntimeError(f"the home page answered {answer.status_code}")

    return [_seconds(ask) for _ in range(3)]


def _rater(db: Database, project: int, name: str) -> int:
    with db.write() as session:
        account = Account(public=name, name=name, role="annotator", created_at=db.now())
        session.add(account)
        session.flush()
        editing.add_member(session, project, account.id, "annotator", db.now(), None)
        return account.id


def _turn(db: Database, project: int, account: int) -> None:
    """Ask for an item and answer it."""
    view = assigning.next_view(db, project, account)
    if isinstance(view, assigning.Nothing):
        raise RuntimeError(f"nothing to judge: {view.detail}")
    assigning.submit(
        db, account, view.view_id, view.lease, secrets.token_hex(8), {"preferred": view.order[0]}
    )


def _again(done: threading.Event, times: list[float], work: Callable[[], Any]) -> None:
    """Work without a break until `done`; notes how long each time took."""
    while not done.is_set():
        times.append(_seconds(work))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> None:
    """Print one JSON line per number of workers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2, 4], help="processes that serve"
    )
    parser.add_argument(
        "--clients", type=int, default=32, help="raters, shared out among the workers"
    )
    parser.add_argument("--slots", type=int, default=2000, help="answers wanted in all")
    parser.add_argument("--overlap", type=int, default=2, help="answers per item")
    parser.add_argument(
        "--think", type=float, default=0.0, help="mean seconds between two items, per rater"
    )
    parser.add_argument(
        "--kill-every", type=float, default=1.0, help="mean seconds between two kills; 0: none"
    )
    parser.add_argument("--most-kills", type=int, default=1000)
    parser.add_argument(
        "--done", type=float, default=0.0, help="share of the items judged before the run"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--large", type=int, metavar="SLOTS", help="measure a project of so many slots instead"
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job:
        job = json.loads(options.job)
        work(job["url"], job["project"], job["accounts"], Path(job["folder"]), job["think"])
        return
    with databases(options.database) as new:
        if options.large:
            print(json.dumps(large(new(), options.large)), flush=True)
            return
        for workers in options.workers:
            print(json.dumps(run(new(), options, workers)), flush=True)


if __name__ == "__main__":
    main()
