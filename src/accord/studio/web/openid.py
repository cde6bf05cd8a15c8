"""Signing in with OpenID Connect: from the sign-in page, an invitation or one's own page to the
provider, and back."""

from __future__ import annotations

import hmac
import logging
import re

from fastapi import APIRouter, Request
from starlette.responses import Response

from accord.errors import AccordError
from accord.studio.errors import NotHere
from accord.studio.people import accounts, identities, rate_limits
from accord.studio.people.accounts import Visitor, digest, token
from accord.studio.people.identities import WAY_SECONDS, NoAccount, Way
from accord.studio.people.invitations import NotNeeded
from accord.studio.people.openid import Identity, OpenId, OpenIdError
from accord.studio.web import security
from accord.studio.web.context import Fields, Maybe, Me, Studio, StudioDep, go, page, words_for
from accord.studio.web.entry import enter, inside, join_again, link_of, not_needed
from accord.studio.web.me import knows_password, show_me
from accord.studio.web.security import address

router = APIRouter()
BACK = "/login/openid/back"
"""Where the provider sends people; it must know this address."""
LOG = logging.getLogger("accord.studio")


def _provider(studio: Studio) -> OpenId:
    if studio.openid is None:
        raise NotHere("there is no such page")
    return studio.openid


def _back(request: Request, studio: Studio) -> str:
    base = request.base_url.replace(scheme="https") if studio.https else request.base_url
    return f"{str(base).rstrip('/')}{BACK}"


def _failed(request: Request, studio: Studio, why: str, status: int) -> Response:
    t, name = words_for(request), _provider(studio).name
    return page(
        request,
        "message.html.j2",
        status,
        title="openid.failed",
        text=None,
        detail=t(f"openid.{why}", name=name),
    )


def _set_out(request: Request, studio: Studio, way: Way) -> Response:
    """A page that goes on to the provider. (A redirect would be refused: forms lead nowhere but
    here.)"""
    provider = _provider(studio)
    rate_limits.attempt(studio.db, "openid", address(request))
    browser = request.cookies.get(security.openid_cookie(studio.https)) or token()
    secrets = identities.set_out(studio.db, way, browser)
    try:
        where = provider.begin(
            _back(request, studio), secrets.state, secrets.nonce, secrets.verifier
        )
    except OpenIdError as error:
        LOG.warning("OpenID Connect: %s", error.message)
        return _failed(request, studio, error.why, 502)
    response = page(request, "openid.html.j2", where=where)
    security.set_openid(response, browser, WAY_SECONDS, studio.https)
    return response


# --- there ----------------------------------------------------------------------------------------
@router.post("/login/openid")
def sign_in(request: Request, studio: StudioDep, form: Fields) -> Response:
    """From the sign-in page."""
    return _set_out(request, studio, Way("sign in", inside(form.get("next"))))


@router.post("/setup/openid")
def set_up(request: Request, studio: StudioDep, form: Fields) -> Response:
    """The first owner, by the printed link."""
    return _join(request, studio, form.get("token", ""), form, "/setup")


@router.post("/join/{token}/openid")
def join(request: Request, studio: StudioDep, token: str, form: Fields) -> Response:
    """By an invitation."""
    return _join(request, studio, token, form, f"/join/{token}")


def _join(
    request: Request, studio: Studio, token: str, form: dict[str, str], action: str
) -> Response:
    link, name = link_of(studio, token, action), form.get("name", "").strip()
    try:
        if name:
            name = accounts.clean_name(name)
    except AccordError as error:
        return join_again(request, token, link, form, action, error)
    return _set_out(request, studio, Way("join", action, digest(token), name or None))


@router.post("/me/openid")
def link(request: Request, studio: StudioDep, me: Me, form: Fields) -> Response:
    """From one's own page; the password is asked for again, because this opens another door."""
    if not knows_password(studio, me, form.get("password", "")):
        return show_me(request, studio, me, wrong_password=True)
    return _set_out(request, studio, Way("link", "/me", account_id=me.id))


@router.post("/me/openid/remove")
def unlink(studio: StudioDep, me: Me) -> Response:
    """By password alone again."""
    identities.unlink(studio.db, me)
    return go("/me", "saved")


# --- and back -------------------------------------------------------------------------------------
@router.get(BACK)
def back(
    request: Request,
    studio: StudioDep,
    visitor: Maybe,
    state: str = "",
    code: str = "",
    error: str = "",
    iss: str = "",
) -> Response:
    """The provider's answer."""
    provider = _provider(studio)
    cookie = request.cookies.get(security.openid_cookie(studio.https))
    pending = identities.come_back(studio.db, state, cookie) if state else None
    if pending is None:
        rate_limits.attempt(studio.db, "openid", address(request))
        return _failed(request, studio, "stale", 400)
    way, secrets = pending
    if (
        error
        or not code
        or (iss and not hmac.compare_digest(iss.encode(), provider.settings.issuer.encode()))
    ):
        LOG.warning(
            "OpenID Connect: the provider answered with %s",
            re.sub(r"\W", "?", error)[:60] or "no code of its own",
        )
        return _failed(request, studio, "cancelled" if error == "access_denied" else "refused", 400)
    try:
        identity = provider.finish(_back(request, studio), code, secrets.nonce, secrets.verifier)
    except OpenIdError as refused:
        LOG.warning("OpenID Connect: %s", refused.message)
        return _failed(request, studio, refused.why, 502 if refused.why == "down" else 403)
    response = _arrive(request, studio, visitor, way, identity)
    rate_limits.forgive(studio.db, "openid", address(request), only_last=True)
    return response


def _arrive(
    request: Request, studio: Studio, visitor: Visitor | None, way: Way, identity: Identity
) -> Response:
    if way.goal == "link":
        if visitor is None or visitor.id != way.account_id:
            return _failed(request, studio, "stale", 400)
        identities.link(studio.db, visitor, identity)
        return go("/me", "linked")
    if way.goal == "join":
        try:
            secret, slug = identities.join(studio.db, identity, way)
        except NotNeeded as refused:
            return not_needed(request, refused)
        return enter(studio, secret, f"/p/{slug}/work" if slug else "/")
    try:
        return enter(studio, identities.enter(studio.db, identity), way.where)
    except NoAccount:
        return _failed(request, studio, "unknown", 403)
