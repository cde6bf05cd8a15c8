"""A request with a secret goes to the named address and nowhere else; answers are bounded."""

from __future__ import annotations

import gzip
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from accord import network
from accord.network import bounded, http_client, post_pinned
from listening import Listening, listening

REACHED: list[str] = []


def _elsewhere(request: Request) -> Response:
    REACHED.append(request.headers["host"])
    return PlainTextResponse("thanks for the secret")


def _long(_: Request) -> Response:
    return StreamingResponse(b"x" * 1000 for _ in range(100))  # of a length that it does not say


def _compressed(_: Request) -> Response:
    return Response(gzip.compress(b"0" * 10**6), headers={"Content-Encoding": "gzip"})


@pytest.fixture
def there() -> Iterator[Listening]:
    routes = [
        Route("/", lambda _: RedirectResponse("/elsewhere")),
        Route("/elsewhere", _elsewhere, methods=["GET", "POST"]),
        Route("/long", _long),
        Route("/compressed", _compressed),
    ]
    REACHED.clear()
    with listening(Starlette(routes=routes)) as made:
        yield made


def test_a_redirect_is_not_followed(there: Listening) -> None:
    client = http_client(10, "test")
    assert client.get(there.url, headers={"Authorization": "Bearer secret"}).status_code == 307
    assert not REACHED
    assert client.get(f"{there.url}/elsewhere").status_code == 200


def test_an_answer_is_bounded(there: Listening) -> None:
    client = http_client(10, "test")
    assert bounded(client, "GET", f"{there.url}/long", 100_000) == (200, b"x" * 100_000)
    with pytest.raises(network.NO_ANSWER, match="more than 99,999 bytes"):
        bounded(client, "GET", f"{there.url}/long", 99_999)
    compressed = bounded(client, "GET", f"{there.url}/compressed", 2000)[1]
    assert gzip.decompress(compressed) == b"0" * 10**6  # not by whoever asked


def test_pinned_requests_look_no_name_up(there: Listening) -> None:
    port = httpx2.URL(there.url).port
    url = f"http://nowhere.invalid:{port}/elsewhere"
    with http_client(10, "test") as client:
        assert post_pinned(client, url, "127.0.0.1", b"news", {"webhook-id": "1"}) == 200
        with pytest.raises(network.NO_ANSWER):
            client.get(url)
    assert [f"nowhere.invalid:{port}"] == REACHED


def test_proxies_are_of_the_environment_or_none(
    there: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert http_client(10, "test", proxies=False).get(f"{there.url}/elsewhere").is_success
    with pytest.raises(network.NO_ANSWER):
        http_client(10, "test").get(f"{there.url}/elsewhere")


def test_pinned_requests_want_the_certificate_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=hook.invalid",
         "-addext", "subjectAltName=DNS:hook.invalid"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    trusted = ssl.create_default_context(cafile=cert)
    monkeypatch.setattr(network, "_certificates", lambda: trusted)
    heard = Starlette(routes=[Route("/", _elsewhere, methods=["POST"])])
    with (
        listening(heard, ssl_keyfile=str(key), ssl_certfile=str(cert)) as there,
        http_client(10, "test") as client,
    ):
        port = httpx2.URL(there.url).port
        assert post_pinned(client, f"https://hook.invalid:{port}/", "127.0.0.1", b"", {}) == 200
        with pytest.raises(network.NO_ANSWER, match=r"(?i)certificate.*other\.invalid"):
            post_pinned(client, f"https://other.invalid:{port}/", "127.0.0.1", b"", {})
