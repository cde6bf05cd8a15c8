"""Coming in: the first owner's page, signing in and out, joining by a link."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accord.errors import AccordError
from accord.studio.errors import NotHere
from accord.studio.people import accounts, invitations, passwords, rate_limits
from accord.studio.people.invitations import Invited, NotNeeded
from accord.studio.people.rate_limits import attempt
from accord.studio.web import security
from accord.studio.web.context import Fields, Maybe, Studio, StudioDep, go, page, words_for
from accord.studio.web.security import address

router = APIRouter()


def inside(where: str | None) -> str:
    """A place to go to after signing in: on this site, or home."""
    return where if where and where.startswith("/") and not where.startswith(("//", "/\\")) else "/"


def enter(studio: Studio, secret: str, where: str) -> Response:
    """Go on signed in."""
    response = go(where)
    security.set_session(response, secret, studio.https)
    return response


@router.get("/setup")
def setup_page(request: Request, studio: StudioDep, token: str = "") -> Response:
    """The first owner's page: only with the link printed when the studio started."""
    with studio.db.read() as session:
        link = invitations.invited(session, token, studio.db.now())
    if link is None or not link.first:
        raise NotHere("there is no such page")
    return page(
        request, "join.html.j2", link_token=token, link=link, values={}, action="/setup", known=None
    )


@router.post("/setup")
def setup(request: Request, studio: StudioDep, form: Fields) -> Response:
    """Make the first owner."""
    return _join(request, studio, form.get("token", ""), form, "/setup")


@router.get("/join/{token}")
def join_page(request: Request, studio: StudioDep, visitor: Maybe, token: str) -> Response:
    """An invitation: make an account, or take part with the one you have."""
    with studio.db.read() as session:
        link = invitations.invited(session, token, studio.db.now())
        refused = (
            invitations.unneeded(session, link, visitor.id)
            if link is not None and visitor is not None
            else None
        )
    if link is None:
        attempt(
            studio.db, "join", address(request)
        )  # guesses are counted, not a class that joins together
        return page(request, "message.html.j2", 404, title="join.gone", text="join.gone_text")
    if refused is not None:
        return not_needed(request, refused, 200)
    return page(
        request,
        "join.html.j2",
        link_token=token,
        link=link,
        values={},
        action=f"/join/{token}",
        known=visitor,
    )


def not_needed(request: Request, refused: NotNeeded, status: int = 409) -> Response:
    """Says why an invitation stays unused, and where to go on."""
    t, link = words_for(request), refused.link
    roles = {"held": t(f"role.{refused.held}"), "role": t(f"role.{link.role}")}
    detail = t(f"join.unneeded.{refused.why}", project=link.project or "", **roles)
    inside = refused.why in ("already", "other")
    where = f"/p/{link.slug}/guideline" if inside and link.slug else "/"
    on = t("join.go_on", project=link.project or "") if inside else t("nav.home")
    return page(request, "unneeded.html.j2", status, detail=detail, where=where, on=on)


@router.post("/join/{token}")
def join(request: Request, studio: StudioDep, visitor: Maybe, token: str, form: Fields) -> Response:
    """Use an invitation."""
    if visitor is not None:
        try:
            slug = invitations.join_as(studio.db, token, visitor.id)
        except NotNeeded as refused:
            return not_needed(request, refused)
        return go(f"/p/{slug}/work" if slug else "/")
    return _join(request, studio, token, form, f"/join/{token}")


def link_of(studio: Studio, token: str, action: str) -> Invited:
    """What the link offers, at the page it belongs to: the first owner's at /setup, others at
    /join. Raises NotHere."""
    with studio.db.read() as session:
        link = invitations.invited(session, token, studio.db.now())
    if link is None or (action == "/setup") != link.first:
        raise NotHere("there is no such page")
    return link


def join_again(
    request: Request,
    token: str,
    link: Invited,
    form: dict[str, str],
    action: str,
    error: AccordError,
) -> Response:
    """The form once more, with what is wrong and the name that was entered."""
    return page(
        request,
        "join.html.j2",
        400,
        link_token=token,
        link=link,
        values={"name": form.get("name", "")},
        action=action,
        known=None,
        error=error,
    )


def _join(
    request: Request, studio: Studio, token: str, form: dict[str, str], action: str
) -> Response:
    link = link_of(studio, token, action)
    try:
        secret = invitations.join(studio.db, token, form.get("name", ""), form.get("password", ""))
    except AccordError as error:
        return join_again(request, token, link, form, action, error)
    return enter(studio, secret, f"/p/{link.slug}/work" if link.slug else "/")


@router.get("/login")
def login_page(request: Request, visitor: Maybe, next: str = "/") -> Response:
    """Sign in."""
    if visitor is not None:
        return go(inside(next))
    return page(request, "login.html.j2", values={}, next=inside(next))


@router.post("/login")
def login(request: Request, studio: StudioDep, form: Fields) -> Response:
    """Check name and password; says nothing about which of the two was wrong."""
    name, where = form.get("name", ""), inside(form.get("next"))
    attempt(studio.db, "login-from", address(request))
    attempt(studio.db, "login", accounts.same_name(name))
    secret = accounts.sign_in(studio.db, name, form.get("password", ""))
    if secret is None:
        return page(request, "login.html.j2", 400, values={"name": name}, next=where, wrong=True)
    rate_limits.forgive(studio.db, "login", accounts.same_name(name))
    rate_limits.forgive(studio.db, "login-from", address(request), only_last=True)
    return enter(studio, secret, where)


# --- a new password -------------------------------------------------------------------------------
def _whose(request: Request, studio: Studio, token: str) -> str | None:
    """The name of the account whose password the link sets; tries with links that set none are
    limited."""
    with studio.db.read() as session:
        account = passwords.account_of(session, token, studio.db.now())
        name = None if account is None else account.name
    if name is None:
        attempt(studio.db, "password", address(request))
    return name


def _link_gone(request: Request) -> Response:
    return page(request, "message.html.j2", 404, title="password.gone", text="password.gone_text")


@router.get("/password/{token}")
def password_page(request: Request, studio: StudioDep, token: str) -> Response:
    """Choose a new password, by a link from an owner."""
    name = _whose(request, studio, token)
    if name is None:
        return _link_gone(request)
    return page(request, "password.html.j2", name=name, action=f"/password/{token}")


@router.post("/password/{token}")
def password(request: Request, studio: StudioDep, token: str, form: Fields) -> Response:
    """Set it. Whoever holds the link signs in with it afterwards, as anybody does."""
    name = _whose(request, studio, token)
    if name is None:
        return _link_gone(request)
    try:
        passwords.use_link(studio.db, token, form.get("new", ""))
    except NotHere:
        return _link_gone(request)
    except AccordError as error:
        action = f"/password/{token}"
        return page(request, "password.html.j2", 400, name=name, action=action, error=error)
    response = go("/login", "password_set")
    security.end_session_cookie(response, studio.https)
    return response


@router.post("/logout")
def logout(request: Request, studio: StudioDep) -> Response:
    """End the session, here and in the database."""
    secret = request.cookies.get(security.session_cookie(studio.https))
    if secret:
        studio.db.transact(lambda session: accounts.end_session(session, secret))
    response = go("/login", "signed_out")
    security.end_session_cookie(response, studio.https)
    return response
