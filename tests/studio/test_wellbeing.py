"""People's load: what counts as time, breaks, exposure, pay, one's own numbers."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from studio_rooms import Clock, answer, pairs, person, project, served

from accord.studio.people import wellbeing
from accord.studio.queue import assigning
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Item, View


def spend(
    db: Database, clock: Clock, made: int, account: int, seconds: float, wall: float | None = None
) -> str:
    """Judge one item; returns its key."""
    view = served(db, made, account)
    clock.now += seconds if wall is None else wall
    answer(db, account, view, active_seconds=seconds)
    return view.item


def test_time_only_grows_and_never_beyond_the_clock() -> None:
    view = View(served_at=100.0, active_seconds=20.0)
    assert wellbeing.active_total(view, 30.0, 200.0) == 30
    assert wellbeing.active_total(view, 10.0, 200.0) == 20
    assert wellbeing.active_total(view, 500.0, 200.0) == 100
    assert wellbeing.active_total(view, 500.0, 50.0) == 20  # a clock set back takes nothing away


def test_minutes_pay_and_exposure(db: Database, clock: Clock) -> None:
    items = [
        {**item, "categories": [["violence"], ["violence", "grief"], []][n]}
        for n, item in enumerate(pairs(3))
    ]
    settings = {
        "categories": [{"name": "violence"}, {"name": "grief"}],
        "pay_per_hour": 30,
        "currency": "USD",
    }
    made = project(db, items, daily_minutes=60, **settings)
    ann = person(db, "ann", made)
    spent = {}
    for seconds in (60.0, 120.0, 240.0):
        spent[spend(db, clock, made, ann, seconds)] = seconds / 60
    load = wellbeing.load(db, made, ann)
    assert load.minutes_today == load.minutes_total == 7
    assert load.minutes_left == 53
    assert load.pay_today == pytest.approx(30 * 7 / 60)
    assert load.currency == "USD"
    with db.read() as session:
        kinds = {item.key: item.categories for item in session.scalars(select(Item))}
    expected = {
        name: sum(m for key, m in spent.items() if name in kinds[key])
        for name in ("violence", "grief")
    }
    assert load.exposure == load.exposure_today == pytest.approx(expected)
    clock.now += 86_400
    tomorrow = wellbeing.load(db, made, ann)
    assert (tomorrow.minutes_today, tomorrow.minutes_total, tomorrow.exposure_today) == (0, 7, {})


def test_looking_at_what_is_skipped_is_work_too(db: Database, clock: Clock) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    clock.now += 90
    assigning.heartbeat(db, made, ann, view.view_id, view.lease, 90.0)
    assigning.skip(db, made, ann, view.view_id, view.lease, "distressing")
    assert wellbeing.load(db, made, ann).minutes_total == 1.5


def test_a_break_is_due_until_one_was_taken(db: Database, clock: Clock) -> None:
    made = project(db, pairs(8), break_every_minutes=10)
    ann = person(db, "ann", made)
    for _ in range(2):
        spend(db, clock, made, ann, 290)
    assert not wellbeing.load(db, made, ann).break_due
    spend(db, clock, made, ann, 60)
    load = wellbeing.load(db, made, ann)
    assert load.break_due
    assert load.since_break == pytest.approx(640 / 60)
    clock.now += wellbeing.BREAK_SECONDS
    assert not wellbeing.load(db, made, ann).break_due
    spend(db, clock, made, ann, 60)
    assert wellbeing.load(db, made, ann).since_break == pytest.approx(1)


def test_ones_own_numbers(db: Database, clock: Clock) -> None:
    gold = {
        "prompt": "gold",
        "options": ["right", "wrong"],
        "gold": {"preferred": 1},
        "purpose": "screening",
    }
    made = project(db, [*pairs(2), gold], overlap=2, qualification={"items": 1, "pass_share": 0.1})
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    for account in (ann, bob):
        answer(db, account, view := served(db, made, account), {"preferred": view.options[0]["id"]})
        while isinstance(view := assigning.next_view(db, made, account), assigning.Served):
            answer(
                db,
                account,
                view,
                {"preferred": view.options[0]["id"]} if account == ann else {"tie": True},
            )
    today = wellbeing.consistency(db, made, ann)  # a number that moves now, or not, would tell gold
    assert (today.answers, today.compared, today.first_share) == (3, 0, None)
    clock.now += 86_400
    own = wellbeing.consistency(db, made, ann)
    assert (own.answers, own.agreed, own.compared) == (
        3,
        0,
        2,
    )  # all are counted, gold is compared with nobody
    assert own.first_share is not None
    assert 0 <= own.first_share <= 1
