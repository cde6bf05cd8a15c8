"""People and how they come in: passwords (argon2id), server-side sessions, roles.

Nothing here has a default secret: tokens are random, the database keeps only their SHA-256. See
invitations.py, api_tokens.py and rate_limits.py for links, programs' keys and limits on tries.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from accord.studio.errors import Conflict, FieldError, NotAllowed, NotHere
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Invitation, Login, PasswordLink
from accord.validation import suggest

HouseRole = Literal["owner", "manager", "annotator", "auditor"]
HOUSE_ROLES: tuple[str, ...] = get_args(HouseRole)
"""Of an account, in the whole house: owners may do everything, managers make projects, auditors
read everything."""
PERMISSIONS: dict[str, frozenset[str]] = {
    "owner": frozenset({"take part", "look", "work", "review", "manage", "own"}),
    "manager": frozenset({"take part", "look", "work", "review", "manage"}),
    "reviewer": frozenset({"take part", "look", "work", "review"}),
    "annotator": frozenset({"take part", "work"}),
    "auditor": frozenset({"take part", "look"}),
}
"""Role in a project -> what it allows. An auditor may read whatever others may read or change."""
LOGIN_SECONDS = 14 * 86400.0
SHORTEST, LONGEST = 10, 1024
"""Lengths of a password: the only rule about it."""


@dataclass(frozen=True)
class Visitor:
    """Who is asking: a signed-in account, by its session."""

    id: int
    public: str
    name: str
    role: str
    language: str
    session: str
    csrf: str


def allowed(role: str | None, need: str, write: bool) -> bool:
    """Whether a role may do what needs `need`; auditors read everything and write nothing."""
    if role is None:
        return False
    if role == "auditor":
        return not write and need != "work"
    return need in PERMISSIONS[role]


def may_make_projects(who: Visitor) -> bool:
    """Whether they may make projects: owners and managers of the house."""
    return who.role in ("owner", "manager")


def check_may_make_projects(who: Visitor) -> None:
    """Raises NotAllowed for who may not make projects."""
    if not may_make_projects(who):
        raise NotAllowed(
            "only owners and managers of the house make projects",
            "ask one for the role, or for a project to take part in",
        )


def token() -> str:
    """A secret nobody can guess: 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


# --- passwords ------------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id, RFC 9106's second choice: 64 MiB


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher().hash(token())


def hash_password(password: str) -> str:
    """argon2id of a password; raises FieldError when it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise FieldError(
            {"password": f"it has {len(password)} characters"},
            f"use {SHORTEST} to {LONGEST:,}; a few words are good",
        )
    return _hasher().hash(password)


def password_fits(stored: str | None, password: str) -> bool:
    """Whether the password is right; takes as long for an account that does not exist (`stored`
    None)."""
    try:
        return _hasher().verify(stored or _nobody(), password[:LONGEST]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


# --- accounts -------------------------------------------------------------------------------------
def clean_name(name: str) -> str:
    """A name as it is stored; raises FieldError for what could pass for another (invisible
    characters, odd blanks)."""
    cleaned = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", name)).strip()
    if not 2 <= len(cleaned) <= 60 or not cleaned.isprintable():
        raise FieldError({"name": "it has 2 to 60 visible characters"}, "choose another name")
    return cleaned


def same_name(name: str) -> str:
    """What two spellings of one name have in common; limits on tries go by it, as finding an
    account does."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", name)).strip().lower()


def create_account(
    session: Session, name: str, password: str | None, role: str, at: float, by: str | None
) -> Account:
    """A new account, with an event. `password` is the hash. Raises Conflict when the name is taken
    (case ignored)."""
    name = clean_name(name)
    if find_account(session, name) is not None:
        raise Conflict("this name is taken", "choose another name, or sign in")
    account = Account(
        public=f"a-{secrets.token_hex(8)}",
        name=name,
        password=password,
        role=role,
        created_at=at,
        preferences={},
        attributes={},
    )
    session.add(account)
    session.flush()
    events.append(
        session,
        events.HOUSE,
        "account.made",
        account.public,
        by or account.public,
        at,
        {"role": role},
    )
    return account


def find_account(session: Session, name: str) -> Account | None:
    """By name, case ignored."""
    return session.scalars(
        select(Account).where(func.lower(Account.name) == same_name(name))
    ).first()


def owner_exists(session: Session) -> bool:
    """Whether anybody owns the house."""
    query = (
        select(Account.id).where(Account.role == "owner", Account.disabled_at.is_(None)).limit(1)
    )
    return session.scalar(query) is not None


def everybody(session: Session) -> list[Account]:
    """All accounts but erased ones, by name."""
    query = select(Account).where(Account.erased_at.is_(None)).order_by(Account.name)
    return list(session.scalars(query))


def by_public(session: Session, public: str) -> Account:
    """The account with this public id; raises NotHere, for one that was erased too."""
    query = select(Account).where(Account.public == public, Account.erased_at.is_(None))
    account = session.scalars(query).first()
    if account is None:
        raise NotHere(f"there is no account {public!r}", "the page of all people shows them")
    return account


def named(session: Session, name: str) -> Account:
    """The account with this name; raises NotHere, with a name that is near."""
    account = find_account(session, name)
    if account is None or account.erased_at is not None:
        known = list(session.scalars(select(Account.name).where(Account.erased_at.is_(None))))
        near = suggest(name, known)
        raise NotHere(f"there is no account {name!r}", f"{near}names are as on the page of people")
    return account


def keep_an_owner(session: Session, account: Account) -> None:
    """Raises Conflict when the house would have no owner without this account. Owners who leave at
    the same time queue up here."""
    owners = select(Account.id).where(Account.role == "owner", Account.disabled_at.is_(None))
    owner_ids = session.scalars(owners.order_by(Account.id).with_for_update()).all()
    if set(owner_ids) == {account.id}:
        raise Conflict("somebody must own the house", "make another owner first")


def end_links(session: Session, account_id: int, now: float) -> None:
    """Of somebody who has no entry any more: the link to a new password, and open invitations they
    made (they may have kept one)."""
    theirs = (Invitation.created_by == account_id, Invitation.expires_at > now)
    session.execute(update(Invitation).where(*theirs).values(expires_at=now))
    session.execute(delete(PasswordLink).where(PasswordLink.account_id == account_id))


# --- sessions -------------------------------------------------------------------------------------
def begin_session(
    session: Session, account: Account, at: float, how: dict[str, str] | None = None
) -> str:
    """Sign an account in; returns the cookie's secret. Sessions that ran out are removed on the
    way. how: for the log."""
    secret = token()
    session.execute(delete(Login).where(Login.account_id == account.id, Login.expires_at < at))
    session.add(
        Login(
            id=digest(secret),
            account_id=account.id,
            session=f"s-{secrets.token_hex(8)}",
            csrf=token(),
            created_at=at,
            expires_at=at + LOGIN_SECONDS,
        )
    )
    session.flush()
    events.append(
        session, events.HOUSE, "account.signed_in", account.public, account.public, at, how or {}
    )
    return secret


def end_session(session: Session, secret: str) -> None:
    """Sign out."""
    session.execute(delete(Login).where(Login.id == digest(secret)))


def visitor(session: Session, secret: str | None, at: float) -> Visitor | None:
    """Who the cookie's secret belongs to; None when it ran out, was ended or the account is
    disabled."""
    if not secret:
        return None
    query = (
        select(Login, Account)
        .join(Account, Account.id == Login.account_id)
        .where(Login.id == digest(secret), Login.expires_at > at, Account.disabled_at.is_(None))
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    login, account = row
    return Visitor(
        account.id,
        account.public,
        account.name,
        account.role,
        account.language,
        login.session,
        login.csrf,
    )


def sign_in(db: Database, name: str, password: str) -> str | None:
    """The cookie's secret, or None for a wrong name or password. Limit tries before
    (rate_limits.attempt)."""
    with db.read() as session:
        account = find_account(session, name)
        stored = account.password if account is not None and account.disabled_at is None else None
    if not password_fits(stored, password) or account is None:
        return None
    account_id = account.id
    renewed = _hasher().hash(password) if stored and _hasher().check_needs_rehash(stored) else None

    def work(session: Session) -> str:
        account = session.get_one(Account, account_id)
        if renewed is not None:
            account.password = renewed
        return begin_session(session, account, db.now())

    return db.transact(work)


def change_account(db: Database, public: str, role: str, disabled: bool, by: Visitor) -> None:
    """Another role in the house, or no entry any more (sessions and open invitations end at once).
    Raises NotHere, Conflict for the last owner."""

    def work(session: Session) -> None:
        account = by_public(session, public)
        if role != "owner" or disabled:
            keep_an_owner(session, account)
        account.role = role
        if disabled != (account.disabled_at is not None):
            account.disabled_at = db.now() if disabled else None
            session.execute(delete(Login).where(Login.account_id == account.id))
            if disabled:
                end_links(session, account.id, db.now())
        session.flush()
        payload = {"role": role, "disabled": disabled}
        events.append(
            session, events.HOUSE, "account.changed", public, by.public, db.now(), payload
        )

    db.transact(work)
