"""Webhooks of a project: who hears of its events."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from accord.studio.api.base import ApiDep, Manager, Route, require_scope
from accord.studio.delivery import webhooks
from accord.studio.delivery.bodies import HookIn
from accord.studio.web.context import ProjectAccess

router = APIRouter(tags=["webhooks"], route_class=Route)
Onlooker = Annotated[ProjectAccess, Depends(require_scope("manage", "manage", write=False))]
Number = Annotated[int, Path(ge=1, lt=2**31, description="Its id.")]


class HookOut(BaseModel):
    """A webhook and how it goes."""

    id: int
    url: str
    kinds: list[str]
    created_at: float
    disabled_at: float | None = Field(
        description="Given up after a day of failures; null while it works."
    )
    delivered: int
    waiting: int = Field(description="Not delivered yet.")
    error: str | None = Field(description="What went wrong last with those.")


class HookMade(BaseModel):
    """Shown once."""

    id: int
    secret: str = Field(
        description="Signs deliveries, as Standard Webhooks has it.", examples=["whsec_…"]
    )


class Tried(BaseModel):
    """How a test went."""

    delivered: bool
    error: str | None = Field(description="What went wrong.")


@router.get("/projects/{slug}/webhooks", response_model=list[HookOut], summary="Webhooks")
def list_hooks(api: ApiDep, access: Onlooker) -> Any:
    """All of the project, oldest first; never their secrets."""
    with api.db.read() as session:
        return [asdict(hook) for hook in webhooks.standing(session, access.project.id)]


@router.post(
    "/projects/{slug}/webhooks", response_model=HookMade, status_code=201, summary="Add a webhook"
)
def add_hook(api: ApiDep, access: Manager, wanted: HookIn) -> Any:
    """Its secret is shown once. Not idempotent: every call makes another, up to 10."""
    created = webhooks.add(
        api.db, access.project.id, wanted.url, wanted.kinds, access.me.public, api.private_webhooks
    )
    return asdict(created)


@router.post("/projects/{slug}/webhooks/{hook}/test", response_model=Tried, summary="Try a webhook")
def try_hook(api: ApiDep, access: Manager, hook: Number) -> Any:
    """Deliver a signed message of the type `webhook.test` now, once, and say how it went."""
    error = webhooks.send_test(api.db, access.project.id, hook, api.private_webhooks)
    return {"delivered": error is None, "error": error}


@router.post(
    "/projects/{slug}/webhooks/{hook}/enable",
    response_model=list[HookOut],
    summary="Enable a webhook",
)
def enable_hook(api: ApiDep, access: Manager, hook: Number) -> Any:
    """Deliver again, what was missed as well."""
    webhooks.enable(api.db, access.project.id, hook, access.me.public)
    return list_hooks(api, access)


@router.delete(
    "/projects/{slug}/webhooks/{hook}", response_model=list[HookOut], summary="Remove a webhook"
)
def remove_hook(api: ApiDep, access: Manager, hook: Number) -> Any:
    """End it and what was still to be delivered; returns those that are left."""
    webhooks.remove(api.db, access.project.id, hook, access.me.public)
    return list_hooks(api, access)
