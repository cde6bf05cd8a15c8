"""Who may do what; what a request must carry; what the browser is told. The matrix walks over every
route there is."""

from __future__ import annotations

import logging
import socket
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from argon2 import Type, extract_parameters
from browsing import Served
from fastapi import Request
from fastapi.routing import APIRoute
from houses import COSTLY, PASSWORD, Client, House
from sqlalchemy import select

from accord.studio.people import accounts, api_tokens, invitations, rate_limits
from accord.studio.people.rate_limits import TooMany
from accord.studio.storage.tables import Attempt, Login
from accord.studio.tasks.markup import safe_html, visible
from accord.studio.tasks.masking import mask_names
from accord.studio.web.app import StudioConfig, create_app
from accord.studio.web.security import address

HOSTILE = [
    "<script>window.hacked=1</script>", '<img src=x onerror="window.hacked=1">', "[x](javascript:window.hacked=1)",
    '<a href="javascript:alert(1)">x</a>', "![x](http://evil.example/pixel.png)", "<iframe srcdoc='<script>1</script>'></iframe>",
    "<style>body{display:none}</style>", '<form action="//evil.example"><input name=password></form>', "<svg/onload=window.hacked=1>",
    "[a](data:text/html,<script>1</script>)", "```\n</code></pre><script>window.hacked=1</script>\n```", "$<script>window.hacked=1</script>$",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.hacked=1>", '[x](https://a.example "onmouseover=1 x=")',
]  # fmt: skip


def writes(house: House) -> list[tuple[str, str]]:
    """Every route that changes something."""
    found = []
    for route in flat(house.app.routes):
        found += [(method, route.path) for method in route.methods if method not in ("GET", "HEAD")]
    return sorted(found)


def flat(routes: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in routes:
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            inner = getattr(getattr(route, "original_router", None), "routes", None)
            found += flat(inner) if inner else []
    return found


def test_every_write_needs_the_token_and_our_own_pages(house: House, owner: Client) -> None:
    slug = house.project()
    routes = writes(house)
    assert len(routes) > 25
    for method, path in routes:
        where = path.format(
            slug=slug, public="x", number=1, token="t", answer_id="a", name="n", key="k", answer="a"
        )
        for headers in (
            {},
            {"X-CSRF-Token": "wrong"},
            {"X-CSRF-Token": owner.token, "Origin": "http://evil.example"},
            {"X-CSRF-Token": owner.token, "Sec-Fetch-Site": "cross-site"},
            {"X-CSRF-Token": owner.token, "Sec-Fetch-Site": "same-site"},
        ):
            refused = owner.request(method, where, headers=headers, follow_redirects=False)
            assert refused.status_code == 403, (method, path, headers)
        anonymous = house.client().request(method, where, follow_redirects=False)
        assert anonymous.status_code == 403
    assert house.app.state.studio.refused_writes > 100
    assert "forms that did not come from our pages" in owner.page("/").text


ROLES = ("annotator", "reviewer", "manager", "owner", "auditor", None)
MATRIX = {
    ("GET", "/p/{slug}/work"): "annotator reviewer manager owner",
    ("POST", "/p/{slug}/work/next"): "annotator reviewer manager owner",
    ("GET", "/p/{slug}/guideline"): "annotator reviewer manager owner auditor",
    ("GET", "/p/{slug}/questions"): "annotator reviewer manager owner auditor",
    ("POST", "/p/{slug}/questions"): "annotator reviewer manager owner",
    ("POST", "/p/{slug}/questions/1"): "reviewer manager owner",
    ("POST", "/p/{slug}/guideline"): "manager owner",
    ("GET", "/p/{slug}/settings"): "manager owner auditor",
    ("POST", "/p/{slug}/settings"): "manager owner",
    ("POST", "/p/{slug}/life"): "manager owner",
    ("GET", "/p/{slug}/people"): "manager owner auditor",
    ("POST", "/p/{slug}/people/invite"): "manager owner",
    ("POST", "/p/{slug}/items"): "manager owner",
}


def test_roles_in_a_project(house: House) -> None:
    slug = house.project()
    project_id = house.project_id(slug)
    for role in ROLES:
        name = f"as {role}"
        house.person(name, project=project_id if role else None, part=role)
        client = house.sign_in(name)
        client.page(f"/p/{slug}/guideline")
        for (method, path), may in MATRIX.items():
            form = {
                "text": "hm",
                "role": "annotator",
                "do": "resume",
                "yaml": "name: N\ntask: comparison\n",
            }
            where = path.format(slug=slug)
            response = client.page(where) if method == "GET" else client.fill(where, form)
            expected = role is not None and role in may.split()
            refused = (
                response.status_code in (403, 404)
                and "There is no such question" not in response.text
            )
            if path.endswith("/questions/1") and expected and response.status_code == 404:
                refused = False  # allowed to reply, but nobody asked
            assert refused is not expected, (role, method, path, response.status_code)
            if role is None:
                assert response.status_code == 404  # what one may not see does not exist


def test_nobody_rises_above_themselves(house: House, owner: Client) -> None:
    slug = house.project()
    project_id = house.project_id(slug)
    for name, part in (("mia", "manager"), ("ann", "annotator")):
        house.person(name, project=project_id, part=part)
    mia = house.sign_in("mia")
    mia.page(f"/p/{slug}/people")
    assert mia.fill(f"/p/{slug}/people/invite", {"role": "owner"}).status_code == 400
    with house.db.read() as session:
        public = {
            name: accounts.find_account(session, name).public for name in ("mia", "ann", "olga")
        }
    change = {"role": "annotator", "state": "removed"}
    assert mia.fill(f"/p/{slug}/people/{public['olga']}", change).status_code == 403
    assert mia.fill(f"/p/{slug}/people/{public['mia']}", change).status_code == 403
    assert (
        mia.fill(
            f"/p/{slug}/people/{public['ann']}",
            change | {"state": "quarantined", "reason": "drift"},
        ).status_code
        == 303
    )
    assert mia.page("/people").status_code == 404
    assert mia.page("/p/new").status_code == 403
    assert (
        owner.fill(f"/people/{public['olga']}", {"role": "annotator"}).status_code == 409
    )  # the last owner stays
    ann = house.sign_in("ann")
    assert (
        owner.fill(f"/people/{public['ann']}", {"role": "annotator", "disabled": "on"}).status_code
        == 303
    )
    assert ann.page("/").headers["location"] == "/login?next=/"  # out at once


def test_other_peoples_work_does_not_exist(house: House, owner: Client) -> None:
    slug = house.project()
    house.person("ann", project=house.project_id(slug))
    item = owner.ask(f"/p/{slug}/work/next").json()["item"]
    ann = house.sign_in("ann")
    mine = {"view": item["view"], "lease": item["lease"], "active_seconds": 1}
    body = {**mine, "key": "k" * 16, "answer": {"preferred": "1"}, "state": {}, "reason": "unsure"}
    sends = {
        "heartbeat": ("active_seconds",),
        "draft": ("state",),
        "submit": ("key", "answer"),
        "skip": ("reason",),
    }
    for what, names in sends.items():
        theirs = {name: body[name] for name in ("view", "lease", *names)}
        assert ann.ask(f"/p/{slug}/work/{what}", theirs).status_code == 404, what
        for wrong in ({"view": "1"}, {"lease": ""}, {"hidden": 1}):
            refused = ann.ask(f"/p/{slug}/work/{what}", theirs | wrong)
            assert (refused.status_code, refused.json()["field"]) == (400, next(iter(wrong)))
    sent = owner.ask(
        f"/p/{slug}/work/submit", {key: body[key] for key in ("view", "lease", "key", "answer")}
    )
    answer = sent.json()["answer_id"]
    assert ann.ask(f"/p/{slug}/work/undo", {"answer": answer}).status_code == 404
    assert ann.fill(f"/me/answers/{answer}/withdraw").status_code == 404
    assert owner.fill(f"/me/answers/{answer}/withdraw").status_code == 303
    assert house.answers()[0].state == "withdrawn"


def test_headers_hold_on_every_answer(house: House, owner: Client) -> None:
    for response in (
        owner.page("/"),
        owner.page("/nothing"),
        house.client().page("/login"),
        owner.fill("/me/preferences", {}),
    ):
        csp = response.headers["content-security-policy"]
        assert "default-src 'none'" in csp
        assert "script-src 'nonce-" in csp
        assert "unsafe" not in csp
        assert "frame-ancestors 'none'" in csp
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        assert response.headers["cache-control"] == "no-store"
    page = owner.page("/me").text
    nonce = owner.page("/me").headers["content-security-policy"].split("nonce-")[1].split("'")[0]
    assert nonce not in page  # a new one for every answer
    for inline in (" style=", " onclick=", "<style", "javascript:"):
        assert inline not in page


def test_cookies_are_kept_from_scripts_and_other_sites(house: House, tmp_path: Path) -> None:
    client = house.client()
    client.page("/login")
    cookie = client.fill("/login", {"name": "olga", "password": PASSWORD}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    secure = Client(create_app(StudioConfig(house.db, https=True)), base_url="https://studio.test")
    secure.page("/login")
    cookie = secure.fill("/login", {"name": "olga", "password": PASSWORD}).headers["set-cookie"]
    assert cookie.startswith("__Host-accord=")
    assert "Secure" in cookie
    client.page("/")
    before = dict(client.cookies)
    client.fill("/logout")
    client.cookies.update(before)
    assert (
        client.page("/").headers["location"] == "/login?next=/"
    )  # ended in the database, not in the browser only


def test_guessing_is_limited_and_the_limit_is_heard(
    house: House, owner: Client, caplog: pytest.LogCaptureFixture
) -> None:
    limit = rate_limits.LIMITS["login"][0]
    for _ in range(limit):
        rate_limits.attempt(house.db, "login", "olga")
    client = house.client()
    client.page("/login")
    with caplog.at_level(logging.WARNING, "accord.studio"):
        refused = client.fill("/login", {"name": "Olga", "password": PASSWORD})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 200
    assert "refused a try at login" in caplog.text
    assert "1 try to sign in, too many for one name" in owner.page("/").text
    with pytest.raises(TooMany, match="wait"):
        rate_limits.attempt(house.db, "login", "olga")
    for spelling in (" olga", "OLGA  ", "\uff4flga"):  # another spelling is no other name
        client.page("/login")
        assert client.fill("/login", {"name": spelling, "password": "guess" * 3}).status_code == 429


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_who_tries_is_an_address_or_its_network(host: str, who: str) -> None:
    assert address(Request({"type": "http", "client": (host, 1)})) == who


def test_wrong_name_and_wrong_password_look_the_same(house: House) -> None:
    client = house.client()
    client.page("/login?next=//evil.example")
    first = client.fill("/login", {"name": "olga", "password": "wrong" * 3})
    second = client.fill("/login", {"name": "nobody", "password": "wrong" * 3})
    assert first.status_code == second.status_code == 400
    assert "Name or password is wrong" in first.text
    assert "Name or password is wrong" in second.text
    good = client.fill("/login", {"name": " OLGA ", "password": PASSWORD, "next": "//evil.example"})
    assert good.headers["location"] == "/"  # never off this site


def test_guessing_a_stolen_hash_costs_memory_and_time() -> None:
    costs = extract_parameters(COSTLY.hash(PASSWORD))
    assert (costs.type, costs.memory_cost >= 2**16, costs.time_cost >= 3) == (
        Type.ID,
        True,
        True,
    )  # RFC 9106, 4


def test_who_hangs_up_is_no_error_of_ours(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    slug, secret = served.house.project(), served.house.session("olga")
    with served.house.db.read() as session:
        token = session.scalars(select(Login.csrf).order_by(Login.created_at.desc())).first()
    lines = [
        f"POST /p/{slug}/work/draft HTTP/1.1",
        "Host: studio.test",
        f"Cookie: accord_session={secret}",
        f"X-CSRF-Token: {token}",
    ]
    head = "\r\n".join(
        [*lines, "Content-Type: application/json", "Content-Length: 100", "", '{"view"']
    )
    host, port = served.url.removeprefix("http://").split(":")
    with caplog.at_level(logging.DEBUG, "accord.studio"):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(head.encode())
            time.sleep(0.2)  # the request has begun
        with socket.create_connection((host, int(port))) as line:  # and the house is still there
            line.sendall(b"GET /login HTTP/1.1\r\nHost: studio.test\r\n\r\n")
            assert b"200 OK" in line.recv(64)
        time.sleep(0.2)
    assert "error" not in caplog.text


def test_bodies_are_bounded(house: House, owner: Client) -> None:
    slug = house.project()
    large = owner.ask(f"/p/{slug}/work/draft", {"state": {"text": "x" * 2**20}})
    assert large.status_code == 413
    assert "1 MiB" in large.json()["error"]
    form = owner.fill("/me/attributes", {"age": "x" * 2**20})
    assert form.status_code == 413
    assert "Too large" in form.text


def test_only_clips_of_ones_own_view_are_served(house: House, owner: Client) -> None:
    names = ["a.png", "a.html", "../../studio.db", "/etc/passwd", "b.png"]
    rows = [
        {"prompt": name, "options": ["a.png" if name != "a.png" else "c.png", name]}
        for name in names
    ]
    slug = house.project("clips", rows=rows)
    folder = house.media / slug
    folder.mkdir()
    (folder / "a.png").write_bytes(b"png")
    (folder / "a.html").write_text("<script>1</script>")
    house.person("ann", project=house.project_id(slug))
    ann, found = house.sign_in("ann"), []
    for number in range(len(names)):
        item = owner.ask(f"/p/{slug}/work/next").json()["item"]
        for option in item["options"]:
            response = owner.get(option["src"])
            found.append(response.status_code)
            assert response.status_code == 404 or response.content == b"png"
            assert ann.get(option["src"]).status_code == 404  # somebody else's view
        for name in ("3.png", "..%2f1.png", "a.png", "1"):
            assert owner.get(f"/p/{slug}/work/clips/{item['view']}/{name}").status_code in (
                404,
                400,
            )
        body = {
            "view": item["view"],
            "lease": item["lease"],
            "key": f"key-{number:08}",
            "answer": {"tie": True},
        }
        assert owner.ask(f"/p/{slug}/work/submit", body).status_code == 200
    assert sorted(found) == [200] * 5 + [404] * 5


class Elements(HTMLParser):
    """Tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_harmless(text: str) -> None:
    elements = Elements()
    elements.feed(safe_html(text))
    for tag, attributes in elements.found:
        assert tag in {"p", "a", "pre", "code", "span", "br", "em"}, tag
        assert set(attributes) <= {"href", "rel", "target", "class", "tabindex", "title"}
        if tag == "a":
            assert attributes["href"].startswith("https://")
            assert attributes["rel"] == "noopener noreferrer nofollow"


def test_hidden_characters_are_shown() -> None:
    assert visible("a\u202eb\u200bc\x1b") == "a⟦U+202E⟧b⟦U+200B⟧c⟦U+001B⟧"
    assert "⟦U+202E⟧" in safe_html("x \u202e y")
    assert mask_names("I am Clau\u200bde").masks


def test_api_tokens_expire_and_have_scopes(house: House, owner: Client) -> None:
    with house.db.read() as session:
        me = accounts.visitor(session, owner.cookies["accord_session"], house.db.now())
    secret = api_tokens.issue_token(house.db, me, "script", ["read", "export"], 1)
    account, scopes = api_tokens.token_owner(house.db, secret)
    assert (account.name, scopes) == ("olga", {"read", "export"})
    house.db.clock, clock = (lambda: clock() + 2 * 86400), house.db.clock
    assert api_tokens.token_owner(house.db, secret) is None
    assert api_tokens.token_owner(house.db, "accord_guess") is None


def test_a_class_that_joins_together_is_not_turned_away(house: House, owner: Client) -> None:
    slug = house.project()
    with house.db.read() as session:
        me = accounts.visitor(session, owner.cookies["accord_session"], house.db.now())
    link = invitations.invite(house.db, me, "annotator", house.project_id(slug), 1, 100)
    limit = rate_limits.LIMITS["join"][0]
    client = house.client()
    assert {client.page(f"/join/{link}").status_code for _ in range(limit + 5)} == {200}
    assert [client.page("/join/guess").status_code for _ in range(limit + 1)] == [404] * limit + [
        429
    ]
    assert client.page(f"/join/{link}").status_code == 200
    for _ in range(3):
        rate_limits.attempt(house.db, "login-from", "here")
    rate_limits.forgive(house.db, "login-from", "here", only_last=True)
    with house.db.read() as session:
        kept = session.query(Attempt).filter(Attempt.subject.startswith("login-from")).count()
    assert kept == 2
