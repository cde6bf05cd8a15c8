"""Invitations: the first owner's link, links into the house or a project, and joining by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from accord.studio.errors import Conflict, NotHere
from accord.studio.people import accounts, members
from accord.studio.people.accounts import digest, token
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Invitation, Membership, Project


@dataclass(frozen=True)
class Invited:
    """What a valid link offers. first: it is the one printed at the start, for the first owner."""

    id: int
    role: str
    project_id: int | None
    project: str | None
    slug: str | None
    first: bool


def setup_link(db: Database) -> str | None:
    """The token of the first owner's link, made anew at each start; None once there is an owner."""
    secret = token()

    def work(session: Session) -> bool:
        if accounts.owner_exists(session):
            return False
        session.execute(
            delete(Invitation).where(Invitation.role == "owner", Invitation.created_by.is_(None))
        )
        now = db.now()
        session.add(
            Invitation(
                hash=digest(secret),
                role="owner",
                project_id=None,
                created_by=None,
                created_at=now,
                expires_at=now + 86400 * 365,
                uses=1,
                used=0,
            )
        )
        return True

    return secret if db.transact(work) else None


def invite(
    db: Database,
    by: Account | accounts.Visitor,
    role: str,
    project_id: int | None,
    days: float,
    uses: int,
) -> str:
    """A link's token, shown once. role: in the project, or in the house without one."""
    secret, public, account_id = token(), by.public, by.id

    def work(session: Session) -> None:
        now = db.now()
        invitation = Invitation(
            hash=digest(secret),
            role=role,
            project_id=project_id,
            created_by=account_id,
            created_at=now,
            expires_at=now + days * 86400,
            uses=uses,
            used=0,
        )
        session.add(invitation)
        session.flush()
        payload = {"role": role, "days": days, "uses": uses}
        events.append(
            session,
            project_id or events.HOUSE,
            "invitation.made",
            str(invitation.id),
            public,
            now,
            payload,
        )

    db.transact(work)
    return secret


def still_open(now: float) -> tuple[ColumnElement[bool], ...]:
    """Which links neither ran out nor are used up."""
    return Invitation.expires_at > now, Invitation.used < Invitation.uses


def open_invitations(session: Session, project_id: int | None, now: float) -> Sequence[Invitation]:
    """Links that still work, of a project or of the house."""
    same = (
        Invitation.project_id == project_id
        if project_id is not None
        else Invitation.project_id.is_(None)
    )
    query = select(Invitation).where(
        same,
        *still_open(now),
        Invitation.created_by.is_not(None),
    )
    return list(session.scalars(query.order_by(Invitation.id)))


def revoke_invitation(db: Database, project_id: int | None, invitation_id: int, by: str) -> None:
    """Make a link worthless. Raises NotHere."""

    def work(session: Session) -> None:
        invitation = session.get(Invitation, invitation_id)
        if invitation is None or invitation.project_id != project_id:
            raise NotHere("there is no such invitation")
        invitation.expires_at = db.now()
        session.flush()
        chain = project_id or events.HOUSE
        events.append(session, chain, "invitation.revoked", str(invitation_id), by, db.now(), {})

    db.transact(work)


def invited(session: Session, secret: str, now: float) -> Invited | None:
    """What a link offers; None for one that is unknown, used up, expired, or the first owner's when
    there is one."""
    return offer(session, digest(secret), now)


def offer(session: Session, hashed: str, now: float) -> Invited | None:
    """What the link with this hash offers, as `invited`."""
    query = select(Invitation, Project).outerjoin(Project, Project.id == Invitation.project_id)
    row = session.execute(query.where(Invitation.hash == hashed)).one_or_none()
    if row is None:
        return None
    link, project = row
    if (
        link.expires_at <= now
        or link.used >= link.uses
        or (project is not None and project.archived_at is not None)
    ):
        return None
    first = link.role == "owner" and link.project_id is None and link.created_by is None
    if first and accounts.owner_exists(session):
        return None
    name, slug = (project.name, project.slug) if project is not None else (None, None)
    return Invited(link.id, link.role, link.project_id, name, slug, first)


def join(db: Database, secret: str, name: str, password: str) -> str:
    """Make an account through a link, and sign it in; returns the cookie's secret. Raises NotHere,
    Conflict, ConfigError."""
    hashed = accounts.hash_password(password)

    def work(session: Session) -> str:
        link = use(session, digest(secret), db.now())
        account = new_account(session, link, name, hashed, db.now())
        return accounts.begin_session(session, account, db.now())

    return db.transact(work)


def new_account(
    session: Session, link: Invited, name: str, password: str | None, now: float
) -> Account:
    """An account for somebody whom a link lets in, and their part in its project. Raises Conflict,
    ConfigError."""
    house = "annotator" if link.project_id is not None else link.role
    account = accounts.create_account(session, name, password, house, now, None)
    if link.project_id is not None:
        members.add_member(session, link.project_id, account.id, link.role, now, account.public)
    return account


def join_as(db: Database, secret: str, account_id: int) -> str | None:
    """Let a signed-in account into the link's project, or raise its role there; returns the slug.
    Raises NotHere, NotNeeded."""

    def work(session: Session) -> str | None:
        link = use(session, digest(secret), db.now())
        let_in(session, link, session.get_one(Account, account_id), db.now())
        return link.slug

    return db.transact(work)


def use(session: Session, hashed: str, now: float) -> Invited:
    """Count one use of the link with this hash. Raises NotHere for one that offers nothing."""
    query = select(Invitation).where(Invitation.hash == hashed).with_for_update()
    link = session.scalars(query).first()
    offered = None if link is None else offer(session, hashed, now)
    if link is None or offered is None:
        raise NotHere("this link has expired or was used already", "ask for a new one")
    link.used += 1
    session.flush()
    return offered


def let_in(session: Session, link: Invited, account: Account, now: float) -> None:
    """Let an account that is there into a link's project, or raise its role: never lower it, never
    bring back who was removed. Raises NotNeeded, which ends the transaction: the link stays
    unused."""
    where = (session, link.project_id or 0, account.id)
    known = session.get(Membership, where[1:], with_for_update={"key_share": True})
    refused = unneeded(session, link, account.id)
    if refused is not None:
        raise refused
    enter = members.add_member if known is None else members.change_role
    enter(*where, link.role, now, account.public)


class NotNeeded(Conflict):
    """An invitation that stays unused, because it would not help whoever opened it.

    why: "already" (their role allows as much), "removed" (from the project), "other" (their role is
    none that a link may change into this one), "auditor" (of the house, who judges nowhere) or
    "house" (a link that makes accounts, opened by somebody who has one).
    """

    def __init__(self, why: str, held: str, link: Invited) -> None:
        message, fix = {
            "already": (f"you take part in {link.project!r} already, as {held}", "go on there"),
            "removed": (f"you were removed from {link.project!r}", "ask its manager"),
            "other": (
                f"you take part in {link.project!r} as {held}, which no link turns into "
                f"{link.role}",
                "ask its manager for another role",
            ),
            "auditor": (
                "you are an auditor of this studio: you read every project and judge in none",
                "ask an owner for another role",
            ),
            "house": (
                f"you have an account here already, as {held}, and the link is for new people",
                "an owner changes roles on the page of all people",
            ),
        }[why]
        super().__init__(f"{message}; the invitation as {link.role} stays unused", fix)
        self.why, self.held, self.link = why, held, link


def unneeded(session: Session, link: Invited, account_id: int) -> NotNeeded | None:
    """Why a link would not help somebody with an account; None where it lets them in, or raises
    their role."""
    account = session.get_one(Account, account_id)
    if link.project_id is None:
        return NotNeeded("house", account.role, link)
    member = session.get(Membership, (link.project_id, account_id))
    if member is not None and member.state == "removed":
        return NotNeeded("removed", member.role, link)
    if account.role == "auditor":
        return NotNeeded("auditor", account.role, link)
    if member is None:
        return None
    held = "owner" if account.role == "owner" else member.role
    if link.role in members.RISES[held]:
        return None
    as_much = held == link.role or held in members.RISES[link.role]
    return NotNeeded("already" if as_much else "other", held, link)
