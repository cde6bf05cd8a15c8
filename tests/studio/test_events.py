"""The log finds every change made behind its back, and forgets what it is asked to forget."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from studio_rooms import answer, pairs, person, project, served

from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Chain, Event


@pytest.fixture
def chain(db: Database) -> int:
    """A project's log with a handful of events."""
    made = project(db, pairs(3), critique="optional")
    ann = person(db, "ann", made)
    for number in range(3):
        view = served(db, made, ann)
        answer(db, ann, view, {"preferred": view.order[0], "critique": f"because of {number}"})
    return made


def check(db: Database, chain: int) -> events.Verified:
    with db.read() as session:
        return events.verify(session, chain)


def test_a_whole_chain(db: Database, chain: int) -> None:
    found = check(db, chain)
    with db.read() as session:
        assert found == events.Verified(9, 0, events.head(session, chain), None)
        kinds = list(
            session.scalars(select(Event.kind).where(Event.chain == chain).order_by(Event.number))
        )
    assert kinds == [
        "project.created",
        "items.added",
        "member.added",
        *["view.served", "answer.submitted"] * 3,
    ]
    assert check(db, events.HOUSE).broken is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"payload": {"item": "other"}}, "event 5: its payload"),
        ({"payload": None}, "event 5: its payload"),
        ({"salt": "0" * 32}, "event 5: its payload"),
        ({"actor": "p-eve"}, "event 5: time, actor"),
        ({"at": 5.0}, "event 5: time, actor"),
        ({"kind": "answer.undone"}, "event 5: time, actor"),
        ({"subject": "another"}, "event 5: time, actor"),
        ({"hash": "0" * 64}, "event 5: time, actor"),
        ({"previous": "0" * 64}, "event 5 does not follow"),
        ({"payload_hash": "0" * 64}, "event 5: its payload"),
        ({"payload": None, "salt": None}, "event 5: the payload about"),
        ({"salt": None}, "event 5: it has a payload but no salt"),
        ({"number": 50}, "event 5 is missing"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_every_change_is_found_and_the_first_is_named(
    db: Database, chain: int, change: dict[str, Any], named: str
) -> None:
    with db.write() as session:
        session.execute(
            update(Event).where(Event.chain == chain, Event.number == 5).values(**change)
        )
    broken = check(db, chain).broken
    assert broken is not None
    assert broken.startswith(named), broken


def test_removed_and_added_events_are_found(db: Database, chain: int) -> None:
    with db.write() as session:
        session.execute(delete(Event).where(Event.chain == chain, Event.number == 4))
    assert check(db, chain).broken == "event 4 is missing (event 5 follows)"


def test_a_cut_off_end_is_found(db: Database, chain: int) -> None:
    with db.write() as session:
        session.execute(delete(Event).where(Event.chain == chain, Event.number > 7))
    assert check(db, chain).broken == "the chain ends with event 7, its head says 9"


def test_a_forged_event_at_the_end_is_found(db: Database, chain: int) -> None:
    with db.write() as session:
        last = session.scalars(select(Event).where(Event.chain == chain, Event.number == 9)).one()
        copied = {c.key: getattr(last, c.key) for c in Event.__table__.c if c.key != "id"}
        session.execute(insert(Event).values({**copied, "number": 10, "previous": last.hash}))
    assert "event 10" in str(check(db, chain).broken)


def test_a_last_event_rewritten_with_hashes_that_fit_is_found_by_the_head(
    db: Database, chain: int
) -> None:
    """Nothing follows it whose `previous` would differ: only the head tells."""
    with db.write() as session:
        last = session.scalars(select(Event).where(Event.chain == chain, Event.number == 9)).one()
        last.payload = {"item": "another"}
        last.payload_hash = events._payload_hash(str(last.salt), last.payload)
        fields = (last.at, last.actor, last.kind, last.subject, last.payload_hash)
        last.hash = events._hash(last.previous, last.number, *fields)
    assert check(db, chain).broken == (
        "event 9: the chain's head has another hash, one was rewritten"
    )


def test_erased_payloads_leave_the_chain_whole_and_are_counted(db: Database, chain: int) -> None:
    with db.read() as session:
        subject = session.scalars(
            select(Event.subject).where(Event.kind == "answer.submitted")
        ).first()
    assert subject is not None
    with db.write() as session:
        assert events.erase_payloads(session, chain, subject, "p-ann", db.now()) == 1
    found = check(db, chain)
    assert (found.events, found.erased, found.broken) == (10, 1, None)
    with db.write() as session:
        assert events.erase_payloads(session, chain, subject, "p-ann", db.now()) == 0
    assert check(db, chain).broken is None


def test_an_erasure_on_record_covers_its_own_subject_alone(db: Database) -> None:
    with db.write() as session:
        for subject in ("ann", "bob", "ann"):
            events.append(session, events.HOUSE, "said", subject, None, 1.0, {"yes": True})
        session.execute(update(Event).values(payload=None, salt=None))
    with db.write() as session:
        events.erase_payloads(session, events.HOUSE, "bob", None, 2.0)
    assert str(check(db, events.HOUSE).broken).startswith("event 1: the payload about 'ann'")
    with db.write() as session:
        events.erase_payloads(session, events.HOUSE, "ann", None, 2.0)
    assert check(db, events.HOUSE).broken is None


def test_the_hash_of_an_erased_payload_tells_nothing(db: Database) -> None:
    with db.write() as session:
        events.append(session, events.HOUSE, "said", "x", None, 1.0, {"yes": True})
        events.append(session, events.HOUSE, "said", "x", None, 1.0, {"yes": True})
        hashes = session.scalars(
            select(Event.payload_hash).where(Event.chain == events.HOUSE)
        ).all()
    assert len(set(hashes)) == len(hashes) == 2


def test_fields_cannot_run_into_each_other(db: Database) -> None:
    with db.write() as session:
        events.append(session, events.HOUSE, "ab", "c", None, 1.0, {})
        session.execute(update(Event).where(Event.kind == "ab").values(kind="a", subject="bc"))
    assert check(db, events.HOUSE).broken is not None


def test_nothing_is_logged_of_what_was_rolled_back(db: Database) -> None:
    def fail() -> None:
        with db.write() as session:
            events.append(session, events.HOUSE, "tried", "x", None, 1.0, {})
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fail()
    with db.read() as session:
        assert session.get_one(Chain, events.HOUSE).number == 0
    assert check(db, events.HOUSE) == events.Verified(0, 0, events.Head(0, events.GENESIS), None)
