"""Which item and slot: the queries behind the queue.

The claim walks the index `item_by_priority` from its end and stops at the first item that fits, so
its cost does not grow
with the project: items whose slots are all filled leave that range (state "full").
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased

from accord.studio.people.members import Person
from accord.studio.storage.tables import Answer, Item, Slot, View


def opted_out(person: Person) -> list[str]:
    """Categories the annotator does not want to see (`preferences["opted_out"]`) that the project
    has."""
    wanted = person.preferences.get("opted_out", [])
    return [c.name for c in person.settings.categories if c.name in wanted]


def in_categories(names: list[str]) -> ColumnElement[bool]:
    """Items in any of the categories; names are stored as a JSON list, so each stands in quotes."""
    stored = cast(Item.categories, String)
    return or_(*(stored.contains(json.dumps(name), autoescape=True) for name in names))


def is_free() -> ColumnElement[bool]:
    """Not filled, and leased by nobody or by somebody whose lease ran out before the parameter
    `now`."""
    return and_(
        Slot.answer_id.is_(None), or_(Slot.view_id.is_(None), Slot.expires_at < bindparam("now"))
    )


_seen = exists().where(View.item_id == Item.id, View.account_id == bindparam("account"))
WANTED = (
    Item.project_id == bindparam("project"), Item.purpose == bindparam("purpose"),
    Item.state == "active", not_(_seen),
)  # fmt: skip
"""Active items that this annotator has not been shown."""
BEST = (Item.priority.desc(), Item.draw.desc())
_COLUMNS = (
    Item.id, Item.key, Item.draw, Item.prompt, Item.options, Item.tools, Item.chat_template_kwargs,
    Item.categories, Item.assistance,
)  # fmt: skip
_CLAIM = (
    select(Slot.id.label("slot_id"), *_COLUMNS)
    .select_from(Item)
    .join(Slot, Slot.item_id == Item.id)
    .where(*WANTED, is_free())
    .order_by(*BEST)
    .limit(1)
    .with_for_update(of=Slot, skip_locked=True)
)
_free_slot = select(Slot.id).where(Slot.item_id == Item.id, is_free()).limit(1).scalar_subquery()
_CLAIM_SQLITE = (
    select(_free_slot.label("slot_id"), *_COLUMNS)
    .where(*WANTED, _free_slot.is_not(None))
    .order_by(*BEST)
    .limit(1)
)
"""Without locks, and so that SQLite cannot begin with the slots: it would sort all open ones."""
_UNSEEN = select(Item).where(*WANTED).order_by(*BEST).limit(1)
_LOCK_ITEM = (
    select(Item)
    .where(Item.id == bindparam("item"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_OPEN_SLOTS = (
    select(Slot)
    .where(Slot.item_id == bindparam("item"), Slot.answer_id.is_(None))
    .with_for_update(of=Slot)
    .execution_options(populate_existing=True)
)
_LEASE = (
    update(Slot)
    .where(Slot.id == bindparam("slot"))
    .values(view_id=bindparam("by"), expires_at=bindparam("until"))
).execution_options(synchronize_session=False)


def wanted(
    person: Person, purpose: str, **more: Any
) -> tuple[list[ColumnElement[bool]], dict[str, Any]]:
    """(what the annotator's preferences add to `WANTED`, the parameters)."""
    avoided = opted_out(person)
    asked = {"project": person.project_id, "account": person.account_id, "purpose": purpose, **more}
    return [not_(in_categories(avoided))] if avoided else [], asked


def claim(session: Session, person: Person, now: float) -> Any:
    """The best item (highest priority, ties by the stored draw) with a free slot: a row of slot_id
    and the item's columns, the slot locked on PostgreSQL, or None."""
    more, asked = wanted(person, "work", now=now)
    query = _CLAIM_SQLITE if session.get_bind().dialect.name == "sqlite" else _CLAIM
    return session.execute(query.where(*more) if more else query, asked).first()


def lease_slot(session: Session, slot_id: int, view_id: int, until: float) -> None:
    """Give a slot to a view."""
    session.execute(_LEASE, {"slot": slot_id, "by": view_id, "until": until})


def unseen(session: Session, person: Person, purpose: str) -> Item | None:
    """The next gold or screening item the annotator has not seen."""
    more, asked = wanted(person, purpose)
    return session.scalars(_UNSEEN.where(*more) if more else _UNSEEN, asked).first()


def screened(session: Session, person: Person) -> tuple[int, int]:
    """(screening items answered, of them right) by this annotator."""
    query = (
        select(func.count(), func.sum(case((Answer.correct.is_(True), 1), else_=0)))
        .select_from(Answer)
        .join(Item, Item.id == Answer.item_id)
        .where(Answer.account_id == person.account_id, Answer.project_id == person.project_id)
        .where(Answer.state == "live", Item.purpose == "screening")
    )
    answered, right = session.execute(query).one()
    return int(answered), int(right or 0)


def own_slot(session: Session, item: Item, account_id: int) -> int:
    """A gold item has room for everybody: a slot per annotator, numbered by the account, made when
    it is needed."""
    slot = Slot(project_id=item.project_id, item_id=item.id, number=account_id)
    session.add(slot)
    session.flush()
    return slot.id


def lock_item(session: Session, item_id: int) -> Item:
    """The item, locked: what fills and reopens its slots queues up here."""
    return session.scalars(_LOCK_ITEM, {"item": item_id}).one()


def slot_for_answer(session: Session, view: View, now: float) -> tuple[Slot | None, bool]:
    """(where a view's answer goes, whether that fills the last slot).

    Its own slot, else a free one, else the one whose lease ends first. Taking a leased but unfilled
    slot keeps the count
    right at once: the answer that exists fills it, and the other annotator's, should it come, is
    the extra one. None when every slot is filled. The item must be locked.
    """
    open_slots = list(session.scalars(_OPEN_SLOTS, {"item": view.item_id}))

    def order(slot: Slot) -> tuple[bool, tuple[bool, float, int]]:
        return slot.id != view.slot_id or slot.view_id != view.id, least_held(slot, now)

    return min(open_slots, key=order, default=None), len(open_slots) == 1


def least_held(slot: Slot, now: float) -> tuple[bool, float, int]:
    """Sorts unfilled slots: free ones first, then the one whose lease ends first."""
    return (
        slot.view_id is not None and (slot.expires_at or 0) >= now,
        slot.expires_at or 0,
        slot.number,
    )


def mark_full(session: Session, *which: ColumnElement[bool]) -> None:
    """Take items of the work out of the claim's range once every slot is filled, or back into it.
    The items must be locked; loaded objects are read again."""
    session.flush()
    unfilled = exists().where(Slot.item_id == Item.id, Slot.answer_id.is_(None))
    for state, fits in (("active", unfilled), ("full", ~unfilled)):
        stays = (Item.purpose == "work", Item.state.not_in(("paused", state)))
        change = update(Item).where(*which, *stays, fits).values(state=state)
        session.execute(change, execution_options={"synchronize_session": False})
    session.expire_all()


def release(session: Session, view: View) -> None:
    """Give back a slot that the view holds without an answer in it."""
    held = (Slot.id == view.slot_id, Slot.view_id == view.id, Slot.answer_id.is_(None))
    session.execute(update(Slot).where(*held).values(view_id=None, expires_at=None))


def reopen(session: Session, item: Item, answer_id: str, overlap: int) -> Slot | None:
    """Empty the slot that the answer filled; an extra answer to the item moves in if there is one.

    Returns the slot when it is free now; None too when it went because the overlap was lowered
    since. The item must be locked.
    """
    query = (
        select(Slot).where(Slot.item_id == item.id, Slot.answer_id == answer_id).with_for_update()
    )
    slot = session.scalars(query).first()
    if slot is None:
        return None
    slot.answer_id = slot.view_id = slot.expires_at = None
    session.flush()
    if move_in(session, item, slot):
        return None
    theirs, slot_id = Slot.item_id == item.id, slot.id
    lock_rows(session, select(Slot.id).where(theirs, Slot.answer_id.is_(None)).with_for_update())
    drop_slots(session, overlap, theirs)
    return session.scalars(select(Slot).where(Slot.id == slot_id)).one_or_none()


def move_in(session: Session, item: Item, slot: Slot) -> bool:
    """Fill a slot with the oldest extra answer to the item; False when there is none."""
    other = aliased(Answer)
    query = (
        select(other)
        .where(other.item_id == item.id, other.extra.is_(True), other.state == "live")
        .order_by(other.created_at)
        .limit(1)
    )
    answer = session.scalars(query).first()
    if answer is None:
        return False
    answer.extra, slot.answer_id, slot.view_id, slot.expires_at = (
        False,
        answer.id,
        answer.view_id,
        None,
    )
    session.flush()
    return True


def lock_rows(session: Session, rows: Select[Any]) -> None:
    """Lock the rows of a SELECT ... FOR UPDATE, without fetching them."""
    session.execute(select(func.count()).select_from(rows.subquery()))


def drop_slots(session: Session, overlap: int, *which: ColumnElement[bool]) -> None:
    """Take unfilled slots of the work away until every item has `overlap` left, those on nobody's
    screen first; filled ones stay.

    which: says which slots, all of an item's or none. Their items and the unfilled ones of them
    must be locked; loaded objects are read again.
    """
    session.flush()
    order = (
        case((Slot.answer_id.is_(None), 0), else_=1),
        case((Slot.view_id.is_(None), 0), else_=1),
        Slot.number.desc(),
    )
    ranked = (
        select(
            Slot.id,
            Slot.answer_id,
            func.row_number().over(partition_by=Slot.item_id, order_by=order).label("place"),
            func.count().over(partition_by=Slot.item_id).label("slots"),
        )
        .join(Item, Item.id == Slot.item_id)
        .where(*which, Item.purpose == "work")
        .subquery()
    )
    gone = select(ranked.c.id).where(
        ranked.c.answer_id.is_(None), ranked.c.place <= ranked.c.slots - overlap
    )
    quietly = {"synchronize_session": False}
    session.execute(
        update(View).where(View.slot_id.in_(gone)).values(slot_id=None), execution_options=quietly
    )
    session.execute(delete(Slot).where(Slot.id.in_(gone)), execution_options=quietly)
    session.expire_all()
