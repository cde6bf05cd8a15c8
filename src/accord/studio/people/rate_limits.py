"""Limits on how often somebody may try.

A limit that refuses is counted and shown to the house's owners: a gate that turns honest people
away must be heard.
"""

from __future__ import annotations

import logging

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from accord.studio.errors import NotAllowed
from accord.studio.people.accounts import digest
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Attempt

LIMITS = {
    "login": (10, 300.0), "login-from": (60, 300.0), "join": (30, 300.0), "token": (60, 300.0),
    "openid": (60, 300.0),
    "password": (30, 300.0),
}  # fmt: skip
"""What is tried -> how often within how many seconds, per name or address."""
LOG = logging.getLogger("accord.studio")


class TooMany(NotAllowed):
    """Too many tries; `retry_at` says when to come back."""

    def __init__(self, retry_at: float, now: float) -> None:
        super().__init__(
            f"too many tries; wait {max(1, round(retry_at - now))} seconds",
            "then try again, it is not blocked for good",
        )
        self.retry_at = retry_at


def attempt(db: Database, what: str, who: str) -> None:
    """Count a try; raises TooMany beyond the limit, which is counted and logged as well.

    Tries are counted in the database: the limit is one for all processes, however many try at once.
    """
    limit, seconds = LIMITS[what]
    subject = f"{what}:{digest(who)[:40]}"
    now = db.now()

    def work(session: Session) -> float | None:
        if not db.sqlite:  # a writer is alone in SQLite; here two could count at once and both pass
            session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(subject, 0))))
        session.execute(delete(Attempt).where(Attempt.at < now - 86400))
        recent = (
            select(Attempt.at)
            .where(Attempt.subject == subject, Attempt.at > now - seconds)
            .order_by(Attempt.at)
        )
        times = list(session.scalars(recent))
        session.add(Attempt(subject=subject if len(times) < limit else f"refused:{what}", at=now))
        return None if len(times) < limit else times[-limit] + seconds

    retry_at = db.transact(work)
    if retry_at is not None:
        LOG.warning(
            "refused a try at %s: more than %d in %g s from one name or address",
            what,
            limit,
            seconds,
        )
        raise TooMany(retry_at, now)


def forgive(db: Database, what: str, who: str, only_last: bool = False) -> None:
    """Forget tries that ended well; `only_last`: just the last one, where many people share an
    address."""
    subject = f"{what}:{digest(who)[:40]}"

    def work(session: Session) -> None:
        tries = select(Attempt.id).where(Attempt.subject == subject).order_by(Attempt.id.desc())
        attempt_ids = list(session.scalars(tries.limit(1) if only_last else tries))
        session.execute(delete(Attempt).where(Attempt.id.in_(attempt_ids)))

    db.transact(work)


def refusals(session: Session, since: float) -> dict[str, int]:
    """How many tries the limits refused, by what was tried."""
    query = (
        select(Attempt.subject, func.count())
        .where(Attempt.subject.startswith("refused:"), Attempt.at > since)
        .group_by(Attempt.subject)
    )
    return {subject.removeprefix("refused:"): count for subject, count in session.execute(query)}
