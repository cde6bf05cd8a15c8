"""Projects, their guidelines, their items."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field

from accord.errors import ConfigError
from accord.studio.api.base import (
    After,
    Api,
    ApiDep,
    Limit,
    Looker,
    Manager,
    Page,
    Reader,
    Route,
    Who,
    paged,
    position,
)  # fmt: skip
from accord.studio.bodies import Body
from accord.studio.people import accounts, members
from accord.studio.projects import editing, listing
from accord.studio.projects.bodies import GuidelineIn, LifeIn
from accord.studio.projects.incoming import ItemIn
from accord.studio.projects.listing import ItemState, Purpose
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.storage.tables import Item, Project
from accord.studio.web.context import ProjectAccess

router = APIRouter(tags=["projects"], route_class=Route)
MOST_ITEMS = 10_000


class ProjectOut(BaseModel):
    """A project as the caller sees it."""

    slug: str = Field(examples=["summaries"])
    name: str
    task: str
    role: str = Field(description="The caller's role in it.")
    state: Literal["open", "paused", "archived"]
    created_at: float = Field(description="Seconds since 1970, UTC.")


class ProgressOut(BaseModel):
    """Slots are places for one answer to an item; gold items are not counted."""

    slots: int
    filled: int
    leased: int = Field(description="On somebody's screen now.")
    items: int
    complete: int = Field(description="Items with every slot filled.")
    extra: int = Field(description="Answers beyond the overlap, kept.")


class ProjectFull(ProjectOut):
    """With settings (for who may look) and progress."""

    settings: ProjectSettings | None = Field(description="All that is set; null for annotators.")
    progress: ProgressOut | None = Field(
        description="Null for annotators: what is not counted would tell the gold items."
    )


class GuidelineOut(BaseModel):
    """A version of the guideline."""

    version: int
    text: str
    created_at: float


class ItemOut(BaseModel):
    """An item as managers see it."""

    key: str = Field(description="Stands for the item everywhere; made of its content.")
    prompt: Any
    options: list[dict[str, Any]]
    tools: list[dict[str, Any]] = Field(description="Offered to the model, as JSON schemas.")
    chat_template_kwargs: dict[str, Any] = Field(description="Settings of the chat template.")
    weight: float = Field(description="How much judgements of it count in training.")
    purpose: str = Field(description="work, gold or screening.")
    state: str = Field(description="active, paused or full.")
    priority: float
    categories: list[str]
    selected_by: str = Field(
        description="The arm that asked for it: random, or a goal of active selection."
    )
    gold: dict[str, Any] | None = Field(description="The known answer, if there is one.")
    meta: dict[str, Any]


class ItemsIn(Body):
    """Items to add."""

    items: list[ItemIn] = Field(min_length=1, max_length=MOST_ITEMS)


class AddedOut(BaseModel):
    """What became of the items sent."""

    new: int
    duplicates: int = Field(description="Of equal content, there already or sent twice.")
    bad: dict[str, int] = Field(
        description="Items that cannot be judged as the project asks, by reason."
    )
    first_bad: dict[str, str] = Field(description="The first of each, by number.")


class KeysIn(Body):
    """Items to take out of the queue, or back in."""

    keys: list[str] = Field(min_length=1, max_length=MOST_ITEMS)
    paused: bool = True


class PrioritiesIn(Body):
    """What active selection wants first; beside it always runs an arm of chance."""

    priorities: dict[str, Annotated[float, Field(allow_inf_nan=False, strict=True)]] = Field(
        min_length=1, max_length=MOST_ITEMS
    )
    arm: str = Field(
        min_length=1, max_length=24, pattern=r"^[a-z0-9_-]+$", examples=["information"]
    )
    random_share: float = Field(
        0.2, ge=0.2, lt=1, description="Share of items drawn at random, to measure against."
    )


class Changed(BaseModel):
    """How many."""

    changed: int


def _state(project: Project) -> Literal["open", "paused", "archived"]:
    if project.archived_at is not None:
        return "archived"
    return "paused" if project.paused_at is not None else "open"


def _out(project: Project, role: str) -> dict[str, Any]:
    return {
        "slug": project.slug,
        "name": project.name,
        "task": project.settings["task"],
        "role": role,
        "state": _state(project),
        "created_at": project.created_at,
    }


# --- projects -------------------------------------------------------------------------------------
@router.get("/projects", response_model=Page[ProjectOut], summary="My projects")
def list_projects(api: ApiDep, who: Who, limit: Limit = 100, after: After = None) -> Any:
    """Projects the caller takes part in; all for owners and auditors of the house."""
    who.need("read")
    last = position(after, str)
    behind = () if last is None else (Project.slug > last[0],)
    with api.db.read() as session:
        rows = listing.projects_of(session, who.visitor, (Project.slug,), *behind, limit=limit + 1)
    return paged(rows, limit, lambda row: (row[0].slug,), lambda row: _out(*row))


@router.post("/projects", response_model=ProjectFull, status_code=201, summary="A new project")
def make_project(
    api: ApiDep,
    who: Who,
    settings: ProjectSettings,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=8,
            max_length=64,
            description="Sent again with the same key, the same project comes back.",
        ),
    ] = None,
) -> Any:
    """Make a project from its settings; the caller owns it."""
    who.need("manage")
    accounts.check_may_make_projects(who.visitor)
    key = None if idempotency_key is None else f"{who.visitor.public}:{idempotency_key}"
    project_id = editing.create_project(api.db, settings, who.visitor.id, key)
    with api.db.read() as session:
        project = session.get_one(Project, project_id)
    return _full(
        api, ProjectAccess(who.visitor, project, members.settings_of(project), "owner", None)
    )


def _full(api: Api, access: ProjectAccess) -> dict[str, Any]:
    if not access.may("look", write=False):
        return {**_out(access.project, access.role), "settings": None, "progress": None}
    progress = asdict(assigning.progress(api.db, access.project.id))
    return {**_out(access.project, access.role), "settings": access.settings, "progress": progress}


@router.get("/projects/{slug}", response_model=ProjectFull, summary="One project")
def project(api: ApiDep, access: Reader) -> Any:
    """Settings and progress."""
    return _full(api, access)


@router.put("/projects/{slug}/settings", response_model=ProjectFull, summary="Change the settings")
def put_settings(api: ApiDep, access: Manager, settings: ProjectSettings) -> Any:
    """Set everything anew. What answers forbid (another task) is refused."""
    editing.update_settings(api.db, access.project.id, settings, access.me.id)
    return _full(api, _again(api, access))


@router.post(
    "/projects/{slug}/life", response_model=ProjectFull, summary="Pause, resume or archive"
)
def life(api: ApiDep, access: Manager, wanted: LifeIn) -> Any:
    """Paused and archived projects serve nothing; answers under way are still taken."""
    editing.change_life(api.db, access.project.id, wanted.do, access.me.id)
    return _full(api, _again(api, access))


def _again(api: Api, access: ProjectAccess) -> ProjectAccess:
    with api.db.read() as session:
        project = session.get_one(Project, access.project.id)
    return ProjectAccess(
        access.me, project, members.settings_of(project), access.role, access.member
    )


# --- guideline ------------------------------------------------------------------------------------
@router.get("/projects/{slug}/guideline", response_model=GuidelineOut, summary="The guideline")
def guideline(
    api: ApiDep,
    access: Reader,
    version: Annotated[int | None, Query(ge=1, description="The newest unless given.")] = None,
) -> Any:
    """What people judge by."""
    with api.db.read() as session:
        found = listing.guideline(session, access.project.id, version)
    return {"version": found.version, "text": found.text, "created_at": found.created_at}


@router.put(
    "/projects/{slug}/guideline", response_model=GuidelineOut, summary="Publish a guideline"
)
def put_guideline(api: ApiDep, access: Manager, wanted: GuidelineIn) -> Any:
    """A new version, unless the text is that of the newest."""
    editing.new_guideline(api.db, access.project.id, wanted.text, access.me.id)
    return guideline(api, access)


# --- items ----------------------------------------------------------------------------------------
@router.get("/projects/{slug}/items", response_model=Page[ItemOut], summary="Items")
def list_items(
    api: ApiDep,
    access: Looker,
    limit: Limit = 100,
    after: After = None,
    state: ItemState | None = None,
    purpose: Purpose | None = None,
) -> Any:
    """Items in the order they are served: highest priority first."""
    last = position(after, float, float, int)
    query = listing.items(access.project.id, state, purpose, last, limit + 1)
    with api.db.read() as session:
        rows = list(session.scalars(query))
    return paged(rows, limit, listing.item_place, item_out)


def item_out(item: Item) -> dict[str, Any]:
    """An item as `ItemOut`."""
    return {name: getattr(item, name) for name in ItemOut.model_fields}


@router.get("/projects/{slug}/items/{key}", response_model=ItemOut, summary="One item")
def one_item(api: ApiDep, access: Looker, key: str) -> Any:
    """By its key."""
    with api.db.read() as session:
        return item_out(listing.item(session, access.project.id, key))


@router.post("/projects/{slug}/items", response_model=AddedOut, summary="Add items")
def add_items(api: ApiDep, access: Manager, sent: ItemsIn) -> Any:
    """Add up to 10,000 items. Equal content is one item, so sending a batch again is harmless."""
    return asdict(editing.add_items(api.db, access.project.id, sent.items, access.me.id))


@router.post(
    "/projects/{slug}/items/pause", response_model=Changed, summary="Pause or resume items"
)
def pause_items(api: ApiDep, access: Manager, wanted: KeysIn) -> Any:
    """Paused items are served to nobody; answers under way still count."""
    return {
        "changed": editing.pause_items(
            api.db, access.project.id, wanted.keys, wanted.paused, access.me.id
        )
    }


@router.put("/projects/{slug}/items/priorities", summary="Set priorities")
def put_priorities(api: ApiDep, access: Manager, wanted: PrioritiesIn) -> dict[str, int]:
    """What comes first, with at least a fifth of the items drawn at random beside it. Returns items
    per arm."""
    if wanted.arm in ("random", "unknown"):
        raise ConfigError(
            f"arm = {wanted.arm!r} is a name the studio uses itself", "call it by its goal"
        )
    return editing.prioritise(
        api.db, access.project.id, wanted.priorities, wanted.arm, wanted.random_share, access.me.id
    )
