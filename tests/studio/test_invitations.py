"""What an invitation does for whom: every role in every state, and links that stay unused."""

from __future__ import annotations

import itertools
import threading

import pytest
from sqlalchemy import select
from studio_rooms import person, project

from accord.studio.people import accounts, invitations, members
from accord.studio.people.invitations import NotNeeded
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Event, Invitation, Membership

ROLES = ("annotator", "reviewer", "auditor", "manager", "owner")
IN, UP, HAS, OTHER = "in", "up", "already", "other"
BECOMES = {
    # held by whom opens it:  annotator, reviewer, auditor, manager, owner  (offered by the link)
    None:        (IN,    IN,    IN,    IN,  IN),
    "annotator": (HAS,   UP,    OTHER, UP,  UP),
    "reviewer":  (HAS,   HAS,   OTHER, UP,  UP),
    "auditor":   (OTHER, OTHER, HAS,   UP,  UP),
    "manager":   (HAS,   HAS,   HAS,   HAS, UP),
    "owner":     (HAS,   HAS,   HAS,   HAS, HAS),
}  # fmt: skip
"""In whatever state: only who was removed is told so, whichever role they had."""


def link(db: Database, role: str, project_id: int | None, uses: int = 1) -> str:
    """An invitation by somebody who may give any role."""
    with db.read() as session:
        boss = session.scalars(select(Account).where(Account.name == "boss")).one()
    return invitations.invite(db, boss, role, project_id, 1, uses)


def used(db: Database, secret: str) -> int:
    with db.read() as session:
        hashed = accounts.digest(secret)
        return session.scalars(select(Invitation.used).where(Invitation.hash == hashed)).one()


def part(db: Database, project_id: int, account: int) -> tuple[str, str, str | None] | None:
    """(role, state, reason) of a member."""
    with db.read() as session:
        found = session.get(Membership, (project_id, account))
        return None if found is None else (found.role, found.state, found.reason)


def opened(db: Database, secret: str, account: int) -> str:
    """What came of it: in (or up), else why the link was not needed. The page asks first, and gets
    the same answer."""
    with db.read() as session:
        offered = invitations.invited(session, secret, db.now())
        assert offered is not None
        told = invitations.unneeded(session, offered, account)
    if told is None:
        assert invitations.join_as(db, secret, account)
        return "in"
    with pytest.raises(NotNeeded, match="stays unused") as refused:
        invitations.join_as(db, secret, account)
    assert (refused.value.why, refused.value.message) == (told.why, told.message)
    assert told.fix
    return told.why


def test_every_role_in_every_state(db: Database) -> None:
    made, number = project(db), itertools.count()
    person(db, "boss", role="owner")
    for held, state, offered in itertools.product(BECOMES, members.STATES, ROLES):
        if held is None and state != "active":
            continue
        name = f"{held} {state} {offered}"
        who = person(db, f"{next(number)}")
        if held is not None:
            with db.write() as session:
                members.add_member(session, made, who, held, db.now(), None)
                members.set_member_state(session, made, who, state, "so", db.now(), None)
        before, secret = part(db, made, who), link(db, offered, made)
        wanted = BECOMES[held][ROLES.index(offered)] if state != "removed" else "removed"
        assert opened(db, secret, who) == (IN if wanted == UP else wanted), name
        assert used(db, secret) == (wanted in (IN, UP)), name
        after = part(db, made, who)
        if wanted == IN:
            assert after == (offered, "active", None), name
        elif wanted == UP:  # who was paused or put under quarantine stays so
            assert after == (offered, state, "so"), name
        else:
            assert after == before, name
    with db.read() as session:
        assert events.verify(session, made).broken is None
        raised = session.scalars(select(Event).where(Event.kind == "member.role")).all()
    assert len(raised) == 3 * sum(row.count(UP) for row in BECOMES.values())
    assert raised[0].payload == {"role": "reviewer", "before": "annotator"}


@pytest.mark.parametrize(
    ("house", "held", "offered", "wanted"),
    [
        ("owner", None, "annotator", "in"),  # who owns the house must take part to judge
        ("owner", "annotator", "manager", "already"),
        ("owner", "annotator", "annotator", "already"),
        ("manager", None, "annotator", "in"),
        ("manager", "annotator", "reviewer", "in"),
        ("auditor", None, "annotator", "auditor"),
        ("auditor", "annotator", "reviewer", "auditor"),
    ],
)
def test_roles_in_the_house_count(
    db: Database, house: str, held: str | None, offered: str, wanted: str
) -> None:
    made = project(db)
    person(db, "boss", role="owner")
    who = person(db, "ann", role=house)
    if held is not None:
        with db.write() as session:
            members.add_member(session, made, who, held, db.now(), None)
    secret = link(db, offered, made)
    assert opened(db, secret, who) == wanted
    assert used(db, secret) == (wanted == "in")


def test_links_into_the_house_are_for_new_people(db: Database) -> None:
    person(db, "boss", role="owner")
    for held, offered in itertools.product(accounts.HOUSE_ROLES, accounts.HOUSE_ROLES):
        who = person(db, f"{held} {offered}", role=held)
        secret = link(db, offered, None)
        assert opened(db, secret, who) == "house"
        assert used(db, secret) == 0
        with db.read() as session:
            assert session.get_one(Account, who).role == held
        invitations.join(db, secret, f"new {held} {offered}", "correct horse battery")
        assert used(db, secret) == 1


def test_opened_twice_at_once_it_is_used_once(db: Database) -> None:
    made = project(db)
    person(db, "boss", role="owner")
    who, secret = person(db, "ann"), link(db, "annotator", made, uses=5)
    found: list[str] = []

    def try_it() -> None:
        try:
            invitations.join_as(db, secret, who)
            found.append("in")
        except NotNeeded as refused:
            found.append(refused.why)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["already", "already", "already", "in"]
    assert used(db, secret) == 1
