"""Erasing a person, at their wish: by themselves, by an owner whom they asked, at the studio's
machine.

Whoever does it, the same goes and the same stays, and `Footprint` says it before.

What goes: name, password, sign-in elsewhere, what they said about themselves, preferences,
sessions, tokens, open links they made, drafts, the notes of what they skipped, the texts of their
questions, the reasons given for their state, and what the house's log says about them; with
`answers`, whatever they answered, in the log too.
What stays: a public id without a person, under which answers stand that were not erased; that
something happened and when, in the log; guidelines and replies written for all; exports and
backups made before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from accord.studio.errors import Conflict
from accord.studio.people import accounts, api_tokens, invitations, members
from accord.studio.queue import submission
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import (
    Account,
    Answer,
    ApiToken,
    Event,
    Guideline,
    Invitation,
    Item,
    Login,
    Membership,
    Question,
    SignInUnderWay,
    View,
)

REASON = "erased at its author's wish"


@dataclass(frozen=True)
class Footprint:
    """How much there is of a person.

    projects they take part in; answers that can be erased or stay; sessions, tokens and open
    invitations that end; drafts, notes (of skips) and questions that go; replies and guidelines,
    written for all, that stay.
    """

    projects: int
    answers: int
    sessions: int
    tokens: int
    invitations: int
    drafts: int
    notes: int
    questions: int
    replies: int
    guidelines: int


def footprint(session: Session, account_id: int, now: float) -> Footprint:
    """What erasing an account would meet."""

    def count(whose: InstrumentedAttribute[Any], *which: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(whose.class_).where(whose == account_id, *which)
        return session.scalar(query) or 0

    return Footprint(
        projects=count(Membership.account_id, Membership.state != "removed"),
        answers=count(Answer.account_id, Answer.state != "erased"),
        sessions=count(Login.account_id, Login.expires_at > now),
        tokens=count(ApiToken.account_id, *api_tokens.live(account_id, now)),
        invitations=count(Invitation.created_by, *invitations.still_open(now)),
        drafts=count(View.account_id, View.draft.is_not(None)),
        notes=count(View.account_id, View.skip_note.is_not(None)),
        questions=count(Question.account_id),
        replies=count(Question.replied_by, Question.reply.is_not(None)),
        guidelines=count(Guideline.created_by),
    )


def check_named(db: Database, public: str, name: str, by: str) -> None:
    """An owner says by name whom they mean. Raises NotHere, Conflict for another name, or for
    themselves."""
    with db.read() as session:
        account = accounts.by_public(session, public)
    if public == by:
        raise Conflict("this is your own account", "erase it on your own page")
    if accounts.same_name(name) != accounts.same_name(account.name):
        raise Conflict(
            f"the name {name!r} is not the name of this account", f"write {account.name}"
        )


def erase(db: Database, public: str, answers: bool, by: str | None) -> int:
    """Erase a person for good; returns how many answers went. by: public id of who does it, None
    at the machine. Who may is the caller's to check.

    Raises NotHere for nobody (or somebody erased), Conflict for the last owner. Broken off, it is
    finished by doing it again: until the end the account is as it was, but for its answers.
    """

    def check(session: Session) -> list[str]:
        account = accounts.by_public(session, public)
        accounts.keep_an_owner(session, account)
        return _answers(session, account.id) if answers else []

    erased = db.transact(check)
    for answer_id in erased:  # each for itself: others can go on in between
        submission.withdraw(db, answer_id, REASON, by, erase=True)
    return db.transact(lambda session: _erase(session, public, answers, len(erased), by, db.now()))


def _answers(session: Session, account_id: int) -> list[str]:
    """Those that still say something."""
    query = select(Answer.id).where(Answer.account_id == account_id, Answer.state != "erased")
    return list(session.scalars(query.order_by(Answer.created_at)))


def _erase(
    session: Session, public: str, answers: bool, erased: int, by: str | None, now: float
) -> int:
    who = accounts.by_public(session, public)
    accounts.keep_an_owner(session, who)
    _leave_projects(session, who, by, now)
    late = _answers(session, who.id) if answers else []  # sent while the others were erased
    for answer_id in late:
        submission.retire(session, answer_id, "erased", REASON, by, now)
    _erase_notes(session, who, by, now)
    _shut(session, who, now)
    session.execute(update(Question).where(Question.account_id == who.id).values(text="(erased)"))
    session.execute(
        update(View).where(View.account_id == who.id).values(draft=None, skip_note=None)
    )
    who.name, who.password, who.subject = f"erased {public}", None, None
    who.attributes, who.preferences, who.disabled_at, who.erased_at = {}, {}, now, now
    session.flush()
    events.erase_payloads(session, events.HOUSE, public, by, now)
    payload = {"answers": erased + len(late)}
    events.append(session, events.HOUSE, "account.erased", public, by, now, payload)
    return erased + len(late)


def _shut(session: Session, who: Account, now: float) -> None:
    """End every way in."""
    session.execute(delete(Login).where(Login.account_id == who.id))
    session.execute(delete(SignInUnderWay).where(SignInUnderWay.account_id == who.id))
    api_tokens.revoke_all(session, who.id, now)
    session.execute(update(ApiToken).where(ApiToken.account_id == who.id).values(name="(erased)"))
    accounts.end_links(session, who.id, now)


def _leave_projects(session: Session, who: Account, by: str | None, now: float) -> None:
    """Out of every project: whoever sends an answer meanwhile is refused. What managers wrote about
    their state goes, in the log too."""
    mine = Membership.account_id == who.id
    session.execute(update(Membership).where(mine).values(state="removed", reason=None))
    projects = select(Membership.project_id).where(mine).order_by(Membership.project_id)
    states = Event.kind.in_([f"member.{state}" for state in members.STATES])
    for project_id in session.scalars(projects).all():
        state_events = select(Event.id).where(
            Event.chain == project_id, Event.subject == who.public, states, Event.salt.is_not(None)
        )
        if session.scalar(state_events.limit(1)) is not None:
            events.erase_payloads(session, project_id, who.public, by, now, states)


def _erase_notes(session: Session, who: Account, by: str | None, now: float) -> None:
    """What they wrote when they skipped an item, in the projects' logs."""
    query = select(View.project_id, Item.key).join(Item, Item.id == View.item_id)
    noted = query.where(View.account_id == who.id, View.skip_note.is_not(None))
    for project_id, key in session.execute(noted.order_by(View.project_id, Item.key)).all():
        mine = (Event.kind == "view.skipped", Event.actor == who.public)
        events.erase_payloads(session, project_id, key, by, now, *mine)
