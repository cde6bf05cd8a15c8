"""Signing in with OpenID Connect, against a provider that runs: the way there and back, and every
lie on it."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from houses import PASSWORD, Client, House, make_house
from sqlalchemy import func, select

from accord.errors import ConfigError
from accord.studio import server
from accord.studio.people import accounts, invitations, rate_limits, self_service
from accord.studio.people.openid import OpenId, OpenIdError, OpenIdSettings
from accord.studio.storage import events
from accord.studio.storage.tables import Account, Event, SignInUnderWay
from accord.studio.web.app import StudioConfig, create_app

pytest.importorskip("authlib", reason="authlib is not installed (the extra oidc brings it)")
from joserfc.jwk import OctKey, RSAKey
from openid_provider import Provider, path_of, running


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running(Provider()) as made:
        yield made


@pytest.fixture
def house(tmp_path: Path, empty: Path, provider: Provider) -> Iterator[House]:
    """A studio that trusts the provider, with an owner."""
    made = make_house(tmp_path, None, empty)
    made.app = create_app(StudioConfig(made.db, openid=provider.settings()))
    yield made
    made.db.close()


def get(url: str) -> tuple[int, str]:
    """One GET that follows nothing: status and where it sends the browser."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname, parts.port)
    connection.request("GET", path_of(url))
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.headers.get("Location", "")


def there(client: Client, path: str, form: dict[str, Any] | None = None) -> str:
    """Press the button and go to the provider; returns the address it sends the browser back to."""
    going = client.fill(path, form)
    assert going.status_code == 200, going.text
    where = html.unescape(re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', going.text)[1])
    status, back = get(where)
    assert status == 302
    return back


def there_and_back(client: Client, path: str, form: dict[str, Any] | None = None) -> Any:
    return client.page(path_of(there(client, path, form)))


def invitation(
    house: House, role: str = "annotator", project: int | None = None, uses: int = 1
) -> str:
    with house.db.read() as session:
        olga = session.get_one(Account, house.people["olga"])
    return invitations.invite(house.db, olga, role, project, 1, uses)


def count(house: House) -> int:
    with house.db.read() as session:
        return session.scalar(select(func.count()).select_from(Account)) or 0


def named(house: House, name: str) -> Account:
    with house.db.read() as session:
        found = accounts.find_account(session, name)
    assert found is not None
    return found


def joined(house: House, **form: str) -> Client:
    """Somebody who came by an invitation and the provider."""
    client, token = house.client(), invitation(house)
    client.page(f"/join/{token}")
    assert there_and_back(client, f"/join/{token}/openid", form).headers["location"] == "/"
    return client


# --- the good way ---------------------------------------------------------------------------------
def test_an_invitation_makes_an_account_that_opens_again(house: House, provider: Provider) -> None:
    slug = house.project()
    token = invitation(house, project=house.project_id(slug))
    client = house.client()
    assert "Sign in with Acme" in client.page(f"/join/{token}").text
    arrived = there_and_back(client, f"/join/{token}/openid")
    assert arrived.headers["location"] == f"/p/{slug}/work"
    assert client.page(f"/p/{slug}/guideline").status_code == 200
    ada = named(house, "Ada")
    assert (ada.password, ada.role, ada.subject) == (None, "annotator", f"{provider.url} u-1")
    again = house.client()
    again.page("/login?next=/me")
    assert there_and_back(again, "/login/openid", {"next": "/me"}).headers["location"] == "/me"
    page = again.page("/me").text
    assert "You sign in with Acme" in page
    assert 'name="old"' not in page  # there is no password to change
    assert "Remove the link" not in page
    assert again.fill("/me/openid/remove").status_code == 409
    with house.db.read() as session:
        kinds = [
            (e.kind, e.payload)
            for e in session.scalars(select(Event).where(Event.subject == ada.public))
        ]
        assert events.verify(session, events.HOUSE).broken is None
        assert self_service.everything(session, ada.id)["account"]["signs_in_as"] == ada.subject
        assert session.scalar(select(func.count()).select_from(SignInUnderWay)) == 0
    assert kinds.count(("account.signed_in", {"with": "OpenID Connect"})) == 2
    assert again.fill("/me/erase").headers["location"].startswith("/login")
    again.page("/login")
    assert "no account here" in there_and_back(again, "/login/openid").text


def test_the_name_is_ones_own_or_the_providers(house: House, provider: Provider) -> None:
    joined(house, name="Countess")
    for sub, said, expected in (
        ("u-2", {"preferred_username": "countess"}, "countess 2"),
        ("u-3", {"preferred_username": "ada@corp.example", "name": "Ada  L"}, "Ada L"),
        ("u-4", {"name": "\u202e", "nickname": 7}, "Guest"),
        ("u-5", {"name": "x" * 500}, "x" * 55),
    ):
        provider.person = {"sub": sub, **said}
        joined(house)
        assert named(house, expected).subject == f"{provider.url} {sub}"
    client, token = house.client(), invitation(house)
    client.page(f"/join/{token}")
    assert "2 to 60" in client.fill(f"/join/{token}/openid", {"name": "x"}).text
    provider.person = {"sub": "u-6"}
    assert (
        there_and_back(client, f"/join/{token}/openid", {"name": "OLGA"}).status_code == 409
    )  # no second olga
    assert (
        there_and_back(client, f"/join/{token}/openid", {"name": "Other"}).status_code == 303
    )  # the link still works


def test_a_second_invitation_goes_to_the_same_account(house: House, provider: Provider) -> None:
    joined(house)
    slug = house.project()
    client, token = house.client(), invitation(house, project=house.project_id(slug))
    client.page(f"/join/{token}")
    before = count(house)
    assert (
        there_and_back(client, f"/join/{token}/openid", {"name": "Another"}).headers["location"]
        == f"/p/{slug}/work"
    )
    assert count(house) == before
    token = invitation(house, "manager")
    client = house.client()
    client.page(f"/join/{token}")
    assert (
        there_and_back(client, f"/join/{token}/openid").status_code == 409
    )  # a role in the house is not raised by a link
    assert named(house, "Ada").role == "annotator"


def test_the_first_owner_may_come_this_way(tmp_path: Path, provider: Provider) -> None:
    from accord.studio.storage.database import open_database

    db = open_database(tmp_path / "studio.db")
    secret = invitations.setup_link(db)
    client = Client(
        create_app(StudioConfig(db, openid=provider.settings())), base_url="http://studio.test"
    )
    client.page(f"/setup?token={secret}")
    assert (
        client.fill(f"/join/{secret}/openid").status_code == 404
    )  # that link has a page of its own
    assert there_and_back(client, "/setup/openid", {"token": secret}).headers["location"] == "/"
    assert client.page("/people").status_code == 200
    assert client.page(f"/setup?token={secret}").status_code == 404
    db.close()


def test_an_owner_invites_another_owner(house: House) -> None:
    for form, path in (({"name": "Otto", "password": PASSWORD}, ""), ({"name": "Oda"}, "/openid")):
        client, token = house.client(), invitation(house, "owner")
        assert client.page(f"/join/{token}").status_code == 200
        if path:
            assert there_and_back(client, f"/join/{token}{path}", form).headers["location"] == "/"
        else:
            assert (
                client.fill(f"/join/{token}", {"token": token, **form}).headers["location"] == "/"
            )
        assert named(house, form["name"]).role == "owner"


def test_linking_ones_own_account_and_removing_it(house: House, provider: Provider) -> None:
    client = house.sign_in("olga")
    assert "Link it" in client.page("/me").text
    assert "The password is wrong" in client.fill("/me/openid", {"password": "guess" * 3}).text
    back = there_and_back(client, "/me/openid", {"password": PASSWORD})
    assert back.headers["location"] == "/me?said=linked"
    again = house.client()
    again.page("/login")
    assert there_and_back(again, "/login/openid").status_code == 303
    assert "olga" in again.page("/me").text
    house.person("ben")
    ben = house.sign_in("ben")
    ben.page("/me")
    taken = there_and_back(ben, "/me/openid", {"password": PASSWORD})
    assert taken.status_code == 409
    assert named(house, "ben").subject is None
    provider.person = {"sub": "u-2"}
    client.page("/me")
    assert (
        there_and_back(client, "/me/openid", {"password": PASSWORD}).status_code == 409
    )  # one at a time
    assert client.fill("/me/openid/remove").headers["location"] == "/me?said=saved"
    assert named(house, "olga").subject is None
    with house.db.read() as session:
        found = set(session.scalars(select(Event.kind).where(Event.chain == events.HOUSE)))
    assert {"sign_in.linked", "sign_in.unlinked"} <= found


# --- what is refused ------------------------------------------------------------------------------
def test_nobody_comes_in_by_an_address_alone(house: House, provider: Provider) -> None:
    provider.person = {
        "sub": "u-9",
        "email": "olga@example.org",
        "email_verified": True,
        "preferred_username": "olga",
    }
    client = house.client()
    client.page("/login")
    before = count(house)
    refused = there_and_back(client, "/login/openid")
    assert refused.status_code == 403
    assert "no account here belongs to that sign-in" in refused.text
    assert count(house) == before
    assert client.page("/").headers["location"].startswith("/login")


def lie(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.pop(name) if value is None else claims.update({name: value})


@pytest.mark.parametrize(
    "twist",
    [
        lie("nonce", "another"), lie("nonce", None), lie("aud", "another-client"), lie("aud", ["another", "third"]), lie("aud", None),
        lie("aud", ["studio", "another"]), lie("azp", "another"), lie("iss", "https://evil.example"), lie("iss", None),
        lie("exp", int(time.time()) - 3600), lie("exp", None), lie("exp", "soon"), lie("iat", int(time.time()) + 3600), lie("iat", None),
        lie("sub", None), lie("sub", ""), lie("sub", 7), lie("sub", "x" * 256), lie("at_hash", "wrong"), lie("nbf", int(time.time()) + 3600),
    ],
)  # fmt: skip
def test_an_id_token_that_is_not_for_us_proves_nothing(
    house: House, provider: Provider, twist: Callable[[dict[str, Any]], None]
) -> None:
    joined(house)
    provider.twist = twist
    client = house.client()
    client.page("/login")
    refused = there_and_back(client, "/login/openid")
    assert refused.status_code == 403
    assert "does not prove who you are" in refused.text
    assert client.page("/").headers["location"].startswith("/login")


def test_signatures_only_the_provider_can_make(house: House, provider: Provider) -> None:
    joined(house)
    honest = provider.key

    def refused() -> None:
        client = house.client()
        client.page("/login")
        assert there_and_back(client, "/login/openid").status_code == 403

    provider.published, provider.key = [honest], RSAKey.generate_key(2048, {"kid": "one"})
    refused()  # another key under the same name
    provider.key = OctKey.import_key("s3cret/+" * 4, {"kid": "one"})
    provider.header = {"alg": "HS256"}
    refused()  # the client's secret is no proof
    provider.header, provider.key = {"alg": "RS256"}, RSAKey.generate_key(2048, {"kid": "two"})
    refused()  # nor a key that nobody published


def test_new_keys_are_looked_for(house: House, provider: Provider) -> None:
    joined(house)
    provider.key = RSAKey.generate_key(2048, {"kid": "two"})
    later = house.db.clock
    house.db.clock = lambda: later() + 61
    provider.twist = lambda claims: claims.update(exp=claims["exp"] + 61)
    house.app.state.studio.openid._clock = house.db.clock
    client = house.client()
    client.page("/login")
    assert there_and_back(client, "/login/openid").status_code == 303
    assert provider.asked.count("keys") == 2
    assert provider.asked.count("describe") == 1


def test_a_way_works_once_in_its_own_browser_for_a_while(house: House, provider: Provider) -> None:
    joined(house)
    client = house.client()
    client.page("/login")
    back = path_of(there(client, "/login/openid"))
    other = house.client()
    other.page("/login")
    assert other.page(back).status_code == 400  # somebody is talked into opening a stranger's link
    assert client.page(back).status_code == 400  # and that ended it
    back = path_of(there(client, "/login/openid"))
    assert client.page(back).status_code == 303
    assert client.page(back).status_code == 400  # replayed
    for path in ("/login/openid/back", "/login/openid/back?state=x&code=y"):
        assert "begun in another browser" in client.page(path).text
    slow = house.client()
    slow.page("/login")
    back = path_of(there(slow, "/login/openid"))
    house.db.clock, clock = (lambda: clock() + 601), house.db.clock
    assert slow.page(back).status_code == 400


def test_linking_ends_where_it_began(house: House, provider: Provider) -> None:
    client = house.sign_in("olga")
    client.page("/me")
    back = path_of(there(client, "/me/openid", {"password": PASSWORD}))
    house.person("ben")
    client.cookies.set(
        "accord_session", house.session("ben"), domain="studio.test"
    )  # another account meanwhile
    assert client.page(back).status_code == 400
    assert named(house, "ben").subject is named(house, "olga").subject is None


def test_a_closed_account_stays_closed(house: House, provider: Provider) -> None:
    joined(house)
    with house.db.read() as session:
        olga = accounts.visitor(session, house.session("olga"), house.db.now())
    accounts.change_account(house.db, named(house, "Ada").public, "annotator", True, olga)
    client = house.client()
    client.page("/login")
    assert there_and_back(client, "/login/openid").status_code == 403
    token = invitation(house)
    client.page(f"/join/{token}")
    assert there_and_back(client, f"/join/{token}/openid").status_code == 403


def test_what_the_provider_says_is_a_page(house: House, provider: Provider) -> None:
    client = house.client()
    client.page("/login?next=//evil.example")
    provider.refuse = "access_denied"
    said = there_and_back(client, "/login/openid", {"next": "//evil.example"})
    assert (said.status_code, "broken off at Acme" in said.text, "go away" in said.text) == (
        400,
        True,
        False,
    )
    provider.refuse = "server_error"
    assert there_and_back(client, "/login/openid").status_code == 400
    provider.refuse = None
    back = path_of(there(client, "/login/openid"))
    assert (
        client.page(re.sub("iss=[^&]+", "iss=https%3A%2F%2Fevil.example", back)).status_code == 400
    )
    back = path_of(there(client, "/login/openid"))
    assert client.page(re.sub("code=[^&]+", "code=guess", back)).status_code == 403


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)  # fmt: skip
def test_a_provider_without_a_usable_description(
    house: House, provider: Provider, about: dict[str, Any]
) -> None:
    provider.about = about
    client = house.client()
    client.page("/login")
    for _ in range(3):
        refused = client.fill("/login/openid")
        assert refused.status_code == 502
        assert "no usable answer" in refused.text
    assert provider.asked == [
        "describe"
    ]  # who waits for it holds a thread: it is left alone for a while


def test_a_provider_that_is_away_leaves_passwords(house: House, provider: Provider) -> None:
    provider.down = True
    client = house.client()
    client.page("/login")
    assert client.fill("/login/openid").status_code == 502
    assert client.fill("/login", {"name": "olga", "password": PASSWORD}).headers["location"] == "/"
    nobody = OpenIdSettings("http://127.0.0.1:9", "studio", "secret")
    with pytest.raises(OpenIdError, match=r"127\.0\.0\.1:9"):
        OpenId(nobody, time.time).discover()


def test_a_client_that_sends_its_secret_in_the_form(house: House, provider: Provider) -> None:
    provider.about = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    joined(house)


def test_tries_are_limited(house: House, provider: Provider) -> None:
    limit = rate_limits.LIMITS["openid"][0]
    for _ in range(limit - 1):
        rate_limits.attempt(house.db, "openid", "testclient")
    for _ in range(3):
        joined(house, name=f"Joins {time.monotonic_ns()}") if count(house) == 1 else None
        client = house.client()
        client.page("/login")
        assert (
            there_and_back(client, "/login/openid").status_code == 303
        )  # what ends well is not counted
    assert client.page("/login/openid/back?state=x").status_code == 400
    assert client.page("/login/openid/back?state=x").status_code == 429
    assert "1 try to sign in elsewhere" in house.sign_in("olga").page("/").text


def test_without_a_provider_there_is_nothing(tmp_path: Path, empty: Path) -> None:
    house = make_house(tmp_path, None, empty)
    client = house.client()
    assert "Sign in with" not in client.page("/login").text
    assert client.fill("/login/openid").status_code == 404
    assert client.page("/login/openid/back?state=x&code=y").status_code == 404
    house.db.close()


@pytest.mark.parametrize(
    ("issuer", "client", "secret", "message"),
    [
        ("http://login.example.org", "c", "s", "not an issuer"), ("login.example.org", "c", "s", "not an issuer"),
        ("https://a@login.example.org", "c", "s", "not an issuer"), ("https://login.example.org?x=1", "c", "s", "not an issuer"),
        ("https://login.example.org:x", "c", "s", "not an issuer"),
        ("https://login.example.org", "", "s", "--oidc-client-id"), ("https://login.example.org", "c", "", "ACCORD_OIDC_SECRET"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(issuer: str, client: str, secret: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        OpenIdSettings(issuer, client, secret)
    assert message in str(refused.value)
    assert "secret" not in repr(OpenIdSettings("https://login.example.org", "c", "secret"))


def test_worker_processes_are_told_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = OpenIdSettings("https://login.example.org", "c", "secret", "Acme")
    database = str(tmp_path / "studio.db")
    wanted = server.Serving(database, "::", 80, 2, tmp_path, True, True, provider)
    monkeypatch.setenv(server.SERVING, server.for_workers(wanted))
    state = server.from_environment().state
    assert (state.studio.openid.settings, state.studio.media) == (provider, tmp_path)
    assert (state.studio.https, state.private_webhooks) == (True, True)
    state.studio.db.close()
    plain = server.Serving(database)
    monkeypatch.setenv(server.SERVING, server.for_workers(plain))
    state = server.from_environment().state
    assert (state.studio.openid, state.studio.media) == (None, None)
    assert (state.studio.https, state.private_webhooks) == (False, False)
    state.studio.db.close()


def test_in_a_browser(served: Any, visit: Callable[..., Any], provider: Provider) -> None:
    """Browsers refuse forms that lead elsewhere by a redirect; and cookies must survive the way
    back."""
    page = visit(served, None)
    page.goto(f"{served.url}/join/{invitation(served.house)}")
    page.get_by_role("button", name="Sign in with Acme").click()
    page.wait_for_url(f"{served.url}/")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with Acme").click()
    page.wait_for_url(f"{served.url}/")
    assert page.get_by_role("link", name="Ada").is_visible()
