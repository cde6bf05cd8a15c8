"""Who gets what, on both databases: leases, overlap, skips, late answers, undo, withdrawal, gold,
screening, caps."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import event, func, select
from studio_rooms import Clock, answer, key, pairs, person, project, served

from accord.errors import ConfigError
from accord.feedback.records import Feedback
from accord.studio.errors import AnswerError, Conflict, NotAllowed, NotHere
from accord.studio.projects import editing
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning, bodies
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Event, Item, Membership, Slot, View


def nothing(db: Database, project_id: int, account: int) -> str:
    """Why there is nothing for somebody."""
    found = assigning.next_view(db, project_id, account)
    assert isinstance(found, assigning.Nothing), found
    return found.reason


def counts(db: Database, project_id: int) -> tuple[int, int, int]:
    """(slots filled, slots, live answers) of the work."""
    with db.read() as session:
        slots = select(func.count()).select_from(Slot).where(Slot.project_id == project_id)
        live = select(func.count()).where(Answer.project_id == project_id, Answer.state == "live")
        filled = session.scalar(slots.where(Slot.answer_id.is_not(None)))
        return filled or 0, session.scalar(slots) or 0, session.scalar(live) or 0


def verified(db: Database, project_id: int) -> events.Verified:
    with db.read() as session:
        return events.verify(session, project_id)


def test_an_annotator_judges_every_item_once(db: Database) -> None:
    made = project(db, pairs(5))
    ann = person(db, "ann", made)
    seen = []
    while isinstance(view := assigning.next_view(db, made, ann), assigning.Served):
        seen.append(view.item)
        answer(db, ann, view)
    assert len(set(seen)) == len(seen) == 5
    assert view.reason == "done"
    assert counts(db, made) == (5, 5, 5)
    assert assigning.progress(db, made) == assigning.Progress(
        slots=5, filled=5, leased=0, items=5, complete=5, extra=0
    )
    assert verified(db, made).broken is None


def test_the_record_holds_the_order_shown_and_the_choice_by_id(db: Database, clock: Clock) -> None:
    made = project(
        db,
        [
            {
                "prompt": "Q",
                "options": [{"content": "A", "producer": "m1"}, {"content": "B", "producer": "m2"}],
            }
        ],
    )
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    clock.now += 12
    receipt = assigning.submit(
        db,
        ann,
        view.view_id,
        view.lease,
        key(),
        {"preferred": view.order[1]},
        {
            "active_seconds": 10.5,
            "first_key_seconds": 3.0,
            "hidden_seconds": 1.0,
            "input": "keyboard",
        },
        "sitting-1",
    )
    with db.read() as session:
        stored = session.get_one(Answer, receipt.answer_id)
    (record,) = [Feedback.model_validate(raw) for raw in stored.records]
    assert record.id == receipt.answer_id
    assert record.shown == view.order
    assert record.choice.preferred == view.order[1]
    assert (record.annotator, record.session, record.guideline) == ("p-ann", "sitting-1", "test@1")
    assert record.active_seconds == 10.5
    assert {o.id: o.producer for o in record.options} == {
        o["id"]: o["producer"] for o in view.options
    }
    assert record.meta == {
        "project": "test",
        "item": view.item,
        "selected_by": "random",
        "input": "keyboard",
        "first_key_seconds": 3.0,
        "hidden_seconds": 1.0,
    }


def test_two_tabs_show_the_same_view(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    first, second = served(db, made, ann), served(db, made, ann)
    assert (second.view_id, second.lease, second.order) == (first.view_id, first.lease, first.order)
    assert second.resumed
    assert not first.resumed


def test_threads_of_one_annotator_get_one_view(db: Database) -> None:
    made = project(db, pairs(20))
    ann = person(db, "ann", made)
    with ThreadPoolExecutor(8) as pool:
        views = list(pool.map(lambda _: served(db, made, ann).view_id, range(8)))
    assert len(set(views)) == 1


def test_many_annotators_never_share_a_slot(db: Database) -> None:
    made = project(db, pairs(6), overlap=2)
    people = [person(db, f"p{n}", made) for n in range(8)]

    def judge(account: int) -> list[str]:
        seen = []
        while isinstance(view := assigning.next_view(db, made, account), assigning.Served):
            seen.append(view.item)
            answer(db, account, view)
        return seen

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(judge, people))
    assert all(len(set(items)) == len(items) for items in seen)
    assert sum(map(len, seen)) == 12
    assert counts(db, made) == (12, 12, 12)
    assert verified(db, made).broken is None


def test_the_order_is_drawn_per_person_and_balanced(db: Database) -> None:
    made = project(db, pairs(60), overlap=2)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    orders: dict[int, dict[str, list[str]]] = {ann: {}, bob: {}}
    first_left = 0
    for account, seen in orders.items():
        while isinstance(view := assigning.next_view(db, made, account), assigning.Served):
            seen[view.item] = view.order
            first_left += view.order[0] == view.options[0]["id"]
            answer(db, account, view)
    assert 40 <= first_left <= 80  # of 120; outside with p < 0.001
    same = sum(orders[ann][item] == orders[bob][item] for item in orders[ann])
    assert 15 <= same <= 45


# --- leases ---------------------------------------------------------------------------------------
def test_a_lease_that_ran_out_goes_to_others(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    served(db, made, ann)
    found = assigning.next_view(db, made, bob)
    assert isinstance(found, assigning.Nothing)
    assert (found.reason, found.retry_at) == ("all_leased", clock.now + 60)
    clock.now += 61
    view = served(db, made, bob)
    answer(db, bob, view)
    assert nothing(db, made, ann) == "done"


def test_a_late_answer_is_kept_and_the_other_becomes_the_extra(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    late = served(db, made, ann)
    clock.now += 61
    taken = served(db, made, bob)
    assert not answer(db, ann, late).extra
    assert answer(db, bob, taken).extra
    assert counts(db, made) == (1, 1, 2)
    assert assigning.progress(db, made).extra == 1


def test_an_answer_after_the_last_slot_is_extra_and_moves_in_when_one_opens(
    db: Database, clock: Clock
) -> None:
    made = project(db, pairs(1), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    late = served(db, made, ann)
    clock.now += 61
    first = answer(db, bob, served(db, made, bob))
    second = answer(db, ann, late)
    assert (first.extra, second.extra) == (False, True)
    assigning.withdraw(db, first.answer_id, "mistake", "p-bob")
    assert counts(db, made) == (1, 1, 1)
    with db.read() as session:
        assert session.scalars(select(Slot.answer_id)).one() == second.answer_id
        assert session.get_one(Answer, second.answer_id).extra is False


@pytest.mark.parametrize("opened", ["withdrawn", "excluded", "more overlap"])
def test_of_several_extra_answers_the_oldest_moves_in(
    db: Database, clock: Clock, opened: str
) -> None:
    made = project(db, pairs(1), lease_minutes=1)
    people = [person(db, name, made) for name in ("ann", "bob", "cem", "dot")]
    views = []
    for who in people:  # each is served once the lease before has run out
        views.append(served(db, made, who))
        clock.now += 61
    receipts = []
    for n in (0, 2, 3, 1):
        clock.now += 5
        receipts.append(answer(db, people[n], views[n]))
    assert [receipt.extra for receipt in receipts] == [False, True, True, True]
    if opened == "more overlap":
        editing.update_settings(db, made, ProjectSettings(name="Test", overlap=3), None)
    else:
        take_out = assigning.withdraw if opened == "withdrawn" else assigning.exclude
        take_out(db, receipts[0].answer_id, "mistake", None)
        take_out(db, receipts[1].answer_id, "mistake", None)  # which has moved in
    with db.read() as session:
        filled = set(session.scalars(select(Slot.answer_id)))
        still_extra = list(session.scalars(select(Answer.id).where(Answer.extra.is_(True))))
    wanted = receipts[:3] if opened == "more overlap" else receipts[2:3]
    assert filled == {receipt.answer_id for receipt in wanted}
    assert still_extra == [receipts[3].answer_id]


def extra_for_one_slot(
    db: Database, clock: Clock
) -> tuple[int, int, assigning.Receipt, assigning.Receipt]:
    """Two answers to one item that wants one: (project, who answered first, their receipt, the
    other's, which is extra)."""
    made = project(db, pairs(1), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    late = served(db, made, ann)
    clock.now += 61
    return made, bob, answer(db, bob, served(db, made, bob)), answer(db, ann, late)


def test_what_was_undone_leaves_its_slot_to_the_extra_answer(db: Database, clock: Clock) -> None:
    made, bob, first, second = extra_for_one_slot(db, clock)
    assigning.undo(db, bob, first.answer_id)
    with db.read() as session:
        slot = session.scalars(select(Slot)).one()
        theirs = session.get_one(Answer, second.answer_id).view_id
        assert (slot.answer_id, slot.view_id, slot.expires_at) == (second.answer_id, theirs, None)
    assert answer(db, bob, served(db, made, bob)).extra


def unfilled(db: Database) -> list[int | None]:
    """Whose views hold the slots without an answer."""
    with db.read() as session:
        query = select(Slot.view_id).where(Slot.answer_id.is_(None)).order_by(Slot.expires_at)
        return list(session.scalars(query))


def test_a_late_answer_takes_the_slot_whose_lease_ends_first(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1), overlap=2, lease_minutes=1)
    ann, dot, bob, cem = (person(db, name, made) for name in ("ann", "dot", "bob", "cem"))
    late = served(db, made, ann)
    served(db, made, dot)
    clock.now += 61
    first = served(db, made, bob)
    clock.now += 30
    second = served(db, made, cem)
    assert unfilled(db) == [first.view_id, second.view_id]
    answer(db, ann, late)
    assert unfilled(db) == [second.view_id]


def test_a_late_answer_leaves_others_their_slot_where_one_is_free(
    db: Database, clock: Clock
) -> None:
    made = project(db, pairs(1), overlap=2, lease_minutes=1)
    late = {}
    for name in ("ann", "dot"):
        who = person(db, name, made)
        view = served(db, made, who)
        late[view.view_id] = (who, view)
    clock.now += 61
    bob = person(db, "bob", made)
    theirs = served(db, made, bob)
    with db.read() as session:  # whose slot bob got
        slot = session.scalars(select(Slot.id).where(Slot.view_id == theirs.view_id)).one()
        loser = session.scalars(
            select(View.id).where(View.slot_id == slot, View.id != theirs.view_id)
        ).one()
    assert not answer(db, *late[loser]).extra
    assert unfilled(db) == [theirs.view_id]
    assert not answer(db, bob, theirs).extra


def test_of_several_items_begun_the_latest_comes_back(db: Database, clock: Clock) -> None:
    made = project(db, pairs(2), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    first = served(db, made, ann)
    clock.now += 61
    assert served(db, made, bob).item == first.item
    second = served(db, made, ann)
    assert second.item != first.item
    clock.now += 61  # both have room again
    assert served(db, made, ann).item == second.item


@pytest.mark.parametrize("why", ["paused", "opted out"])
def test_an_item_begun_does_not_come_back_against_a_wish(
    db: Database, clock: Clock, why: str
) -> None:
    rows = [{**pairs(1)[0], "categories": ["sad"], "priority": 1.0}, *pairs(1, 1)]
    made = project(db, rows, lease_minutes=1, categories=[{"name": "sad"}])
    ann = person(db, "ann", made)
    first = served(db, made, ann)
    clock.now += 61
    if why == "paused":
        editing.pause_items(db, made, [first.item], True)
    else:
        with db.write() as session:
            session.get_one(Account, ann).preferences = {"opted_out": ["sad"]}
    assert served(db, made, ann).item != first.item


def test_one_is_told_the_first_lease_that_ends(db: Database, clock: Clock) -> None:
    made = project(db, pairs(2), lease_minutes=1)
    ann, bob, cem = (person(db, name, made) for name in ("ann", "bob", "cem"))
    served(db, made, bob)
    clock.now += 30
    served(db, made, cem)
    found = assigning.next_view(db, made, ann)
    assert isinstance(found, assigning.Nothing)
    assert found.retry_at == clock.now + 30


def test_coming_back_after_the_lease_brings_the_draft_and_the_same_order(
    db: Database, clock: Clock
) -> None:
    made = project(db, pairs(9), lease_minutes=1)
    ann = person(db, "ann", made)
    before = served(db, made, ann)
    assigning.save_draft(
        db, made, ann, before.view_id, before.lease, {"preferred": before.order[0]}
    )
    clock.now += 3600
    after = served(db, made, ann)
    assert (after.view_id, after.order, after.draft) == (
        before.view_id,
        before.order,
        {"preferred": before.order[0]},
    )
    assert after.lease != before.lease
    with pytest.raises(Conflict):
        assigning.save_draft(db, made, ann, before.view_id, before.lease, {})


def test_a_heartbeat_keeps_the_lease(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    view = served(db, made, ann)
    for beat in range(1, 5):
        clock.now += 50
        assert assigning.heartbeat(db, made, ann, view.view_id, view.lease, 40.0 * beat).held
        assert nothing(db, made, bob) == "all_leased"
    with db.read() as session:
        assert session.get_one(View, view.view_id).active_seconds == 160
    clock.now += 61
    other = served(db, made, bob)
    assert not assigning.heartbeat(db, made, ann, view.view_id, view.lease, 170.0).held
    answer(db, bob, other)
    assert not assigning.heartbeat(db, made, bob, other.view_id, other.lease, 1.0).held


def test_a_clock_set_back_frees_nothing_and_counts_nothing_below_zero(
    db: Database, clock: Clock
) -> None:
    made = project(db, pairs(2), lease_minutes=1)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    view = served(db, made, ann)
    clock.now -= 86_400
    assert served(db, made, bob).item != view.item
    assigning.heartbeat(db, made, ann, view.view_id, view.lease, 30.0)
    receipt = answer(db, ann, view, active_seconds=30.0)
    with db.read() as session:
        assert session.get_one(Answer, receipt.answer_id).active_seconds == 0


# --- sending --------------------------------------------------------------------------------------
def test_sent_twice_is_stored_once(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    first = answer(db, ann, view, key="the-same-key")
    again = answer(db, ann, view, key="the-same-key")
    assert (again.answer_id, again.repeated, first.repeated) == (first.answer_id, True, False)
    with pytest.raises(Conflict):
        answer(db, ann, view, key="another-key")
    with pytest.raises(Conflict, match="another item"):
        answer(db, ann, served(db, made, ann), key="the-same-key")
    assert counts(db, made)[2] == 1


def test_one_answer_comes_of_many_threads_sending(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: answer(db, ann, view, key="the-same-key"), range(8)))
    assert len({receipt.answer_id for receipt in receipts}) == 1
    assert sum(not receipt.repeated for receipt in receipts) == 1


def test_a_refused_answer_leaves_the_view_open(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    with pytest.raises(AnswerError) as refused:
        answer(db, ann, view, {"preferred": None})
    assert refused.value.field == "preferred"
    assert served(db, made, ann).lease == view.lease
    answer(db, ann, view)


def test_nobody_answers_for_others(db: Database) -> None:
    made = project(db)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    view = served(db, made, ann)
    for call in (
        lambda: answer(db, bob, view),
        lambda: assigning.heartbeat(db, made, bob, view.view_id, view.lease, 1.0),
        lambda: assigning.skip(db, made, bob, view.view_id, view.lease, "unsure"),
        lambda: assigning.save_draft(db, made, bob, view.view_id, view.lease, {}),
    ):
        with pytest.raises(NotHere):
            call()
    receipt = answer(db, ann, view)
    with pytest.raises(NotHere):
        assigning.undo(db, bob, receipt.answer_id)


def test_a_view_is_unknown_in_another_project(db: Database) -> None:
    made, other = project(db), project(db)
    ann = person(db, "ann", made)
    with db.write() as session:
        editing.add_member(session, other, ann, "annotator", db.now(), None)
    view = served(db, made, ann)
    turn: list[dict[str, Any]] = []
    for call in (
        lambda: assigning.heartbeat(db, other, ann, view.view_id, view.lease, 1.0),
        lambda: assigning.save_draft(db, other, ann, view.view_id, view.lease, {}),
        lambda: assigning.add_turn(db, other, ann, view.view_id, view.lease, "Hello", turn),
        lambda: assigning.skip(db, other, ann, view.view_id, view.lease, "unsure"),
    ):
        with pytest.raises(NotHere):
            call()
    receipt = answer(db, ann, view)
    with pytest.raises(NotHere):
        assigning.undo(db, ann, receipt.answer_id, other)
    assert assigning.undo(db, ann, receipt.answer_id, made) == view.view_id


def test_strangers_the_removed_and_auditors_get_nothing(db: Database) -> None:
    made = project(db)
    with pytest.raises(NotHere):
        assigning.next_view(db, made, person(db, "eve"))
    with pytest.raises(NotAllowed):
        assigning.next_view(db, made, person(db, "aud", made, "auditor"))
    ann = person(db, "ann", made)
    with db.write() as session:
        editing.set_member_state(session, made, ann, "removed", "left", db.now(), None)
    with pytest.raises(NotAllowed):
        assigning.next_view(db, made, ann)


@pytest.mark.parametrize(
    "timing",
    [
        {"active_seconds": float("nan")},
        {"active_seconds": -1},
        {"first_key_seconds": -0.1},
        {"hidden_seconds": float("inf")},
        {"speed": 3},
        {"input": "brain"},
        {"interface": "x" * 65},
    ],
)
def test_timing_is_checked(db: Database, timing: dict[str, Any]) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    with pytest.raises(ConfigError, match="timing"):
        assigning.submit(
            db, ann, view.view_id, view.lease, key(), {"preferred": view.order[0]}, timing
        )


# --- skipping, taking back ------------------------------------------------------------------------
def test_what_was_skipped_is_never_served_again_but_to_others(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    view = served(db, made, ann)
    assigning.skip(db, made, ann, view.view_id, view.lease, "distressing", "too much")
    assigning.skip(db, made, ann, view.view_id, view.lease, "distressing", "too much")
    clock.now += 1e6
    assert nothing(db, made, ann) == "done"
    with pytest.raises(Conflict):
        answer(db, ann, view)
    answer(db, bob, served(db, made, bob))
    with db.read() as session:
        kinds = list(
            session.scalars(select(Event.kind).where(Event.chain == made).order_by(Event.number))
        )
    assert kinds.count("view.skipped") == 1
    with pytest.raises(ConfigError, match="unsure"):
        assigning.skip(db, made, bob, view.view_id, view.lease, "bored")


def test_undo_within_a_minute_brings_the_view_back(db: Database, clock: Clock) -> None:
    made = project(db, pairs(3))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    view = served(db, made, ann)
    receipt = answer(db, ann, view)
    assert assigning.undo(db, ann, receipt.answer_id) == view.view_id
    assert counts(db, made) == (0, 3, 0)
    again = served(db, made, ann)
    assert (again.view_id, again.order, again.resumed) == (view.view_id, view.order, True)
    assert again.draft is not None
    assert again.draft["preferred"] == view.order[0]
    assert served(db, made, bob).item != view.item
    with pytest.raises(Conflict):
        assigning.undo(db, ann, receipt.answer_id)
    second = answer(db, ann, again, {"preferred": view.order[1]})
    clock.now += 61
    with pytest.raises(NotAllowed, match="60 seconds"):
        assigning.undo(db, ann, second.answer_id)
    assert counts(db, made) == (1, 3, 1)


def test_an_old_key_does_not_bring_an_undone_answer_back(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    receipt = answer(db, ann, view, key="sent-and-sent-again")
    assigning.undo(db, ann, receipt.answer_id)
    late = answer(db, ann, view, key="sent-and-sent-again")
    assert (late.repeated, late.state) == (True, "undone")
    assert counts(db, made)[2] == 0


def test_withdrawn_answers_open_their_slot_to_others(db: Database) -> None:
    made = project(db, pairs(1))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    receipt = answer(db, ann, served(db, made, ann))
    assert nothing(db, made, bob) == "done"
    assigning.withdraw(db, receipt.answer_id, "I changed my mind", "p-ann")
    assigning.withdraw(db, receipt.answer_id, "I changed my mind", "p-ann")
    assert nothing(db, made, ann) == "done"
    answer(db, bob, served(db, made, bob))
    with db.read() as session:
        assert session.get_one(Answer, receipt.answer_id).state == "withdrawn"
    assert counts(db, made) == (1, 1, 1)


def test_erasing_takes_what_was_said_and_leaves_the_chain(db: Database) -> None:
    made = project(db, pairs(1), critique="optional")
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    receipt = answer(db, ann, view, {"preferred": view.order[0], "critique": "my secret words"})
    assigning.withdraw(db, receipt.answer_id, "erase me", "p-ann", erase=True)
    with db.read() as session:
        stored = session.get_one(Answer, receipt.answer_id)
        assert (stored.answer, stored.records, stored.state) == (None, [], "erased")
        everything = [
            str(row)
            for table in (Event, Answer, View)
            for row in session.execute(select(*table.__table__.c))
        ]
        assert not any("secret" in row or "erase me" in row for row in everything)
        found = events.verify(session, made)
    assert (found.broken, found.erased) == (None, 1)


def test_a_reviewer_excludes_and_the_slot_opens(db: Database) -> None:
    made = project(db, pairs(1))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    receipt = answer(db, ann, served(db, made, ann))
    assigning.exclude(db, receipt.answer_id, "clicked at random", "p-rev")
    answer(db, bob, served(db, made, bob))
    with db.read() as session:
        stored = session.get_one(Answer, receipt.answer_id)
    assert (stored.state, stored.reason, len(stored.records)) == (
        "excluded",
        "clicked at random",
        1,
    )


# --- what is served first -------------------------------------------------------------------------
def test_priority_comes_first_and_a_share_is_left_to_chance(db: Database) -> None:
    made = project(db, pairs(40))
    ann = person(db, "ann", made)
    with db.read() as session:
        keys = list(session.scalars(select(Item.key).order_by(Item.id)))
    chosen = {name: 1.0 + n for n, name in enumerate(keys[:8])}
    said = editing.prioritise(db, made, {**chosen, "nowhere": 3.0}, "infogain")
    assert said == {"infogain": 8, "random": 2, "unknown": 1}
    seen = []
    for _ in range(10):
        view = served(db, made, ann)
        seen.append(view.item)
        answer(db, ann, view)
    assert set(chosen) < set(seen)
    ranks = [seen.index(name) for name in keys[:8]]
    assert ranks == sorted(ranks, reverse=True)
    with db.read() as session:
        arms = [raw[0]["meta"]["selected_by"] for raw in session.scalars(select(Answer.records))]
    assert sorted(arms) == ["infogain"] * 8 + ["random"] * 2


def test_opted_out_categories_are_not_served(db: Database) -> None:
    items = [
        {**item, "categories": ["violence"] if n % 2 else []} for n, item in enumerate(pairs(6))
    ]
    made = project(db, items, categories=[{"name": "violence"}, {"name": "50% off_"}])
    ann = person(db, "ann", made, preferences={"opted_out": ["violence", "elsewhere"]})
    seen = []
    while isinstance(view := assigning.next_view(db, made, ann), assigning.Served):
        seen.append(view)
        answer(db, ann, view)
    assert (len(seen), view.reason) == (3, "done")
    assert all(view.categories == [] for view in seen)


def test_paused_projects_members_and_items(db: Database) -> None:
    made = project(db, pairs(2))
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    editing.pause(db, made, None)
    assert nothing(db, made, ann) == "paused"
    answer(db, ann, view)  # what is under way is still taken
    editing.resume(db, made, None)
    other = served(db, made, ann)
    assigning.skip(db, made, ann, other.view_id, other.lease, "unsure")
    with db.write() as session:
        editing.set_member_state(session, made, ann, "quarantined", "please wait", db.now(), None)
    assert nothing(db, made, ann) == "paused"
    bob = person(db, "bob", made)
    assert editing.pause_items(db, made, [other.item], True) == 1
    assert nothing(db, made, bob) == "done"
    assert editing.pause_items(db, made, [other.item], False) == 1
    assert served(db, made, bob).item == other.item


def test_more_overlap_opens_slots_and_less_closes_unfilled_ones(db: Database) -> None:
    made = project(db, pairs(2), overlap=1)
    ann, bob, cem = (person(db, name, made) for name in ("ann", "bob", "cem"))
    while isinstance(view := assigning.next_view(db, made, ann), assigning.Served):
        answer(db, ann, view)
    assert nothing(db, made, bob) == "done"
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=3), None)
    assert counts(db, made) == (2, 6, 2)
    open_view = served(db, made, bob)
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=1), None)
    assert counts(db, made) == (2, 2, 2)
    assert nothing(db, made, cem) == "done"
    assert answer(db, bob, open_view).extra
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=2), None)
    assert counts(db, made) == (3, 4, 3)  # the extra answer moved in


def test_overlap_and_pauses_change_in_as_many_statements_whatever_the_number_of_items(
    db: Database,
) -> None:
    statements = []
    for items in (3, 60):
        made = project(db, pairs(items), overlap=2)
        ann, bea = (person(db, f"{name}{items}", made) for name in ("ann", "bea"))
        for account in (ann, bea):
            answer(db, account, served(db, made, account))
        on_screen = served(db, made, bea)
        with db.read() as session:
            keys = list(session.scalars(select(Item.key).where(Item.project_id == made)))
        said: list[str] = []

        def note(*about: Any, said: list[str] = said) -> None:
            said.append(about[2])

        event.listen(db._writer, "before_cursor_execute", note)
        for overlap in (4, 1):
            editing.update_settings(db, made, ProjectSettings(name="Test", overlap=overlap), None)
        assert editing.pause_items(db, made, keys, True) == items
        assert editing.pause_items(db, made, [*keys, "nobody's"], False) == items
        assert editing.pause_items(db, made, keys, False) == 0
        event.remove(db._writer, "before_cursor_execute", note)
        statements.append(len(said))
        with db.read() as session:
            slots = list(session.scalars(select(Slot).where(Slot.project_id == made)))
            states = Counter(session.scalars(select(Item.state).where(Item.project_id == made)))
            assert [slot.id for slot in slots if slot.view_id == on_screen.view_id]  # it goes last
        assert (len(slots), sum(slot.answer_id is not None for slot in slots)) == (items + 1, 2)
        assert states == {"full": 1, "active": items - 1}
    assert statements[0] == statements[1]


def test_a_slot_beyond_a_lowered_overlap_does_not_open_again(db: Database) -> None:
    made = project(db, pairs(1), overlap=2)
    ann, bob, cem = (person(db, name, made) for name in ("ann", "bob", "cem"))
    answer(db, ann, served(db, made, ann))
    second = answer(db, bob, served(db, made, bob))
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=1), None)
    assert counts(db, made) == (2, 2, 2)
    assigning.undo(db, bob, second.answer_id)
    assert counts(db, made) == (1, 1, 1)
    assert nothing(db, made, cem) == "done"
    assert answer(db, bob, served(db, made, bob)).extra


def test_overlap_counts_slots_of_higher_numbers_which_a_larger_one_has_left(db: Database) -> None:
    made = project(db, pairs(1), overlap=4)
    people = [person(db, name, made) for name in ("ann", "bob", "cem", "dot")]
    views = {who: served(db, made, who) for who in people}
    with db.read() as session:
        number = {slot.view_id: slot.number for slot in session.scalars(select(Slot))}
    middle = [who for who in people if number[views[who].view_id] in (2, 3)]
    for who in set(people) - set(middle):
        answer(db, who, views[who])
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=2), None)
    for who in middle:
        assert answer(db, who, views[who]).extra
    editing.update_settings(db, made, ProjectSettings(name="Test", overlap=3), None)
    assert counts(db, made) == (3, 3, 4)
    assert assigning.progress(db, made).extra == 1


# --- known answers --------------------------------------------------------------------------------
def gold(count: int, purpose: str = "gold") -> list[dict[str, Any]]:
    """Items whose first option is the right one."""
    return [
        {
            "prompt": f"{purpose} {n}",
            "options": [f"right {n}", f"wrong {n}"],
            "gold": {"preferred": 1},
            "purpose": purpose,
        }
        for n in range(count)
    ]


def test_gold_is_mixed_in_and_not_told_apart(db: Database) -> None:
    made = project(db, pairs(120) + gold(60), gold_rate=0.25)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    seen = []
    for account in (ann, bob):
        for _ in range(50):
            view = served(db, made, account)
            seen.append("right" in str(view.options))
            assert "gold" not in (set(view.__dict__) | set(view.shown))
            answer(db, account, view, {"preferred": view.options[0]["id"]})
    assert 5 <= sum(seen) <= 50  # of 100 at 0.25: outside with p < 1e-6
    with db.read() as session:
        judged = session.execute(
            select(Answer.correct, Item.purpose).join(Item, Item.id == Answer.item_id)
        ).all()
    assert all(correct is (True if purpose == "gold" else None) for correct, purpose in judged)
    assert assigning.progress(db, made).slots == 120


def test_screening_comes_first_and_decides(db: Database) -> None:
    settings = {"qualification": {"items": 3, "pass_share": 0.6}}
    made = project(db, pairs(2) + gold(4, "screening"), **settings)
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    for account, rights in ((ann, (True, False, True)), (bob, (True, False, False))):
        for right in rights:
            view = served(db, made, account)
            assert "right" in str(view.options)
            answer(db, account, view, {"preferred": view.options[0 if right else 1]["id"]})
    assert "answer" in str(served(db, made, ann).options)
    assert nothing(db, made, bob) == "not_qualified"
    with db.read() as session:
        assert session.get_one(Membership, (made, ann)).qualified_at is not None
        assert session.get_one(Membership, (made, bob)).qualified_at is None


def test_nothing_right_in_screening_is_counted_as_nothing(db: Database) -> None:
    settings = {"qualification": {"items": 1, "pass_share": 0.5}}
    made = project(db, pairs(1) + gold(1, "screening"), **settings)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    answer(db, ann, view, {"preferred": view.options[1]["id"]})
    assert nothing(db, made, ann) == "not_qualified"
    with db.read() as session:
        said = session.scalars(select(Event.payload).where(Event.kind == "member.screened")).one()
    assert (said["answered"], said["right"]) == (1, 0)


def test_too_few_screening_items_are_said(db: Database) -> None:
    made = project(db, pairs(2) + gold(1, "screening"), qualification={"items": 2})
    ann = person(db, "ann", made)
    answer(db, ann, served(db, made, ann))
    found = assigning.next_view(db, made, ann)
    assert isinstance(found, assigning.Nothing)
    assert (found.reason, "too few" in found.detail) == ("not_qualified", True)


# --- limits ---------------------------------------------------------------------------------------
def test_the_daily_cap_holds_until_midnight_where_the_annotator_lives(
    db: Database, clock: Clock
) -> None:
    made = project(db, daily_minutes=10)
    ann = person(db, "ann", made, preferences={"timezone": "Asia/Tokyo"})
    clock.now = 1_800_000_000.0  # 2027-01-15 08:00 UTC, 17:00 in Tokyo
    view = served(db, made, ann)
    clock.now += 700
    answer(db, ann, view, active_seconds=601)
    found = assigning.next_view(db, made, ann)
    assert isinstance(found, assigning.Nothing)
    assert (found.reason, found.retry_at) == ("cap", 1_800_000_000.0 + 7 * 3600)
    clock.now = found.retry_at or 0
    served(db, made, ann)


def test_expired_leases_are_cleared(db: Database, clock: Clock) -> None:
    made = project(db, pairs(3), lease_minutes=1)
    for name in ("ann", "bob"):
        served(db, made, person(db, name, made))
    assert assigning.progress(db, made).leased == 2
    assert assigning.reopen_expired(db, made) == 0
    clock.now += 61
    assert assigning.reopen_expired(db, made) == 2
    assert assigning.progress(db, made).leased == 0
    assert unfilled(db) == [None] * 3
    assert assigning.reopen_expired(db, made) == 0


def test_a_disabled_account_cannot_go_on(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    with db.write() as session:
        session.get_one(Account, ann).disabled_at = db.now()
    with pytest.raises(NotAllowed):
        answer(db, ann, view)


def test_an_answer_can_be_undone_up_to_the_sixtieth_second(db: Database, clock: Clock) -> None:
    made = project(db, pairs(1))
    ann = person(db, "ann", made)
    receipt = answer(db, ann, served(db, made, ann))
    assert receipt.undo_until == clock.now + 60
    clock.now += 60
    assert assigning.undo(db, ann, receipt.answer_id)
    again = answer(db, ann, served(db, made, ann))
    clock.now += 60.01
    with pytest.raises(NotAllowed):
        assigning.undo(db, ann, again.answer_id)


def test_a_key_stands_for_one_item_whichever_was_shown_first(db: Database) -> None:
    made = project(db, pairs(3))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    skipped, used = served(db, made, ann), key()
    assigning.skip(db, made, ann, skipped.view_id, skipped.lease, "unsure")
    view = served(db, made, ann)
    answer(db, ann, view, key=used)
    later = served(db, made, ann)
    for other in (skipped, later):
        with pytest.raises(Conflict, match="another item"):
            answer(db, ann, other, key=used)
    assert not answer(db, ann, later).repeated  # under a key that sorts after the first
    assert answer(db, ann, view, key=used).repeated
    assert not answer(db, bob, served(db, made, bob), key=used).repeated  # a key of his own


def test_the_progress_of_a_project_is_its_own(db: Database) -> None:
    """Others lie before and after it."""
    made = [project(db, pairs(n), overlap=n) for n in (1, 3, 2)]
    people = [person(db, f"p{n}") for n in range(3)]
    for at in made:
        for who in people:
            with db.write() as session:
                editing.add_member(session, at, who, "annotator", db.now(), None)
    for who in people[:2]:
        for at in made:
            if isinstance(view := assigning.next_view(db, at, who), assigning.Served):
                answer(db, who, view)
    seen = [assigning.progress(db, at) for at in made]
    assert [(p.items, p.slots, p.filled) for p in seen] == [(1, 1, 1), (3, 9, 2), (2, 4, 2)]
    assert [(p.leased, p.extra) for p in seen] == [(0, 0)] * 3
    assert [p.complete for p in seen] == [1, 0, 1]


def test_timing_is_taken_to_its_ends(db: Database) -> None:
    made = project(db, pairs(1))
    ann = person(db, "ann", made)
    given = {"active_seconds": 0, "first_key_seconds": 0, "hidden_seconds": 0, "input": "touch"}
    receipt = answer(db, ann, served(db, made, ann), **given, interface="x" * 64)
    assert (receipt.state, receipt.repeated) == ("live", False)


def test_a_category_is_known_by_its_very_name(db: Database) -> None:
    """Whatever its signs stand for in a pattern."""
    name, others = "50% off_", ["50 per cent off_", "50% offs", "50 off_", "off"]
    items = [
        {**item, "categories": [c]} for item, c in zip(pairs(9), [name, *others], strict=False)
    ]
    made = project(db, items, categories=[{"name": c} for c in (name, *others)])
    ann = person(db, "ann", made, preferences={"opted_out": [name]})
    seen = []
    while isinstance(view := assigning.next_view(db, made, ann), assigning.Served):
        seen += view.categories
        answer(db, ann, view)
    assert sorted(seen) == sorted(others)


@pytest.mark.parametrize("reason", ["please wait", None])
def test_who_is_paused_is_told_why(db: Database, reason: str | None) -> None:
    made = project(db, pairs(1))
    ann = person(db, "ann", made)
    with db.write() as session:
        editing.set_member_state(session, made, ann, "quarantined", reason, db.now(), None)
    found = assigning.next_view(db, made, ann)
    assert isinstance(found, assigning.Nothing)
    assert found.detail == (reason or "Your work here was paused by a manager.")


def test_a_view_is_looked_at_again_by_its_annotator_alone(db: Database) -> None:
    made = project(db, pairs(1))
    ann, bob = person(db, "ann", made), person(db, "bob", made)
    view = served(db, made, ann)
    assert replace(assigning.peek(db, made, ann, view.view_id), resumed=False) == view
    for account, number in ((bob, view.view_id), (ann, view.view_id + 1)):
        with pytest.raises(NotHere):
            assigning.peek(db, made, account, number)


def test_an_answer_key_has_8_to_64_characters() -> None:
    for length, taken in ((7, False), (8, True), (64, True), (65, False)):
        body = {"lease": "l" * 22, "key": "k" * length, "answer": {}}
        if taken:
            assert bodies.SubmitIn.model_validate(body).key == body["key"]
        else:
            with pytest.raises(ValidationError, match="key"):
                bodies.SubmitIn.model_validate(body)


def test_seconds_are_numbers_and_not_many() -> None:
    seconds: TypeAdapter[float] = TypeAdapter(bodies.Seconds)
    assert seconds.validate_python(0) == 0
    assert seconds.validate_python(1e9 - 1) == 1e9 - 1
    for wrong in (-0.1, 1e9, "5", True, None, float("nan")):
        with pytest.raises(ValidationError):
            seconds.validate_python(wrong)


def test_what_was_dealt_with_takes_no_draft(db: Database) -> None:
    made = project(db, pairs(2))
    ann = person(db, "ann", made)
    answered = served(db, made, ann)
    draft = {"preferred": answered.order[0]}
    assigning.save_draft(db, made, ann, answered.view_id, answered.lease, draft)
    answer(db, ann, answered)
    skipped = served(db, made, ann)
    assigning.skip(db, made, ann, skipped.view_id, skipped.lease, "unsure")
    for view in (answered, skipped):
        with pytest.raises(Conflict, match="in another window"):
            assigning.save_draft(db, made, ann, view.view_id, view.lease, draft)
