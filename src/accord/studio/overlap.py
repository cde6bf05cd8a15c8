"""Changes to all items of a project at once, in statements whose number does not grow with the items."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, case, delete, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session

from accord.studio import claims
from accord.studio.tables import Answer, Item, Slot, View

AT_ONCE = 5000
"""Keys in one statement: databases take some ten thousand parameters at most."""


def change_overlap(session: Session, project_id: int, overlap: int) -> None:
    """Slots 1..overlap for every item of the work; extra answers move into new ones; filled ones are never taken away,
    unfilled ones on nobody's screen go first."""
    work = (Item.project_id == project_id, Item.purpose == "work")
    _lock(session, select(Item.id).where(*work).order_by(Item.id).with_for_update(key_share=True))
    _lock(session, select(Slot.id).where(Slot.project_id == project_id, Slot.answer_id.is_(None)).with_for_update())
    last = session.scalar(select(func.max(Slot.id))) or 0
    has = select(func.count()).select_from(Slot).where(Slot.item_id == Item.id).scalar_subquery()
    for number in range(1, overlap + 1):  # the first numbers that are missing, until there are enough
        there = exists().where(Slot.item_id == Item.id, Slot.number == number)
        wanted = select(literal(project_id), Item.id, literal(number)).where(*work, ~there, has < overlap)
        session.execute(insert(Slot).from_select(["project_id", "item_id", "number"], wanted))
    _move_in(session, project_id, last)
    _drop(session, project_id, overlap)
    mark_full(session, *work)


def mark_full(session: Session, *which: ColumnElement[bool]) -> None:
    """As `claims.mark_full`, for many items of the work, which must be locked."""
    session.flush()
    opened = exists().where(Slot.item_id == Item.id, Slot.answer_id.is_(None))
    for state, fits in (("active", opened), ("full", ~opened)):
        stays = (Item.purpose == "work", Item.state.not_in(("paused", state)))
        change = update(Item).where(*which, *stays, fits).values(state=state)
        session.execute(change, execution_options={"synchronize_session": False})
    session.expire_all()


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
        mark_full(session, *these)
    return changed


def _lock(session: Session, rows: object) -> None:
    """Lock the rows of a SELECT ... FOR UPDATE, without fetching them."""
    session.execute(select(func.count()).select_from(rows.subquery()))  # type: ignore[attr-defined]


def _move_in(session: Session, project_id: int, last: int) -> None:
    """Extra answers into slots newer than `last`; only items that have some are visited."""
    extra = exists().where(Answer.item_id == Slot.item_id, Answer.extra.is_(True), Answer.state == "live")
    query = (
        select(Slot, Item)
        .join(Item, Item.id == Slot.item_id)
        .where(Slot.project_id == project_id, Slot.id > last, extra)
        .order_by(Slot.item_id, Slot.number)
    )
    for slot, item in list(session.execute(query)):
        claims.move_in(session, item, slot)
    session.flush()


def _drop(session: Session, project_id: int, overlap: int) -> None:
    order = (
        case((Slot.answer_id.is_(None), 0), else_=1),
        case((Slot.view_id.is_(None), 0), else_=1),
        Slot.number.desc(),
    )
    ranked = (
        select(
            Slot.id, Slot.answer_id, func.row_number().over(partition_by=Slot.item_id, order_by=order).label("place"),
            func.count().over(partition_by=Slot.item_id).label("slots"),
        )
        .join(Item, Item.id == Slot.item_id)
        .where(Slot.project_id == project_id, Item.purpose == "work")
        .subquery()
    )  # fmt: skip
    gone = select(ranked.c.id).where(ranked.c.answer_id.is_(None), ranked.c.place <= ranked.c.slots - overlap)
    quietly = {"synchronize_session": False}
    session.execute(update(View).where(View.slot_id.in_(gone)).values(slot_id=None), execution_options=quietly)
    session.execute(delete(Slot).where(Slot.id.in_(gone)), execution_options=quietly)
    session.expire_all()
