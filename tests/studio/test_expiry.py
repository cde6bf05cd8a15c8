"""Sessions, links, tokens and limits on tries end in time: on the edge, and for the others."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from studio_rooms import Clock, person, project

from accord.studio.errors import NotHere
from accord.studio.people import accounts, api_tokens, invitations, rate_limits
from accord.studio.people.accounts import LOGIN_SECONDS, Visitor
from accord.studio.people.rate_limits import LIMITS, TooMany
from accord.studio.projects import editing
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Attempt, Login

PASSWORD = "a long password"


def seen(db: Database, secret: str | None) -> Visitor | None:
    with db.read() as session:
        return accounts.visitor(session, secret, db.now())


def somebody(db: Database, name: str, role: str = "annotator") -> Visitor:
    who = person(db, name, role=role, password=accounts.hash_password(PASSWORD))
    with db.read() as session:
        a = session.get_one(Account, who)
        return Visitor(a.id, a.public, a.name, a.role, a.language, "", "")


def test_a_session_lasts_two_weeks_and_another_one_leaves_it_alone(
    db: Database, clock: Clock
) -> None:
    ann = somebody(db, "ann")
    first = accounts.sign_in(db, "ann", PASSWORD)
    clock.now += LOGIN_SECONDS - 1
    second = accounts.sign_in(db, "ann", PASSWORD)
    assert seen(db, first) is not None
    clock.now += 1
    assert seen(db, first) is None
    assert seen(db, second) is not None
    clock.now += 1
    accounts.sign_in(db, "ann", PASSWORD)
    with db.read() as session:  # what ran out is removed on the way
        kept = session.scalars(select(Login.id).where(Login.account_id == ann.id)).all()
    assert len(kept) == 2
    assert accounts.digest(str(second)) in kept


def test_without_entry_nothing_opens(db: Database) -> None:
    ann = somebody(db, "ann", "owner")
    secret = accounts.sign_in(db, "ann", PASSWORD)
    token = api_tokens.issue_token(db, ann, "script", ["read"], None)
    assert invitations.setup_link(db) is None
    with db.write() as session:
        session.get_one(Account, ann.id).disabled_at = db.now()
    assert seen(db, secret) is None
    assert accounts.sign_in(db, "ann", PASSWORD) is None
    assert api_tokens.token_owner(db, token) is None
    assert invitations.setup_link(db) is not None  # a house whose only owner is shut out


def test_tokens_run_out_and_are_ones_own(db: Database, clock: Clock) -> None:
    ann, bob = somebody(db, "ann"), somebody(db, "bob")
    token = api_tokens.issue_token(db, ann, "script", ["read"], 1)
    with pytest.raises(NotHere):
        api_tokens.revoke_token(db, bob, 1)
    clock.now += 86400 - 1
    assert api_tokens.token_owner(db, token) is not None
    clock.now += 1
    assert api_tokens.token_owner(db, token) is None


def test_links_end(db: Database, clock: Clock) -> None:
    boss, made, other = somebody(db, "boss", "owner"), project(db), project(db, name="Other")

    def works(secret: str) -> bool:
        with db.read() as session:
            return invitations.invited(session, secret, db.now()) is not None

    link = invitations.invite(db, boss, "annotator", made, 1, 2)
    with db.read() as session:
        number = invitations.open_invitations(session, made, db.now())[0].id
    for elsewhere in (other, None):
        with pytest.raises(NotHere):
            invitations.revoke_invitation(db, elsewhere, number, boss.public)
    clock.now += 86400 - 1
    assert works(link)
    clock.now += 1
    assert not works(link)
    link = invitations.invite(db, boss, "annotator", made, 1, 2)
    for name in ("one", "two"):
        assert works(link)
        invitations.join(db, link, name, PASSWORD)
    assert not works(link)
    link = invitations.invite(db, boss, "annotator", made, 1, 2)
    editing.archive(db, made, None)
    assert not works(link)


def test_a_limit_counts_the_last_minutes_and_says_when_to_come_back(
    db: Database, clock: Clock
) -> None:
    limit, seconds = LIMITS["login"]
    begun = clock.now
    for _ in range(limit):
        rate_limits.attempt(db, "login", "ann")
        clock.now += 1
    with pytest.raises(TooMany) as refused:
        rate_limits.attempt(db, "login", "ann")
    assert refused.value.retry_at == begun + seconds
    rate_limits.attempt(db, "login", "bob")
    clock.now = begun + seconds
    rate_limits.attempt(db, "login", "ann")
    with pytest.raises(TooMany) as refused:
        rate_limits.attempt(db, "login", "ann")
    assert refused.value.retry_at == begun + 1 + seconds


def test_forgiving_the_last_try_keeps_those_before(db: Database, clock: Clock) -> None:
    times = []
    for _ in range(3):
        times.append(clock.now)
        rate_limits.attempt(db, "login-from", "203.0.113.7")
        clock.now += 1
    rate_limits.forgive(db, "login-from", "203.0.113.7", only_last=True)
    with db.read() as session:
        assert list(session.scalars(select(Attempt.at).order_by(Attempt.at))) == times[:2]
    rate_limits.forgive(db, "login-from", "203.0.113.7")
    with db.read() as session:
        assert list(session.scalars(select(Attempt.at))) == []
