"""What pages share: the studio itself, who asks, for which project, and how a page is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel
from sqlalchemy import select
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from accord.studio.bodies import read_form
from accord.studio.errors import FieldError, NotAllowed, NotHere
from accord.studio.i18n import LANGUAGES, Words, preferred, words
from accord.studio.people import accounts, members
from accord.studio.people.accounts import Visitor, allowed
from accord.studio.people.openid import OpenId
from accord.studio.projects.settings import ProjectSettings
from accord.studio.storage.database import Database
from accord.studio.storage.plain import check_text
from accord.studio.storage.tables import Membership, Project
from accord.studio.tasks.chat import ChatSampler
from accord.studio.tasks.markup import visible
from accord.studio.web import security

M = TypeVar("M", bound=BaseModel)


@dataclass
class Studio:
    """What an application holds. media: folder of clips, one subfolder per project."""

    db: Database
    templates: Environment
    static: str
    https: bool = False
    media: Path | None = None
    sampler: ChatSampler | None = None
    openid: OpenId | None = None
    refused_writes: int = 0


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Jinja2 with everything escaped and nothing undefined; one for all applications, since each
    compiles its pages anew."""
    environment = Environment(
        loader=PackageLoader("accord.studio"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    return environment


def static_folders() -> list[Path]:
    """Where the static files lie: the studio's own, and what draws clips in reports too."""
    own = Path(str(resources.files("accord.studio") / "static"))
    return [own, Path(str(resources.files("accord") / "assets" / "drawing"))]


@lru_cache(maxsize=1)
def static_digest() -> str:
    """Names the static files' version in their address, so that browsers may keep them for good."""
    total = hashlib.sha256()
    for folder in static_folders():
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            total.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return total.hexdigest()[:12]


class SignIn(Exception):
    """The page is for people who are signed in."""


# --- who asks -------------------------------------------------------------------------------------
def studio_of(request: Request) -> Studio:
    """The application's studio."""
    studio: Studio = request.app.state.studio
    return studio


StudioDep = Annotated[Studio, Depends(studio_of)]


def visit(request: Request, studio: StudioDep) -> Visitor | None:
    """Who asks, by the session's cookie."""
    secret = request.cookies.get(security.session_cookie(studio.https))
    visitor = None
    if secret:
        with studio.db.read() as session:
            visitor = accounts.visitor(session, secret, studio.db.now())
    request.state.visitor = visitor
    return visitor


Maybe = Annotated[Visitor | None, Depends(visit)]


async def protect(request: Request, studio: StudioDep, visitor: Maybe) -> None:
    """Every write carries the session's token (before signing in: the form cookie's) and comes from
    our own pages."""
    if request.method in security.SAFE_METHODS:
        return
    expected = visitor.csrf if visitor is not None else request.cookies.get(security.FORM_COOKIE)
    given = await security.token_of(request)
    if not security.same_origin(request) or not security.token_fits(given, expected):
        studio.refused_writes += 1
        raise HTTPException(403, "csrf")


def signed_in(visitor: Maybe) -> Visitor:
    """Only for people who are signed in."""
    if visitor is None:
        raise SignIn
    return visitor


Me = Annotated[Visitor, Depends(signed_in)]


@dataclass(frozen=True)
class ProjectAccess:
    """A project as seen by one person. role: theirs in it; member: None for owners and auditors of
    the house."""

    me: Visitor
    project: Project
    settings: ProjectSettings
    role: str
    member: Membership | None

    def may(self, need: str, write: bool = True) -> bool:
        """Whether they may do what needs `need`."""
        return allowed(self.role, need, write)


def require(need: str) -> Callable[..., ProjectAccess]:
    """A dependency: the project of the address, for who may do what needs `need`. For others it
    does not exist."""

    def find(request: Request, slug: str, me: Me, studio: StudioDep) -> ProjectAccess:
        access = project_access(studio.db, slug, me)
        if access is None or not access.may("take part", write=False):
            raise NotHere("there is no such page")
        if not access.may(need, write=request.method not in security.SAFE_METHODS):
            raise NotAllowed("your role in this project does not allow that", "ask its manager")
        return access

    return find


def project_access(db: Database, slug: str, me: Visitor) -> ProjectAccess | None:
    """The project as `me` sees it; None where there is none for them."""
    with db.read() as session:
        project = session.scalars(select(Project).where(Project.slug == slug)).first()
        if project is None:
            return None
        member = session.get(Membership, (project.id, me.id))
    role = members.role_in(me, member)
    return (
        ProjectAccess(me, project, members.settings_of(project), role, member)
        if role is not None
        else None
    )


Worker = Annotated[ProjectAccess, Depends(require("work"))]
Participant = Annotated[ProjectAccess, Depends(require("take part"))]
Manager = Annotated[ProjectAccess, Depends(require("manage"))]


# --- pages ----------------------------------------------------------------------------------------
def words_for(request: Request) -> Words:
    """The reader's language: their account's, else what the browser asks for."""
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    if visitor is not None:
        return words(visitor.language)
    return words(preferred(request.headers.get("accept-language", "en")))


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page from a template, with what every page needs."""
    studio = studio_of(request)
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    t = words_for(request)
    notice = request.query_params.get("said", "")
    error = values.get("error")
    base = {
        "t": t,
        "visitor": visitor,
        "nonce": request.state.nonce,
        "static": studio.static,
        "languages": LANGUAGES,
        "csrf": visitor.csrf if visitor else security.form_token(request),
        "notice": notice if f"said.{notice}" in t.texts else None,
        "error": None,
        "at_fault": _at_fault(error),
        "path": request.url.path,
        "access": None,
        "script": None,
        "provider": studio.openid.name if studio.openid else None,
    }
    response = HTMLResponse(
        studio.templates.get_template(template).render({**base, **values}), status
    )
    if visitor is None:
        security.keep_form_token(response, request, studio.https)
    return response


def _at_fault(error: Any) -> dict[str, str]:
    """Field of a form -> what is wrong with it, told beside it; of a list's parts the first."""
    told: dict[str, str] = {}
    for field, why in error.fields.items() if isinstance(error, FieldError) else ():
        told.setdefault(field.partition(".")[0], why)
    return told


def go(where: str, notice: str | None = None) -> RedirectResponse:
    """After a form: look at `where`, which says what was done."""
    return RedirectResponse(f"{where}?said={notice}" if notice else where, 303)


@dataclass(frozen=True)
class FormFields:
    """A form's text fields, each with its values in order."""

    values: dict[str, list[str]]

    def read(self, model: type[M]) -> M:
        """The form as `model`; raises FieldError."""
        return read_form(model, {k: v for k, v in self.values.items() if k != "csrf"})

    def last(self, name: str) -> str:
        """A field's last value; nothing where it is not there."""
        return self.values.get(name, [""])[-1]


async def form(request: Request) -> FormFields:
    """A form's text fields, line breaks as everywhere else. Raises DataError for text that cannot
    be kept."""
    sent = await request.form(max_files=4, max_fields=1000)
    values = {
        name: [v.replace("\r\n", "\n") for v in sent.getlist(name) if isinstance(v, str)]
        for name in sent
    }
    check_text(values)
    return FormFields({name: given for name, given in values.items() if given})


Sent = Annotated[FormFields, Depends(form)]


async def fields(form: Sent) -> dict[str, str]:
    """A form's text fields; the last one of a name counts."""
    return {name: form.last(name) for name in form.values}


Fields = Annotated[dict[str, str], Depends(fields)]


async def body(request: Request) -> dict[str, Any]:
    """A JSON object."""
    try:
        parsed = await request.json()
    except (ValueError, RecursionError):
        raise HTTPException(400, "this is not JSON, or nested too deeply") from None
    if not isinstance(parsed, dict):
        raise HTTPException(400, "send a JSON object")
    check_text(parsed)
    return parsed


Json = Annotated[dict[str, Any], Depends(body)]
