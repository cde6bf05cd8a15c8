"""How a project is doing, for those who may look: progress, agreement, annotators, groups,
integrity, selection, coverage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from accord.errors import AccordError, ConfigError
from accord.statistics.intervals import Interval
from accord.studio.api.people import change_state
from accord.studio.errors import NotAllowed, NotHere
from accord.studio.people import members
from accord.studio.quality import charts, choosing
from accord.studio.quality.cache import Desk, Numbers
from accord.studio.quality.measures import Forecast, forecast
from accord.studio.queue import assigning
from accord.studio.storage.tables import Account, Item
from accord.studio.web.context import Fields, House, Manager, Place, Studio, go, page, place_for

router = APIRouter(prefix="/p/{slug}")
Looker = Depends(place_for("look"))
TABS = (
    "",
    "annotators",
    "items",
    "groups",
    "integrity",
    "selection",
    "representation",
    "log",
    "export",
    "hooks",
)


def desk_of(request: Request) -> Desk:
    """The application's statistics."""
    found: Desk = request.app.state.desk
    return found


def percent(value: Interval | None) -> str:
    """87 % (81–92)"""
    if value is None or value.value != value.value:
        return "–"
    if value.low != value.low:
        return f"{100 * value.value:.0f} %"
    return f"{100 * value.value:.0f} % ({100 * value.low:.0f}–{100 * value.high:.0f})"


def number(value: Interval | None, digits: int = 2) -> str:
    """1.20 (0.80 to 1.61)"""
    if value is None or value.value != value.value:
        return "–"
    if value.low != value.low:
        return f"{value.value:.{digits}f}"
    return f"{value.value:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def shown(
    request: Request, template: str, place: Place, status: int = 200, **values: Any
) -> Response:
    """A page of this group, with what its templates use."""
    tools = {
        "tabs": TABS,
        "charts": charts,
        "percent": percent,
        "number": number,
        "moment": _moment,
    }
    return page(request, template, status, place=place, **tools, **values)


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# --- how it goes ----------------------------------------------------------------------------------
@router.get("")
def dashboard(request: Request, studio: House, place: Place = Looker) -> Response:
    """Progress, speed, forecast, agreement and the ceiling it sets, position bias, gold."""
    numbers = desk_of(request).get(place.project.id, "overview")
    progress = assigning.progress(studio.db, place.project.id)
    with studio.db.read() as session:
        query = select(Item.state, Item.purpose, func.count()).where(
            Item.project_id == place.project.id
        )
        states = {
            (state, purpose): n
            for state, purpose, n in session.execute(query.group_by(Item.state, Item.purpose))
        }
    coming = (
        None
        if numbers.value is None
        else forecast(progress.slots - progress.filled, numbers.value.per_day)
    )
    return shown(
        request,
        "quality.html.j2",
        place,
        numbers=numbers,
        progress=progress,
        states=states,
        coming=coming,
        when=None if coming is None else _when(coming),
    )


def _when(coming: Forecast) -> tuple[str, str] | None:
    """Days from now, in words that are not more exact than they can be."""
    if coming.days is None:
        return None
    return f"{coming.days.value:.1f}", f"{coming.days.low:.1f}–{coming.days.high:.1f}"


# --- people ---------------------------------------------------------------------------------------
@router.get("/annotators")
def annotators(request: Request, place: Place = Looker) -> Response:
    """The model of every annotator, with intervals; quarantine and restore."""
    return shown(
        request,
        "annotators.html.j2",
        place,
        numbers=desk_of(request).get(place.project.id, "people"),
    )


@router.post("/annotators/{public}")
def change(request: Request, studio: House, place: Manager, public: str, form: Fields) -> Response:
    """Quarantine or restore, with a reason; or put into the reference set, or take out."""
    do, reason = form.get("do", ""), form.get("reason", "").strip()

    def work(session: Session) -> None:
        now = studio.db.now()
        if do in ("trust", "distrust"):
            account = session.scalar(select(Account.id).where(Account.public == public))
            if account is None:
                raise NotHere("there is no such member")
            members.set_trusted(
                session, place.project.id, account, do == "trust", now, place.me.public
            )
            return
        if do not in ("quarantine", "restore"):
            raise ConfigError(f"there is nothing called {do!r} to do")
        if len(reason) < 3:
            raise ConfigError(
                "say why in a few words: the log keeps it, and the annotator reads it"
            )
        state = "quarantined" if do == "quarantine" else "active"
        change_state(
            session, place.project.id, place.me, place.role, public, state, reason[:300], now
        )

    try:
        studio.db.transact(work)
    except (ConfigError, NotAllowed) as error:
        numbers = desk_of(request).get(place.project.id, "people")
        return shown(request, "annotators.html.j2", place, 400, numbers=numbers, error=error)
    return go(
        f"/p/{place.project.slug}/{'integrity' if do.endswith('trust') else 'annotators'}", "saved"
    )


@router.get("/groups")
def taste_groups(request: Request, place: Place = Looker) -> Response:
    """Do annotators want different things?"""
    names = desk_of(request).get(place.project.id, "names")
    return shown(
        request,
        "groups.html.j2",
        place,
        numbers=desk_of(request).get(place.project.id, "groups"),
        names=names.value or {},
    )


@router.get("/integrity")
def integrity(request: Request, studio: House, place: Place = Looker) -> Response:
    """Votes for sale: what was tested, against whom, and what that does not find."""
    with studio.db.read() as session:
        rows = [
            (m, a) for m, a in members.members(session, place.project.id) if m.role != "auditor"
        ]
    numbers = desk_of(request).get(place.project.id, "integrity")
    return shown(
        request,
        "integrity.html.j2",
        place,
        numbers=numbers,
        rows=rows,
        names={a.public: a.name for _, a in rows},
    )


@router.get("/representation")
def coverage(request: Request, place: Place = Looker) -> Response:
    """Whose judgements these are, as far as people said; small groups are not shown."""
    return shown(
        request,
        "representation.html.j2",
        place,
        numbers=desk_of(request).get(place.project.id, "whose"),
        asked=place.settings.population,
    )


# --- what comes next ------------------------------------------------------------------------------
@router.get("/selection")
def selection(request: Request, studio: House, place: Place = Looker) -> Response:
    """Active selection and what it saved."""
    return _selection(request, studio, place)


def _selection(request: Request, studio: Studio, place: Place, **more: Any) -> Response:
    numbers: Numbers[Any] = desk_of(request).get(place.project.id, "arms")
    status = 400 if more.get("error") else 200
    return shown(
        request,
        "selection.html.j2",
        place,
        status,
        numbers=numbers,
        goals=choosing.GOALS,
        **{"applied": None, **more},
    )


@router.post("/selection")
def apply(request: Request, studio: House, place: Manager, form: Fields) -> Response:
    """Give items priorities by a goal; a fifth stays random."""
    try:
        count = int(form.get("count", "")) if form.get("count", "").isdecimal() else 0
        if not 1 <= count <= choosing.MOST:
            raise ConfigError(
                f"{form.get('count', '')!r} is no number of pairs from 1 to {choosing.MOST:,}"
            )
        done = choosing.apply(studio.db, place.project.id, form.get("goal", ""), count, place.me.id)  # type: ignore[arg-type]
    except AccordError as error:
        return _selection(request, studio, place, error=error)
    return _selection(request, studio, place, applied=done)


def make_desk(studio: Studio) -> Desk:
    """The application's statistics, with the parts that need more than a project's material."""

    def names(material: Any, _: float) -> dict[str, str]:
        return dict(material.names)

    return Desk(
        studio.db,
        more={
            "names": names,
            "whose": lambda material, _: choosing.whose(material),
            "arms": lambda material, _: choosing.arms(studio.db, material.project_id, material),
        },
    )
