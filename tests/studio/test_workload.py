"""What annotators are told of their work: how much is done, how much there is for them now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from studio_rooms import Clock, answer, pairs, person, project, served

from accord.studio.projects import editing
from accord.studio.queue import assigning
from accord.studio.queue import workload as counting
from accord.studio.queue.workload import workload
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.tables import Item


def known(count: int, purpose: str) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Known {purpose} {n}", "options": ["right", "wrong"], "gold": {"preferred": 1},
         "purpose": purpose}
        for n in range(count)
    ]  # fmt: skip


def stands(db: Database, made: int, account: int) -> tuple[int, int]:
    found = workload(db, made, account)
    assert not found.more
    return found.answers, found.left


def test_it_is_what_is_left_for_this_annotator(db: Database, clock: Clock) -> None:
    made = project(db, pairs(4), overlap=2)
    project(db, pairs(9))
    ann, bob, cid = (person(db, name, made) for name in ("ann", "bob", "cid"))
    assert [stands(db, made, who) for who in (ann, bob, cid)] == [(0, 4)] * 3
    view = served(db, made, ann)
    assert stands(db, made, ann) == (0, 4)  # the one on the screen is still to be judged
    receipt = answer(db, ann, view)
    assert stands(db, made, ann) == (1, 3)
    for _ in range(4):
        answer(db, bob, served(db, made, bob))
    assert (stands(db, made, bob), stands(db, made, cid)) == ((4, 0), (0, 3))
    assigning.undo(db, ann, receipt.answer_id)
    assert stands(db, made, ann) == (0, 4)
    view = served(db, made, ann)
    assigning.skip(db, made, ann, view.view_id, view.lease, "unsure")
    assert stands(db, made, ann) == (0, 3)
    clock.now += 60
    editing.add_items(db, made, pairs(2, start=10))  # a run asks more
    assert (stands(db, made, ann), stands(db, made, bob)) == ((0, 5), (4, 2))
    with db.read() as session:
        keys = list(session.scalars(select(Item.key).where(Item.project_id == made)))
    editing.pause_items(db, made, keys, True)
    assert stands(db, made, cid) == (0, 0)


def test_a_lost_view_counts_while_there_is_room(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    served(db, made, ann)
    assert (stands(db, made, ann), stands(db, made, bob)) == ((0, 1), (0, 1))
    clock.now += 1e6
    assert stands(db, made, ann) == (0, 1)  # it would be served again
    answer(db, bob, served(db, made, bob))
    assert (stands(db, made, ann), stands(db, made, bob)) == ((0, 0), (1, 0))


def test_it_does_not_tell_which_items_have_a_known_answer(db: Database) -> None:
    made = project(db, pairs(30) + known(12, "gold"), gold_rate=0.4)
    ann = person(db, "ann", made)
    golds = 0
    for done in range(25):
        view = served(db, made, ann)
        assert stands(db, made, ann) == (done, 42 - done)
        golds += "right" in str(view.options)
        answer(db, ann, view, {"preferred": view.options[0]["id"]})
    assert golds > 0  # of 25 at 0.4: none with p < 1e-5
    editing.update_settings(
        db, made, editing.ProjectSettings(name="Test", gold_rate=0.0), None
    )  # without a rate none is asked for
    assert stands(db, made, ann) == (25, 30 - (25 - golds))


def test_screening_counts_until_it_is_over(db: Database) -> None:
    made = project(db, pairs(2) + known(4, "screening"), qualification={"items": 3})
    ann = person(db, "ann", made)
    for done in range(3):
        view = served(db, made, ann)
        assert stands(db, made, ann) == (done, 2 + 3 - done)  # three of the four are asked
        answer(db, ann, view, {"preferred": view.options[0]["id"]})
        assert stands(db, made, ann) == (done + 1, 2 + 2 - done)


def test_categories_that_one_does_not_want_to_see_do_not_count(db: Database) -> None:
    rows = pairs(3)
    rows[0]["categories"] = ["war"]
    made = project(db, rows, categories=[{"name": "war", "label": "War"}])
    ann = person(db, "ann", made, preferences={"opted_out": ["war"]})
    assert stands(db, made, ann) == (0, 2)


def test_many_are_not_counted_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 10)
    db = open_database(tmp_path / "studio.db")
    steps = []
    for count in (20, 2000):
        made = project(db, pairs(count), overlap=2)
        ann = person(db, f"ann{count}", made)
        answer(db, ann, served(db, made, ann))
        with db.read() as session:
            driver = session.connection().connection.driver_connection
        ticks: list[None] = []
        driver.set_progress_handler(lambda ticks=ticks: ticks.append(None), 10)
        found = workload(db, made, ann)
        driver.set_progress_handler(None, 0)
        assert (found.answers, found.left, found.more) == (1, 10, True)
        assert ticks
        steps.append(len(ticks))
    db.close()
    assert steps[1] < 1.2 * steps[0]
