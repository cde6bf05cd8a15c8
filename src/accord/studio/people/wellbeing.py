"""People's load: active minutes, what they were spent on, breaks, caps, and what the time is worth.

How active time is counted (the browser counts, this is the rule it follows and shows): time counts
while the page is visible, reading included. A stretch without key, pointer or scroll counts up to
`IDLE_SECONDS`, the rest of it does not. Time with the page hidden never counts. The server takes no
more than the clock allows since the item was served.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accord.studio.people.members import Person, settings_of
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Item, Project, View

IDLE_SECONDS = 180.0
"""The most that a stretch without key, pointer or scroll counts: reading a long text is work."""


def active_total(view: View, reported: float, now: float) -> float:
    """A view's active seconds, the browser's total believed: it only grows, and not beyond the
    clock since it was first served."""
    return max(view.active_seconds, min(reported, max(0.0, now - view.served_at)))


def day_start(account: Account | Person, now: float) -> float:
    """Midnight of the annotator's day (`preferences["timezone"]`, an IANA name; UTC where there is
    none)."""
    return _midnight(account, now).timestamp()


def _midnight(account: Account | Person, now: float) -> datetime:
    try:
        zone = ZoneInfo(str(account.preferences.get("timezone", "UTC")))
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return (
        datetime.fromtimestamp(now, UTC)
        .astimezone(zone)
        .replace(hour=0, minute=0, second=0, microsecond=0)
    )


def cap_reached(session: Session, person: Person, now: float) -> float | None:
    """When the annotator may go on (the next midnight of theirs), or None while minutes are
    left."""
    if person.settings.daily_minutes is None:
        return None
    query = select(func.sum(View.active_seconds)).where(
        View.account_id == person.account_id,
        View.project_id == person.project_id,
        View.served_at >= day_start(person, now),
    )
    if (session.scalar(query) or 0.0) < person.settings.daily_minutes * 60:
        return None
    return (_midnight(person, now) + timedelta(days=1)).timestamp()


@dataclass(frozen=True)
class Load:
    """Somebody's day in a project. exposure: active minutes per sensitive category; pay: what
    today's time is worth by the project's rate (an estimate; None without a rate); break_due:
    propose one now."""

    minutes_today: float
    minutes_total: float
    minutes_left: float | None
    exposure: dict[str, float]
    exposure_today: dict[str, float]
    since_break: float
    break_due: bool
    pay_today: float | None
    pay_total: float | None
    currency: str


BREAK_SECONDS = 300.0
"""Time away that counts as a break."""


def load(db: Database, project_id: int, account_id: int) -> Load:
    """An annotator's active time in a project, from every view they had, skipped ones too: looking
    was work."""
    now = db.now()
    with db.read() as session:
        account = session.get_one(Account, account_id)
        settings = settings_of(session.get_one(Project, project_id))
        query = (
            select(View.served_at, View.active_seconds, Item.categories)
            .join(Item, Item.id == View.item_id)
            .where(View.project_id == project_id, View.account_id == account_id)
            .order_by(View.served_at)
        )
        rows = session.execute(query).all()
    start = day_start(account, now)
    total = sum(row.active_seconds for row in rows)
    today = sum(row.active_seconds for row in rows if row.served_at >= start)
    stretch = _since_break([(row.served_at, row.active_seconds) for row in rows], now)
    every, rate = settings.break_every_minutes, settings.pay_per_hour
    return Load(
        minutes_today=today / 60,
        minutes_total=total / 60,
        minutes_left=None
        if settings.daily_minutes is None
        else max(0.0, settings.daily_minutes - today / 60),
        exposure=_exposure([(row.categories, row.active_seconds) for row in rows]),
        exposure_today=_exposure(
            [(row.categories, row.active_seconds) for row in rows if row.served_at >= start]
        ),
        since_break=stretch / 60,
        break_due=every is not None and stretch >= every * 60,
        pay_today=None if rate is None else rate * today / 3600,
        pay_total=None if rate is None else rate * total / 3600,
        currency=settings.currency,
    )


def _exposure(rows: list[tuple[list[str], float]]) -> dict[str, float]:
    """Minutes per category; an item in two categories counts for both."""
    minutes: dict[str, float] = {}
    for categories, seconds in rows:
        for name in categories:
            minutes[name] = minutes.get(name, 0.0) + seconds / 60
    return minutes


def _since_break(views: list[tuple[float, float]], now: float) -> float:
    """Active seconds since the last time away of `BREAK_SECONDS`: a gap between the end of one
    view's active time and
    the next view. views: (served at, active seconds), oldest first."""
    stretch, end = 0.0, None
    for served_at, active in views:
        if end is not None and served_at - end >= BREAK_SECONDS:
            stretch = 0.0
        stretch += active
        end = max(served_at + active, end or 0.0)
    return 0.0 if end is not None and now - end >= BREAK_SECONDS else stretch


@dataclass(frozen=True)
class Consistency:
    """What an annotator may know of their own judgements. answers: all of them. agreed of compared:
    answers of others to the same items with the same main part; first_share: how often the option
    shown first was preferred (an even hand is near half). Both are of the days before today and of
    the work alone: numbers that move after one answer would give items with known answers away, and
    so would numbers that do not."""

    answers: int
    agreed: int
    compared: int
    first_share: float | None


_MAIN = (
    "preferred",
    "tie",
    "both_bad",
    "order",
    "all_bad",
    "best",
    "worst",
    "scores",
    "up",
    "labels",
)
"""Fields by which answers of people can be equal; words and marked passages are not compared."""


def consistency(db: Database, project_id: int, account_id: int) -> Consistency:
    """The annotator's own numbers, from live answers."""
    work = select(Item.id).where(Item.project_id == project_id, Item.purpose == "work")
    given = (
        Answer.project_id == project_id,
        Answer.state == "live",
        Answer.account_id == account_id,
    )
    with db.read() as session:
        count = session.scalar(select(func.count()).where(*given)) or 0
        today = day_start(session.get_one(Account, account_id), db.now())
        live = (
            Answer.project_id == project_id,
            Answer.state == "live",
            Answer.item_id.in_(work),
            Answer.created_at < today,
        )
        mine = session.execute(
            select(Answer.item_id, Answer.answer, View.shown)
            .join(View, View.id == Answer.view_id)
            .where(*live, Answer.account_id == account_id)
        ).all()
        own = select(Answer.item_id).where(*live, Answer.account_id == account_id)
        others = session.execute(
            select(Answer.item_id, Answer.answer).where(
                *live, Answer.account_id != account_id, Answer.item_id.in_(own)
            )
        ).all()
    my_answers = {row.item_id: _main(row.answer) for row in mine}
    pairs = [
        (my_answers[row.item_id], _main(row.answer)) for row in others if my_answers[row.item_id]
    ]
    chosen = [
        row.answer["preferred"] == row.shown["order"][0]
        for row in mine
        if row.answer and row.answer.get("preferred")
    ]
    return Consistency(
        answers=count,
        agreed=sum(a == b for a, b in pairs),
        compared=len(pairs),
        first_share=sum(chosen) / len(chosen) if chosen else None,
    )


def _main(answer: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (answer or {}).items() if name in _MAIN}
