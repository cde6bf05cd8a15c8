"""A small provider of OpenID Connect that runs: it signs people in without asking, and lies when
told to."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from accord.studio.people.openid import OpenIdSettings
from listening import listening


@dataclass
class Provider:
    """`person`: who is signed in there; `twist(claims)` changes an ID token before it is signed."""

    url: str = ""
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "u-1", "preferred_username": "Ada"}
    )
    twist: Callable[[dict[str, Any]], Any] = lambda claims: None
    key: RSAKey = field(
        default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    )
    published: list[RSAKey] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    refuse: str | None = None
    down: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def settings(self, **more: str) -> OpenIdSettings:
        return OpenIdSettings(self.url, "studio", "s3cret/+", more.get("name", "Acme"))

    # --- what it serves ---------------------------------------------------------------------------
    def describe(self, request: Request) -> Response:
        self.asked.append("describe")
        if self.down:
            return Response("broken", 503)
        names = {
            "authorization_endpoint": "/authorize?tenant=1",
            "token_endpoint": "/token",
            "jwks_uri": "/keys",
        }
        return JSONResponse(
            {"issuer": self.url, **{n: self.url + p for n, p in names.items()}, **self.about}
        )

    def keys(self, request: Request) -> Response:
        self.asked.append("keys")
        return JSONResponse(
            {"keys": [k.as_dict(private=False) for k in self.published or [self.key]]}
        )

    def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == "studio"
        assert asked["tenant"] == "1"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        if self.refuse:
            back = {
                "error": self.refuse,
                "state": asked["state"],
                "error_description": "<b>go away</b>",
            }
        else:
            code = secrets.token_urlsafe(8)
            self.codes[code] = asked
            back = {"code": code, "state": asked["state"], "iss": self.url}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

    async def token(self, request: Request) -> Response:
        form = {k: v[0] for k, v in parse_qs((await request.body()).decode()).items()}
        given = base64.b64decode(
            request.headers.get("authorization", "").removeprefix("Basic ")
        ).decode()
        client, secret = (
            [unquote(p) for p in given.split(":")]
            if given
            else (form["client_id"], form["client_secret"])
        )
        asked = self.codes.pop(form["code"], None)  # a code works once
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
            .decode()
            .rstrip("=")
        )
        if (
            (client, secret) != ("studio", "s3cret/+")
            or asked is None
            or challenge != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert form["redirect_uri"] == asked["redirect_uri"]
        access, now = secrets.token_urlsafe(16), int(time.time())
        half = (
            base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16])
            .decode()
            .rstrip("=")
        )
        claims = {
            "iss": self.url,
            "aud": "studio",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "at_hash": half,
            **self.person,
        }
        self.twist(claims)
        header = {"alg": "RS256", "kid": self.key.kid, **self.header}
        made = {
            "access_token": access,
            "token_type": "Bearer",
            "id_token": jwt.encode(header, claims, self.key),
        }
        return JSONResponse(made)


@contextmanager
def running(provider: Provider) -> Iterator[Provider]:
    """The provider at an address of this machine."""
    routes = [
        Route("/.well-known/openid-configuration", provider.describe),
        Route("/keys", provider.keys),
        Route("/authorize", provider.authorize),
        Route("/token", provider.token, methods=["POST"]),
    ]
    with listening(Starlette(routes=routes)) as there:
        provider.url = there.url
        yield provider


def path_of(url: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
