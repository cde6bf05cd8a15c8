"""Accounts of people who sign in elsewhere (OpenID Connect): on the way there, coming back,
linking.

An account belongs to one `issuer subject`, never to an e-mail address: whoever controls an address
at some provider could otherwise take an account over. A first sign-in therefore needs an
invitation, or somebody who is signed in and links their own account. A way there is kept in the
database, so that any process may take the answer; it works once, for ten minutes, in the browser
that began it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from accord.errors import ConfigError
from accord.studio.errors import Conflict, NotAllowed
from accord.studio.people import accounts, invitations
from accord.studio.people.accounts import Visitor, digest, token
from accord.studio.people.openid import Identity
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, SignInUnderWay

WAY_SECONDS = 600.0
HOW = {"with": "OpenID Connect"}


@dataclass(frozen=True)
class Way:
    """What one way to the provider is for. goal: "sign in", "join" (by an invitation's hash) or
    "link" (an account)."""

    goal: str
    where: str = "/"
    invitation: str | None = None
    name: str | None = None
    account_id: int | None = None


@dataclass(frozen=True)
class Secrets:
    """What goes along: state and nonce to the provider, the verifier stays here."""

    state: str
    nonce: str
    verifier: str


class NoAccount(NotAllowed):
    """The provider knows them, the studio does not."""


# --- there and back -------------------------------------------------------------------------------
def set_out(db: Database, way: Way, browser: str) -> Secrets:
    """Keep a way; `browser`: the secret of the cookie that must come back with the answer."""
    secrets = Secrets(token(), token(), token())
    now = db.now()

    def work(session: Session) -> None:
        session.execute(delete(SignInUnderWay).where(SignInUnderWay.expires_at < now))
        session.add(
            SignInUnderWay(
                id=digest(secrets.state),
                browser=digest(browser),
                nonce=secrets.nonce,
                verifier=secrets.verifier,
                goal=way.goal,
                destination=way.where[:2000],
                invitation=way.invitation,
                name=way.name,
                account_id=way.account_id,
                expires_at=now + WAY_SECONDS,
            )
        )

    db.transact(work)
    return secrets


def come_back(db: Database, state: str, browser: str | None) -> tuple[Way, Secrets] | None:
    """The way of a state, once; None for one that is unknown, used, too old or begun in another
    browser."""

    def work(session: Session) -> tuple[Way, Secrets] | None:
        pending = session.get(SignInUnderWay, digest(state), with_for_update=True)
        if pending is None:
            return None
        session.delete(pending)
        if pending.expires_at < db.now() or not browser or pending.browser != digest(browser):
            return None
        way = Way(
            pending.goal, pending.destination, pending.invitation, pending.name, pending.account_id
        )
        return way, Secrets(state, pending.nonce, pending.verifier)

    return db.transact(work)


# --- what becomes of it ---------------------------------------------------------------------------
def subject_of(identity: Identity) -> str:
    """What an account keeps: issuer and subject, or their SHA-256 where both are too long for the
    column."""
    if len(identity.subject) <= 255:
        return identity.subject
    return "sha256:" + hashlib.sha256(identity.subject.encode()).hexdigest()


def _known(session: Session, identity: Identity) -> Account | None:
    account = session.scalars(
        select(Account).where(Account.subject == subject_of(identity))
    ).first()
    if account is not None and account.disabled_at is not None:
        raise NotAllowed("this account is closed", "ask the studio's owner")
    return account


def enter(db: Database, identity: Identity) -> str:
    """Sign in; returns the cookie's secret. Raises NoAccount for who has none here, NotAllowed
    for a closed one."""

    def work(session: Session) -> str:
        account = _known(session, identity)
        if account is None:
            raise NoAccount("no account here belongs to this sign-in")
        return accounts.begin_session(session, account, db.now(), HOW)

    return db.transact(work)


def join(db: Database, identity: Identity, way: Way) -> tuple[str, str | None]:
    """Use an invitation: make an account, or take part with the one there is; returns the cookie's
    secret and the slug.

    Raises NotHere for a link that no longer works, Conflict for a name that is taken, NotNeeded
    for somebody known whom the link would not help.
    """

    def work(session: Session) -> tuple[str, str | None]:
        now = db.now()
        link = invitations.use(session, way.invitation or "", now)
        account = _known(session, identity)
        if account is not None:
            invitations.let_in(session, link, account, now)
        else:
            name = way.name or _free_name(session, identity.names)
            account = invitations.new_account(session, link, name, None, now)
            account.subject = subject_of(identity)
        return accounts.begin_session(session, account, now, HOW), link.slug

    return db.transact(work)


def _free_name(session: Session, names: tuple[str, ...]) -> str:
    """The first name the provider gave that can be one here, with a number where others have it."""
    for suggested in (*names, "Guest"):
        try:
            name = accounts.clean_name(suggested[:55])
        except ConfigError:
            continue
        tries = (name if n == 1 else f"{name} {n}" for n in range(1, 10_000))
        return next(free for free in tries if accounts.find_account(session, free) is None)
    raise AssertionError("unreachable")


def link(db: Database, me: Visitor, identity: Identity) -> None:
    """Let this sign-in open one's own account. Raises Conflict when either belongs to another
    already."""

    def work(session: Session) -> None:
        other = session.scalar(select(Account.id).where(Account.subject == subject_of(identity)))
        if other is not None and other != me.id:
            raise Conflict("this sign-in belongs to another account", "remove it there first")
        account = session.get_one(Account, me.id, with_for_update=True)
        if account.subject is not None and other is None:
            raise Conflict("your account has another sign-in already", "remove that one first")
        account.subject = subject_of(identity)
        session.flush()
        payload = {"issuer": identity.subject.partition(" ")[0]}
        events.append(
            session, events.HOUSE, "sign_in.linked", me.public, me.public, db.now(), payload
        )

    db.transact(work)


def unlink(db: Database, me: Visitor) -> None:
    """Sign in by password alone again. Raises Conflict for an account that has none."""

    def work(session: Session) -> None:
        account = session.get_one(Account, me.id, with_for_update=True)
        if account.password is None:
            raise Conflict("without it nothing would open your account", "keep it")
        if account.subject is None:
            return
        account.subject = None
        session.flush()
        events.append(session, events.HOUSE, "sign_in.unlinked", me.public, me.public, db.now(), {})

    db.transact(work)
