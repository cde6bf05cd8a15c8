"""A form of a page and a body of the API: the same rules in the same words, told at the field."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from houses import PASSWORD, Client, House

from accord.studio.people import accounts, api_tokens

HOOK = {"url": "https://example.org/hook", "kinds": ["answer.submitted"]}
FORMS: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
    ("people/invite", "invitations", {}, {"days": "91"}, "days"),
    ("people/invite", "invitations", {}, {"uses": "many"}, "uses"),
    ("people/invite", "invitations", {}, {"role": "king"}, "role"),
    ("hooks", "webhooks", HOOK, {"url": "ftp://example.org"}, "url"),
    ("hooks", "webhooks", HOOK, {"kinds": ["rain"]}, "kinds"),
    ("people/{ann}", "members/{ann}", {"role": "annotator"}, {"state": "paused"}, "reason"),
    ("people/{ann}", "members/{ann}", {"state": "paused"}, {"reason": "a"}, "reason"),
    ("annotators/{ann}", "members/{ann}", {}, {"do": "quarantine", "reason": "a"}, "reason"),
]


def told(page: str, field: str) -> str:
    """What the page says beside a field, which is marked as wrong."""
    found = re.search(f'id="flaw-{field}">([^<]*)<', page)
    assert found, f"nothing is said beside {field}"
    assert f'aria-invalid="true" aria-describedby="flaw-{field}"' in page
    return html.unescape(found[1])


@pytest.fixture
def program(house: House, owner: Client) -> Any:
    """Sends a body to the API as olga; returns status and problem."""
    with house.db.read() as session:
        me = accounts.visitor(session, owner.cookies["accord_session"], house.db.now())
    secret = api_tokens.issue_token(house.db, me, "test", list(api_tokens.SCOPES), None)

    def send(method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = house.client().request(method, f"/api/v1{path}", json=body, headers=headers)
        return answer.status_code, answer.json()

    return send


@pytest.mark.parametrize(("form", "endpoint", "right", "wrong", "field"), FORMS)
def test_page_and_api_refuse_in_the_same_words(
    house: House, owner: Client, program: Any, form: str, endpoint: str,
    right: dict[str, Any], wrong: dict[str, Any], field: str,
) -> None:  # fmt: skip
    slug = house.project()
    house.person("ann", project=house.project_id(slug))
    with house.db.read() as session:
        ann = accounts.named(session, "ann").public
    if form.startswith("annotators"):  # the page lists those who answered
        worker = house.sign_in("ann")
        worker.page(f"/p/{slug}/guideline")
        item = worker.ask(f"/p/{slug}/work/next").json()["item"]
        worker.ask(
            f"/p/{slug}/work/submit",
            {
                "view": item["view"],
                "lease": item["lease"],
                "key": "k" * 12,
                "answer": {"tie": True},
            },
        )
        owner.page(f"/p/{slug}/annotators")
    owner.page(f"/p/{slug}/people")
    page = owner.fill(f"/p/{slug}/{form.format(ann=ann)}", right | wrong)
    assert page.status_code == 400
    sent = right | {name: value for name, value in wrong.items() if name != "do"}
    method = "PUT" if "ann" in endpoint else "POST"
    status, problem = program(method, f"/projects/{slug}/{endpoint.format(ann=ann)}", sent)
    assert status == 400
    assert problem["field"].partition(".")[0] == field
    assert problem["detail"] == f"{problem['field']}: {told(page.text, field)}"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"), ({"overlap": "many"}, "overlap"), ({"overlap": "101"}, "overlap"),
        ({"task": "comparision"}, "task"), ({"flags": "rude, ;"}, "flags"),
    ],
)  # fmt: skip
def test_a_new_project_is_refused_at_the_field(
    owner: Client, program: Any, changes: dict[str, Any], field: str
) -> None:
    owner.page("/p/new")
    form = {"name": "New", "task": "comparison", "overlap": "2", **changes}
    page = owner.fill("/p/new", form)
    assert page.status_code == 400
    flags = [name.strip() for name in form.get("flags", "").split(",") if name.strip()]
    status, problem = program("POST", "/projects", {**form, "flags": flags})
    assert status == 400
    assert problem["detail"] == f"{problem['field']}: {told(page.text, field)}"
    if changes[field] and field != "task":  # chosen, not written
        assert html.escape(changes[field]) in page.text  # what was entered is still there


def test_a_rule_about_several_settings_is_told_above_the_form(owner: Client, program: Any) -> None:
    form = {"name": "New", "task": "rating", "strength": "on"}
    owner.page("/p/new")
    page = owner.fill("/p/new", form | {"attributes": "helpfulness"})
    body = {**form, "strength": True, "attributes": [{"name": "helpfulness"}]}
    status, problem = program("POST", "/projects", body)
    assert (status, page.status_code) == (400, 400)
    assert "strength is asked of comparisons, the task is rating" in page.text
    assert "strength is asked of comparisons, the task is rating" in problem["detail"]


def test_settings_that_cannot_be_are_told_at_the_text(house: House, owner: Client) -> None:
    slug = house.project()
    owner.page(f"/p/{slug}/settings")
    page = owner.fill(
        f"/p/{slug}/settings", {"yaml": "name: Other\ntask: comparison\noverlap: 0\n"}
    )
    assert "greater than or equal to 1" in told(page.text, "yaml")


@pytest.mark.parametrize(
    ("form", "sent", "field"),
    [
        ("preferences", {"break_minutes": "4"}, "break_minutes"),
        ("preferences", {"timezone": "Mars/Base"}, "timezone"),
        ("preferences", {"language": "xx"}, "language"),
        ("attributes", {"age": "x" * 201}, "age"),
        ("tokens", {"name": "x"}, "scopes"),
        ("tokens", {"name": "x" * 81, "scopes": ["read"]}, "name"),
        ("password", {"old": PASSWORD, "new": "short"}, "password"),
    ],
)
def test_my_page_says_what_is_wrong_where_it_is(
    house: House, owner: Client, form: str, sent: dict[str, Any], field: str
) -> None:
    house.project()
    owner.page("/me")
    page = owner.fill(f"/me/{form}", sent)
    assert page.status_code == 400
    assert told(page.text, field)


def test_what_was_entered_is_told_as_text(house: House, owner: Client) -> None:
    house.project()
    owner.page("/me")
    page = owner.fill("/me/preferences", {"timezone": "<i>&amp;"}).text
    assert "there is no time zone '<i>&amp;'" in told(page, "timezone")


def test_a_row_keeps_what_was_entered(house: House, owner: Client) -> None:
    slug = house.project()
    for name in ("ann", "bob"):
        house.person(name, project=house.project_id(slug))
    with house.db.read() as session:
        ann = accounts.named(session, "ann").public
    owner.page(f"/p/{slug}/people")
    reason = '"<i>' + "x" * 300
    row = {"role": "reviewer", "state": "paused", "reason": reason}
    page = owner.fill(f"/p/{slug}/people/{ann}", row).text
    assert page.count(f'value="{html.escape(reason).replace("&quot;", "&#34;")}"') == 1
    for chosen in ("reviewer", "paused"):
        assert page.count(f'<option value="{chosen}" selected>') == 1


def test_text_that_cannot_be_kept_is_refused(house: House, owner: Client) -> None:
    slug = house.project()
    owner.page(f"/p/{slug}/people")
    assert owner.fill("/me/tokens", {"name": "a\0b", "scopes": ["read"]}).status_code == 400
    stranger = house.client()
    stranger.page("/login")
    refused = stranger.fill("/login", {"name": "a\0b", "password": "x"})
    assert (refused.status_code, "contains NUL" in refused.text) == (400, True)
