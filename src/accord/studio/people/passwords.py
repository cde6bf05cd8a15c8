"""Passwords that change: by who knows the old one, by a link from an owner, at the studio's
machine.

Whichever way, all that the old one let in ends: sessions, API tokens, links not used yet. What is
said about tries is in rate_limits.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from accord.studio.errors import Conflict, NotHere
from accord.studio.people import accounts, api_tokens
from accord.studio.people.accounts import Visitor, digest, token
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Login, PasswordLink

LINK_SECONDS = 86400.0


@dataclass(frozen=True)
class Ended:
    """What a new password ended."""

    sessions: int
    tokens: int


def change(db: Database, me: Visitor, old: str, new: str) -> bool:
    """Set one's own password, in a session that goes on; False when the old one is wrong. Raises
    ConfigError for one that is too short or too long."""
    with db.read() as session:
        stored = session.get_one(Account, me.id).password
    if not accounts.password_fits(stored, old):
        return False
    hashed = accounts.hash_password(new)

    def work(session: Session) -> None:
        account = session.get_one(Account, me.id)
        _set(session, account, hashed, "password.changed", me.public, db.now(), me.session)

    db.transact(work)
    return True


def make_link(db: Database, public: str, by: Visitor | None) -> str:
    """The secret of a link that sets a new password: for a day, once; links made before end. by:
    the owner who asks for it, None at the machine.

    Raises NotHere, Conflict for an account that has no password, or no entry.
    """
    secret = token()

    def work(session: Session) -> None:
        account = accounts.by_public(session, public)
        check_resettable(account)
        if by is not None and by.id == account.id:
            raise Conflict(
                "this is your own account",
                "change the password on your page; if you forgot it: accord studio password",
            )
        now = db.now()
        session.execute(delete(PasswordLink).where(PasswordLink.account_id == account.id))
        session.add(
            PasswordLink(
                id=digest(secret),
                account_id=account.id,
                created_at=now,
                expires_at=now + LINK_SECONDS,
            )
        )
        session.flush()
        actor = None if by is None else by.public
        events.append(session, events.HOUSE, "password.link_made", public, actor, now, {})

    db.transact(work)
    return secret


def account_of(session: Session, secret: str, now: float) -> Account | None:
    """Whose password a link sets; None for one that is unknown, used, ended or too old, or whose
    account has no entry any more."""
    query = (
        select(Account)
        .join(PasswordLink, PasswordLink.account_id == Account.id)
        .where(PasswordLink.id == digest(secret), PasswordLink.expires_at > now)
        .where(Account.disabled_at.is_(None), Account.password.is_not(None))
    )
    return session.scalars(query).first()


def use_link(db: Database, secret: str, new: str) -> None:
    """Set the password of the link's account. Raises NotHere for a link that sets none,
    ConfigError."""
    hashed = accounts.hash_password(new)

    def work(session: Session) -> None:
        link = session.get(PasswordLink, digest(secret), with_for_update=True)
        account = None if link is None else account_of(session, secret, db.now())
        if account is None:
            raise NotHere("this link has expired or was used already", "ask an owner for a new one")
        _set(session, account, hashed, "password.reset", account.public, db.now())

    db.transact(work)


def reset(db: Database, name: str, new: str) -> Ended:
    """Set somebody's password at the studio's machine. Raises NotHere, Conflict, ConfigError."""
    hashed = accounts.hash_password(new)

    def work(session: Session) -> Ended:
        account = accounts.named(session, name)
        check_resettable(account)
        return _set(session, account, hashed, "password.reset", None, db.now())

    return db.transact(work)


_NOT_RESET = {
    "closed": (
        "has no entry to the studio",
        "an owner gives it back on the page of all people; then reset the password",
    ),
    "openid": (
        "signs in with OpenID Connect and has no password here",
        "it is reset where they sign in",
    ),
    "none": (
        "cannot sign in: it is a program's account, or came with judgements",
        "programs have API tokens; people come by an invitation",
    ),
}


def way_in(account: Account) -> str:
    """How somebody signs in: "password", "openid" (alone), "none" (programs, people whose
    judgements were imported), or "closed" (no entry)."""
    if account.disabled_at is not None:
        return "closed"
    if account.password is not None:
        return "password"
    return "openid" if account.subject is not None else "none"


def check_resettable(account: Account) -> None:
    """Raises Conflict for an account that has no password to be set anew, or no entry."""
    way = way_in(account)
    if way != "password":
        why, fix = _NOT_RESET[way]
        raise Conflict(f"{account.name} {why}", fix)


def _set(
    session: Session,
    account: Account,
    hashed: str,
    kind: str,
    by: str | None,
    now: float,
    keep: str | None = None,
) -> Ended:
    """Keep the hash and end what the old password let in, but for the session `keep`; an event."""
    account.password = hashed
    theirs = (Login.account_id == account.id, Login.session != (keep or ""))
    unexpired = select(func.count(Login.id)).where(*theirs, Login.expires_at > now)
    sessions = session.scalar(unexpired) or 0
    session.execute(delete(Login).where(*theirs))
    tokens = api_tokens.revoke_all(session, account.id, now)
    session.execute(delete(PasswordLink).where(PasswordLink.account_id == account.id))
    session.flush()
    ended = Ended(sessions, tokens)
    payload = {"sessions_ended": ended.sessions, "tokens_ended": ended.tokens}
    events.append(session, events.HOUSE, kind, account.public, by, now, payload)
    return ended
