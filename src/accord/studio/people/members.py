"""Who takes part in a project, and the one lock that makes an annotator's requests queue up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from sqlalchemy import Select, Text, bindparam, cast, func, select
from sqlalchemy.orm import Session

from accord.studio.errors import FieldError, NotAllowed, NotHere
from accord.studio.people.accounts import Visitor
from accord.studio.projects.settings import ProjectSettings, settings_from
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Guideline, Membership, Project

Role = Literal["owner", "manager", "reviewer", "annotator", "auditor"]
ROLES: tuple[str, ...] = get_args(Role)
MemberState = Literal["active", "paused", "quarantined", "removed"]
STATES: tuple[str, ...] = get_args(MemberState)
ABOVE = {"annotator": 0, "auditor": 1, "reviewer": 1, "manager": 2, "owner": 3}
"""Nobody gives a role above their own, nor changes people above them."""
RISES = {
    "annotator": ("reviewer", "manager", "owner"),
    "reviewer": ("manager", "owner"),
    "manager": ("owner",),
    "auditor": ("manager", "owner"),
    "owner": (),
}
"""What an invitation may make of a member: a role that allows whatever theirs does. An auditor's
does not follow on an annotator's or a reviewer's, nor they on it: it judges nothing."""


@dataclass(frozen=True)
class Person:
    """An account in a project, its membership locked until the transaction ends. guideline: the
    latest version."""

    project_id: int
    account_id: int
    slug: str
    seed: int
    stopped: bool
    public: str
    preferences: dict[str, Any]
    state: str
    reason: str | None
    qualified_at: float | None
    guideline: int
    settings: ProjectSettings


_latest = (
    select(func.max(Guideline.version)).where(Guideline.project_id == Project.id).scalar_subquery()
)
PERSON = (
    Membership.project_id, Membership.account_id, Membership.role, Membership.state,
    Membership.reason,
    Membership.qualified_at, Account.public, Account.preferences, Account.disabled_at, Project.slug,
    Project.seed,
    Project.paused_at, Project.archived_at, cast(Project.settings, Text).label("settings"),
    _latest.label("guideline"),
)  # fmt: skip
"""The columns of a `Person`: statements of every request are built once, with their parameters left
open."""
_LOOK = (
    select(*PERSON)
    .join(Account, Account.id == Membership.account_id)
    .join(Project, Project.id == Membership.project_id)
    .where(
        Membership.project_id == bindparam("project"), Membership.account_id == bindparam("account")
    )
)
_ENTER = _LOOK.with_for_update(of=Membership, key_share=True)


def enter(session: Session, project_id: int, account_id: int) -> Person:
    """Lock the membership and load what every step of work needs.

    Raises NotHere, or NotAllowed for who was removed or only looks on.
    """
    return _person(session, _ENTER, project_id, account_id)


def look(session: Session, project_id: int, account_id: int) -> Person:
    """The same without a lock, for who only reads; raises as `enter` does."""
    return _person(session, _LOOK, project_id, account_id)


def _person(session: Session, query: Select[Any], project_id: int, account_id: int) -> Person:
    row = session.execute(query, {"project": project_id, "account": account_id}).one_or_none()
    if row is None:
        raise NotHere(
            "there is no such project, or you do not belong to it",
            "ask its manager for an invitation",
        )
    return person_of(row)


def person_of(row: Any) -> Person:
    """A row of `PERSON` columns as a Person; raises NotAllowed for who may not judge."""
    if row.state == "removed" or row.disabled_at is not None:
        raise NotAllowed("you no longer take part in this project", "ask its manager")
    if row.role == "auditor":
        raise NotAllowed(
            "auditors look on and do not judge", "ask the project's manager for another role"
        )
    return Person(
        project_id=row.project_id,
        account_id=row.account_id,
        slug=row.slug,
        seed=row.seed,
        stopped=row.paused_at is not None or row.archived_at is not None,
        public=row.public,
        preferences=row.preferences,
        state=row.state,
        reason=row.reason,
        qualified_at=row.qualified_at,
        guideline=row.guideline or 0,
        settings=_settings(row.settings),
    )


def settings_of(project: Project) -> ProjectSettings:
    """The project's settings, validated; equal settings are validated once."""
    return _settings(json.dumps(project.settings))


@lru_cache(maxsize=64)
def _settings(text: str) -> ProjectSettings:
    return settings_from(json.loads(text))


def role_in(who: Visitor, member: Membership | None) -> str | None:
    """What somebody is in a project, by their membership there: owners and auditors of the house
    are that in every project. None for who takes no part."""
    if who.role in ("owner", "auditor"):
        return who.role
    return None if member is None or member.state == "removed" else member.role


def _locked_member(session: Session, project_id: int, account_id: int) -> Membership:
    member = session.get(Membership, (project_id, account_id), with_for_update={"key_share": True})
    if member is None:
        raise NotHere("this account does not belong to the project")
    return member


def add_member(
    session: Session, project_id: int, account_id: int, role: str, at: float, by: str | None
) -> Membership:
    """Let an account into a project; a member becomes active, with that role. An event. by: public
    id of who does it."""
    account = session.get(Account, account_id)
    if account is None or session.get(Project, project_id) is None:
        raise NotHere("there is no such account or project")
    member = session.get(Membership, (project_id, account_id))
    if member is None:
        member = Membership(project_id=project_id, account_id=account_id, role=role, created_at=at)
        session.add(member)
    else:
        member.role, member.state, member.reason = role, "active", None
    session.flush()
    events.append(session, project_id, "member.added", account.public, by, at, {"role": role})
    return member


def change_role(
    session: Session, project_id: int, account_id: int, role: str, at: float, by: str | None
) -> None:
    """Give a member another role; their state and its reason stay. An event."""
    member = _locked_member(session, project_id, account_id)
    payload = {"role": role, "before": member.role}
    member.role = role
    public = session.get_one(Account, account_id).public
    session.flush()
    events.append(session, project_id, "member.role", public, by, at, payload)


def set_member_state(
    session: Session,
    project_id: int,
    account_id: int,
    state: str,
    reason: str | None,
    at: float,
    by: str | None,
) -> None:
    """Pause, quarantine, remove or bring back a member; an event."""
    member = _locked_member(session, project_id, account_id)
    member.state, member.reason = state, reason
    public = session.get_one(Account, account_id).public
    session.flush()
    events.append(session, project_id, f"member.{state}", public, by, at, {"reason": reason})


def check_may_give(role: str, own_role: str) -> None:
    """Raises NotAllowed for a role above the giver's."""
    if ABOVE[role] > ABOVE[own_role]:
        raise NotAllowed("nobody gives a role above their own", "ask an owner")


def _found(session: Session, project_id: int, public: str) -> tuple[Membership, Account]:
    query = select(Membership, Account).join(Account, Account.id == Membership.account_id)
    row = session.execute(
        query.where(Membership.project_id == project_id, Account.public == public)
    ).first()
    if row is None:
        raise NotHere(f"there is no member {public!r}", "the project's list of members has them")
    return row.Membership, row.Account


def changeable(
    session: Session, project_id: int, public: str, me: Visitor, own_role: str
) -> tuple[Membership, Account]:
    """The member with this public id, whom `me`, with `own_role` in the project, may change: nobody
    above them, nor themselves (owners of the house may). Raises NotHere, NotAllowed."""
    member, account = _found(session, project_id, public)
    myself = account.id == me.id and me.role != "owner"
    if myself or ABOVE[member.role] > ABOVE[own_role]:
        raise NotAllowed("you cannot change yourself or people above you", "ask an owner")
    return member, account


def change(
    db: Database,
    project_id: int,
    public: str,
    me: Visitor,
    own_role: str,
    role: str | None = None,
    state: str | None = None,
    reason: str | None = None,
) -> None:
    """Give a member another role or state, as far as `me` may: see `changeable` and
    `check_may_give`. reason: of the state; raises FieldError for a new state without one. What is
    None stays."""
    if role is not None:
        check_may_give(role, own_role)

    def work(session: Session) -> None:
        member, account = changeable(session, project_id, public, me, own_role)
        if role is not None and role != member.role:
            change_role(session, project_id, account.id, role, db.now(), me.public)
        if state not in (None, member.state) and reason is None:
            raise FieldError({"reason": "a new state needs a reason: the log keeps it"})
        wanted = (state or member.state, reason or member.reason)
        if wanted != (member.state, member.reason):
            set_member_state(session, project_id, account.id, *wanted, db.now(), me.public)

    db.transact(work)


def set_trusted(
    session: Session, project_id: int, public: str, trusted: bool, at: float, by: str | None
) -> None:
    """Put a member into the reference set, or take them out; an event. Raises NotHere."""
    member, _ = _found(session, project_id, public)
    member.trusted = trusted
    session.flush()
    events.append(session, project_id, "member.trusted", public, by, at, {"trusted": trusted})


def read_guideline(db: Database, project_id: int, account_id: int, version: int) -> None:
    """Note that the annotator has read a version of the guideline; an event the first time."""

    def work(session: Session) -> None:
        person = enter(session, project_id, account_id)
        member = session.get_one(Membership, (project_id, account_id))
        if (member.guideline_read or 0) >= version:
            return
        known = session.scalar(
            select(Guideline.id).where(
                Guideline.project_id == project_id, Guideline.version == version
            )
        )
        if known is None:
            raise NotHere(f"there is no version {version} of the guideline")
        member.guideline_read = version
        session.flush()
        events.append(
            session,
            project_id,
            "guideline.read",
            person.public,
            person.public,
            db.now(),
            {"version": version},
        )

    db.transact(work)


def members(session: Session, project_id: int) -> Sequence[tuple[Membership, Account]]:
    """All members with their accounts, by name."""
    query = (
        select(Membership, Account)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.project_id == project_id)
        .order_by(Account.name)
    )
    return [(membership, account) for membership, account in session.execute(query)]
