"""What is sent to an endpoint, and what becomes of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import httpx2
import pytest

from accord.errors import ConfigError
from accord.sampling import endpoint as endpoints
from accord.sampling.endpoint import Completion, Endpoint, EndpointError

HELLO = [{"role": "user", "content": "Hello?"}]


def choice(text: Any, finish: str = "stop") -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


def answer_of(body: Any, status: int = 200) -> httpx2.Response:
    """An answer that comes in pieces, as over a network."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return httpx2.Response(status, content=iter([content[:9], content[9:]]))


def asked(
    answer: Callable[[httpx2.Request], httpx2.Response], key: str = ""
) -> tuple[Endpoint, list[httpx2.Request]]:
    """An endpoint that answers so, and what it was sent."""
    sent: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return answer(request)

    found = Endpoint("https://there.example/v1/", "m", key)
    found._client = httpx2.Client(transport=httpx2.MockTransport(handle))
    return found, sent


def test_an_address_is_http_with_a_host_and_no_password() -> None:
    for url in (
        "ftp://there.example/v1",
        "there.example/v1",
        "https://",
        "https:///v1",
        "https://me@there.example/v1",
        "https://me:secret@there.example/v1",
        "https://:secret@there.example/v1",
    ):
        with pytest.raises(ConfigError, match="is not the address of an endpoint"):
            Endpoint(url, "m")
    with pytest.raises(ConfigError, match=r"^which model at https://there\.example"):
        Endpoint("https://there.example", "")
    assert Endpoint("https://there.example", "m").url == "https://there.example"


def test_a_key_leaves_this_machine_only_in_https() -> None:
    with pytest.raises(ConfigError, match="would be readable on its way"):
        Endpoint("http://there.example/v1", "m", "secret")
    for url, key in (
        ("https://there.example/v1", "secret"),
        ("http://127.0.0.1:8000/v1", "secret"),
        ("http://localhost:8000/v1", "secret"),
        ("http://there.example/v1", ""),
    ):
        assert "secret" not in repr(Endpoint(url, "m", key))


@pytest.mark.parametrize("key", ["", "secret"])
def test_what_is_sent(key: str) -> None:
    found, sent = asked(lambda _: answer_of(choice("Hi.")), key)
    assert found.complete(HELLO, 7, 0.5, 3) == Completion("Hi.", True)
    found.complete(HELLO, 7, 1, 3)
    found.complete(HELLO, 7, 0, 3)
    said = {"model": "m", "messages": HELLO, "seed": 3, "max_tokens": 7}
    assert [json.loads(request.content) for request in sent] == [
        {**said, "temperature": 0.5},
        said,
        {**said, "temperature": 0},
    ]
    assert {str(r.url) for r in sent} == {"https://there.example/v1/chat/completions"}
    assert {r.method for r in sent} == {"POST"}
    assert {r.headers.get("authorization") for r in sent} == {f"Bearer {key}" if key else None}


def test_the_newer_name_of_the_limit_is_found_out_once() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if "max_tokens" in json.loads(request.content):
            return answer_of("use max_completion_tokens", 400)
        return answer_of(choice("Hi."))

    found, sent = asked(answer)
    assert found.complete(HELLO, 7, 1, 3).text == "Hi."
    assert found.complete(HELLO, 7, 1, 3).text == "Hi."
    assert [json.loads(r.content).get("max_completion_tokens") for r in sent] == [None, 7, 7]
    other, sent = asked(lambda _: answer_of("no such model", 400))
    with pytest.raises(EndpointError, match="no such model"):
        other.complete(HELLO, 7, 1, 3)
    assert len(sent) == 1
    never, sent = asked(lambda _: answer_of("max_completion_tokens?", 400))
    for times in (2, 3):
        with pytest.raises(EndpointError, match="max_completion_tokens"):
            never.complete(HELLO, 7, 1, 3)
        assert len(sent) == times


def test_what_is_no_answer_is_said_with_its_status() -> None:
    for status in (199 + 1, 299):
        found, _ = asked(lambda _, s=status: answer_of(choice("Hi."), s))  # type: ignore[misc]
        assert found.complete(HELLO, 7, 1, 3).text == "Hi."
    for status in (300, 400, 401, 402, 403, 404, 500):
        found, _ = asked(lambda _, s=status: answer_of("x" * 600 + "y", s))  # type: ignore[misc]
        with pytest.raises(EndpointError) as refused:
            found.complete(HELLO, 7, 1, 3)
        assert refused.value.message.endswith(f"HTTP {status} '{'x' * 600}'")
        assert bool(refused.value.fix) == (status in (401, 402, 403))


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"choices": []},
        {"choices": {}},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": ["text"]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {}}]},
    ],
)
def test_another_form_is_said(body: Any) -> None:
    found, _ = asked(lambda _: answer_of(body))
    with pytest.raises(EndpointError, match="answers in another form"):
        found.complete(HELLO, 7, 1, 3)


@pytest.mark.parametrize("text", ["", " \n", None, 3, ["Hi."]])
def test_nothing_is_no_answer(text: Any) -> None:
    found, _ = asked(lambda _: answer_of(choice(text, "length")))
    with pytest.raises(EndpointError, match=r"answered with nothing \(finish_reason 'length'\)"):
        found.complete(HELLO, 7, 1, 3)


def test_an_answer_at_the_limit_is_not_finished() -> None:
    found, _ = asked(lambda _: answer_of(choice(" Hi", "length")))
    completion = found.complete(HELLO, 7, 1, 3)
    assert completion == Completion(" Hi", False)
    with pytest.raises(FrozenInstanceError):
        completion.text = "other"  # type: ignore[misc]


def test_an_endless_answer_and_one_that_is_not_json_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert endpoints.MOST_BYTES == 8 << 20
    found, _ = asked(lambda _: answer_of("<html>"))
    with pytest.raises(EndpointError, match=r"^https://there\.example/v1/chat/completions: "):
        found.complete(HELLO, 7, 1, 3)
    body = json.dumps(choice("x" * 1000))
    found, _ = asked(lambda _: answer_of(body))
    monkeypatch.setattr(endpoints, "MOST_BYTES", len(body))
    assert len(found.complete(HELLO, 7, 1, 3).text) == 1000
    monkeypatch.setattr(endpoints, "MOST_BYTES", len(body) - 1)
    with pytest.raises(EndpointError):
        found.complete(HELLO, 7, 1, 3)
