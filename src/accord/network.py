"""Requests to other machines that carry a secret: it goes to the named address alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.request import HTTPRedirectHandler, build_opener

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that plain http may go to with a secret: it does not leave this machine."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect could carry the secret to somebody else; it becomes an HTTPError."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def open_without_redirects() -> Callable[..., Any]:
    """As `urllib.request.urlopen`, but redirects are not followed."""
    return build_opener(_NoRedirect()).open
