"""What leaves a project and what is on record: the log, exports, webhooks."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import select
from starlette.responses import Response

from accord.errors import AccordError
from accord.studio.delivery import exporting, webhooks
from accord.studio.delivery.bodies import HookIn
from accord.studio.delivery.exporting import SHAPES, Wanted
from accord.studio.storage import events
from accord.studio.storage.tables import Account, Event
from accord.studio.tasks.markup import safe_html
from accord.studio.web.context import Manager, ProjectAccess, Sent, Studio, StudioDep, go, require
from accord.studio.web.quality import shown

router = APIRouter(prefix="/p/{slug}")
Looker = Depends(require("look"))
Keeper = Depends(require("manage"))
PAGE = 100


# --- the log --------------------------------------------------------------------------------------
@router.get("/log")
def log(request: Request, studio: StudioDep, access: ProjectAccess = Looker) -> Response:
    """Newest first; `verify=1` computes every hash again."""
    before = request.query_params.get("before", "")
    query = (
        select(Event)
        .where(Event.chain == access.project.id)
        .order_by(Event.number.desc())
        .limit(PAGE + 1)
    )
    if before.isdecimal():
        query = query.where(Event.number < int(before[:12]))
    with studio.db.read() as session:
        rows = list(session.scalars(query))
        actors = {row.actor for row in rows}
        found_names = session.execute(
            select(Account.public, Account.name).where(Account.public.in_(actors))
        ).all()
        names = {row[0]: row[1] for row in found_names}
        verified = (
            events.verify(session, access.project.id)
            if request.query_params.get("verify")
            else None
        )
    return shown(
        request,
        "log.html.j2",
        access,
        rows=rows[:PAGE],
        more=rows[PAGE - 1].number if len(rows) > PAGE else None,
        names=names,
        verified=verified,
    )


# --- export ---------------------------------------------------------------------------------------
@router.get("/export")
def export(request: Request, studio: StudioDep, access: ProjectAccess = Looker) -> Response:
    """What an export would hold, and the way to it."""
    asked = request.query_params
    shape = asked.get("shape", "accord")
    wanted = Wanted(
        shape if shape in SHAPES else "accord",
        gold=asked.get("gold") == "on",
        skips=asked.get("skips") == "on",
        columns=asked.get("plain") != "on",
        hash_annotators=asked.get("hashed") == "on",
    )
    collected = exporting.collect(studio.db, access.project.id, wanted.gold, wanted.skips)
    bundle, why = None, None
    try:
        bundle = exporting.bundle(collected, wanted, access.project.name)
    except AccordError as error:
        why = error.message
    if bundle is not None and asked.get("download") == "1":
        exporting.note_export(studio.db, access.project.id, bundle, access.me.public)
        return _zip(access, bundle)
    card = None if bundle is None else safe_html(bundle.card)
    about: dict[str, Any] = {
        "shapes": SHAPES,
        "wanted": wanted,
        "card": card,
        "why": why,
        "bundle": bundle,
        "collected": collected,
    }
    return shown(request, "export.html.j2", access, **about)


def _zip(access: ProjectAccess, bundle: exporting.Bundle) -> Response:
    """Data, what stands beside it, and the card, in one file."""
    name = f"{access.project.slug}-{bundle.shape}"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr(f"{name}{bundle.suffix}", bundle.data)
        if bundle.about is not None:
            files.writestr(f"{name}.about.jsonl", bundle.about)
        files.writestr(f"{name}.card.md", bundle.card)
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return Response(held.getvalue(), media_type="application/zip", headers=headers)


# --- webhooks -------------------------------------------------------------------------------------
@router.get("/hooks")
def hooks(request: Request, studio: StudioDep, access: ProjectAccess = Keeper) -> Response:
    """Who hears of events."""
    return _hooks(request, studio, access)


def _hooks(request: Request, studio: Studio, access: ProjectAccess, **more: Any) -> Response:
    with studio.db.read() as session:
        rows = webhooks.standing(session, access.project.id)
    values = {"rows": rows, "kinds": webhooks.KINDS, "secret": None, "error": None, "form": None}
    return shown(
        request, "hooks.html.j2", access, 400 if more.get("error") else 200, **{**values, **more}
    )


@router.post("/hooks")
def add(request: Request, studio: StudioDep, access: Manager, form: Sent) -> Response:
    """A new one; its secret is shown once."""
    try:
        wanted = form.read(HookIn)
        private = bool(request.app.state.private_webhooks)
        created = webhooks.add(
            studio.db, access.project.id, wanted.url, wanted.kinds, access.me.public, private
        )
    except AccordError as error:
        return _hooks(request, studio, access, error=error, form=form)
    return _hooks(request, studio, access, secret=created.secret)


@router.post("/hooks/{number}/remove")
def remove(studio: StudioDep, access: Manager, number: int) -> Response:
    """End it."""
    webhooks.remove(studio.db, access.project.id, number, access.me.public)
    return go(f"/p/{access.project.slug}/hooks", "saved")


@router.post("/hooks/{number}/enable")
def enable(studio: StudioDep, access: Manager, number: int) -> Response:
    """Try again what was missed."""
    webhooks.enable(studio.db, access.project.id, number, access.me.public)
    return go(f"/p/{access.project.slug}/hooks", "saved")
