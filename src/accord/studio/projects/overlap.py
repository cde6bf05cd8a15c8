"""Changes to many items of a project at once, in statements whose number does not grow with the
items."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from sqlalchemy import (
    ColumnElement,
    and_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from accord.studio.people.members import settings_of
from accord.studio.queue import claims
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Answer, Item, Project, Slot

AT_ONCE = 5000
"""Keys in one statement: databases take some ten thousand parameters at most."""


BATCH = 200
"""Items whose slots are changed in one transaction."""


_slots = select(func.count()).select_from(Slot).where(Slot.item_id == Item.id).scalar_subquery()


def level(db: Database, project_id: int) -> None:
    """Give every item of the work as many slots as the project's settings say: batch after batch,
    others in between. After each one it rests for as long as that took: other processes ask for
    SQLite's file again and again instead of queueing up, and would find it taken.

    Each batch goes by the settings of its moment, so that of two changes at once the later one
    holds. Broken off, it is finished by whoever calls it again (saving the settings does).
    """
    unfilled = exists().where(Slot.item_id == Item.id, Slot.answer_id.is_(None))
    with db.read() as session:
        overlap = settings_of(session.get_one(Project, project_id)).overlap
        query = (
            select(Item.id)
            .where(Item.project_id == project_id, Item.purpose == "work")
            .where(or_(_slots < overlap, and_(_slots > overlap, unfilled)))
        )
        ids = sorted(session.scalars(query))
    for start in range(0, len(ids), BATCH):
        some = partial(_level_some, project_id=project_id, ids=ids[start : start + BATCH])
        time.sleep(db.transact(some))


def _level_some(session: Session, project_id: int, ids: Sequence[int]) -> float:
    """Seconds it took, without the time it waited for others to finish writing."""
    began = time.monotonic()
    _change(session, project_id, settings_of(session.get_one(Project, project_id)).overlap, ids)
    return time.monotonic() - began


def _change(session: Session, project_id: int, overlap: int, ids: Sequence[int]) -> None:
    """Slots 1..overlap for these items of the work; extra answers move into new ones; filled ones
    are never taken away, unfilled ones on nobody's screen go first."""
    work = (Item.id.in_(ids), Item.purpose == "work")
    theirs = (Slot.item_id.in_(ids),)  # not by project: SQLite would walk all its slots
    claims.lock_rows(
        session, select(Item.id).where(*work).order_by(Item.id).with_for_update(key_share=True)
    )
    claims.lock_rows(
        session, select(Slot.id).where(*theirs, Slot.answer_id.is_(None)).with_for_update()
    )
    newest = session.scalar(select(func.max(Slot.id))) or 0
    for number in range(
        1, overlap + 1
    ):  # the first numbers that are missing, until there are enough
        there = exists().where(Slot.item_id == Item.id, Slot.number == number)
        wanted = select(literal(project_id), Item.id, literal(number)).where(
            *work, ~there, _slots < overlap
        )
        session.execute(insert(Slot).from_select(["project_id", "item_id", "number"], wanted))
    _move_in(session, theirs, newest)
    claims.drop_slots(session, overlap, *theirs)
    claims.mark_full(session, *work)


def pause_items(session: Session, project_id: int, keys: Sequence[str], paused: bool) -> list[str]:
    """Take items out of the queue, or back in; returns the keys of those that changed."""
    changed: list[str] = []
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), AT_ONCE):
        these = (Item.project_id == project_id, Item.key.in_(wanted[start : start + AT_ONCE]))
        moves = (*these, Item.state != "paused" if paused else Item.state == "paused")
        query = select(Item.key).where(*moves).order_by(Item.id).with_for_update(key_share=True)
        changed += session.scalars(query)
        change = update(Item).where(*moves).values(state="paused" if paused else "active")
        session.execute(change, execution_options={"synchronize_session": False})
        claims.mark_full(session, *these)
    return changed


def _move_in(session: Session, theirs: Sequence[ColumnElement[bool]], newest: int) -> None:
    """Extra answers into slots newer than `newest`; only items that have some are visited."""
    extra = exists().where(
        Answer.item_id == Slot.item_id, Answer.extra.is_(True), Answer.state == "live"
    )
    query = (
        select(Slot, Item)
        .join(Item, Item.id == Slot.item_id)
        .where(*theirs, Slot.id > newest, extra)
        .order_by(Slot.item_id, Slot.number)
    )
    for slot, item in list(session.execute(query)):
        claims.move_in(session, item, slot)
    session.flush()
