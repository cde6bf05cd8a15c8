"""API tokens: keys of programs, made under one's own name, with scopes that say what they may
do."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Literal, get_args

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from accord.studio.errors import NotHere
from accord.studio.people import accounts
from accord.studio.people.accounts import digest
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, ApiToken

Scope = Literal["read", "annotate", "manage", "export"]
SCOPES: tuple[str, ...] = get_args(Scope)
TOKEN_PREFIX = "accord_"


def issue_token(
    db: Database, account: accounts.Visitor, name: str, scopes: Sequence[str], days: float | None
) -> str:
    """A program's key, shown once."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)

    def work(session: Session) -> None:
        now = db.now()
        api_token = ApiToken(
            account_id=account.id,
            name=name,
            hash=digest(secret),
            scopes=sorted(set(scopes)),
            created_at=now,
            expires_at=None if days is None else now + days * 86400,
        )
        session.add(api_token)
        session.flush()
        payload = {"scopes": api_token.scopes, "days": days}
        events.append(
            session, events.HOUSE, "token.made", str(api_token.id), account.public, now, payload
        )

    db.transact(work)
    return secret


def token_owner(db: Database, secret: str) -> tuple[Account, frozenset[str]] | None:
    """Whose key it is and what it may do; None for one that is unknown, revoked or expired."""

    def work(session: Session) -> tuple[Account, frozenset[str]] | None:
        now = db.now()
        query = (
            select(ApiToken, Account)
            .join(Account, Account.id == ApiToken.account_id)
            .where(
                ApiToken.hash == digest(secret),
                ApiToken.revoked_at.is_(None),
                Account.disabled_at.is_(None),
            )
        )
        row = session.execute(query).one_or_none()
        if row is None or (row[0].expires_at is not None and row[0].expires_at <= now):
            return None
        if (row[0].used_at or 0) < now - 60:  # once a minute is enough to know
            row[0].used_at = now
        return row[1], frozenset(row[0].scopes)

    return db.transact(work)


def live(account_id: int, now: float) -> tuple[ColumnElement[bool], ...]:
    """Which keys of an account still let a program in."""
    unexpired = or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now)
    return ApiToken.account_id == account_id, ApiToken.revoked_at.is_(None), unexpired


def revoke_all(session: Session, account_id: int, now: float) -> int:
    """End every key of an account; returns how many there were."""
    count = session.scalar(select(func.count(ApiToken.id)).where(*live(account_id, now))) or 0
    session.execute(update(ApiToken).where(*live(account_id, now)).values(revoked_at=now))
    return count


def revoke_token(db: Database, account: accounts.Visitor, token_id: int) -> None:
    """End one's own key. Raises NotHere."""

    def work(session: Session) -> None:
        api_token = session.get(ApiToken, token_id)
        if api_token is None or api_token.account_id != account.id:
            raise NotHere("there is no such token of yours")
        api_token.revoked_at = api_token.revoked_at or db.now()
        session.flush()
        events.append(
            session, events.HOUSE, "token.revoked", str(token_id), account.public, db.now(), {}
        )

    db.transact(work)
