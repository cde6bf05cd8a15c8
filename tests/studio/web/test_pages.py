"""Pages over HTTP: every one answers, forms do what they say, mistakes are named."""

from __future__ import annotations

import gzip

import pytest
from houses import PASSWORD, Client, House
from sqlalchemy import select

from accord.studio.people import api_tokens, invitations
from accord.studio.projects.settings import TASKS
from accord.studio.storage import events
from accord.studio.storage.tables import Event


def test_every_page_answers(house: House, owner: Client) -> None:
    slug = house.project()
    for path in [
        "/",
        "/me",
        "/people",
        "/p/new",
        *(f"/p/{slug}/{p}" for p in ("work", "guideline", "questions", "people", "settings")),
    ]:
        response = owner.page(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"].startswith("text/html")
    assert house.client().page("/").headers["location"] == "/login?next=/"


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_served_without_telling_who_wrote_it(
    house: House, owner: Client, task: str
) -> None:
    slug = house.project(task)
    owner.page(f"/p/{slug}/work")
    found = owner.ask(f"/p/{slug}/work/next")
    assert found.status_code == 200, found.text
    item = found.json()["item"]
    assert [option["id"] for option in item["options"]] == [
        str(n + 1) for n in range(len(item["options"]))
    ]
    for word in ("secret-model", "model-0", "policy-", "producer", "ChatGPT"):
        assert word not in found.text
    where = found.json()["standing"]
    assert (where["answers"], where["left"], where["more"]) == (0, 2, False)


def test_the_first_owner_needs_the_printed_link(tmp_path) -> None:
    from accord.studio.storage.database import open_database
    from accord.studio.web.app import StudioConfig, create_app

    db = open_database(tmp_path / "studio.db")
    client = Client(create_app(StudioConfig(db)), base_url="http://studio.test")
    old, secret = invitations.setup_link(db), invitations.setup_link(db)
    assert client.page("/setup").status_code == 404
    assert (
        client.page(f"/setup?token={old}").status_code == 404
    )  # each start makes the one before worthless
    assert client.page(f"/setup?token={secret}").status_code == 200
    short = client.fill("/setup", {"token": secret, "name": "Olga", "password": "short"})
    assert short.status_code == 400
    assert "10 to 1,024" in short.text
    made = client.fill("/setup", {"token": secret, "name": "Olga", "password": PASSWORD})
    assert made.headers["location"] == "/"
    assert client.page("/").status_code == 200
    assert client.page(f"/setup?token={secret}").status_code == 404
    assert invitations.setup_link(db) is None
    db.close()


def test_an_invitation_leads_through_the_guideline_to_work(house: House, owner: Client) -> None:
    slug = house.project()
    owner.page(f"/p/{slug}/people")
    made = owner.fill(f"/p/{slug}/people/invite", {"role": "annotator", "uses": "1", "days": "7"})
    link = made.text.split("/join/")[1].split("<")[0]
    assert link not in owner.page(f"/p/{slug}/people").text  # shown once
    ann = house.client()
    assert ann.page(f"/join/{link}").status_code == 200
    assert (
        ann.fill(f"/join/{link}", {"name": "Ann", "password": PASSWORD}).headers["location"]
        == f"/p/{slug}/work"
    )
    assert ann.page(f"/p/{slug}/work").headers["location"] == f"/p/{slug}/guideline"
    ann.page(f"/p/{slug}/guideline")
    assert (
        ann.fill(f"/p/{slug}/guideline/read", {"version": "1"}).headers["location"]
        == f"/p/{slug}/work"
    )
    assert ann.page(f"/p/{slug}/work").status_code == 200
    assert house.client().page(f"/join/{link}").status_code == 404  # used up
    owner.page(f"/p/{slug}/guideline")
    owner.fill(f"/p/{slug}/guideline", {"text": "# New\n\nOnly this."})
    assert ann.page(f"/p/{slug}/work").headers["location"] == f"/p/{slug}/guideline"


def test_a_project_from_the_form_with_a_file(house: House, owner: Client) -> None:
    owner.page("/p/new")
    rows = '{"prompt": "Why?", "responses": ["Because.", "Why not?"]}\n{"prompt": "How?", "responses": ["So."]}\n'
    form = {
        "name": "From a form",
        "task": "comparison",
        "overlap": "2",
        "guideline": "g",
        "flags": "rude, wrong",
        "critique": "optional",
    }
    made = owner.fill("/p/new", form, files={"file": ("rows.jsonl", rows)})
    assert made.status_code == 303, made.text
    page = owner.page(made.headers["location"])
    assert "1 new items, 0 there already, 1 that cannot be used" in page.text
    bad = owner.fill("/p/new", form | {"overlap": "many"})
    assert bad.status_code == 400
    assert "many" in bad.text
    unreadable = owner.fill("/p/new", form, files={"file": ("rows.exe", "x")})
    assert "is not known" in unreadable.text
    yaml = owner.fill("/p/new", {"how": "yaml", "yaml": "name: Y\ntask: comparision\n"})
    assert yaml.status_code == 400
    assert "comparision" in yaml.text


def test_settings_change_and_refuse(house: House, owner: Client) -> None:
    slug = house.project()
    text = owner.page(f"/p/{slug}/settings").text
    assert "task: comparison" in text
    refused = owner.fill(f"/p/{slug}/settings", {"yaml": "name: Other\ntask: ranking\n"})
    assert refused.status_code == 400
    assert "cannot change" in refused.text
    assert (
        owner.fill(f"/p/{slug}/settings", {"yaml": "name: Other\ntask: comparison\n"}).status_code
        == 303
    )
    more = owner.fill(
        f"/p/{slug}/items",
        files={"file": ("more.csv", "prompt,response_1,response_2\nA?,b,c\nA?,b,b\n")},
    )
    assert "1 new items" in more.text
    assert "two options have the same" in more.text
    part = owner.fill(
        f"/p/{slug}/items",
        files={"file": ("part.jsonl", '{"prompt": "B?", "responses": ["b", "c"]}\n{"pro\n')},
    )
    assert "1 new items" in part.text
    assert "the line is not valid JSON" in part.text
    bomb = gzip.compress(b" " * (300 << 20), compresslevel=1)
    large = owner.fill(f"/p/{slug}/items", files={"file": ("large.json.gz", bomb)})
    assert (large.status_code, "large.json.gz" in large.text, "more than" in large.text) == (
        400,
        True,
        True,
    )
    other = owner.fill(f"/p/{slug}/items", files={"file": ("table.xlsx", b"PK")})
    assert (other.status_code, "save it as CSV UTF-8" in other.text) == (400, True)
    assert owner.fill(f"/p/{slug}/life", {"do": "pause"}).status_code == 303
    assert owner.ask(f"/p/{slug}/work/next").json()["nothing"]["reason"] == "paused"


def test_questions_are_answered_for_all(house: House, owner: Client) -> None:
    slug = house.project()
    house.person("ann", project=house.project_id(slug))
    ann = house.sign_in("ann")
    ann.page(f"/p/{slug}/questions")
    ann.fill(f"/p/{slug}/questions", {"text": "What is <b>fair</b>?"})
    page = owner.page(f"/p/{slug}/questions").text
    assert "What is &lt;b&gt;fair&lt;/b&gt;?" in page
    assert "ann" in page
    assert (
        owner.fill(f"/p/{slug}/questions/1", {"reply": "**This.** <script>x</script>"}).status_code
        == 303
    )
    seen = ann.page(f"/p/{slug}/questions").text
    assert "<strong>This.</strong>" in seen
    assert "<script>x" not in seen


def test_one_click_makes_the_sample(house: House, owner: Client) -> None:
    owner.page("/")
    where = owner.fill("/sample").headers["location"]
    assert owner.page(where).status_code == 200
    assert "Sample project" in owner.page("/").text


def test_my_page_keeps_what_i_say(house: House, owner: Client) -> None:
    house.project(categories=[{"name": "health"}])
    assert "health" in owner.page("/me").text
    form = {
        "language": "de",
        "timezone": "Europe/Berlin",
        "break_minutes": "20",
        "daily_minutes": "",
        "blur": ["health"],
        "send_at_once": "on",
    }
    assert owner.fill("/me/preferences", form).status_code == 303
    page = owner.page("/me").text
    assert "Deine Seite" in page
    owner.fill("/me/attributes", {"age": "41", "country": " "})
    data = owner.get("/me/data.json").json()
    assert data["account"]["attributes"] == {"age": "41"}
    assert data["account"]["preferences"]["blur"] == ["health"]
    assert PASSWORD not in owner.get("/me/data.json").text
    assert owner.fill("/me/preferences", {"language": "xx"}).status_code == 400
    token = (
        owner.fill("/me/tokens", {"name": "script", "scopes": ["read"]})
        .text.split("accord_")[1]
        .split("<")[0]
    )
    assert api_tokens.token_owner(house.db, "accord_" + token)[1] == {"read"}
    owner.fill("/me/tokens/1")
    assert api_tokens.token_owner(house.db, "accord_" + token) is None


def test_passwords_change_and_end_other_sessions(house: House, owner: Client) -> None:
    other = house.sign_in("olga")
    assert (
        "The password is wrong"
        in owner.fill("/me/password", {"old": "no", "new": "a new long one"}).text
    )
    assert owner.fill("/me/password", {"old": PASSWORD, "new": "a new long one"}).status_code == 303
    assert owner.page("/me").status_code == 200
    assert other.page("/me").headers["location"] == "/login?next=/me"


def test_erasing_oneself(house: House, owner: Client) -> None:
    slug = house.project()
    house.person("ann", project=house.project_id(slug))
    ann = house.sign_in("ann")
    ann.page(f"/p/{slug}/guideline")
    ann.fill(f"/p/{slug}/guideline/read", {"version": "1"})
    item = ann.ask(f"/p/{slug}/work/next").json()["item"]
    sent = ann.ask(
        f"/p/{slug}/work/submit",
        {
            "view": item["view"],
            "lease": item["lease"],
            "key": "k" * 16,
            "answer": {"preferred": "1"},
        },
    )
    assert sent.status_code == 200, sent.text
    item = ann.ask(f"/p/{slug}/work/next").json()["item"]
    ann.ask(
        f"/p/{slug}/work/skip",
        {
            "view": item["view"],
            "lease": item["lease"],
            "reason": "other",
            "note": "I know the zqsecret",
        },
    )
    assert ann.fill("/me/erase", {"password": "wrong", "answers": "on"}).status_code == 400
    assert (
        ann.fill("/me/erase", {"password": PASSWORD, "answers": "on"})
        .headers["location"]
        .startswith("/login")
    )
    assert ann.page("/me").status_code == 303
    stored = house.answers()[0]
    assert (stored.state, stored.answer, stored.records) == ("erased", None, [])
    assert "ann" not in owner.page(f"/p/{slug}/people").text.replace("annotator", "")
    with house.db.read() as session:
        project_id = house.project_id(slug)
        said = [
            event.payload
            for event in session.scalars(select(Event).where(Event.chain == project_id))
        ]
        assert "zqsecret" not in str(said)
        assert any("order" in (payload or {}) for payload in said)  # what was served is still there
        found = events.verify(session, project_id)
    assert (found.broken, found.erased) == (None, 2)
    assert "somebody must own the house" in owner.fill("/me/erase", {"password": PASSWORD}).text


def test_a_small_study_is_called_under_powered(house: House, owner: Client) -> None:
    at = "One is 1.".index("1")
    claim = {"span": [at, at + 1], "quote": "1", "text": "No.", "planted": True}
    rows = [{"prompt": "?", "options": ["One is 1."], "claims": [claim]}]
    slug = house.project("thumb", rows=rows, assistance={})
    page = owner.page(f"/p/{slug}/settings").text
    assert "1 item with claims" in page
    assert "Under-powered" in page
    assert "500" in page
    assert "Study of assistance" not in owner.page(f"/p/{house.project()}/settings").text
