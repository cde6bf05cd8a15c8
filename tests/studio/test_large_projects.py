"""What large projects need: counts by project, changes of all items in batches that can be broken
off."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select
from studio_rooms import answer, pairs, person, project, served

from accord.studio.projects import editing, overlap
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.queue.assigning import Progress
from accord.studio.storage.database import Database, Turns, open_database
from accord.studio.storage.tables import Answer, Item, Slot


def counted(db: Database, project_id: int) -> Progress:
    """Progress, one row at a time."""
    with db.read() as session:
        items = list(
            session.scalars(
                select(Item).where(Item.project_id == project_id, Item.purpose == "work")
            )
        )
        slots = [
            s for i in items for s in session.scalars(select(Slot).where(Slot.item_id == i.id))
        ]
        extra = session.scalars(
            select(Answer).where(
                Answer.project_id == project_id, Answer.extra, Answer.state == "live"
            )
        ).all()
    open_items = {s.item_id for s in slots if s.answer_id is None}
    leased = [
        s
        for s in slots
        if s.answer_id is None and s.expires_at is not None and s.expires_at >= db.now()
    ]
    return Progress(
        len(slots),
        sum(s.answer_id is not None for s in slots),
        len(leased),
        len(items),
        sum(i.id not in open_items for i in items),
        len(extra),
    )


def test_progress_is_what_one_counts(db: Database) -> None:
    gold = {"prompt": "Known", "options": ["right", "wrong"], "gold": {"preferred": 1}}
    made = project(db, [*pairs(5), gold], overlap=2, gold_rate=0.5)
    other = project(db, pairs(3), overlap=3)
    names = [person(db, f"p{n}", made) for n in range(3)]
    for turn in range(4):
        for account in names:
            view = assigning.next_view(db, made, account)
            if isinstance(view, assigning.Served) and (turn + account) % 4:
                answer(db, account, view)
            assert assigning.progress(db, made) == counted(db, made)
    with db.read() as session:
        keys = list(
            session.scalars(select(Item.key).where(Item.project_id == made, Item.purpose == "work"))
        )
    editing.pause_items(db, made, keys[:3], True)
    for project_id in (made, other):
        assert assigning.progress(db, project_id) == counted(db, project_id)
    assert assigning.progress(db, made).filled > 0


def test_a_change_that_was_broken_off_is_finished_by_saving_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "BATCH", 2)
    made = project(db, pairs(7), overlap=1)
    ann = person(db, "ann", made)
    answer(db, ann, served(db, made, ann))
    change, done = overlap._change, []

    def fails_late(*arguments: object) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(change(*arguments))  # type: ignore[arg-type, func-returns-value]

    monkeypatch.setattr(overlap, "_change", fails_late)
    with pytest.raises(KeyboardInterrupt):
        editing.update_settings(db, made, ProjectSettings(name="Test", overlap=3), None)
    monkeypatch.setattr(overlap, "_change", change)
    assert sorted(slots_of(db, made)) == [1, 1, 1, 3, 3, 3, 3]
    answer(db, ann, served(db, made, ann))  # work goes on in between
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=3), None)
    assert slots_of(db, made) == [3] * 7
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=1), None)
    assert slots_of(db, made) == [1] * 7
    assert assigning.progress(db, made) == counted(db, made)


def slots_of(db: Database, project_id: int) -> list[int]:
    """Number of slots of each item."""
    with db.read() as session:
        found = Counter(session.scalars(select(Slot.item_id).where(Slot.project_id == project_id)))
    return list(found.values())


def test_a_batch_costs_the_same_in_a_project_of_any_size(tmp_path: Path) -> None:
    db = open_database(tmp_path / "studio.db")
    steps = []
    for count in (20, 2000):
        made = project(db, pairs(count), overlap=3)
        with db.write() as session:
            ids = list(session.scalars(select(Item.id).where(Item.project_id == made).limit(10)))
            driver = session.connection().connection.driver_connection
            ticks: list[None] = []
            driver.set_progress_handler(lambda ticks=ticks: ticks.append(None), 10)
            overlap._change(session, made, 4, ids)
            driver.set_progress_handler(None, 0)
        assert sorted(slots_of(db, made))[-11:] == [3, *[4] * 10]
        steps.append(len(ticks))
    db.close()
    assert steps[1] < 1.2 * steps[0]


def test_writers_take_turns() -> None:
    turns, order = Turns(), []
    waiting = []

    def write(number: int) -> None:
        with turns:
            order.append(number)

    with turns:
        for number in range(5):
            waiting.append(threading.Thread(target=write, args=(number,)))
            waiting[-1].start()
            while len(turns._waiting) <= number:
                time.sleep(0.001)
    for _ in range(3):  # who comes later does not come first, however often it asks
        write(9)
    for thread in waiting:
        thread.join()
    assert order[:5] == [0, 1, 2, 3, 4]


def test_who_is_interrupted_while_waiting_leaves_its_turn_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = Turns()

    class Interrupted:
        taken = False

        def acquire(self) -> None:
            if self.taken:
                raise KeyboardInterrupt
            self.taken = True

        def release(self) -> None: ...

    with turns:
        monkeypatch.setattr("accord.studio.storage.database.threading.Lock", Interrupted)
        with pytest.raises(KeyboardInterrupt), turns:
            pass
        monkeypatch.undo()
        assert not turns._waiting
    with turns:
        pass
    assert not turns._held
