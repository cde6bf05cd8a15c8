"""How a project is doing, for those who may look: progress, agreement, annotators, groups,
integrity, selection, coverage."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select
from starlette.responses import Response

from accord.errors import AccordError
from accord.studio.errors import FieldError, NotAllowed, NotHere
from accord.studio.people import members
from accord.studio.people.bodies import StandingIn
from accord.studio.projects import training
from accord.studio.quality import charts, choosing
from accord.studio.quality.bodies import SelectionIn
from accord.studio.quality.cache import CachedStats, StatsCache
from accord.studio.quality.measures import forecast
from accord.studio.queue import assigning
from accord.studio.storage.tables import Item
from accord.studio.web.context import (
    Manager,
    ProjectAccess,
    Sent,
    Studio,
    StudioDep,
    go,
    page,
    require,
)

router = APIRouter(prefix="/p/{slug}")
Looker = Depends(require("look"))
TABS = (
    "",
    "annotators",
    "items",
    "groups",
    "integrity",
    "selection",
    "representation",
    "assistance",
    "log",
    "export",
    "hooks",
)


def stats_cache_of(request: Request) -> StatsCache:
    """The application's statistics."""
    cache: StatsCache = request.app.state.stats_cache
    return cache


def shown(
    request: Request, template: str, access: ProjectAccess, status: int = 200, **values: Any
) -> Response:
    """A page of this group, with what its templates use."""
    study = access.settings.assistance is not None
    tabs = [tab for tab in TABS if study or tab != "assistance"]
    tools = {"tabs": tabs, "charts": charts}
    return page(request, template, status, access=access, **tools, **values)


# --- how it goes ----------------------------------------------------------------------------------
@router.get("")
def dashboard(request: Request, studio: StudioDep, access: ProjectAccess = Looker) -> Response:
    """Progress, speed, forecast, agreement and the ceiling it sets, position bias, gold."""
    numbers = stats_cache_of(request).get(access.project.id, "overview")
    progress = assigning.progress(studio.db, access.project.id)
    with studio.db.read() as session:
        query = select(Item.state, Item.purpose, func.count()).where(
            Item.project_id == access.project.id
        )
        states = {
            (state, purpose): n
            for state, purpose, n in session.execute(query.group_by(Item.state, Item.purpose))
        }
        learned = training.learned_so_far(session, access.project.id)
    coming = (
        None
        if numbers.value is None
        else forecast(progress.slots - progress.filled, numbers.value.per_day)
    )
    return shown(
        request,
        "quality.html.j2",
        access,
        numbers=numbers,
        progress=progress,
        states=states,
        coming=coming,
        learned=learned,
    )


# --- people ---------------------------------------------------------------------------------------
@router.get("/annotators")
def annotators(request: Request, access: ProjectAccess = Looker) -> Response:
    """The model of every annotator, with intervals; quarantine and restore."""
    return shown(
        request,
        "annotators.html.j2",
        access,
        numbers=stats_cache_of(request).get(access.project.id, "people"),
        changed=None,
    )


@router.post("/annotators/{public}")
def change(
    request: Request, studio: StudioDep, access: Manager, public: str, form: Sent
) -> Response:
    """Quarantine or restore, with a reason; or put into the reference set, or take out."""
    project_id, me = access.project.id, access.me
    try:
        wanted = form.read(StandingIn)
        if wanted.do in ("trust", "distrust"):
            studio.db.transact(
                lambda session: members.set_trusted(
                    session, project_id, public, wanted.do == "trust", studio.db.now(), me.public
                )
            )
            return go(f"/p/{access.project.slug}/integrity", "saved")
        state = "quarantined" if wanted.do == "quarantine" else "active"
        members.change(
            studio.db, project_id, public, me, access.role, state=state, reason=wanted.reason
        )
    except (FieldError, NotAllowed) as error:
        numbers = stats_cache_of(request).get(project_id, "people")
        told = {"numbers": numbers, "error": error, "changed": public}
        return shown(request, "annotators.html.j2", access, 400, **told)
    return go(f"/p/{access.project.slug}/annotators", "saved")


@router.get("/groups")
def taste_groups(request: Request, access: ProjectAccess = Looker) -> Response:
    """Do annotators want different things?"""
    names = stats_cache_of(request).get(access.project.id, "names")
    return shown(
        request,
        "groups.html.j2",
        access,
        numbers=stats_cache_of(request).get(access.project.id, "groups"),
        names=names.value or {},
    )


@router.get("/integrity")
def integrity(request: Request, studio: StudioDep, access: ProjectAccess = Looker) -> Response:
    """Votes for sale: what was tested, against whom, and what that does not find."""
    with studio.db.read() as session:
        rows = [
            (m, a) for m, a in members.members(session, access.project.id) if m.role != "auditor"
        ]
    numbers = stats_cache_of(request).get(access.project.id, "integrity")
    return shown(
        request,
        "integrity.html.j2",
        access,
        numbers=numbers,
        rows=rows,
        names={a.public: a.name for _, a in rows},
    )


@router.get("/representation")
def coverage(request: Request, access: ProjectAccess = Looker) -> Response:
    """Whose judgements these are, as far as people said; small groups are not shown."""
    return shown(
        request,
        "representation.html.j2",
        access,
        numbers=stats_cache_of(request).get(access.project.id, "whose"),
        asked=access.settings.population,
    )


@router.get("/assistance")
def helped(request: Request, access: ProjectAccess = Looker) -> Response:
    """What a critic's claims changed: recall, false marks, time, over-reliance."""
    if access.settings.assistance is None:
        raise NotHere("this project is no study of assistance")
    return shown(
        request,
        "assisted.html.j2",
        access,
        numbers=stats_cache_of(request).get(access.project.id, "assistance"),
    )


# --- what comes next ------------------------------------------------------------------------------
@router.get("/selection")
def selection(request: Request, studio: StudioDep, access: ProjectAccess = Looker) -> Response:
    """Active selection and what it saved."""
    return _selection(request, studio, access)


def _selection(request: Request, studio: Studio, access: ProjectAccess, **more: Any) -> Response:
    numbers: CachedStats[Any] = stats_cache_of(request).get(access.project.id, "arms")
    status = 400 if more.get("error") else 200
    return shown(
        request,
        "selection.html.j2",
        access,
        status,
        numbers=numbers,
        goals=choosing.GOALS,
        **{"applied": None, **more},
    )


@router.post("/selection")
def apply(request: Request, studio: StudioDep, access: Manager, form: Sent) -> Response:
    """Give items priorities by a goal; a fifth stays random."""
    try:
        wanted = form.read(SelectionIn)
        done = choosing.apply(studio.db, access.project.id, wanted.goal, wanted.count, access.me.id)
    except AccordError as error:
        return _selection(request, studio, access, error=error)
    return _selection(request, studio, access, applied=done)


def make_stats_cache(studio: Studio) -> StatsCache:
    """The application's statistics, with the parts that need more than a project's snapshot."""

    def names(snapshot: Any, _: float) -> dict[str, str]:
        return dict(snapshot.names)

    return StatsCache(
        studio.db,
        more={
            "names": names,
            "whose": lambda snapshot, _: choosing.whose(snapshot),
            "arms": lambda snapshot, _: choosing.arms(studio.db, snapshot.project_id, snapshot),
        },
    )
