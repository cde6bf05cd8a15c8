"""Where an annotator stands in a project: what they answered, what there is still for them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from accord.studio.people import members, wellbeing
from accord.studio.people.members import Person
from accord.studio.queue import claims
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Item, Slot, View

MOST_COUNTED = 500
"""Items that are counted: more are more than anybody does in a sitting, and to count each of a
million for everybody who asks would cost what claiming does not."""


@dataclass(frozen=True)
class Workload:
    """answers: live ones of theirs here, of all items alike; left: items they have open or may
    still be asked about, as things are now (items may come, and others may answer); more: there
    are more than that; seconds_today: active ones of theirs since their day began."""

    answers: int
    left: int
    more: bool
    seconds_today: float


def workload(db: Database, project_id: int, account_id: int) -> Workload:
    """Where they stand. What they see of it tells nobody which items have a known answer: those
    count as any other, answered or not, and each answer takes one from `left`. The price: known
    answers that will never be asked for, since the work ends before, are in it until it does.

    Raises NotHere without a membership, NotAllowed for who was removed.
    """
    with db.read() as session:
        person = members.look(session, project_id, account_id)
        mine = select(func.count()).where(
            Answer.project_id == project_id,
            Answer.account_id == account_id,
            Answer.state == "live",
        )
        account = session.get_one(Account, account_id)
        today = select(func.coalesce(func.sum(View.active_seconds), 0.0)).where(
            View.project_id == project_id,
            View.account_id == account_id,
            View.served_at >= wellbeing.day_start(account, db.now()),
        )
        begun = _open(session, person, db.now())
        left = sum(begun.values()) + _to_come(session, person, begun)
        return Workload(
            answers=session.scalar(mine) or 0,
            left=min(left, MOST_COUNTED),
            more=left > MOST_COUNTED,
            seconds_today=float(session.scalar(today) or 0.0),
        )


_unfilled = (
    select(Slot.id)
    .where(Slot.item_id == Item.id, Slot.answer_id.is_(None))
    .limit(1)
    .scalar_subquery()
)
"""A scalar and no EXISTS, so that SQLite begins with the items, as for a claim."""


def _open(session: Session, person: Person, now: float) -> dict[str, int]:
    """Items begun and not answered, by their purpose: what is on their screen, and what is served
    to them again since nobody else has filled it."""
    again = and_(Item.state != "paused", _unfilled.is_not(None))
    begun = (
        select(Item.purpose, func.count())
        .select_from(View)
        .join(Item, Item.id == View.item_id)
        .where(
            View.account_id == person.account_id,
            View.project_id == person.project_id,
            View.state == "served",
            or_(View.expires_at >= now, again),
        )
        .group_by(Item.purpose)
    )
    return {purpose: int(count) for purpose, count in session.execute(begun)}


def _to_come(session: Session, person: Person, begun: dict[str, int]) -> int:
    """Items not shown yet, of the work and of what is mixed into it or comes before it."""
    settings = person.settings
    count = _unseen(session, person, "work")
    if settings.gold_rate:
        count += _unseen(session, person, "gold")
    if settings.qualification is not None and person.qualified_at is None:
        asked = claims.screened(session, person)[0] + begun.get("screening", 0)
        wanted = max(settings.qualification.items - asked, 0)
        count += min(wanted, _unseen(session, person, "screening"))
    return count


def _unseen(session: Session, person: Person, purpose: str) -> int:
    """Up to one more than MOST_COUNTED. Gold has room for everybody; of the work those count that
    have an unfilled slot, on another screen or not, which is what `assigning` calls done."""
    more, asked = claims.wanted(person, purpose)
    room = [_unfilled.is_not(None)] if purpose == "work" else []
    some = select(Item.id).where(*claims.WANTED, *more, *room).limit(MOST_COUNTED + 1)
    return session.scalar(select(func.count()).select_from(some.subquery()), asked) or 0
