"""New passwords: by a link, at the machine, by oneself; and what ends with the old one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import func, select
from studio_rooms import Clock, person

from accord.errors import ConfigError
from accord.studio.errors import Conflict, NotHere
from accord.studio.people import accounts, api_tokens, passwords
from accord.studio.people.accounts import Visitor
from accord.studio.people.passwords import LINK_SECONDS, Ended
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, ApiToken, Event, Login, PasswordLink

OLD, NEW = "the old password", "a new password"


@pytest.fixture
def ann(db: Database) -> Visitor:
    """Somebody with two sessions and two tokens (this is the first session); and an owner with one
    of each."""
    found = None
    for name, role, count in (("ann", "annotator", 2), ("boss", "owner", 1)):
        who = person(db, name, role=role, password=accounts.hash_password(OLD))
        for n in range(count):
            secret = accounts.sign_in(db, name, OLD)
            with db.read() as session:
                me = accounts.visitor(session, secret, db.now())
            assert me is not None
            assert me.id == who
            api_tokens.issue_token(db, me, f"token {n}", ["read"], None)
            found = found or me
    assert found is not None
    return found


def owner(db: Database) -> Visitor:
    with db.read() as session:
        a = accounts.named(session, "boss")
        return Visitor(a.id, a.public, a.name, a.role, a.language, "", "")


def left(db: Database, name: str) -> tuple[int, int]:
    """(sessions, tokens that work)."""
    with db.read() as session:
        account = accounts.named(session, name)
        sessions = select(func.count()).where(Login.account_id == account.id)
        tokens = select(func.count()).where(
            ApiToken.account_id == account.id, ApiToken.revoked_at.is_(None)
        )
        return session.scalar(sessions) or 0, session.scalar(tokens) or 0


def log(db: Database) -> list[tuple[str, str, str | None, Any]]:
    """What the house's log says of passwords."""
    with db.read() as session:
        assert events.verify(session, events.HOUSE).broken is None
        found = session.scalars(
            select(Event).where(Event.kind.startswith("password.")).order_by(Event.number)
        )
        return [(e.kind, e.subject, e.actor, e.payload) for e in found]


def name_of(db: Database, secret: str) -> str | None:
    with db.read() as session:
        found = passwords.account_of(session, secret, db.now())
        return None if found is None else found.name


def test_changing_it_ends_all_but_this_session(db: Database, ann: Visitor) -> None:
    assert not passwords.change(db, ann, "a guess at it", NEW)
    assert left(db, "ann") == (2, 2)
    passwords.make_link(db, ann.public, owner(db))
    assert passwords.change(db, ann, OLD, NEW)
    assert (left(db, "ann"), left(db, "boss")) == ((1, 0), (1, 1))
    with db.read() as session:
        assert (
            session.scalars(select(Login.session).where(Login.account_id == ann.id)).one()
            == ann.session
        )
        assert session.scalar(select(func.count()).select_from(PasswordLink)) == 0
    assert accounts.sign_in(db, "ann", OLD) is None
    assert accounts.sign_in(db, "ann", NEW) is not None
    ended = {"sessions_ended": 1, "tokens_ended": 2}
    assert log(db)[1:] == [("password.changed", ann.public, ann.public, ended)]


def test_a_link_works_once_and_ends_everything(db: Database, ann: Visitor) -> None:
    secret = passwords.make_link(db, ann.public, owner(db))
    assert name_of(db, secret) == "ann"
    assert left(db, "ann") == (2, 2)  # whoever only asked for a link ended nothing
    with pytest.raises(ConfigError, match="5 characters"):
        passwords.use_link(db, secret, "short")
    passwords.use_link(db, secret, NEW)
    assert (left(db, "ann"), left(db, "boss")) == ((0, 0), (1, 1))
    assert name_of(db, secret) is None
    with pytest.raises(NotHere, match="expired or was used"):
        passwords.use_link(db, secret, "yet another one")
    assert accounts.sign_in(db, "ann", OLD) is None
    assert accounts.sign_in(db, "ann", NEW) is not None
    assert log(db) == [
        ("password.link_made", ann.public, "p-boss", {}),
        ("password.reset", ann.public, ann.public, {"sessions_ended": 2, "tokens_ended": 2}),
    ]
    with db.read() as session:
        kept = session.scalars(select(Account.password).where(Account.id == ann.id)).one()
    assert secret not in str(kept)


def test_links_run_out_and_a_new_one_ends_those_before(
    db: Database, ann: Visitor, clock: Clock
) -> None:
    first = passwords.make_link(db, ann.public, owner(db))
    with db.read() as session:  # only its hash is kept
        assert session.scalars(select(PasswordLink.id)).one() == accounts.digest(first)
    second = passwords.make_link(db, ann.public, owner(db))
    assert (name_of(db, first), name_of(db, second)) == (None, "ann")
    clock.now += LINK_SECONDS - 1
    assert name_of(db, second) == "ann"
    clock.now += 1
    assert name_of(db, second) is None
    for secret in (first, second, "made up"):
        with pytest.raises(NotHere):
            passwords.use_link(db, secret, NEW)
    assert accounts.sign_in(db, "ann", OLD) is not None


def test_two_who_use_it_at_once_are_one(db: Database, ann: Visitor) -> None:
    secret = passwords.make_link(db, ann.public, None)
    done: list[str] = []

    def try_it(password: str) -> None:
        try:
            passwords.use_link(db, secret, password)
            done.append(password)
        except NotHere:
            pass

    threads = [threading.Thread(target=try_it, args=(f"password {n} of four",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    assert accounts.sign_in(db, "ann", done[0]) is not None


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ({"password": "x", "disabled_at": 1.0}, "has no entry"),
        ({"subject": "https://login.example.org 7"}, "signs in with OpenID Connect"),
        ({"subject": "https://login.example.org 7", "disabled_at": 1.0}, "has no entry"),
        ({}, "cannot sign in"),
    ],
)
def test_who_has_no_password_to_reset(db: Database, account: dict[str, Any], said: str) -> None:
    person(db, "boss", role="owner", password="x")
    who = person(db, "ann", **account)
    with pytest.raises(Conflict, match=said):
        passwords.make_link(db, "p-ann", owner(db))
    with pytest.raises(Conflict, match=said):
        passwords.reset(db, "ann", NEW)
    with db.read() as session:
        assert session.get_one(Account, who).password == account.get("password")
        assert session.scalar(select(func.count()).select_from(PasswordLink)) == 0
    assert log(db) == []


def test_a_link_made_before_entry_or_password_went_sets_nothing(db: Database, ann: Visitor) -> None:
    for gone in ({"disabled_at": 1.0}, {"password": None}):
        secret = passwords.make_link(db, ann.public, None)
        with db.write() as session:
            account = session.get_one(Account, ann.id)
            kept = {name: getattr(account, name) for name in gone}
            for name, value in gone.items():
                setattr(account, name, value)
        assert name_of(db, secret) is None
        with pytest.raises(NotHere):
            passwords.use_link(db, secret, NEW)
        with db.write() as session:
            for name, value in kept.items():
                setattr(session.get_one(Account, ann.id), name, value)


def test_owners_do_not_reset_their_own(db: Database, ann: Visitor) -> None:
    with pytest.raises(Conflict, match="your own account"):
        passwords.make_link(db, "p-boss", owner(db))


def test_at_the_machine(db: Database, ann: Visitor) -> None:
    with pytest.raises(NotHere, match="no account 'an'") as refused:
        passwords.reset(db, "an", NEW)
    assert 'did you mean "ann"?' in str(refused.value.fix)
    with pytest.raises(ConfigError, match="4 characters"):
        passwords.reset(db, "ann", "1234")
    assert passwords.reset(db, " ANN", NEW) == Ended(sessions=2, tokens=2)
    assert left(db, "ann") == (0, 0)
    assert accounts.sign_in(db, "ann", NEW) is not None
    assert log(db)[-1][:3] == ("password.reset", ann.public, None)


def test_what_ran_out_before_is_not_counted_as_ended(
    db: Database, ann: Visitor, clock: Clock
) -> None:
    api_tokens.issue_token(db, ann, "for a day", ["read"], 1)
    clock.now += accounts.LOGIN_SECONDS
    assert passwords.reset(db, "ann", NEW) == Ended(sessions=0, tokens=2)
