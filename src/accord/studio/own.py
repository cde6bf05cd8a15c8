"""What is one's own: preferences, work with its time and pay, all data kept, and taking it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from accord.studio import events, members, submission, wellbeing
from accord.studio.accounts import Visitor
from accord.studio.database import Database
from accord.studio.errors import Conflict, NotHere
from accord.studio.settings import ProjectSettings
from accord.studio.tables import Account, Answer, ApiToken, Item, Login, Membership, Project, Question, View


@dataclass(frozen=True)
class Work:
    """One's part in a project. seconds: active time; pay: in `currency`, where the project says what an hour is worth;
    agreed of compared: answers of others to the same items that say the same, None where answers cannot be equal."""

    name: str
    slug: str
    role: str
    state: str
    answers: int
    seconds: float
    seconds_today: float
    pay: float | None
    currency: str
    agreed: int | None
    compared: int | None


def account(session: Session, account_id: int) -> Account:
    """One's account."""
    return session.get_one(Account, account_id)


def works(session: Session, who: Account, now: float) -> list[Work]:
    """One's part in every project, by name."""
    query = (
        select(Project, Membership)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.account_id == who.id)
        .order_by(Project.name)
    )
    today = wellbeing.day_start(who, now)
    made = []
    for project, member in session.execute(query):
        settings = members.settings_of(project)
        mine = (View.project_id == project.id, View.account_id == who.id)
        seconds = float(session.scalar(select(func.coalesce(func.sum(View.active_seconds), 0.0)).where(*mine)) or 0)
        recent = select(func.coalesce(func.sum(View.active_seconds), 0.0)).where(*mine, View.served_at >= today)
        answers = select(func.count()).where(
            Answer.project_id == project.id, Answer.account_id == who.id, Answer.state == "live"
        )
        agreed, compared = agreement(session, project.id, who.id, settings)
        pay = None if settings.pay_per_hour is None else settings.pay_per_hour * seconds / 3600
        made.append(
            Work(
                project.name, project.slug, member.role, member.state, session.scalar(answers) or 0, seconds,
                float(session.scalar(recent) or 0), pay, settings.currency, agreed, compared,
            )
        )  # fmt: skip
    return made


_EQUAL = {
    "comparison": ("preferred", "tie", "both_bad"), "clips": ("preferred", "tie", "both_bad"), "thumb": ("up",),
    "best_worst": ("best", "worst"), "flags": ("flags",), "ranking": ("order",),
}  # fmt: skip


def agreement(
    session: Session, project_id: int, account_id: int, settings: ProjectSettings
) -> tuple[int | None, int | None]:
    """How many answers of others to one's items say just the same, of how many; gold is left out."""
    fields = _EQUAL.get(settings.task)
    if fields is None:
        return None, None
    live = (Answer.project_id == project_id, Answer.state == "live", Item.purpose == "work")
    query = select(Answer.item_id, Answer.account_id, Answer.answer).join(Item, Item.id == Answer.item_id).where(*live)
    own_items = select(Answer.item_id).where(
        Answer.project_id == project_id, Answer.account_id == account_id, Answer.state == "live"
    )
    said: dict[int, Any] = {}
    others: list[tuple[int, Any]] = []
    for item, who, answer in session.execute(query.where(Answer.item_id.in_(own_items))):
        main = [(answer or {}).get(name) for name in fields]
        if who == account_id:
            said[item] = main
        else:
            others.append((item, main))
    pairs = [(said[item], main) for item, main in others if item in said]
    return sum(a == b for a, b in pairs), len(pairs)


def tokens(session: Session, account_id: int, now: float) -> Sequence[ApiToken]:
    """Keys that work."""
    query = select(ApiToken).where(ApiToken.account_id == account_id, ApiToken.revoked_at.is_(None))
    return [found for found in session.scalars(query.order_by(ApiToken.id)) if (found.expires_at or now + 1) > now]


def categories(session: Session, account_id: int) -> list[tuple[str, str]]:
    """Kinds of content (name, what it is called) in one's projects."""
    query = (
        select(Project).join(Membership, Membership.project_id == Project.id).where(Membership.account_id == account_id)
    )
    found = {c.name: c.label or c.name for p in session.scalars(query) for c in members.settings_of(p).categories}
    return sorted(found.items())


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


# --- changes ---------------------------------------------------------------------------------------------------------
def set_preferences(db: Database, me: Visitor, language: str, preferences: dict[str, Any]) -> None:
    """Keep preferences; not an event: they are nobody else's business."""

    def work(session: Session) -> None:
        found = session.get_one(Account, me.id)
        found.language, found.preferences = language, {**found.preferences, **preferences}

    db.transact(work)


def set_attributes(db: Database, me: Visitor, attributes: dict[str, str]) -> None:
    """Keep what one says about oneself; that it changed is an event, what was said is not."""

    def work(session: Session) -> None:
        session.get_one(Account, me.id).attributes = dict(attributes)
        session.flush()
        said = {"fields": sorted(attributes)}
        events.append(session, events.HOUSE, "attributes.changed", me.public, me.public, db.now(), said)

    db.transact(work)


def everything(session: Session, account_id: int) -> dict[str, Any]:
    """All that is kept about a person. Secrets (password, tokens' and sessions' hashes) and known answers stay out."""
    who = session.get_one(Account, account_id)
    answers = select(Answer, Project.slug).join(Project, Project.id == Answer.project_id)
    questions = select(Question, Project.slug).join(Project, Project.id == Question.project_id)
    views = select(View, Project.slug).join(Project, Project.id == View.project_id)
    memberships = select(Membership, Project.slug).join(Project, Project.id == Membership.project_id)
    return {
        "account": {
            "public": who.public, "name": who.name, "role": who.role, "created_at": who.created_at, "language": who.language,
            "preferences": who.preferences, "attributes": who.attributes,
        },
        "memberships": [
            {"project": slug, "role": m.role, "state": m.state, "reason": m.reason, "guideline_read": m.guideline_read}
            for m, slug in session.execute(memberships.where(Membership.account_id == account_id))
        ],
        "answers": [
            {
                "id": a.id, "project": slug, "answer": a.answer, "state": a.state, "reason": a.reason, "created_at": a.created_at,
                "active_seconds": a.active_seconds,
            }
            for a, slug in session.execute(answers.where(Answer.account_id == account_id).order_by(Answer.created_at))
        ],
        "views": [
            {
                "project": slug, "served_at": v.served_at, "state": v.state, "skip_reason": v.skip_reason, "skip_note": v.skip_note,
                "draft": v.draft, "active_seconds": v.active_seconds,
            }
            for v, slug in session.execute(views.where(View.account_id == account_id).order_by(View.served_at))
        ],
        "questions": [
            {"project": slug, "text": q.text, "created_at": q.created_at, "reply": q.reply}
            for q, slug in session.execute(questions.where(Question.account_id == account_id).order_by(Question.id))
        ],
    }  # fmt: skip


def withdraw_one(db: Database, me: Visitor, answer_id: str, reason: str) -> None:
    """Take one of one's answers out for good. Raises NotHere for anybody else's."""
    with db.read() as session:
        author = session.scalar(select(Answer.account_id).where(Answer.id == answer_id))
    if author != me.id:
        raise NotHere("there is no such answer of yours")
    submission.withdraw(db, answer_id, reason, me.public)


def erase(db: Database, me: Visitor, answers: bool) -> None:
    """Erase a person: name, password, attributes, preferences, questions, drafts; with `answers`, every answer too.

    What stays is a number without a person: answers not erased stand under the public id. The last owner stays.
    """

    def alone(session: Session) -> bool:
        query = select(func.count()).where(Account.role == "owner", Account.disabled_at.is_(None), Account.id != me.id)
        return me.role == "owner" and not session.scalar(query)

    with db.read() as session:
        if alone(session):
            raise Conflict("somebody must own the house", "make another owner first")
        every = list(session.scalars(select(Answer.id).where(Answer.account_id == me.id))) if answers else []
    for answer_id in every:
        submission.withdraw(db, answer_id, "erased at its author's wish", me.public, erase=True)

    def work(session: Session) -> None:
        now = db.now()
        who = session.get_one(Account, me.id)
        who.name, who.password, who.subject = f"erased {who.public}", None, None
        who.attributes, who.preferences, who.disabled_at, who.erased_at = {}, {}, now, now
        session.execute(delete(Login).where(Login.account_id == me.id))
        session.execute(update(ApiToken).where(ApiToken.account_id == me.id).values(revoked_at=now))
        session.execute(update(Question).where(Question.account_id == me.id).values(text="(erased)"))
        session.execute(update(View).where(View.account_id == me.id).values(draft=None, skip_note=None))
        session.execute(update(Membership).where(Membership.account_id == me.id).values(state="removed", reason=None))
        session.flush()
        events.erase_payloads(session, events.HOUSE, me.public, me.public, now)
        events.append(session, events.HOUSE, "account.erased", me.public, me.public, now, {"answers": len(every)})

    db.transact(work)
