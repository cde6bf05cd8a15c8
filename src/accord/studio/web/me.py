"""One's own page: preferences, work and pay, what is kept about oneself, and taking it back."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Request
from starlette.responses import Response

from accord.errors import AccordError, ConfigError
from accord.studio.i18n import LANGUAGES, PSEUDO
from accord.studio.people import accounts, api_tokens, erasing, passwords, rate_limits, self_service
from accord.studio.projects.settings import ATTRIBUTES
from accord.studio.web import security
from accord.studio.web.context import Fields, Lists, Me, Studio, StudioDep, go, page

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
    values = {"secret": None, "error": None, "wrong_password": False} | more
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
def preferences(studio: StudioDep, me: Me, form: Fields, boxes: Lists) -> Response:
    """Language, blur, opt-outs, breaks, time zone."""
    language = form.get("language", "en")
    if language not in LANGUAGES and language != PSEUDO:
        raise ConfigError(
            f"there is no language {language!r} here", f"languages: {', '.join(LANGUAGES)}"
        )
    chosen: dict[str, Any] = {
        "blur": sorted(set(boxes.get("blur", [])))[:200],
        "opted_out": sorted(set(boxes.get("opted_out", [])))[:200],
        "send_at_once": form.get("send_at_once") == "on",
        "break_minutes": _minutes(form.get("break_minutes", ""), 5, 480),
        "daily_minutes": _minutes(form.get("daily_minutes", ""), 1, 1440),
        "timezone": form["timezone"] if form.get("timezone") in available_timezones() else "UTC",
    }
    self_service.set_preferences(studio.db, me, language, chosen)
    return go("/me", "saved")


def _minutes(text: str, low: int, high: int) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal() or not low <= int(text.strip()[:6]) <= high:
        raise ConfigError(f"{text!r} is not a number of minutes from {low} to {high}")
    return int(text.strip())


@router.post("/attributes")
def attributes(studio: StudioDep, me: Me, form: Fields) -> Response:
    """What one chooses to say about oneself; empty fields are not kept."""
    stated = {name: form[name].strip()[:200] for name in ATTRIBUTES if form.get(name, "").strip()}
    self_service.set_attributes(studio.db, me, stated)
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
def make_token(request: Request, studio: StudioDep, me: Me, form: Fields, boxes: Lists) -> Response:
    """A program's key, shown once."""
    try:
        secret = api_tokens.issue_token(
            studio.db, me, form.get("name", ""), boxes.get("scopes", []), 365
        )
    except AccordError as error:
        return show_me(request, studio, me, error=error)
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
def withdraw(studio: StudioDep, me: Me, answer_id: str, form: Fields) -> Response:
    """Take one answer out for good."""
    self_service.withdraw_one(
        studio.db, me, answer_id, form.get("reason", "").strip()[:500] or "by its author"
    )
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
