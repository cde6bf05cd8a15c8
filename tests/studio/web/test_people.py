"""Pages about people: invitations that are of no use, new passwords, erasing somebody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from houses import PASSWORD, Client, House
from sqlalchemy import select

from accord.studio.people import accounts, members, rate_limits
from accord.studio.storage import events
from accord.studio.storage.tables import Account, Event, Invitation

NEW = "quite another password"


def public(house: House, name: str) -> str:
    with house.db.read() as session:
        return accounts.named(session, name).public


def shown_link(text: str, room: str) -> str:
    found = re.search(rf"/{room}/([\w-]{{43}})<", text)
    assert found is not None
    return found[1]


def invitation(owner: Client, slug: str, role: str) -> str:
    owner.page(f"/p/{slug}/people")
    return shown_link(owner.fill(f"/p/{slug}/people/invite", {"role": role}).text, "join")


def used(house: House, link: str) -> int:
    with house.db.read() as session:
        query = select(Invitation.used).where(Invitation.hash == accounts.digest(link))
        return session.scalars(query).one()


# --- invitations ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("part", "state", "role", "said", "on"),
    [
        ("manager", "active", "annotator", "Your role, manager, allows all", "guideline"),
        (
            "annotator",
            "quarantined",
            "annotator",
            "You take part in “Test comparison”",
            "guideline",
        ),
        ("annotator", "active", "auditor", "No link turns your role, annotator", "guideline"),
        ("annotator", "removed", "manager", "You were removed from “Test comparison”", None),
    ],
)
def test_an_invitation_of_no_use_says_why(
    house: House, owner: Client, part: str, state: str, role: str, said: str, on: str | None
) -> None:
    slug = house.project()
    project_id = house.project_id(slug)
    ann_id = house.person("ann", project=project_id, part=part)
    with house.db.write() as session:
        members.set_member_state(session, project_id, ann_id, state, "so", 1.0, None)
    link, ann = invitation(owner, slug, role), house.sign_in("ann")
    for response, status in ((ann.page(f"/join/{link}"), 200), (ann.fill(f"/join/{link}"), 409)):
        assert response.status_code == status
        assert "This invitation stays unused" in response.text
        assert said in response.text
        where = f"/p/{slug}/{on}" if on else "/"
        assert f'<a class="button" href="{where}">' in response.text
    assert used(house, link) == 0
    new = house.client()  # it still works for somebody else
    new.page(f"/join/{link}")
    joined = new.fill(f"/join/{link}", {"name": "Bea", "password": PASSWORD})
    assert joined.headers["location"] == f"/p/{slug}/work"
    assert used(house, link) == 1


def test_an_invitation_raises_a_role(house: House, owner: Client) -> None:
    slug = house.project()
    house.person("ann", project=house.project_id(slug))
    link, ann = invitation(owner, slug, "reviewer"), house.sign_in("ann")
    assert "Take part as ann" in ann.page(f"/join/{link}").text
    assert ann.page(f"/p/{slug}").status_code == 403
    assert ann.fill(f"/join/{link}").headers["location"] == f"/p/{slug}/work"
    assert ann.page(f"/p/{slug}").status_code == 200
    assert house.client().page(f"/join/{link}").status_code == 404


def test_an_owner_of_the_house_takes_part_by_a_button(house: House) -> None:
    slug = house.project()
    for name, role in (("otto", "owner"), ("ada", "auditor"), ("ann", "annotator")):
        house.person(name, role)
    otto, ada, ann = (house.sign_in(name) for name in ("otto", "ada", "ann"))
    refused, work, join = otto.page(f"/p/{slug}/work"), f"/p/{slug}/work", f"/p/{slug}/work/join"
    assert refused.status_code == 403
    assert "Take part as otto" in refused.text
    assert otto.fill(join).headers["location"] == work
    assert otto.page(work).headers["location"] == f"/p/{slug}/guideline"
    assert otto.fill(join).headers["location"] == work  # twice is once
    assert ada.fill(join).status_code == 403
    assert ann.fill(join).status_code == 404


def test_a_link_into_the_house_is_for_new_people(house: House, owner: Client) -> None:
    house.person("ann")
    owner.page("/people")
    link = shown_link(owner.fill("/people/invite", {"role": "manager"}).text, "join")
    page = house.sign_in("ann").page(f"/join/{link}").text
    assert "You have an account here already, with the role annotator" in page
    assert used(house, link) == 0


# --- a role and a state in one form -----------------------------------------------------------------
def test_changing_a_role_keeps_state_and_reason(house: House, owner: Client) -> None:
    slug = house.project()
    project_id = house.project_id(slug)
    ann = house.person("ann", project=project_id)
    where = f"/p/{slug}/people/{public(house, 'ann')}"
    form = {"role": "annotator", "state": "paused", "reason": "on holiday"}
    assert owner.fill(where, form).status_code == 303
    assert owner.fill(where, form | {"role": "reviewer"}).status_code == 303
    assert owner.fill(where, form | {"role": "reviewer", "reason": "ill"}).status_code == 303
    with house.db.read() as session:
        member = session.get_one(members.Membership, (project_id, ann))
        assert (member.role, member.state, member.reason) == ("reviewer", "paused", "ill")
        query = select(Event.kind, Event.payload).where(
            Event.chain == project_id, Event.subject == public(house, "ann")
        )
        said = [tuple(row) for row in session.execute(query.order_by(Event.number))][1:]
    assert said == [
        ("member.paused", {"reason": "on holiday"}),
        ("member.role", {"role": "reviewer", "before": "annotator"}),
        ("member.paused", {"reason": "ill"}),
    ]


# --- passwords ------------------------------------------------------------------------------------
def test_an_owner_gives_a_link_to_a_new_password(house: House, owner: Client) -> None:
    house.person("ann")
    ann, where = house.sign_in("ann"), f"/people/{public(house, 'ann')}"
    assert where in owner.page("/people").text
    assert "Make a link to a new password" in owner.page(where).text
    first = shown_link(owner.fill(f"{where}/password").text, "password")
    second = shown_link(owner.fill(f"{where}/password").text, "password")
    assert second not in owner.page(where).text  # shown once
    somebody = house.client()
    gone = somebody.page(f"/password/{first}")
    assert (gone.status_code, "This link no longer works" in gone.text) == (404, True)
    assert "For the account ann." in somebody.page(f"/password/{second}").text
    assert somebody.page(f"/password/{second}").status_code == 200  # looking does not use it up
    short = somebody.fill(f"/password/{second}", {"new": "short"})
    assert (short.status_code, "5 characters" in short.text) == (400, True)
    assert ann.page("/me").status_code == 200
    done = somebody.fill(f"/password/{second}", {"new": NEW})
    assert done.headers["location"] == "/login?said=password_set"
    assert "The new password is set" in somebody.page("/login?said=password_set").text
    assert ann.page("/me").status_code == 303  # their sessions ended
    old = somebody.fill("/login", {"name": "ann", "password": PASSWORD})
    assert (old.status_code, somebody.page("/me").status_code) == (400, 303)
    somebody.page("/login")
    assert somebody.fill("/login", {"name": "ann", "password": NEW}).status_code == 303
    somebody.page("/")
    assert somebody.fill(f"/password/{second}", {"new": NEW}).status_code == 404


def test_only_owners_reset_and_erase(house: House, owner: Client) -> None:
    house.person("ann")
    where = f"/people/{public(house, 'ann')}"
    for role in ("annotator", "manager", "auditor"):
        house.person(f"as {role}", role)
        client = house.sign_in(f"as {role}")
        form = {"name": "ann", "password": PASSWORD}
        assert client.page(where).status_code == 404
        assert client.fill(f"{where}/password").status_code == 404
        assert client.fill(f"{where}/erase", form).status_code == 404
    assert where not in house.sign_in("as auditor").page("/people").text
    assert owner.page("/people/a-nobody").status_code == 404
    assert owner.fill("/people/a-nobody/password").status_code == 404
    assert owner.fill("/people/a-nobody/erase").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": None, "subject": "https://login.example.org 7"}, "OpenID Connect"),
        ({"password": None}, "this is a program, or came with judgements"),
        ({"disabled_at": 1.0}, "has no entry"),
    ],
)
def test_who_has_no_password_to_reset_is_said(
    house: House, owner: Client, change: dict[str, Any], said: str
) -> None:
    ann = house.person("ann")
    with house.db.write() as session:
        for name, value in change.items():
            setattr(session.get_one(Account, ann), name, value)
    where = f"/people/{public(house, 'ann')}"
    page = owner.page(where).text
    assert said in page
    assert "Make a link" not in page
    refused = owner.fill(f"{where}/password")
    assert refused.status_code == 400
    assert "/password/" not in refused.text


def test_tries_with_links_are_limited(house: House, owner: Client) -> None:
    house.person("ann")
    where = f"/people/{public(house, 'ann')}"
    owner.page(where)
    link = shown_link(owner.fill(f"{where}/password").text, "password")
    client, limit = house.client(), rate_limits.LIMITS["password"][0]
    client.page("/login")
    for n in range(limit):
        guess = f"/password/guess-{n}"
        tried = client.page(guess) if n % 2 else client.fill(guess, {"new": NEW})
        assert tried.status_code == 404
    assert client.page("/password/guess").status_code == 429
    assert client.fill("/password/guess", {"new": NEW}).status_code == 429
    assert "tries with links to a new password" in owner.page("/").text
    client.page(f"/password/{link}")  # who has a link is let in all the same
    assert client.fill(f"/password/{link}", {"new": NEW}).status_code == 303


def test_a_new_password_ends_tokens_too(house: House, owner: Client) -> None:
    made = owner.fill("/me/tokens", {"name": "script", "scopes": ["read"]}).text
    token = re.search(r"accord_[\w-]{43}", made)
    assert token is not None
    headers = {"Authorization": f"Bearer {token[0]}"}
    assert house.client().get("/api/v1/me", headers=headers).status_code == 200
    assert "all your API tokens" in owner.page("/me").text
    done = owner.fill("/me/password", {"old": PASSWORD, "new": NEW})
    assert "all API tokens have ended" in owner.page(done.headers["location"]).text
    assert house.client().get("/api/v1/me", headers=headers).status_code == 401


# --- erasing --------------------------------------------------------------------------------------
def judged(house: House, slug: str, name: str) -> None:
    """One answer, one skip with a note."""
    client = house.sign_in(name)
    client.page(f"/p/{slug}/guideline")
    client.fill(f"/p/{slug}/guideline/read", {"version": "1"})
    for what, more in (
        ("submit", {"key": "k" * 16, "answer": {"preferred": "1"}}),
        ("skip", {"reason": "other", "note": "zqsecret"}),
    ):
        item = client.ask(f"/p/{slug}/work/next").json()["item"]
        body = {"view": item["view"], "lease": item["lease"], **more}
        assert client.ask(f"/p/{slug}/work/{what}", body).status_code == 200


@pytest.mark.parametrize("answers", [True, False])
def test_an_owner_erases_somebody_who_asked(house: House, owner: Client, answers: bool) -> None:
    slug = house.project()
    house.person("Annabel", project=house.project_id(slug))
    judged(house, slug, "Annabel")
    who = public(house, "Annabel")
    where = f"/people/{who}"
    page = owner.page(where).text
    for said in ("notes on skipped items: 1", "answers: 1, under a-", "sessions: 1", "backups"):
        assert said in page
    form = {"name": "Annabel", "password": PASSWORD, **({"answers": "on"} if answers else {})}
    for wrong, said in (
        ({"name": "Anna"}, "is not the name of this account"),
        ({"name": ""}, "is not the name of this account"),
        ({"password": "wrong" * 3}, "The password is wrong"),
    ):
        refused = owner.fill(f"{where}/erase", form | wrong)
        assert (refused.status_code, said in refused.text) == (400, True)
        assert ("checked" in refused.text) is answers  # what was chosen is still chosen
    assert public(house, "Annabel") == who
    done = owner.fill(f"{where}/erase", form)
    assert done.headers["location"] == "/people?said=person_erased"
    page = owner.page("/people?said=person_erased").text
    assert "The person is erased" in page
    for path in ("/people", f"/p/{slug}/people"):
        assert "Annabel" not in owner.page(path).text
    assert owner.page(where).status_code == 404
    stored = house.answers()[0]
    assert (stored.state, stored.answer is None) == (
        ("erased", True) if answers else ("live", False)
    )
    with house.db.read() as session:
        said = [
            tuple(row) for row in session.execute(select(Event.kind, Event.actor, Event.payload))
        ]
        assert "zqsecret" not in str(said)
        assert ("account.erased", public(house, "olga"), {"answers": int(answers)}) in said
        for chain in (events.HOUSE, house.project_id(slug)):
            assert events.verify(session, chain).broken is None


def test_owners_erase_themselves_on_their_own_page(house: House, owner: Client) -> None:
    house.person("oda", "owner")
    where = f"/people/{public(house, 'olga')}"
    page = owner.page(where).text
    assert "Erase your account on" in page
    assert "Erase olga for good" not in page
    refused = owner.fill(f"{where}/erase", {"name": "olga", "password": PASSWORD})
    assert (refused.status_code, "this is your own account" in refused.text) == (400, True)


def test_an_owners_password_is_not_guessed_there_either(house: House, owner: Client) -> None:
    house.person("ann")
    where = f"/people/{public(house, 'ann')}"
    form = {"name": "ann", "password": "a guess at it"}
    for _ in range(rate_limits.LIMITS["login"][0]):
        assert owner.fill(f"{where}/erase", form).status_code == 400
    assert owner.fill(f"{where}/erase", form | {"password": PASSWORD}).status_code == 429
    assert public(house, "ann")


def test_an_owner_without_a_password_writes_the_name_alone(house: House, owner: Client) -> None:
    house.person("ann")
    with house.db.write() as session:
        olga = session.get_one(Account, house.people["olga"])
        olga.password, olga.subject = None, "https://login.example.org 7"
    where = f"/people/{public(house, 'ann')}"
    assert "Your own password" not in owner.page(where).text
    assert owner.fill(f"{where}/erase", {"name": "ann"}).status_code == 303
