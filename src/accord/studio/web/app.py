"""The web application, put together: what guards it, its groups of pages, and what a mistake looks
like."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from accord.errors import AccordError, RunError
from accord.studio.api.app import create_api
from accord.studio.delivery import webhooks
from accord.studio.errors import AnswerError, Conflict, FieldError, NotAllowed, NotHere
from accord.studio.people.openid import OpenId, OpenIdSettings
from accord.studio.people.rate_limits import TooMany
from accord.studio.storage.database import Database, open_database
from accord.studio.tasks.chat import ChatSampler
from accord.studio.web import (
    entry,
    guideline,
    home,
    items,
    manage,
    me,
    openid,
    outgoing,
    people,
    quality,
    work,
)
from accord.studio.web.context import (
    SignIn,
    Studio,
    page,
    protect,
    static_digest,
    static_folders,
    templates,
    words_for,
)
from accord.studio.web.security import Guard

LOG = logging.getLogger("accord.studio")
PAGES = (entry, openid, home, manage, people, guideline, work, me, quality, items, outgoing)
"""Groups of pages. A new one is a module with a `router`, named here (manage before work: /p/new is
no project)."""


@dataclass(frozen=True)
class StudioConfig:
    """database: an address or an open database; media: folder with a subfolder of clips per
    project; sampler: for live chat; https: whether people reach it over https (cookies then say
    so); private_webhooks: deliver inside private networks too; openid: a provider that people may
    sign in with."""

    database: str | Path | Database
    media: Path | None = None
    sampler: ChatSampler | None = None
    https: bool = False
    private_webhooks: bool = False
    openid: OpenIdSettings | None = None


class Static(StaticFiles):
    """Our own files: their address holds their version, so they never change."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def create_app(config: StudioConfig) -> FastAPI:
    """The studio as an ASGI application; several processes may serve one database."""
    database = (
        config.database if isinstance(config.database, Database) else open_database(config.database)
    )
    static = f"/static/{static_digest()}"
    provider = None if config.openid is None else OpenId(config.openid, database.now)
    studio = Studio(
        database, templates(), static, config.https, config.media, config.sampler, provider
    )
    deliveries = webhooks.Worker(database, config.private_webhooks)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        deliveries.start()
        yield
        deliveries.stop()
        app.state.stats_cache.close()

    app = FastAPI(
        title="accord studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=running
    )
    app.state.studio, app.state.stats_cache, app.state.private_webhooks = (
        studio,
        quality.make_stats_cache(studio),
        config.private_webhooks,
    )
    app.add_middleware(Guard, https=config.https)
    files = Static(directory=str(static_folders()[0]))
    files.all_directories += [str(folder) for folder in static_folders()[1:]]
    app.mount(static, files, name="static")
    app.mount(
        "/api/v1",
        create_api(database, None, app.state.stats_cache, config.private_webhooks, config.media),
    )
    app.router.routes.extend(_pages())
    app.add_exception_handler(SignIn, _sign_in)
    app.add_exception_handler(AccordError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)
    return app


@cache
def _pages() -> list[BaseRoute]:
    """Every page, guarded; made once for all applications, because FastAPI works out at the first
    request what each of a router's pages needs."""
    gathered = APIRouter()
    for group in PAGES:
        gathered.include_router(
            group.router, dependencies=[Depends(protect)], include_in_schema=False
        )
    return gathered.routes


# --- mistakes -------------------------------------------------------------------------------------
def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _answer(request: Request, status: int, text: str, **more: Any) -> Response:
    """An error for a script or for a person."""
    if _wants_json(request):
        return JSONResponse({"error": text, **more}, status)
    title = {
        403: "error.forbidden",
        404: "error.missing",
        409: "error.conflict",
        413: "error.too_large",
        429: "error.too_many",
    }
    return page(
        request,
        "message.html.j2",
        status,
        title=title.get(status, "error.wrong"),
        text=None,
        detail=text,
    )


def _sign_in(request: Request, error: Exception) -> Response:
    if _wants_json(request):
        return JSONResponse({"error": words_for(request)("error.signed_out"), "sign_in": True}, 401)
    where = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={where}", 303)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AccordError)
    if isinstance(error, NotHere):
        return _answer(request, 404, words_for(request)("error.missing_text"))
    if isinstance(error, (AnswerError, FieldError)):
        return _answer(request, 400, error.message, field=error.field)
    if isinstance(error, RunError):
        LOG.error("%s", error)
        return _answer(request, 503, words_for(request)("error.out_of_order"))
    status = (
        429
        if isinstance(error, TooMany)
        else 403
        if isinstance(error, NotAllowed)
        else 409
        if isinstance(error, Conflict)
        else 400
    )
    text = (
        error.message
        if error.fix is None
        else f"{error.message}. {error.fix[:1].upper()}{error.fix[1:]}."
    )
    response = _answer(request, status, text)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(
            max(1, round(error.retry_at - request.app.state.studio.db.now()))
        )
    return response


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    t = words_for(request)
    if error.detail == "csrf":
        return _answer(request, 403, t("error.csrf"), csrf=True)
    if error.status_code in (404, 405):
        return _answer(request, error.status_code, t("error.missing_text"))
    return _answer(request, error.status_code, error.detail)


def _invalid(request: Request, error: Exception) -> Response:
    return _answer(request, 400, words_for(request)("error.wrong"))


def _gone(request: Request, error: Exception) -> Response:
    """The browser went away in the middle of a request (a closed tab, a draft given up): nobody
    hears the answer."""
    return Response(status_code=400)


def _unexpected(request: Request, error: Exception) -> Response:
    """A bug of ours: logged under a number, the traceback stays here."""
    number = secrets.token_hex(4)
    LOG.exception("error %s at %s", number, request.url.path, exc_info=error)
    request.state.nonce = getattr(request.state, "nonce", secrets.token_urlsafe(16))
    return _answer(request, 500, words_for(request)("error.unexpected", number=number))
