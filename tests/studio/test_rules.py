"""Rules that pages and API share, where they are checked."""

from __future__ import annotations

import pytest
from studio_rooms import person, project

from accord.errors import ConfigError
from accord.studio.errors import NotAllowed, NotHere
from accord.studio.people import accounts, members
from accord.studio.people.accounts import Visitor
from accord.studio.projects import editing
from accord.studio.storage.database import Database
from accord.studio.storage.plain import LONGEST_REASON, reason_in
from accord.studio.storage.tables import Account


def visitor(db: Database, account_id: int) -> Visitor:
    with db.read() as session:
        account = session.get_one(Account, account_id)
        return Visitor(account.id, account.public, account.name, account.role, "en", "", "")


@pytest.mark.parametrize("role", ["manager", "owner"])
def test_nobody_changes_people_above_them_or_themselves(db: Database, role: str) -> None:
    at = project(db)
    me = visitor(db, person(db, "me", at, role))
    person(db, "ann", at)
    person(db, "boss", at, "owner")
    with db.read() as session:
        assert members.changeable(session, at, "p-ann", me, role)[1].name == "ann"
        with pytest.raises(NotHere, match="no member 'p-nobody'"):
            members.changeable(session, at, "p-nobody", me, role)
        if role == "owner":  # of the house
            assert members.changeable(session, at, "p-boss", me, role)[0].role == "owner"
            assert members.changeable(session, at, "p-me", me, role)[1].id == me.id
            return
        for public in ("p-boss", "p-me"):
            with pytest.raises(NotAllowed, match="yourself or people above you"):
                members.changeable(session, at, public, me, role)


def test_nobody_gives_a_role_above_their_own() -> None:
    members.check_may_give("manager", "manager")
    with pytest.raises(NotAllowed, match="above their own"):
        members.check_may_give("owner", "manager")
    with pytest.raises(ConfigError, match="no role 'king'"):
        members.check_may_give("king", "owner")


def test_owners_and_managers_of_the_house_make_projects(db: Database) -> None:
    for role in ("owner", "manager"):
        accounts.check_may_make_projects(visitor(db, person(db, role, role=role)))
    with pytest.raises(NotAllowed, match="owners and managers of the house"):
        accounts.check_may_make_projects(visitor(db, person(db, "ann")))


def test_a_reason_that_says_nothing_or_is_too_long_is_refused_and_never_cut() -> None:
    assert reason_in("  too fast ") == "too fast"
    assert reason_in("x" * LONGEST_REASON) == "x" * LONGEST_REASON
    for text in ("  a  ", "x" * (LONGEST_REASON + 1)):
        with pytest.raises(ConfigError, match=f"the reason has {len(text.strip())} characters"):
            reason_in(text)


def test_a_guideline_is_a_new_version_only_with_another_text(db: Database) -> None:
    at = project(db, guideline="one")
    assert editing.new_guideline(db, at, "one", None) == 1
    assert editing.new_guideline(db, at, "two", None) == 2
    with pytest.raises(ConfigError, match="guideline"):
        editing.new_guideline(db, at, "x" * 200_001, None)


def test_a_project_is_paused_resumed_or_archived(db: Database) -> None:
    at = project(db)
    editing.change_life(db, at, "pause", None)
    with pytest.raises(ConfigError, match="a project cannot 'burn'"):
        editing.change_life(db, at, "burn", None)
