"""Rules that pages and API share, where they are checked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from studio_rooms import person, project

from accord.studio.bodies import read, read_form
from accord.studio.delivery.bodies import HookIn
from accord.studio.errors import FieldError, NotAllowed, NotHere
from accord.studio.people import accounts, invitations, members
from accord.studio.people.accounts import Visitor
from accord.studio.people.bodies import (
    AttributesIn,
    HouseInvitationIn,
    InvitationIn,
    MemberIn,
    PreferencesIn,
    TokenIn,
)
from accord.studio.projects import editing, listing
from accord.studio.projects.bodies import GuidelineIn, LifeIn
from accord.studio.projects.settings import ATTRIBUTES, ProjectSettings
from accord.studio.quality.bodies import SelectionIn
from accord.studio.queue.bodies import ExcludeIn
from accord.studio.storage.database import Database
from accord.studio.storage.plain import LONGEST_REASON
from accord.studio.storage.tables import Account, Project


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


def test_owners_and_managers_of_the_house_make_projects(db: Database) -> None:
    for role in ("owner", "manager"):
        accounts.check_may_make_projects(visitor(db, person(db, role, role=role)))
    with pytest.raises(NotAllowed, match="owners and managers of the house"):
        accounts.check_may_make_projects(visitor(db, person(db, "ann")))


@pytest.mark.parametrize("model", [ExcludeIn, MemberIn])
def test_a_reason_that_says_nothing_or_is_too_long_is_refused_and_never_cut(
    model: type[ExcludeIn | MemberIn],
) -> None:
    assert read(model, {"reason": "  too fast "}).reason == "too fast"
    assert read(model, {"reason": "x" * LONGEST_REASON}).reason == "x" * LONGEST_REASON
    for text, why in (("  a  ", "at least 3"), ("x" * (LONGEST_REASON + 1), "at most 300")):
        with pytest.raises(FieldError, match=f"reason: .*{why} characters"):
            read(model, {"reason": text})


def test_a_new_state_needs_a_reason(db: Database) -> None:
    at = project(db)
    boss = visitor(db, person(db, "boss", at, "owner"))
    person(db, "ann", at)
    members.change(db, at, "p-ann", boss, "owner", role="reviewer", state="active")
    with pytest.raises(FieldError, match="reason: a new state needs"):
        members.change(db, at, "p-ann", boss, "owner", role="annotator", state="paused")
    with db.read() as session:
        member, _ = next(m for m in members.members(session, at) if m[1].public == "p-ann")
        assert (member.role, member.state) == ("reviewer", "active")  # both, or nothing


def test_what_is_left_out_of_a_members_change_stays(db: Database) -> None:
    at = project(db)
    boss = visitor(db, person(db, "boss", at, "owner"))
    person(db, "ann", at)

    def changed(**to: str) -> tuple[str, str, str | None]:
        members.change(db, at, "p-ann", boss, "owner", **to)
        with db.read() as session:
            member, _ = next(m for m in members.members(session, at) if m[1].public == "p-ann")
            return member.role, member.state, member.reason

    assert changed(state="paused", reason="ill") == ("annotator", "paused", "ill")
    assert changed(state="paused") == ("annotator", "paused", "ill")
    assert changed(role="reviewer") == ("reviewer", "paused", "ill")
    assert changed(reason="on holiday") == ("reviewer", "paused", "on holiday")


def test_a_link_is_open_until_its_last_use(db: Database) -> None:
    at = project(db)
    boss = visitor(db, person(db, "boss", at, "owner"))
    secret = invitations.invite(db, boss, "annotator", at, days=1, uses=2)
    left = []
    for name in ("ann", "bob"):
        invitations.join_as(db, secret, person(db, name))
        with db.read() as session:
            left.append(len(invitations.open_invitations(session, at, db.now())))
    assert left == [1, 0]


def test_people_see_the_projects_they_take_part_in(db: Database) -> None:
    here, there = project(db, name="B"), project(db, name="A")
    ann = visitor(db, person(db, "ann", here))
    with db.write() as session:
        members.add_member(session, there, ann.id, "reviewer", 1.0, None)
    owner = visitor(db, person(db, "olga", here, "owner"))  # of the house, and a member here
    auditor = visitor(db, person(db, "ada", role="auditor"))
    stranger = visitor(db, person(db, "bob"))

    def seen(who: Visitor, *which: Any, limit: int | None = None) -> list[tuple[str, str]]:
        with db.read() as session:
            found = listing.projects_of(session, who, (Project.name,), *which, limit=limit)
            return [(project.name, role) for project, role in found]

    assert seen(ann) == [("A", "reviewer"), ("B", "annotator")]
    assert seen(ann, Project.name > "A") == seen(ann)[1:]
    assert seen(ann, limit=1) == seen(ann)[:1]
    assert seen(owner) == [("A", "owner"), ("B", "owner")]
    assert seen(auditor) == [("A", "auditor"), ("B", "auditor")]
    assert seen(stranger) == []
    members.change(db, there, ann.public, owner, "owner", state="removed", reason="left")
    assert seen(ann) == [("B", "annotator")]


def test_a_guideline_is_a_new_version_only_with_another_text(db: Database) -> None:
    at = project(db, guideline="one\n")
    assert editing.new_guideline(db, at, "one", None) == 1
    assert editing.new_guideline(db, at, "two", None) == 2
    long = "x" * 200_001
    for model, raw in (
        (GuidelineIn, {"text": long}),
        (ProjectSettings, {"name": "x", "guideline": long}),
    ):
        with pytest.raises(FieldError, match="at most 200000 characters"):
            read(model, raw)


@pytest.mark.parametrize(
    ("model", "raw", "fields"),
    [
        (InvitationIn, {"role": "king", "days": "91", "uses": 0}, ["role", "days", "uses"]),
        (HouseInvitationIn, {"role": "reviewer"}, ["role"]),
        (MemberIn, {"state": "tired"}, ["state"]),
        (TokenIn, {"name": " ", "scopes": []}, ["name", "scopes"]),
        (TokenIn, {"name": "x", "scopes": ["read", "all"]}, ["scopes.1"]),
        (PreferencesIn, {"language": "xx", "timezone": "Mars"}, ["language", "timezone"]),
        (PreferencesIn, {"break_minutes": 4, "daily_minutes": 1441}, ["break_minutes", "daily_minutes"]),
        (HookIn, {"url": "x" * 2001, "kinds": ["rain"]}, ["url", "kinds.0"]),
        (LifeIn, {"do": "burn"}, ["do"]),
        (SelectionIn, {"goal": "fun", "count": "5001"}, ["goal", "count"]),
    ],
)  # fmt: skip
def test_every_part_at_fault_is_named(
    model: type[BaseModel], raw: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(FieldError) as refused:
        read(model, raw)
    assert list(refused.value.fields) == fields
    assert refused.value.field == fields[0]


def test_a_form_gives_what_was_filled_in() -> None:
    sent = {"name": ["a", "b "], "scopes": ["read", "export"]}
    assert read_form(TokenIn, sent) == TokenIn(name="b", scopes=["read", "export"])
    assert read_form(PreferencesIn, {"break_minutes": [" "]}).break_minutes is None
    with pytest.raises(FieldError, match="tusk"):
        read_form(TokenIn, {**sent, "tusk": ["x"]})


def test_people_can_say_what_the_settings_know() -> None:
    assert tuple(AttributesIn.model_fields) == ATTRIBUTES
