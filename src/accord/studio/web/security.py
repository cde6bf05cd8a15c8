"""What holds for every request: headers, bounded bodies, where a write may come from, the session's
cookie."""

from __future__ import annotations

import hmac
import secrets
from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accord.studio.people.accounts import LOGIN_SECONDS, token

MIB = 2**20
BODY_BYTES = MIB
UPLOAD_BYTES = 64 * MIB
"""Of pages that take files (see `UPLOADS`)."""
UPLOADS = ("/p/new", "/items", "/judgements")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FORM_COOKIE = "accord_form"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}


def policy(nonce: str) -> str:
    """The Content-Security-Policy: scripts only with this answer's nonce, nothing from elsewhere,
    no frames."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self'; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
        "'none'"
    )


class Guard:
    """ASGI middleware: headers on every answer, and no body longer than allowed."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self.app, self.https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", policy(nonce))
                headers.setdefault("Cache-Control", "no-store")
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self.https:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self.app(scope, _bounded(scope, receive), guarded)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    limit = UPLOAD_BYTES if scope["path"].endswith(UPLOADS) else BODY_BYTES
    content_length = dict(scope["headers"]).get(b"content-length", b"0")
    state = {"total": 0, "announced": int(content_length) if content_length.isdigit() else 0}

    async def counted() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            state["total"] += len(message.get("body", b""))
            if max(state["total"], state["announced"]) > limit:
                raise HTTPException(413, f"This is more than the {limit // MIB} MiB that fit here.")
        return message

    return counted


# --- where a write may come from ------------------------------------------------------------------
def same_origin(request: Request) -> bool:
    """Whether a write comes from our own pages, as far as the browser says.

    Our pages send no referrer, so browsers send `Origin: null` with forms: then Sec-Fetch-Site
    decides. Programs that are no browsers send neither; the token decides alone.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def token_fits(given: str | None, expected: str | None) -> bool:
    """Compared in constant time; nothing fits nothing."""
    return (
        bool(given)
        and bool(expected)
        and hmac.compare_digest(str(given).encode(), str(expected).encode())
    )


async def token_of(request: Request) -> str | None:
    """The CSRF token a request carries: header for scripts, field for forms."""
    header = request.headers.get("x-csrf-token")
    if header is not None:
        return header
    kind = request.headers.get("content-type", "")
    if not kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return None
    field = (await request.form(max_files=4, max_fields=1000)).get("csrf")
    return field if isinstance(field, str) else None


def address(request: Request) -> str:
    """Who tries, for the limits: an address, of IPv6 its network of 64 bits, which one customer has
    to themselves."""
    host = request.client.host if request.client else "nowhere"
    try:
        known = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(known, IPv4Address):
        return host
    return str(known.ipv4_mapped or ip_network((known, 64), strict=False))


# --- cookies --------------------------------------------------------------------------------------
def session_cookie(https: bool) -> str:
    """The cookie's name; over https the browser ties it to this host and to https."""
    return "__Host-accord" if https else "accord_session"


def set_session(response: Response, secret: str, https: bool) -> None:
    """Keep the browser signed in."""
    response.set_cookie(
        session_cookie(https),
        secret,
        max_age=int(LOGIN_SECONDS),
        path="/",
        secure=https,
        httponly=True,
        samesite="lax",
    )


def end_session_cookie(response: Response, https: bool) -> None:
    """Forget the session in the browser."""
    response.delete_cookie(
        session_cookie(https), path="/", secure=https, httponly=True, samesite="lax"
    )


def openid_cookie(https: bool) -> str:
    """The name of the cookie that ties a way to a provider to this browser."""
    return "__Host-accord-openid" if https else "accord_openid"


def set_openid(response: Response, secret: str, seconds: float, https: bool) -> None:
    """Keep it while the browser is at the provider; `lax`, because the way back comes from
    there."""
    response.set_cookie(
        openid_cookie(https),
        secret,
        max_age=int(seconds),
        path="/",
        secure=https,
        httponly=True,
        samesite="lax",
    )


def form_token(request: Request) -> str:
    """The CSRF token of pages before signing in: a cookie of its own, repeated in the form."""
    if not hasattr(request.state, "form_token"):
        request.state.form_token = request.cookies.get(FORM_COOKIE) or token()
    return str(request.state.form_token)


def keep_form_token(response: Response, request: Request, https: bool) -> None:
    """Send the token's cookie along with a page that has a form for people not signed in."""
    response.set_cookie(
        FORM_COOKIE, form_token(request), path="/", secure=https, httponly=True, samesite="strict"
    )
