"""The page of `accord control steer`: what it asks of a `Steering`, and who may ask.

Every address begins with a token of this sitting, so that no other page, and nobody else on this
machine, can steer. The look, the drawing of poses and small helpers are the studio's.
"""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from accord.cli.local_page import OWN_NAMES, address_of, listen_here, serve_here
from accord.cli.steer_state import SteeringPage, Values, headline
from accord.control.steering import Hand, Rest, Steering
from accord.errors import AccordError
from accord.feedback.words import counted
from accord.studio.bodies import Body, mistakes
from accord.studio.people.accounts import token as new_token
from accord.studio.web.context import static_folders
from accord.studio.web.security import Guard, same_origin, token_fits

MOST_STEPS = 100
"""That are driven for one request: less than is seen of a second."""
Held = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class OpenBody(Body):
    """Another episode."""

    episode: str


class StepBody(Body):
    """A step of the episode."""

    step: int = Field(ge=0)


class DriveBody(Body):
    """driven: steps that the page knows of, so that nothing is done twice, or from two windows;
    count: to take; held, rest: see `Hand`."""

    driven: int = Field(ge=0)
    count: int = Field(ge=1, le=MOST_STEPS)
    held: list[Held | None]
    rest: Rest


class BackBody(Body):
    """to: steps that stay."""

    driven: int = Field(ge=0)
    to: int = Field(ge=0)


class KeepBody(Body):
    """driven: steps that are seen, and meant."""

    driven: int = Field(ge=0)


def steer_app(steering: Steering, token: str) -> FastAPI:
    """The page, and what it asks; all of it below /TOKEN/."""
    page = SteeringPage(steering)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_WithToken, token=token)
    app.add_middleware(Guard, https=False)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES)
    app.add_exception_handler(AccordError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(_routes(page, token), prefix=f"/{token}")
    folders = [_folder(), *static_folders()]
    files = StaticFiles(directory=str(folders[0]))
    files.all_directories += [str(folder) for folder in folders[1:]]
    app.mount(f"/{token}/static", files)
    return app


def _folder() -> Path:
    return Path(str(resources.files("accord") / "assets" / "steering"))


def _routes(page: SteeringPage, token: str) -> APIRouter:
    router, steering = APIRouter(), page.steering
    jinja = Environment(
        loader=PackageLoader("accord", "assets/steering"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    template = jinja.get_template("steer.html.j2")

    @router.get("/", response_class=HTMLResponse)
    def whole(request: Request) -> str:
        name = steering.batch.name
        return template.render(nonce=request.state.nonce, token=token, environment=name)

    @router.get("/state")
    def state() -> Values:
        with page.lock:
            return page.state()

    @router.post("/open")
    def opened(body: OpenBody) -> Values:
        with page.lock:
            steering.open(body.episode)
            return page.opened()

    @router.post("/take-over")
    def take_over(body: StepBody) -> Values:
        with page.lock:
            steering.take_over(body.step)
            return page.told(0)

    @router.post("/drive")
    def drive(body: DriveBody) -> Values:
        with page.lock:
            page.check(body.driven)
            steering.drive(Hand(body.held, body.rest), body.count)
            return page.told(body.driven)

    @router.post("/back")
    def back(body: BackBody) -> Values:
        with page.lock:
            page.check(body.driven)
            steering.driven().back(body.to)
            return page.told(body.to)

    @router.post("/leave")
    def leave() -> Values:
        with page.lock:
            steering.leave()
            return page.told(0)

    @router.post("/keep")
    def keep(body: KeepBody) -> Values:
        with page.lock:
            page.check(body.driven)
            taken = steering.keep()
            return {"kept": headline(taken) | {"at": steering.driven().at}}

    return router


class _WithToken:
    """ASGI middleware: only what knows the token is answered, and of what writes only our page."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = scope["path"].split("/")[1]
            foreign = scope["method"] != "GET" and not same_origin(Request(scope))
            if foreign or not token_fits(given, self.token):
                said = "open the whole address that accord control steer printed"
                await PlainTextResponse(said, 403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AccordError)
    said = error.message if error.fix is None else f"{error.message}: {error.fix}"
    return JSONResponse({"error": said}, 400)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = [f"{place or 'it'}: {text}" for place, text in mistakes(error.errors()).items()]
    return JSONResponse({"error": "; ".join(told)}, 400)


def serve_steering(
    steering: Steering, port: int | None, open_browser: bool, say: Callable[[str], object]
) -> None:
    """Until Ctrl-C. Raises ConfigError where the port is taken."""
    token = new_token()
    with listen_here(port) as listening:
        address = f"{address_of(listening)}{token}/"
        say(f"steer {steering.original.id} of {steering.store.folder}: {address}")
        say(f"corrections go to {steering.corrections.folder}; Ctrl-C ends the page")
        if open_browser:
            threading.Thread(target=_open, args=(address,), daemon=True).start()
        serve_here(steer_app(steering, token), listening)
    say(f"{counted(len(steering.kept), 'correction')} kept in {steering.corrections.folder}")


def _open(address: str) -> None:
    with suppress(webbrowser.Error):  # the address stands in the terminal
        webbrowser.open(address)
