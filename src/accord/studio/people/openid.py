"""Signing in with OpenID Connect: the authorization code flow with PKCE, by Authlib and joserfc
(the extra `oidc`).

OpenID Connect Core 1.0 §3.1 and Discovery 1.0, RFC 7636 (PKCE, S256), RFC 9207 (issuer in the
answer). What comes back is believed only after its signature (asymmetric, by the provider's
published keys), issuer, audience, times, nonce and access-token hash are checked. Everything goes
over https, except to this machine itself. Redirects are not followed.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, urlsplit

from httpx2 import BasicAuth

from accord.errors import AccordError, ConfigError
from accord.network import LOCAL, NO_ANSWER, bounded, http_client, why

LOG = logging.getLogger("accord.studio")
TIMEOUT, LEEWAY = 10.0, 60
"""Seconds: of a request to the provider, and of how far its clock may be off."""
KEPT, REFETCH = 3600.0, 60.0
"""Seconds: how long its description and keys are kept, and how soon keys are asked for again when
one is unknown."""
RESTED = 5.0
"""Seconds for which a provider that gave no usable description is not asked again: who waits for it
holds a thread."""
MOST_BYTES = 2**20
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Signatures that only the provider can make; never `none`, never a shared secret."""


class OpenIdError(AccordError):
    """Nobody is signed in. why: "down" (no usable answer of the provider) or "refused" (an answer
    that proves nothing)."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(detail)
        self.why = why


@dataclass(frozen=True)
class OpenIdSettings:
    """Who is trusted to say who somebody is. name: of the provider, on buttons. Raises ConfigError,
    with what to do."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        if find_spec("authlib") is None or find_spec("joserfc") is None:
            raise ConfigError(
                "signing in with OpenID Connect needs the package authlib, which is not installed",
                'pip install "accord[oidc]"',
            )
        if not _safe(self.issuer) or urlsplit(self.issuer).query or urlsplit(self.issuer).fragment:
            raise ConfigError(
                f"{self.issuer[:200]!r} is not an issuer of OpenID Connect",
                "write it like https://login.example.org/realm",
            )
        if not self.client_id or not self.secret:
            missing = (
                "--oidc-client-id"
                if not self.client_id
                else "its secret, in the environment: ACCORD_OIDC_SECRET"
            )
            raise ConfigError(
                f"the issuer {self.issuer} was named without a client", f"give {missing}"
            )
        if not self.name:
            object.__setattr__(self, "name", str(urlsplit(self.issuer).hostname))


@dataclass(frozen=True)
class Identity:
    """Who the provider says somebody is. subject: issuer and subject, as an account keeps them;
    names: to call them."""

    subject: str
    names: tuple[str, ...]


class OpenId:
    """A provider, with its description and keys kept for an hour. Safe to share between threads."""

    def __init__(self, settings: OpenIdSettings, clock: Callable[[], float]) -> None:
        self.settings, self.name, self._clock = settings, settings.name, clock
        self._lock = threading.Lock()
        self._about: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, Any] | None = None
        self._failed: tuple[float, OpenIdError] | None = None
        self._client = http_client(TIMEOUT, "accord-studio")

    def discover(self) -> dict[str, Any]:
        """The provider's description of itself; raises OpenIdError."""
        with self._lock:
            now = self._clock()
            if self._about is None or self._about[0] < now - KEPT:
                if self._failed is not None and self._failed[0] > now - RESTED:
                    raise self._failed[1]
                try:
                    self._about = (now, self._describe())
                except OpenIdError as error:
                    self._failed = (self._clock(), error)
                    raise
            return self._about[1]

    def _describe(self) -> dict[str, Any]:
        where = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = self._fetch("GET", where)
        if found.get("issuer") != self.settings.issuer:
            raise OpenIdError(
                "down",
                f"{where} is of the issuer {found.get('issuer')!r}, not {self.settings.issuer!r}",
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _safe(found.get(name)):
                raise OpenIdError(
                    "down", f"{where}: {name} = {found.get(name)!r} is not an https address"
                )
        return found

    def begin(self, back: str, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes to sign in; it comes back to the address `back`. Raises
        OpenIdError."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        where: str = prepare_grant_uri(
            self.discover()["authorization_endpoint"],
            self.settings.client_id,
            "code",
            back,
            "openid profile",
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return where

    def finish(self, back: str, code: str, nonce: str, verifier: str) -> Identity:
        """Trade the code for an ID token, and believe that only when everything about it is right.
        Raises OpenIdError."""
        about = self.discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": verifier,
        }
        basic, (client_id, secret) = None, (self.settings.client_id, self.settings.secret)
        ways = about.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" in ways:
            basic = BasicAuth(quote(client_id, safe=""), quote(secret, safe=""))  # RFC 6749 §2.3.1
        else:
            form |= {"client_id": client_id, "client_secret": secret}
        answer = self._fetch("POST", about["token_endpoint"], "refused", data=form, auth=basic)
        if not isinstance(answer.get("id_token"), str):
            raise OpenIdError("refused", "the provider's answer holds no ID token")
        return self._believe(answer["id_token"], answer.get("access_token"), nonce)

    def _believe(self, token: str, access_token: Any, nonce: str) -> Identity:
        from authlib.oidc.core.claims import CodeIDToken
        from joserfc.errors import JoseError

        read = self._verified(token)
        fixed = {"iss": self.settings.issuer, "aud": self.settings.client_id}
        options = {name: {"essential": True, "value": value} for name, value in fixed.items()}
        params = {
            "nonce": nonce,
            "client_id": self.settings.client_id,
            "access_token": access_token,
        }
        claims = CodeIDToken(read.claims, read.header, options, params)
        try:
            claims.validate(int(self._clock()), LEEWAY)
        except (JoseError, ValueError, TypeError) as error:
            raise OpenIdError(
                "refused", f"the ID token is not for us, or not for now: {error}"
            ) from None
        if not 1 <= len(claims["sub"]) <= 255:
            raise OpenIdError("refused", "the ID token names nobody")
        said = [
            claims.get(name) for name in ("preferred_username", "name", "nickname", "given_name")
        ]
        names = tuple(
            name for name in said if isinstance(name, str) and "@" not in name
        )  # addresses stay private
        return Identity(f"{claims['iss']} {claims['sub']}", names)

    def _verified(self, token: str) -> Any:
        """The token's claims, signed by a key that the provider publishes; new keys are looked for
        once."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        for again in (False, True):
            try:
                return jwt.decode(token, self._key_set(again), algorithms=ALGORITHMS)
            except (JoseError, ValueError, TypeError) as error:
                if again:
                    raise OpenIdError(
                        "refused", f"the ID token's signature cannot be trusted: {error}"
                    ) from None
        raise AssertionError("unreachable")

    def _key_set(self, again: bool) -> Any:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        where = self.discover()["jwks_uri"]
        with self._lock:
            age = None if self._keys is None else self._clock() - self._keys[0]
            if self._keys is None or age is None or age > (REFETCH if again else KEPT):
                keys = self._fetch("GET", where).get("keys")
                usable = [
                    key
                    for key in (keys if isinstance(keys, list) else [])
                    if isinstance(key, dict)
                    and key.get("kty") in ("RSA", "EC", "OKP")
                    and key.get("use", "sig") == "sig"
                ]
                try:
                    self._keys = (self._clock(), KeySet.import_key_set({"keys": usable}))
                except (JoseError, ValueError, TypeError, KeyError) as error:
                    raise OpenIdError(
                        "down", f"{where} holds keys that cannot be read: {error}"
                    ) from None
            return self._keys[1]

    def _fetch(self, method: str, where: str, refusal: str = "down", **sent: Any) -> dict[str, Any]:
        """A JSON object; raises OpenIdError, saying `refusal` for a 4xx answer."""
        accept = {"Accept": "application/json"}
        try:
            status, body = bounded(self._client, method, where, MOST_BYTES, headers=accept, **sent)
            if not 200 <= status < 300:
                said = body[:300].decode(errors="replace")
                raise OpenIdError(
                    refusal if 400 <= status < 500 else "down", f"{where}: HTTP {status} {said!r}"
                )
            found = json.loads(body)
        except (*NO_ANSWER, ValueError) as error:
            raise OpenIdError("down", f"{where}: {why(error)}") from None
        if not isinstance(found, dict):
            raise OpenIdError("down", f"{where} answers with something else than a JSON object")
        return found


def _safe(url: Any) -> bool:
    """Whether nobody on the way can read or change what goes there."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOCAL)
