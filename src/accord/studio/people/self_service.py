"""What people do about themselves: preferences, their work with its time and pay, all data kept,
and taking answers back (erasing.py: erasing oneself)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accord.studio.people import api_tokens, members, wellbeing
from accord.studio.people.accounts import Visitor
from accord.studio.people.bodies import PreferencesIn
from accord.studio.people.wellbeing import Consistency, Load
from accord.studio.queue import submission
from accord.studio.queue.assigning import as_served
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import (
    Account,
    Answer,
    ApiToken,
    Item,
    Membership,
    Project,
    Question,
    View,
)
from accord.studio.tasks import blinding


@dataclass(frozen=True)
class Work:
    """One's part in a project, with its time and pay, and how one's answers look beside those of
    others."""

    name: str
    slug: str
    role: str
    state: str
    load: Load
    consistency: Consistency


def account(session: Session, account_id: int) -> Account:
    """One's account."""
    return session.get_one(Account, account_id)


def works(db: Database, account_id: int) -> list[Work]:
    """One's part in every project, by name."""
    query = (
        select(Project.id, Project.name, Project.slug, Membership.role, Membership.state)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.account_id == account_id)
        .order_by(Project.name)
    )
    with db.read() as session:
        rows = session.execute(query).all()
    return [
        Work(
            row.name,
            row.slug,
            row.role,
            row.state,
            wellbeing.load(db, row.id, account_id),
            wellbeing.consistency(db, row.id, account_id),
        )
        for row in rows
    ]


def tokens(session: Session, account_id: int, now: float) -> Sequence[ApiToken]:
    """Keys that work."""
    query = select(ApiToken).where(*api_tokens.live(account_id, now))
    return list(session.scalars(query.order_by(ApiToken.id)))


def categories(session: Session, account_id: int) -> list[tuple[str, str]]:
    """Kinds of content (name, what it is called) in one's projects."""
    query = (
        select(Project)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.account_id == account_id)
    )
    labels = {
        c.name: c.label or c.name
        for p in session.scalars(query)
        for c in members.settings_of(p).categories
    }
    return sorted(labels.items())


def recent_answers(session: Session, account_id: int) -> list[tuple[Answer, str]]:
    """One's last answers with their projects' names."""
    query = (
        select(Answer, Project.name)
        .join(Project, Project.id == Answer.project_id)
        .where(Answer.account_id == account_id, Answer.state == "live")
        .order_by(Answer.created_at.desc())
        .limit(20)
    )
    return [(answer, name) for answer, name in session.execute(query)]


def minutes_used(session: Session, who: Account, now: float) -> float:
    """Active minutes of today, in all projects."""
    query = select(func.sum(View.active_seconds)).where(
        View.account_id == who.id, View.served_at >= wellbeing.day_start(who, now)
    )
    return float(session.scalar(query) or 0.0) / 60


# --- changes --------------------------------------------------------------------------------------
def set_preferences(db: Database, me: Visitor, chosen: PreferencesIn) -> None:
    """Keep preferences; not an event: they are nobody else's business."""

    def work(session: Session) -> None:
        account = session.get_one(Account, me.id)
        account.language = chosen.language
        kept = chosen.model_dump(exclude={"language"})
        account.preferences = {**account.preferences, **kept}

    db.transact(work)


def set_attributes(db: Database, me: Visitor, attributes: dict[str, str]) -> None:
    """Keep what one says about oneself; that it changed is an event, what was said is not."""

    def work(session: Session) -> None:
        session.get_one(Account, me.id).attributes = dict(attributes)
        session.flush()
        payload = {"fields": sorted(attributes)}
        events.append(
            session, events.HOUSE, "attributes.changed", me.public, me.public, db.now(), payload
        )

    db.transact(work)


def _shown(query: Any) -> Any:
    """Views with what was shown in them."""
    return query.join(Item, Item.id == View.item_id).join(Project, Project.id == View.project_id)


def _answer_as_shown(
    answer: dict[str, Any] | None, view: View, item: Item, project: Project
) -> dict[str, Any] | None:
    """An answer in the words it was given in: about places and masked text, since who wrote what is
    not one's own data."""
    return (
        None
        if answer is None
        else blinding.answer_as_shown(answer, as_served(view, item), members.settings_of(project))
    )


def everything(session: Session, account_id: int) -> dict[str, Any]:
    """All that is kept about a person. Secrets (password, tokens' and sessions' hashes) and known
    answers stay out."""
    who = session.get_one(Account, account_id)
    answers = _shown(select(Answer, View, Item, Project).join(View, View.id == Answer.view_id))
    questions = select(Question, Project.slug).join(Project, Project.id == Question.project_id)
    views = _shown(select(View, Item, Project))
    memberships = select(Membership, Project.slug).join(
        Project, Project.id == Membership.project_id
    )
    return {
        "account": {
            "public": who.public,
            "name": who.name,
            "role": who.role,
            "created_at": who.created_at,
            "language": who.language,
            "preferences": who.preferences,
            "attributes": who.attributes,
            "signs_in_as": who.subject,
        },
        "memberships": [
            {
                "project": slug,
                "role": m.role,
                "state": m.state,
                "reason": m.reason,
                "guideline_read": m.guideline_read,
            }
            for m, slug in session.execute(memberships.where(Membership.account_id == account_id))
        ],
        "answers": [
            {
                "id": a.id,
                "project": p.slug,
                "answer": _answer_as_shown(a.answer, v, i, p),
                "state": a.state,
                "reason": a.reason,
                "created_at": a.created_at,
                "active_seconds": a.active_seconds,
            }
            for a, v, i, p in session.execute(
                answers.where(Answer.account_id == account_id).order_by(Answer.created_at)
            )
        ],
        "views": [
            {
                "project": p.slug,
                "served_at": v.served_at,
                "state": v.state,
                "skip_reason": v.skip_reason,
                "skip_note": v.skip_note,
                "draft": v.draft
                if v.draft is None or "state" in v.draft
                else _answer_as_shown(v.draft, v, i, p),
                "active_seconds": v.active_seconds,
            }
            for v, i, p in session.execute(
                views.where(View.account_id == account_id).order_by(View.served_at)
            )
        ],
        "questions": [
            {"project": slug, "text": q.text, "created_at": q.created_at, "reply": q.reply}
            for q, slug in session.execute(
                questions.where(Question.account_id == account_id).order_by(Question.id)
            )
        ],
    }


def withdraw_one(db: Database, me: Visitor, answer_id: str, reason: str) -> None:
    """Take one of one's answers out for good. Raises NotHere for anybody else's."""
    submission.withdraw(db, answer_id, reason, me.public, Answer.account_id == me.id)
