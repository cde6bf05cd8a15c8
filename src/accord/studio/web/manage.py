"""Managers' pages: a new project, its items, its settings."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import Response

from accord.errors import AccordError, ConfigError
from accord.feedback.formats.reading import SENT, kind_of
from accord.studio.errors import FieldError
from accord.studio.i18n import Words
from accord.studio.people import accounts
from accord.studio.projects import editing, studies
from accord.studio.projects.bodies import LifeIn, ShortForm
from accord.studio.projects.editing import Added, Incoming
from accord.studio.projects.settings import TASKS, ProjectSettings, parse_settings
from accord.studio.storage.tables import Project
from accord.studio.web.context import (
    FormFields,
    Manager,
    Me,
    ProjectAccess,
    Sent,
    Studio,
    StudioDep,
    go,
    page,
    studio_of,
    words_for,
)

router = APIRouter()
EXAMPLE = """name: My project
task: comparison
question: Which response is better?
overlap: 2
strength: false
guideline: |
  # How to judge

  Prefer the response that is right, and then the one that is clearer.
"""


@router.get("/p/new")
def new_page(request: Request, me: Me) -> Response:
    """A new project: a few questions, or the whole as YAML; and a file of items."""
    accounts.check_may_make_projects(me)
    return page(request, "new.html.j2", tasks=TASKS, values={"yaml": EXAMPLE}, example=EXAMPLE)


@router.post("/p/new")
async def new(request: Request, studio: StudioDep, me: Me, form: Sent) -> Response:
    """Make the project and add the file's items."""
    upload = (await request.form()).get("file")
    return await run_in_threadpool(
        _new, request, studio, me, form, upload if isinstance(upload, UploadFile) else None
    )


def _new(
    request: Request, studio: Studio, me: Me, form: FormFields, upload: UploadFile | None
) -> Response:
    accounts.check_may_make_projects(me)
    try:
        as_yaml = form.last("how") == "yaml"
        settings = (
            _parsed(form.last("yaml"), "the project file")
            if as_yaml
            else form.read(ShortForm).settings()
        )
        rows = None if upload is None or not upload.filename else _read(upload, settings)
    except AccordError as error:
        values = {name: form.last(name) for name in form.values}
        return page(
            request, "new.html.j2", 400, tasks=TASKS, values=values, example=EXAMPLE, error=error
        )
    project_id = editing.create_project(studio.db, settings, me.id)
    with studio.db.read() as session:
        slug = session.get_one(Project, project_id).slug
    if rows is None:
        return go(f"/p/{slug}/settings", "made")
    added = _added(studio, project_id, rows, me.id)
    return go(f"/p/{slug}/settings?{_count(added)}")


def _parsed(text: str, name: str) -> ProjectSettings:
    """Settings from the text in a form's field `yaml`; raises FieldError."""
    try:
        return parse_settings(text, name)
    except ConfigError as error:
        raise FieldError({"yaml": error.message}, error.fix) from None


def _count(added: Added) -> str:
    return f"new={added.new}&duplicates={added.duplicates}&bad={sum(added.bad.values())}"


def _read(upload: UploadFile, settings: ProjectSettings) -> Incoming:
    """What an uploaded file holds; raises ConfigError naming it. It lies in a folder of its own
    while it is read."""
    name = Path(upload.filename or "items.jsonl").name
    try:
        kind_of(name)
        with tempfile.TemporaryDirectory(prefix="accord-upload-") as folder:
            file = Path(folder) / f"items{''.join(Path(name.lower()).suffixes[-2:])}"
            with open(file, "wb") as handle:
                while block := upload.file.read(2**20):
                    handle.write(block)
            return editing.items_from(file, settings, SENT)
    except AccordError as error:
        known = "items" + "".join(Path(name.lower()).suffixes[-2:])
        raise ConfigError(error.message.replace(known, name), error.fix) from None


def _added(studio: Studio, project_id: int, incoming: Incoming, by: int) -> Added:
    """Add a file's items; what could not be read of it is counted with what could not be used."""
    added = editing.add_items(studio.db, project_id, incoming.items, by)
    bad, first = {**added.bad}, {**added.first_bad}
    for reason, count in incoming.dropped.items():
        bad[reason] = bad.get(reason, 0) + count
        first.setdefault(reason, incoming.first_dropped[reason])
    return replace(added, bad=bad, first_bad=first)


@router.post("/p/{slug}/items")
async def add(request: Request, studio: StudioDep, access: Manager) -> Response:
    """More items from a file."""
    upload = (await request.form()).get("file")
    return await run_in_threadpool(
        _add, request, studio, access, upload if isinstance(upload, UploadFile) else None
    )


def _add(
    request: Request, studio: Studio, access: ProjectAccess, upload: UploadFile | None
) -> Response:
    try:
        if upload is None or not upload.filename:
            raise ConfigError("no file was chosen")
        added = _added(studio, access.project.id, _read(upload, access.settings), access.me.id)
    except AccordError as error:
        return _settings(request, access, access.settings.dump(), error)
    reasons = _reasons(added, words_for(request))
    return _settings(request, access, access.settings.dump(), None, added, reasons)


MOST_REASONS = 50
"""That a page lists one by one."""


def _reasons(added: Added, t: Words) -> list[str]:
    """Why rows cannot be used, the most frequent reasons first; the rest is counted."""
    reasons = [
        f"{reason} ({t.number(count)}; first: {added.first_bad[reason]})"
        for reason, count in Counter(added.bad).most_common(MOST_REASONS)
    ]
    others = sorted(added.bad.values(), reverse=True)[MOST_REASONS:]
    if others:
        reasons.append(t("settings.other_reasons", count=len(others), rows=sum(others)))
    return reasons


@router.get("/p/{slug}/settings")
def settings_page(request: Request, access: Manager) -> Response:
    """The project's settings as YAML; adding items; pausing."""
    return _settings(request, access, access.settings.dump())


def _settings(
    request: Request,
    access: ProjectAccess,
    text: str,
    error: Exception | None = None,
    added: Added | None = None,
    reasons: list[str] | None = None,
) -> Response:
    counted = {
        key: int(value[:9])
        for key in ("new", "duplicates", "bad")
        if (value := request.query_params.get(key, "")).isdecimal()
    }
    if added is not None:
        counted = {
            "new": added.new,
            "duplicates": added.duplicates,
            "bad": sum(added.bad.values()),
        }
    with studio_of(request).db.read() as session:
        study = studies.study_power(session, access.project.id, access.settings)
    return page(
        request,
        "settings.html.j2",
        400 if error else 200,
        access=access,
        study=study,
        text=text,
        error=error,
        added=counted or None,
        reasons=reasons or [],
    )


@router.post("/p/{slug}/settings")
def change(request: Request, studio: StudioDep, access: Manager, form: Sent) -> Response:
    """Change the settings; what answers forbid is refused with the reason."""
    text = form.last("yaml")
    try:
        settings = _parsed(text, "the settings")
        editing.update_settings(studio.db, access.project.id, settings, access.me.id)
    except AccordError as error:
        return _settings(request, access, text, error)
    return go(f"/p/{access.project.slug}/settings", "saved")


@router.post("/p/{slug}/life")
def life(studio: StudioDep, access: Manager, form: Sent) -> Response:
    """Pause, resume or archive."""
    editing.change_life(studio.db, access.project.id, form.read(LifeIn).do, access.me.id)
    return go(f"/p/{access.project.slug}/settings", "saved")
