"""What every endpoint shares: who calls, what the token allows, how fast, how lists are paged, what
a mistake looks like."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, HTTPException, Query, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.responses import Response

from accord.errors import AccordError, ConfigError
from accord.feedback.formats.containers.jsons import json_values
from accord.feedback.formats.containers.notes import SENT
from accord.studio.errors import NotAllowed, NotHere
from accord.studio.people import api_tokens, rate_limits
from accord.studio.people.accounts import Visitor, digest
from accord.studio.people.rate_limits import TooMany
from accord.studio.quality.cache import StatsCache
from accord.studio.storage.database import Database
from accord.studio.storage.plain import check_text
from accord.studio.web.context import ProjectAccess, project_access
from accord.studio.web.security import address

T = TypeVar("T")
PER_MINUTE, BURST = 600.0, 120.0
"""Requests of one token that a process takes: on average per minute, and at once."""
MOST = 500


class NotSignedIn(AccordError):
    """There is no valid token with the request."""


class _Request(Request):
    """Refuses what is too much, and text that cannot be kept, before anything else looks at it."""

    async def json(self) -> Any:
        raw = await self.body()
        if json_values(raw) > SENT.values:
            raise HTTPException(413, f"the body holds more than {SENT.values:,} values; send less")
        try:
            body = await super().json()
        except RecursionError:
            raise HTTPException(400, "the body is nested too deeply") from None
        check_text(body)
        return body


class Route(APIRoute):
    """Every endpoint's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, of requests that look at their text."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await inner(_Request(request.scope, request.receive))

        return handle


class Problem(BaseModel):
    """A mistake, as RFC 9457 (problem+json) has it."""

    type: str = Field(
        "about:blank", description="What kind of mistake.", examples=["/problems/not-allowed"]
    )
    title: str = Field(description="The kind in words.", examples=["Not allowed"])
    status: int = Field(description="The HTTP status, again.", examples=[403])
    detail: str = Field(description="What is wrong, with the value.")
    fix: str | None = Field(None, description="What to do about it.")
    field: str | None = Field(None, description="The part of the body at fault.")


class Page(BaseModel, Generic[T]):
    """A piece of a list. Ask again with `after=next` until `next` is null."""

    data: list[T]
    next: str | None = Field(None, description="Cursor of the next page; null at the end.")


# --- how fast -------------------------------------------------------------------------------------
@dataclass
class Limiter:
    """A bucket per token: `burst` at once, refilled at `per_minute`. In memory: with W processes W
    times as much passes."""

    per_minute: float = PER_MINUTE
    burst: float = BURST
    refused: int = 0
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, who: str, now: float) -> float:
        """Count a request; returns how many are left, raises TooMany."""
        with self._lock:
            left, at = self._buckets.get(who, (self.burst, now))
            left = min(self.burst, left + max(0.0, now - at) * self.per_minute / 60)
            if left < 1:
                self.refused += 1
                raise TooMany(now + (1 - left) * 60 / self.per_minute, now)
            if len(self._buckets) > 10_000:  # full ones say nothing
                self._buckets.clear()
            self._buckets[who] = (left - 1, now)
            return left - 1


@dataclass
class Api:
    """What the application holds."""

    db: Database
    limiter: Limiter
    stats_cache: StatsCache
    private_webhooks: bool = False
    media: Path | None = None


def api_of(request: Request) -> Api:
    """The application's state."""
    api: Api = request.app.state.api
    return api


ApiDep = Annotated[Api, Depends(api_of)]


# --- who calls ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Caller:
    """The account behind a token, and what the token may do."""

    visitor: Visitor
    scopes: frozenset[str]

    def need(self, scope: str) -> None:
        """Raises NotAllowed when the token lacks a scope."""
        if scope not in self.scopes:
            raise NotAllowed(
                f"this token lacks the scope {scope!r}",
                "make one with it under your name in the studio",
            )


_bearer = HTTPBearer(
    auto_error=False, description="An API token, made under one's own name in the studio."
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def caller(request: Request, api: ApiDep, credentials: Bearer) -> Caller:
    """Who calls, by the bearer token; tries with wrong tokens are limited by address, requests by
    token."""
    if credentials is None:
        raise NotSignedIn(
            "there is no token with the request", "send the header Authorization: Bearer accord_…"
        )
    owner = api_tokens.token_owner(api.db, credentials.credentials)
    if owner is None:
        rate_limits.attempt(api.db, "token", address(request))
        raise NotSignedIn(
            "the token is unknown, revoked or has expired",
            "make a new one under your name in the studio",
        )
    api.limiter.take(digest(credentials.credentials), api.db.now())
    account, scopes = owner
    session = f"t-{digest(credentials.credentials)[:16]}"
    visitor = Visitor(
        account.id, account.public, account.name, account.role, account.language, session, ""
    )
    return Caller(visitor, scopes)


Who = Annotated[Caller, Depends(caller)]


def require_scope(scope: str, need: str, write: bool) -> Callable[..., ProjectAccess]:
    """A dependency: the project of the address, for a token with `scope` whose account may do what
    needs `need`."""

    def find(slug: str, who: Who, api: ApiDep) -> ProjectAccess:
        access = project_access(api.db, slug, who.visitor)
        if access is None or not access.may("take part", write=False):
            raise NotHere(
                f"there is no project {slug!r} for you",
                "GET /projects lists those you take part in",
            )
        who.need(scope)
        if not access.may(need, write=write):
            raise NotAllowed(
                f"your role in this project ({access.role}) does not allow that", "ask its manager"
            )
        return access

    return find


Reader = Annotated[ProjectAccess, Depends(require_scope("read", "take part", write=False))]
Looker = Annotated[ProjectAccess, Depends(require_scope("read", "look", write=False))]
Manager = Annotated[ProjectAccess, Depends(require_scope("manage", "manage", write=True))]
Reviewer = Annotated[ProjectAccess, Depends(require_scope("manage", "review", write=True))]
Worker = Annotated[ProjectAccess, Depends(require_scope("annotate", "work", write=True))]
Exporter = Annotated[ProjectAccess, Depends(require_scope("export", "look", write=False))]

# --- pages ----------------------------------------------------------------------------------------
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=200, description="The cursor `next` of the page before.")
]


def cursor(*key: Any) -> str:
    """Where a page ended, for the client to send back as it is."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def position(after: str | None, *kinds: type) -> list[Any] | None:
    """The key in a cursor; None without one. Raises ConfigError for one that is not ours."""
    if after is None:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except ValueError:
        key = None
    fits = (
        isinstance(key, list)
        and len(key) == len(kinds)
        and all(isinstance(k, t) for k, t in zip(key, kinds, strict=True))
    )
    if not fits:
        raise ConfigError(
            f"after = {after!r} is not a cursor of this list",
            "send what `next` of the page before said",
        )
    assert isinstance(key, list)
    return key


def paged(
    rows: list[T], limit: int, key: Callable[[T], tuple[Any, ...]], show: Callable[[T], Any]
) -> dict[str, Any]:
    """A page of `rows`, of which one more than `limit` was asked for."""
    more = len(rows) > limit
    shown = rows[:limit]
    return {"data": [show(row) for row in shown], "next": cursor(*key(shown[-1])) if more else None}
