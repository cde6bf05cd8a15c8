"""Erasing a person: what goes is nowhere any more, what stays still holds, and nobody locks the
house."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select
from studio_rooms import Clock, answer, pairs, person, project, served

from accord.studio.errors import Conflict, NotAllowed, NotHere
from accord.studio.people import accounts, api_tokens, erasing, invitations, members, passwords
from accord.studio.people.accounts import Visitor
from accord.studio.people.erasing import Footprint
from accord.studio.queue import assigning, submission
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import (
    Account,
    Answer,
    Base,
    Event,
    Guideline,
    Membership,
    Question,
)

SECRETS = (
    "Annabel", "zq-password", "zq-subject", "zq-age", "zq-note", "zq-reason", "zq-question", "zq-draft", "zq-token",
)  # fmt: skip
"""Words that stand somewhere about Annabel; and zq-critique in an answer."""


def text_of(db: Database) -> str:
    """Everything in the database."""
    with db.read() as session:
        return "\n".join(
            str(row)
            for table in Base.metadata.sorted_tables
            for row in session.execute(select(table)).all()
        )


def visitor(db: Database, account: int) -> Visitor:
    with db.read() as session:
        a = session.get_one(Account, account)
        return Visitor(a.id, a.public, a.name, a.role, a.language, "s", "c")


@pytest.fixture
def annabel(db: Database, clock: Clock) -> int:
    """Somebody of whom there is something everywhere, in two projects; and an owner."""
    person(db, "boss", role="owner")
    made = project(db, pairs(5), critique="optional")
    other = project(db, pairs(1), name="Other")
    with db.write() as session:
        who = accounts.create_account(session, "Annabel", "zq-password", "manager", 1.0, None)
        who.subject, who.attributes = "zq-subject", {"age": "zq-age"}
        who.preferences = {"timezone": "UTC"}
        ann = who.id
        for project_id in (made, other):
            members.add_member(session, project_id, ann, "manager", 1.0, None)
        accounts.begin_session(session, who, db.now())
        session.add(Question(project_id=made, account_id=ann, text="zq-question", created_at=1.0))
        reply = {"reply": "For all.", "replied_by": ann, "replied_at": 1.0}
        session.add(Question(project_id=made, account_id=1, text="Why?", created_at=1.0, **reply))
        session.add(
            Guideline(project_id=made, version=9, text="For all.", created_by=ann, created_at=1.0)
        )
    api_tokens.issue_token(db, visitor(db, ann), "zq-token", ["read"], None)
    api_tokens.issue_token(db, visitor(db, ann), "zq-token that ran out", ["read"], 1)
    clock.now += 2 * 86400
    invitations.invite(db, visitor(db, ann), "annotator", made, 7, 1)
    for critique in ("zq-critique", "another zq-critique"):
        view = served(db, made, ann)
        answer(db, ann, view, {"preferred": view.order[0], "critique": critique})
    withdrawn = answer(db, ann, view := served(db, made, ann), {"preferred": view.order[0]})
    assigning.withdraw(db, withdrawn.answer_id, "mistake", None)
    view = served(db, made, ann)
    assigning.skip(db, made, ann, view.view_id, view.lease, "other", "zq-note")
    view = served(db, made, ann)
    assigning.save_draft(db, made, ann, view.view_id, view.lease, {"critique": "zq-draft"})
    with db.write() as session:
        members.set_member_state(session, made, ann, "paused", "zq-reason", db.now(), None)
    return ann


def counted(db: Database, account: int) -> Footprint:
    with db.read() as session:
        return erasing.footprint(session, account, db.now())


@pytest.mark.parametrize("by", ["themselves", "an owner", "the machine"])
@pytest.mark.parametrize("answers", [True, False])
def test_what_goes_is_nowhere_and_what_stays_holds(
    db: Database, annabel: int, by: str, answers: bool
) -> None:
    before = text_of(db)
    assert all(word in before for word in (*SECRETS, "zq-critique"))
    assert counted(db, annabel) == Footprint(
        projects=2, answers=3, sessions=1, tokens=1, invitations=1, drafts=1, notes=1,
        questions=1, replies=1, guidelines=1,
    )  # fmt: skip
    public = visitor(db, annabel).public
    actor = {"themselves": public, "an owner": "p-boss", "the machine": None}[by]
    assert erasing.erase(db, public, answers, actor) == (3 if answers else 0)
    after = text_of(db)
    assert [word for word in SECRETS if word in after] == []
    assert ("zq-critique" in after) is not answers
    assert after.count("For all.") == before.count("For all.")
    left = counted(db, annabel)
    assert left == Footprint(0, 0 if answers else 3, 0, 0, 0, 0, 0, 1, 1, 1)
    with db.read() as session:
        for chain in (events.HOUSE, 1, 2):
            assert events.verify(session, chain).broken is None
        last = session.scalars(
            select(Event).where(Event.chain == events.HOUSE).order_by(Event.number.desc())
        ).first()
        who = session.get_one(Account, annabel)
    assert last is not None
    assert (last.kind, last.subject, last.actor) == ("account.erased", public, actor)
    assert last.payload == {"answers": 3 if answers else 0}
    assert (who.name, who.disabled_at, who.erased_at) == (f"erased {public}", db.now(), db.now())
    with pytest.raises(NotHere):
        erasing.erase(db, public, True, actor)


def test_the_last_owner_stays(db: Database) -> None:
    person(db, "boss", role="owner")
    person(db, "closed", role="owner", disabled_at=1.0)
    for by in ("p-boss", "p-closed", None):
        with pytest.raises(Conflict, match="somebody must own the house"):
            erasing.erase(db, "p-boss", True, by)
    assert erasing.erase(db, "p-closed", False, "p-boss") == 0
    person(db, "second", role="owner")
    assert erasing.erase(db, "p-boss", False, "p-second") == 0
    with pytest.raises(Conflict):
        erasing.erase(db, "p-second", False, "p-second")


def test_two_owners_who_erase_each_other_leave_one(db: Database) -> None:
    names = ("boss", "second", "third")
    for name in names:
        person(db, name, role="owner")
    refused: list[str] = []

    def try_it(name: str) -> None:
        try:
            erasing.erase(db, f"p-{name}", False, None)
        except Conflict:
            refused.append(name)

    threads = [threading.Thread(target=try_it, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    with db.read() as session:
        assert accounts.owner_exists(session)


def test_an_answer_sent_meanwhile_goes_too_and_none_comes_after(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = project(db, pairs(3))
    ann = person(db, "ann", made)
    answer(db, ann, served(db, made, ann))
    withdraw = submission.withdraw

    def slowly(*args: Any, **more: Any) -> None:
        withdraw(*args, **more)
        answer(db, ann, served(db, made, ann))

    monkeypatch.setattr(submission, "withdraw", slowly)
    late = None

    def retire(*args: Any) -> None:  # in the last transaction: nobody can send any more
        nonlocal late
        late = args[1]
        submission_retire(*args)

    submission_retire = submission.retire
    monkeypatch.setattr(submission, "retire", retire)
    assert erasing.erase(db, "p-ann", True, None) == 2
    assert late is not None
    with db.read() as session:
        assert set(session.scalars(select(Answer.state))) == {"erased"}
    with pytest.raises(NotAllowed):
        assigning.next_view(db, made, ann)


def test_broken_off_it_is_finished_by_doing_it_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = project(db, pairs(3))
    ann = person(db, "ann", made)
    for _ in range(3):
        answer(db, ann, served(db, made, ann))
    withdraw, done = submission.withdraw, []

    def once(*args: Any, **more: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(withdraw(*args, **more))

    monkeypatch.setattr(submission, "withdraw", once)
    with pytest.raises(KeyboardInterrupt):
        erasing.erase(db, "p-ann", True, None)
    monkeypatch.undo()
    with db.read() as session:
        assert session.get_one(Account, ann).name == "ann"
        assert session.get_one(Membership, (made, ann)).state == "active"
    assert erasing.erase(db, "p-ann", True, None) == 2
    with db.read() as session:
        assert set(session.scalars(select(Answer.state))) == {"erased"}


def test_an_owner_says_by_name_whom_they_mean(db: Database) -> None:
    person(db, "Ann", role="annotator")
    person(db, "boss", role="owner")
    erasing.check_named(db, "p-Ann", " ANN ", "p-boss")
    for name in ("", "Anna", "boss", "p-Ann"):
        with pytest.raises(Conflict, match="not the name"):
            erasing.check_named(db, "p-Ann", name, "p-boss")
    with pytest.raises(Conflict, match="your own account"):
        erasing.check_named(db, "p-boss", "boss", "p-boss")
    with pytest.raises(NotHere):
        erasing.check_named(db, "p-nobody", "", "p-boss")


def test_no_entry_ends_the_links_somebody_made(db: Database) -> None:
    boss, ann = person(db, "boss", role="owner"), person(db, "ann", role="manager", password="x")
    made = project(db)
    mine = invitations.invite(db, visitor(db, ann), "manager", made, 7, 1)
    hers = invitations.invite(db, visitor(db, boss), "manager", made, 7, 1)
    reset = passwords.make_link(db, "p-ann", visitor(db, boss))
    accounts.change_account(db, "p-ann", "manager", True, visitor(db, boss))
    accounts.change_account(db, "p-ann", "manager", False, visitor(db, boss))
    with db.read() as session:
        assert invitations.invited(session, mine, db.now()) is None
        assert invitations.invited(session, hers, db.now()) is not None
        assert passwords.account_of(session, reset, db.now()) is None
