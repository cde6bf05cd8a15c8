"""Who takes part: members with their roles and states, and links that invite."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from accord.errors import AccordError, ConfigError
from accord.studio.errors import Conflict, FieldError, NotHere
from accord.studio.people import accounts, erasing, invitations, members, passwords, self_service
from accord.studio.people.bodies import HouseInvitationIn, HouseMemberIn, InvitationIn, MemberIn
from accord.studio.people.members import ABOVE
from accord.studio.web.context import (
    Fields,
    FormFields,
    Manager,
    Me,
    ProjectAccess,
    Sent,
    Studio,
    StudioDep,
    go,
    page,
    words_for,
)
from accord.studio.web.me import knows_password

router = APIRouter()


def _people(
    request: Request,
    studio: Studio,
    access: ProjectAccess,
    link: str | None = None,
    error: Exception | None = None,
    form: FormFields | None = None,
    changed: str | None = None,
) -> Response:
    """changed: the member whose row the error is about; without one it is about the invitation."""
    with studio.db.read() as session:
        rows = members.members(session, access.project.id)
        open_links = invitations.open_invitations(session, access.project.id, studio.db.now())
    roles = [role for role in members.ROLES if ABOVE[role] <= ABOVE.get(access.role, 0)]
    return page(
        request,
        "people.html.j2",
        400 if error else 200,
        access=access,
        rows=rows,
        links=open_links,
        roles=roles,
        states=members.STATES,
        link=link,
        error=error,
        form=form,
        changed=changed,
        above=ABOVE,
    )


@router.get("/p/{slug}/people")
def people(request: Request, studio: StudioDep, access: Manager) -> Response:
    """Members and open invitations."""
    return _people(request, studio, access)


@router.post("/p/{slug}/people/invite")
def invite(request: Request, studio: StudioDep, access: Manager, form: Sent) -> Response:
    """A link, shown once."""
    try:
        wanted = form.read(InvitationIn)
        members.check_may_give(wanted.role, access.role)
    except AccordError as error:
        return _people(request, studio, access, error=error, form=form)
    secret = invitations.invite(
        studio.db, access.me, wanted.role, access.project.id, wanted.days, wanted.uses
    )
    return _people(request, studio, access, link=_link(request, f"join/{secret}"))


def _link(request: Request, path: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/{path}"


@router.post("/p/{slug}/people/revoke/{number}")
def revoke(studio: StudioDep, access: Manager, number: int) -> Response:
    """End an invitation."""
    invitations.revoke_invitation(studio.db, access.project.id, number, access.me.public)
    return go(f"/p/{access.project.slug}/people", "saved")


@router.post("/p/{slug}/people/{public}")
def change(
    request: Request, studio: StudioDep, access: Manager, public: str, form: Sent
) -> Response:
    """Another role or state: active, paused, quarantined, removed."""
    try:
        wanted = form.read(MemberIn).model_dump()
        members.change(studio.db, access.project.id, public, access.me, access.role, **wanted)
    except FieldError as error:
        return _people(request, studio, access, error=error, form=form, changed=public)
    return go(f"/p/{access.project.slug}/people", "saved")


# --- the house ------------------------------------------------------------------------------------
def _house(
    request: Request,
    studio: Studio,
    me: Me,
    link: str | None = None,
    error: Exception | None = None,
    form: FormFields | None = None,
) -> Response:
    if me.role not in ("owner", "auditor"):
        raise NotHere("there is no such page")
    with studio.db.read() as session:
        rows = accounts.everybody(session)
        links = invitations.open_invitations(session, None, studio.db.now())
    return page(
        request,
        "house.html.j2",
        400 if error else 200,
        rows=rows,
        links=links,
        roles=accounts.HOUSE_ROLES,
        link=link,
        error=error,
        form=form,
    )


def _owner(me: Me) -> None:
    if me.role != "owner":
        raise NotHere("there is no such page")


@router.get("/people")
def house(request: Request, studio: StudioDep, me: Me) -> Response:
    """Everybody in the house; for its owners (and auditors to read)."""
    return _house(request, studio, me)


@router.post("/people/invite")
def house_invite(request: Request, studio: StudioDep, me: Me, form: Sent) -> Response:
    """A link into the house, shown once."""
    _owner(me)
    try:
        wanted = form.read(HouseInvitationIn)
    except FieldError as error:
        return _house(request, studio, me, error=error, form=form)
    secret = invitations.invite(studio.db, me, wanted.role, None, wanted.days, wanted.uses)
    return _house(request, studio, me, link=_link(request, f"join/{secret}"))


@router.post("/people/revoke/{number}")
def house_revoke(studio: StudioDep, me: Me, number: int) -> Response:
    """End an invitation into the house."""
    _owner(me)
    invitations.revoke_invitation(studio.db, None, number, me.public)
    return go("/people", "saved")


@router.post("/people/{public}")
def house_change(studio: StudioDep, me: Me, public: str, form: Sent) -> Response:
    """Another role in the house, or no entry any more."""
    _owner(me)
    wanted = form.read(HouseMemberIn)
    accounts.change_account(studio.db, public, wanted.role, wanted.disabled, me)
    return go("/people", "saved")


# --- one of them ----------------------------------------------------------------------------------
def _person(
    request: Request,
    studio: Studio,
    me: Me,
    public: str,
    link: str | None = None,
    error: Exception | None = None,
    **values: Any,
) -> Response:
    _owner(me)
    with studio.db.read() as session:
        account = accounts.by_public(session, public)
        footprint = erasing.footprint(session, account.id, studio.db.now())
        asks_password = self_service.account(session, me.id).password is not None
    return page(
        request,
        "person.html.j2",
        400 if error else 200,
        account=account,
        footprint=footprint,
        way=passwords.way_in(account),
        asks_password=asks_password,
        link=link,
        error=error,
        values=values,
    )


@router.get("/people/{public}")
def person(request: Request, studio: StudioDep, me: Me, public: str) -> Response:
    """A new password for somebody, or erasing them; for the house's owners."""
    return _person(request, studio, me, public)


@router.post("/people/{public}/password")
def person_password(request: Request, studio: StudioDep, me: Me, public: str) -> Response:
    """A link with which they set a new password, shown once."""
    _owner(me)
    try:
        secret = passwords.make_link(studio.db, public, me)
    except Conflict as error:
        return _person(request, studio, me, public, error=error)
    return _person(request, studio, me, public, link=_link(request, f"password/{secret}"))


@router.post("/people/{public}/erase")
def person_erase(
    request: Request, studio: StudioDep, me: Me, public: str, form: Fields
) -> Response:
    """Erase somebody who asked for it; their name and the owner's password are asked for."""
    _owner(me)
    wants_answers = form.get("answers") == "on"
    try:
        erasing.check_named(studio.db, public, form.get("name", ""), me.public)
        if not knows_password(studio, me, form.get("password", "")):
            raise ConfigError(words_for(request)("me.wrong_password"))
        erasing.erase(studio.db, public, wants_answers, me.public)
    except (Conflict, ConfigError) as error:
        return _person(request, studio, me, public, error=error, answers=wants_answers)
    return go("/people", "person_erased")
