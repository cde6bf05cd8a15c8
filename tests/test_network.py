"""A request with a secret goes to the named address and nowhere else."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import Request

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from accord.network import open_without_redirects
from listening import listening


def test_a_redirect_is_not_followed() -> None:
    reached: list[str] = []

    def elsewhere(request: object) -> PlainTextResponse:
        reached.append("elsewhere")
        return PlainTextResponse("thanks for the secret")

    routes = [Route("/", lambda _: RedirectResponse("/elsewhere")), Route("/elsewhere", elsewhere)]
    with listening(Starlette(routes=routes)) as there:
        call = open_without_redirects()
        with pytest.raises(HTTPError) as refused:
            call(Request(there.url, headers={"Authorization": "Bearer secret"}), timeout=10)
        refused.value.close()
        assert refused.value.code == 307
        assert not reached
        with call(Request(f"{there.url}/elsewhere"), timeout=10) as answer:
            assert answer.status == 200
