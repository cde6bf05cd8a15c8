"""People's load: active minutes, what they were spent on, breaks, caps, and what the time is worth.

How active time is counted (the browser counts, this is the rule it follows and shows): time counts while the page is
visible, reading included. A stretch without key, pointer or scroll counts up to `IDLE_SECONDS`, the rest of it does not.
Time with the page hidden never counts. The server takes no more than the clock allows since the item was served.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accord.studio.members import Person
from accord.studio.tables import Account, View

IDLE_SECONDS = 180.0
"""The most that a stretch without key, pointer or scroll counts: reading a long text is work."""


def active_total(view: View, reported: float, now: float) -> float:
    """A view's active seconds, the browser's total believed: it only grows, and not beyond the clock since it was first
    served."""
    return max(view.active_seconds, min(reported, max(0.0, now - view.served_at)))


def day_start(account: Account | Person, now: float) -> float:
    """Midnight of the annotator's day (`preferences["timezone"]`, an IANA name; UTC where there is none)."""
    return _midnight(account, now).timestamp()


def _midnight(account: Account | Person, now: float) -> datetime:
    try:
        zone = ZoneInfo(str(account.preferences.get("timezone", "UTC")))
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return datetime.fromtimestamp(now, UTC).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def cap_reached(session: Session, person: Person, now: float) -> float | None:
    """When the annotator may go on (the next midnight of theirs), or None while minutes are left."""
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
