"""Requests to other machines: a secret goes to the named address alone, what comes back is
bounded, and a name that was looked up and checked is not looked up again."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

import httpx2

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that plain http may go to with a secret: it does not leave this machine."""
NO_ANSWER = (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError)
"""What a client raises when no usable answer came; the last two: for what is no address."""


def http_client(timeout: float, agent: str, proxies: bool = True) -> httpx2.Client:
    """A client that threads may share: it follows no redirects (httpx2's default) and opens a
    connection per request.

    timeout: seconds without a byte; agent: how we call ourselves; proxies: whether those named in
    the environment are used."""
    return httpx2.Client(
        timeout=timeout,
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        verify=_certificates(),
        trust_env=proxies,
    )


def async_client(timeout: float, agent: str, at_once: int) -> httpx2.AsyncClient:
    """A client for many requests side by side; it keeps `at_once` connections for the next ones,
    and is `http_client` otherwise."""
    return httpx2.AsyncClient(
        timeout=timeout,
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=at_once),
        verify=_certificates(),
    )


def bounded(
    client: httpx2.Client, method: str, url: str, most_bytes: int, **sent: Any
) -> tuple[int, bytes]:
    """Status and body of an answer. A body of more than `most_bytes` is a DecodingError; one that
    is compressed, which was not asked for, stays so."""
    body = bytearray()
    with client.stream(method, url, **sent) as answer:
        for piece in answer.iter_raw():
            body += piece
            if len(body) > most_bytes:
                raise httpx2.DecodingError(f"the answer has more than {most_bytes:,} bytes")
    return answer.status_code, bytes(body)


async def bounded_async(
    client: httpx2.AsyncClient, method: str, url: str, most_bytes: int, **sent: Any
) -> tuple[int, httpx2.Headers, bytes]:
    """Status, headers and body of an answer, as `bounded` reads it."""
    body = bytearray()
    async with client.stream(method, url, **sent) as answer:
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > most_bytes:
                raise httpx2.DecodingError(f"the answer has more than {most_bytes:,} bytes")
    return answer.status_code, answer.headers, bytes(body)


def post_pinned(
    client: httpx2.Client, url: str, address: str, body: bytes, headers: dict[str, str]
) -> int:
    """Post to this IP address whatever the URL's host resolves to by now; returns the status. The
    Host header and the certificate are the host's; the answer's body stays unread."""
    named = httpx2.URL(url)
    with client.stream(
        "POST",
        named.copy_with(host=address),
        content=body,
        headers={"Host": named.netloc.decode("ascii"), **headers},
        extensions={"sni_hostname": named.raw_host.decode("ascii")},
    ) as answer:
        return answer.status_code


def why(error: Exception) -> str:
    """What went wrong, in a few words."""
    return str(error) or type(error).__name__


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """The authorities that this machine trusts; reading them takes a while."""
    return ssl.create_default_context()
