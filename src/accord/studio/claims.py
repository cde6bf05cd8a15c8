"""Which item and slot: the queries behind the queue.

The claim walks the index `item_by_priority` from its end and stops at the first item that fits, so its cost does not grow
with the project: items whose slots are all filled leave that range (state "full").
"""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, delete, exists, func, not_, or_, select, update
from sqlalchemy.orm import Session, aliased

from accord.studio.members import Person
from accord.studio.tables import Answer, Item, Slot, View


def opted_out(person: Person) -> list[str]:
    """Categories the annotator does not want to see (`preferences["opted_out"]`) that the project has."""
    wanted = person.account.preferences.get("opted_out", [])
    return [c.name for c in person.settings.categories if c.name in wanted]


def in_categories(names: list[str]) -> ColumnElement[bool]:
    """Items in any of the categories; names are stored as a JSON list, so each stands in quotes."""
    stored = cast(Item.categories, String)
    return or_(*(stored.contains(json.dumps(name), autoescape=True) for name in names))


def is_free(now: float) -> ColumnElement[bool]:
    """Not filled, and leased by nobody or by somebody whose lease has run out."""
    return and_(Slot.answer_id.is_(None), or_(Slot.view_id.is_(None), Slot.expires_at < now))


def wanted_items(person: Person, purpose: str) -> list[ColumnElement[bool]]:
    """Active items that this annotator has not been shown and wants to see."""
    seen = exists().where(View.item_id == Item.id, View.account_id == person.account.id)
    conditions = [
        Item.project_id == person.project.id, Item.purpose == purpose, Item.state == "active", not_(seen),
    ]  # fmt: skip
    avoided = opted_out(person)
    return [*conditions, not_(in_categories(avoided))] if avoided else conditions


def claimable(person: Person, now: float) -> Select[int, int]:
    """The free slot of the best item: highest priority, ties by the stored draw; on PostgreSQL locked, or passed over."""
    return (
        select(Slot.id, Slot.item_id)
        .select_from(Item)
        .join(Slot, Slot.item_id == Item.id)
        .where(*wanted_items(person, "work"), is_free(now))
        .order_by(Item.priority.desc(), Item.draw.desc(), Slot.number)
        .limit(1)
        .with_for_update(of=Slot, skip_locked=True)
    )


def unseen(session: Session, person: Person, purpose: str) -> Item | None:
    """The next gold or screening item the annotator has not seen."""
    query = select(Item).where(*wanted_items(person, purpose)).order_by(Item.priority.desc(), Item.draw.desc()).limit(1)
    return session.scalars(query).first()


def screened(session: Session, person: Person) -> tuple[int, int]:
    """(screening items answered, of them right) by this annotator."""
    query = (
        select(func.count(), func.sum(case((Answer.correct.is_(True), 1), else_=0)))
        .select_from(Answer)
        .join(Item, Item.id == Answer.item_id)
        .where(Answer.account_id == person.account.id, Answer.project_id == person.project.id)
        .where(Answer.state == "live", Item.purpose == "screening")
    )
    answered, right = session.execute(query).one()
    return int(answered), int(right or 0)


def own_slot(session: Session, item: Item, account_id: int) -> int:
    """A gold item has room for everybody: a slot per annotator, numbered by the account, made when it is needed."""
    slot = Slot(project_id=item.project_id, item_id=item.id, number=account_id)
    session.add(slot)
    session.flush()
    return slot.id


def lock_item(session: Session, item_id: int) -> Item:
    """The item, locked: what fills and reopens its slots queues up here."""
    query = select(Item).where(Item.id == item_id).with_for_update(key_share=True)
    return session.scalars(query).one()


def slot_for_answer(session: Session, view: View, now: float) -> Slot | None:
    """Where a view's answer goes: its own slot, else a free one, else the one whose lease ends first.

    Taking a leased but unfilled slot keeps the count right at once: the answer that exists fills it, and the other
    annotator's, should it come, is the extra one. None when every slot is filled. The item must be locked.
    """
    query = select(Slot).where(Slot.item_id == view.item_id, Slot.answer_id.is_(None)).with_for_update(of=Slot)
    open_slots = list(session.scalars(query))

    def order(slot: Slot) -> tuple[bool, bool, float, int]:
        leased = slot.view_id is not None and (slot.expires_at or 0) >= now
        return slot.id != view.slot_id or slot.view_id != view.id, leased, slot.expires_at or 0, slot.number

    return min(open_slots, key=order, default=None)


def mark_full(session: Session, item: Item) -> None:
    """Take the item out of the claim's range once every slot is filled, or back into it. The item must be locked."""
    if item.purpose != "work" or item.state == "paused":
        return
    session.flush()
    opened = session.scalar(select(Slot.id).where(Slot.item_id == item.id, Slot.answer_id.is_(None)).limit(1))
    item.state = "full" if opened is None else "active"


def release(session: Session, view: View) -> None:
    """Give back a slot that the view holds without an answer in it."""
    held = (Slot.id == view.slot_id, Slot.view_id == view.id, Slot.answer_id.is_(None))
    session.execute(update(Slot).where(*held).values(view_id=None, expires_at=None))


def reopen(session: Session, item: Item, answer_id: str) -> Slot | None:
    """Empty the slot that the answer filled; an extra answer to the item moves in if there is one.

    Returns the slot when it is free now. The item must be locked.
    """
    query = select(Slot).where(Slot.item_id == item.id, Slot.answer_id == answer_id).with_for_update()
    slot = session.scalars(query).first()
    if slot is None:
        return None
    slot.answer_id = slot.view_id = slot.expires_at = None
    session.flush()
    return None if move_in(session, item, slot) else slot


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
    answer.extra, slot.answer_id, slot.view_id, slot.expires_at = False, answer.id, answer.view_id, None
    session.flush()
    return True


def drop_slots(session: Session, item: Item, overlap: int) -> None:
    """Take unfilled slots away until `overlap` are left; those on nobody's screen first. The item must be locked."""
    query = select(Slot).where(Slot.item_id == item.id).with_for_update(of=Slot)
    slots = list(session.scalars(query))
    spare = sorted((s for s in slots if s.answer_id is None), key=lambda s: (s.view_id is not None, -s.number))
    gone = [slot.id for slot in spare[: max(0, len(slots) - overlap)]]
    session.execute(update(View).where(View.slot_id.in_(gone)).values(slot_id=None))
    session.execute(delete(Slot).where(Slot.id.in_(gone)))
