"""The REST application: its groups of endpoints, and mistakes as problem+json."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from accord import __version__
from accord.errors import AccordError, RunError
from accord.studio.api import data, hooks, people, projects, work
from accord.studio.api.base import Api, Limiter, NotSignedIn, Problem
from accord.studio.bodies import mistakes
from accord.studio.errors import AnswerError, Conflict, FieldError, NotAllowed, NotHere
from accord.studio.people.rate_limits import TooMany
from accord.studio.quality.cache import StatsCache
from accord.studio.storage.database import Database

LOG = logging.getLogger("accord.studio")
ABOUT = """Projects, items, work, answers, the log, quality and exports, for programs.

Send `Authorization: Bearer accord_…` with a token made under your name in the studio. Scopes:
**read** (look at what your role in a project lets you see), **annotate** (judge, as a bot or an AI
judge), **manage** (make and change projects), **export** (take data out). What a person may not do
in the browser, their token may not do either.

Lists come in pages: ask again with `after=next` until `next` is null. Mistakes are
`application/problem+json` with `detail`, `fix` and, where one is at fault, `field`. Sending
something again is harmless: items are known by their content, answers by their `key`, new projects
by the header `Idempotency-Key`.
"""
GROUPS = (projects, people, work, data, hooks)
TAGS = [
    {"name": "projects", "description": "Projects, their guidelines, their items."},
    {"name": "people", "description": "Who takes part; bots with tokens of their own; erasing."},
    {
        "name": "work",
        "description": "Judging: the same queue, leases and blinding as in the browser.",
    },
    {"name": "data", "description": "Answers, the log, quality, exports."},
    {"name": "webhooks", "description": "Who hears of a project's events; needs the scope manage."},
]
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "Something in the request cannot be.", 401: "No valid token.",
        403: "Role or scope do not allow it.",
        404: "Not there, or not for you.", 409: "Done already, or differently, elsewhere.",
        413: "Too large.",
        429: "Too fast; `Retry-After` says for how long.",
    }.items()
}  # fmt: skip


def create_api(
    db: Database,
    limiter: Limiter | None = None,
    stats_cache: StatsCache | None = None,
    private_webhooks: bool = False,
    media: Path | None = None,
) -> FastAPI:
    """The REST application over a studio's database, to be mounted at /api/v1."""
    app = FastAPI(
        title="accord studio",
        version=__version__,
        description=ABOUT,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
    )
    app.state.api = Api(
        db, limiter or Limiter(), stats_cache or StatsCache(db), private_webhooks, media
    )
    for group in GROUPS:
        app.include_router(group.router)
    described = app.openapi
    app.openapi = lambda: _truthful(described())  # type: ignore[method-assign]
    app.add_exception_handler(AccordError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
    return app


def _truthful(schema: dict[str, Any]) -> dict[str, Any]:
    """The description as it is: mistakes are problem+json, and what is invalid is a 400, never
    FastAPI's own 422."""
    for operation in (
        operation for path in schema["paths"].values() for operation in path.values()
    ):
        operation["responses"].pop("422", None)
        for status, response in operation["responses"].items():
            if status >= "400" and "application/json" in response.get("content", {}):
                response["content"] = {
                    "application/problem+json": response["content"]["application/json"]
                }
    for name in ("HTTPValidationError", "ValidationError"):
        schema.get("components", {}).get("schemas", {}).pop(name, None)
    return schema


def _problem(
    status: int, title: str, detail: str, fix: str | None = None, where: str | None = None
) -> JSONResponse:
    kind = title.lower().replace(" ", "-")
    detail = detail.encode(errors="backslashreplace").decode()  # it may quote what was sent
    problem = Problem(
        type=f"/problems/{kind}", title=title, status=status, detail=detail, fix=fix, field=where
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, media_type="application/problem+json"
    )


_KINDS: tuple[tuple[type[AccordError], int, str], ...] = (
    (NotSignedIn, 401, "Not signed in"), (NotHere, 404, "Not there"),
    (AnswerError, 400, "Wrong answer"),
    (TooMany, 429, "Too fast"), (NotAllowed, 403, "Not allowed"), (Conflict, 409, "Conflict"),
    (RunError, 503, "Out of order"), (AccordError, 400, "Wrong request"),
)  # fmt: skip


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AccordError)
    status, title = next(
        (status, title) for kind, status, title in _KINDS if isinstance(error, kind)
    )
    if status == 503:
        LOG.error("%s", error)
        return _problem(
            status, title, "the studio cannot reach its data just now", "try again later"
        )
    response = _problem(
        status,
        title,
        error.message,
        error.fix,
        error.field if isinstance(error, (AnswerError, FieldError)) else None,
    )
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(
            max(1, round(error.retry_at - request.app.state.api.db.now()))
        )
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        response = _problem(
            error.status_code, "Not there", f"there is no {request.method} here", "see openapi.json"
        )
        response.headers.update(error.headers or {})  # Allow, of a 405
        return response
    title = "Too large" if error.status_code == 413 else "Wrong request"
    return _problem(error.status_code, title, str(error.detail))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    where, message = next(iter(mistakes(error.errors()).items()))
    detail = f"{where or 'the request'}: {message}"
    return _problem(400, "Wrong request", detail, "see openapi.json", where or None)


def _unexpected(request: Request, error: Exception) -> Response:
    number = secrets.token_hex(4)
    LOG.exception("error %s at %s", number, request.url.path, exc_info=error)
    return _problem(
        500,
        "Unexpected",
        f"a mistake of ours, kept in the studio's log as {number}",
        "tell its owner",
    )
