"""One's own page: preferences, work and pay, what is kept about oneself, and taking it back."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Request
from starlette.responses import Response

from accord.errors import AccordError
from accord.studio.errors import FieldError
from accord.studio.people import accounts, api_tokens, erasing, passwords, rate_limits, self_service
from accord.studio.people.bodies import AttributesIn, PreferencesIn, TokenIn
from accord.studio.projects.settings import ATTRIBUTES
from accord.studio.web import security
from accord.studio.web.context import Fields, Me, Sent, Studio, StudioDep, go, page

router = APIRouter(prefix="/me")


def show_me(request: Request, studio: Studio, me: Me, **more: Any) -> Response:
    """The page about oneself, with what went wrong or what is shown once."""
    with studio.db.read() as session:
        account = self_service.account(session, me.id)
        tokens = self_service.tokens(session, me.id, studio.db.now())
        categories = self_service.categories(session, me.id)
        answers = self_service.recent_answers(session, me.id)
    works = self_service.works(studio.db, me.id)
    status = 400 if more.get("error") or more.get("wrong_password") else 200
    values = {"secret": None, "error": None, "wrong_password": False, "form": None} | more
    return page(
        request,
        "me.html.j2",
        status,
        account=account,
        works=works,
        tokens=tokens,
        categories=categories,
        answers=answers,
        fields=ATTRIBUTES,
        scopes=api_tokens.SCOPES,
        zones=sorted(available_timezones()),
        **values,
    )


@router.get("")
def me_page(request: Request, studio: StudioDep, me: Me) -> Response:
    """Everything about oneself."""
    return show_me(request, studio, me)


@router.post("/preferences")
def preferences(request: Request, studio: StudioDep, me: Me, form: Sent) -> Response:
    """Language, blur, opt-outs, breaks, time zone."""
    try:
        chosen = form.read(PreferencesIn)
    except FieldError as error:
        return show_me(request, studio, me, error=error, form=form)
    self_service.set_preferences(studio.db, me, chosen)
    return go("/me", "saved")


@router.post("/attributes")
def attributes(request: Request, studio: StudioDep, me: Me, form: Sent) -> Response:
    """What one chooses to say about oneself; empty fields are not kept."""
    try:
        stated = form.read(AttributesIn)
    except FieldError as error:
        return show_me(request, studio, me, error=error, form=form)
    self_service.set_attributes(studio.db, me, stated.model_dump(exclude_none=True))
    return go("/me", "saved")


@router.post("/password")
def password(request: Request, studio: StudioDep, me: Me, form: Fields) -> Response:
    """A new password; other sessions and API tokens end."""
    rate_limits.attempt(studio.db, "login", accounts.same_name(me.name))
    try:
        done = passwords.change(studio.db, me, form.get("old", ""), form.get("new", ""))
    except AccordError as error:
        return show_me(request, studio, me, error=error)
    return go("/me", "password") if done else show_me(request, studio, me, wrong_password=True)


@router.post("/tokens")
def make_token(request: Request, studio: StudioDep, me: Me, form: Sent) -> Response:
    """A program's key, shown once."""
    try:
        wanted = form.read(TokenIn)
    except FieldError as error:
        return show_me(request, studio, me, error=error, form=form)
    secret = api_tokens.issue_token(studio.db, me, wanted.name, wanted.scopes, 365)
    return show_me(request, studio, me, secret=secret)


@router.post("/tokens/{number}")
def end_token(studio: StudioDep, me: Me, number: int) -> Response:
    """End a program's key."""
    api_tokens.revoke_token(studio.db, me, number)
    return go("/me", "saved")


@router.get("/data.json")
def data(studio: StudioDep, me: Me) -> Response:
    """All that is kept about oneself, as a file."""
    with studio.db.read() as session:
        everything = self_service.everything(session, me.id)
    name = f"accord-{me.public}.json"
    return Response(
        json.dumps(everything, indent=1, ensure_ascii=False),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/answers/{answer_id}/withdraw")
def withdraw(studio: StudioDep, me: Me, answer_id: str) -> Response:
    """Take one answer out for good."""
    self_service.withdraw_one(studio.db, me, answer_id, "by its author")
    return go("/me", "withdrawn")


def knows_password(studio: Studio, me: Me, given: str) -> bool:
    """Whether somebody signed in is who they say, asked again before what cannot be undone; tries
    are limited. Who has no password is believed."""
    rate_limits.attempt(studio.db, "login", accounts.same_name(me.name))
    with studio.db.read() as session:
        stored = self_service.account(session, me.id).password
    if stored is not None and not accounts.password_fits(stored, given):
        return False
    rate_limits.forgive(studio.db, "login", accounts.same_name(me.name))
    return True


@router.post("/erase")
def erase(request: Request, studio: StudioDep, me: Me, form: Fields) -> Response:
    """Erase the account: personal data and, if wished, all answers. The password is asked for
    again."""
    if not knows_password(studio, me, form.get("password", "")):
        return show_me(request, studio, me, wrong_password=True)
    erasing.erase(studio.db, me.public, form.get("answers") == "on", me.public)
    response = go("/login", "erased")
    security.end_session_cookie(response, studio.https)
    return response
