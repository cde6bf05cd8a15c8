"""Live chat with models named on the command line: on this machine, behind an endpoint, failing,
and in a browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
import torch
from houses import House, make_house

from accord.cli.studio_chat import ChatSettings, Local, Models, application, open_models
from accord.errors import ConfigError
from accord.models.loading import save_causal_lm
from accord.sampling.endpoint import Endpoint, EndpointError
from accord.seeds import derive_seed
from accord.studio.tasks.chat import ChatError, Reply
from tiny import tiny_llama

TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
HELLO = [{"role": "user", "content": "hello there"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny chat model that says letters, digits and spaces only: one that may end at once, or say
    what is no text, answers with nothing now and then, which is refused."""
    model = tiny_llama()
    with torch.no_grad():  # dimension 0 passes through unchanged, and tells them apart
        for layer in model.hf.model.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.mlp.down_proj.weight[0] = 0
        table = model.hf.get_input_embeddings().weight
        table[:, 0] = -2.0
        table[4:46, 0] = 2.0
    model.tokenizer.chat_template = TEMPLATE
    return save_causal_lm(model, tmp_path_factory.mktemp("model") / "chat")


@dataclass
class Server:
    """An endpoint that answers with what it was told, or with what `answers` says first."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append(said)
            made.keys.append(self.headers.get("Authorization"))
            text = f"{said['model']} heard {said['messages'][-1]['content']}"
            good = {
                "choices": [
                    {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                ]
            }
            status, answer = made.answers.pop(0) if made.answers else (200, good)
            body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/v1/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    yield made
    httpd.shutdown()
    httpd.server_close()
    thread.join()


# --- a model on this machine ----------------------------------------------------------------------
def test_a_local_model_gives_two_samples_that_a_seed_repeats(folder: Path) -> None:
    models = open_models(ChatSettings((str(folder),), max_tokens=12))
    first, again, other = (models.reply(HELLO, 2, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first[0].content != first[1].content
    assert {r.producer for r in first} == {str(folder)}
    assert all(r.content.strip() for r in first)
    assert not all(
        r.finished
        for r in open_models(ChatSettings((str(folder),), max_tokens=1)).reply(HELLO, 2, 1)
    )


def test_a_conversation_that_became_too_long_is_not_cut(folder: Path) -> None:
    model = Local(str(folder), ChatSettings((str(folder),), max_tokens=12))
    with pytest.raises(ChatError, match="room for 116") as refused:
        model.respond([{"role": "user", "content": "again and " * 20}], 1)
    assert refused.value.why == "too_long"
    with pytest.raises(ChatError):
        model.respond([{"role": "user", "content": None}], 1)  # type: ignore[dict-item]


def test_what_is_no_chat_model_is_refused_before_serving(folder: Path, tmp_path: Path) -> None:
    plain = save_causal_lm(tiny_llama(), tmp_path / "plain")
    for name, tokens, message in (
        (plain, 8, "no chat template"),
        (folder, 128, "lower --chat-max-tokens"),
        (tmp_path / "nothing", 8, "cannot load"),
    ):
        with pytest.raises(ConfigError) as refused:
            open_models(ChatSettings((str(name),), max_tokens=tokens))
        assert message in str(refused.value)


# --- behind an endpoint ---------------------------------------------------------------------------
def test_two_models_answer_once_each(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCORD_CHAT_KEY", "k-1")
    chat = ChatSettings(
        (f"{server.url}#first", f"{server.url}#second"), max_tokens=7, temperature=0.5
    )
    replies = open_models(chat).reply(
        [{"role": "system", "content": "Be brief."}, *HELLO], 2, 2**31 - 1
    )
    assert replies == [
        Reply("first heard hello there", f"{server.url}#first"),
        Reply("second heard hello there", f"{server.url}#second"),
    ]
    assert {asked["model"] for asked in server.asked} == {"first", "second"}
    assert all(
        a["max_tokens"] == 7 and a["temperature"] == 0.5 and len(a["messages"]) == 2
        for a in server.asked
    )
    seeds = {derive_seed(2**31 - 1, "response", n) % 2**31 for n in range(2)}
    assert {asked["seed"] for asked in server.asked} == seeds
    assert server.keys == ["Bearer k-1"] * 2
    mixed = open_models(ChatSettings((str(folder), f"{server.url}#first"), max_tokens=8)).reply(
        HELLO, 2, 1
    )
    assert [r.producer for r in mixed] == [str(folder), f"{server.url}#first"]
    assert "temperature" not in server.asked[-1]  # 1 is every model's own
    assert server.keys[-1] is None  # the key is the first model's


def test_a_limit_by_its_newer_name(server: Server) -> None:
    endpoint = Endpoint(server.url, "m")
    server.answers = [
        (400, {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead"}})
    ]
    assert endpoint.complete(HELLO, 9, 1, 0).text == "m heard hello there"
    endpoint.complete(HELLO, 9, 1, 0)
    assert [("max_tokens" in a, "max_completion_tokens" in a) for a in server.asked] == [
        (True, False),
        (False, True),
        (False, True),
    ]


def test_a_reply_that_reached_the_limit_says_so(server: Server) -> None:
    server.answers = [
        (200, {"choices": [{"message": {"content": "and then"}, "finish_reason": "length"}]})
    ]
    assert not Endpoint(server.url, "m").complete(HELLO, 2, 1, 0).finished


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (500, "broken", "HTTP 500 'broken'"), (401, "", "ACCORD_CHAT_KEY"), (302, "", "HTTP 302"), (200, "<html>", "chat/completions"),
        (200, {}, "another form"), (200, {"choices": []}, "another form"), (200, {"choices": [{"message": None}]}, "another form"),
        (200, {"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]}, "answered with nothing"),
    ],
)  # fmt: skip
def test_an_endpoint_that_fails(server: Server, status: int, answer: Any, message: str) -> None:
    server.answers = [(status, answer)]
    endpoint = Endpoint(server.url, "m", "secret")
    with pytest.raises(EndpointError) as refused:
        endpoint.complete(HELLO, 5, 1, 0)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value) + repr(endpoint)
    assert endpoint.complete(HELLO, 5, 1, 0).finished  # and the next try goes well


def test_nobody_there_and_nobody_answering() -> None:
    with pytest.raises(EndpointError, match="refused"):
        Endpoint("http://127.0.0.1:9/v1", "m").complete(HELLO, 5, 1, 0)
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(EndpointError, match="timed out"),
    ):
        Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", "m", timeout=0.2).complete(
            HELLO, 5, 1, 0
        )


def test_a_crowd_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accord.cli.studio_chat.PATIENCE", 0.05)
    gate = threading.Event()

    class Slow:
        def respond(self, messages: Any, seed: int) -> Reply:
            gate.wait(30)
            return Reply("at last", "slow")

    models = Models([Slow()])
    threads = [threading.Thread(target=models.reply, args=(HELLO, 1, n)) for n in range(8)]
    for thread in threads:
        thread.start()
    with pytest.raises(ChatError) as refused:
        models.reply(HELLO, 1, 9)
    assert refused.value.why == "busy"
    gate.set()
    for thread in threads:
        thread.join()
    assert models.reply(HELLO, 2, 1) == [Reply("at last", "slow")] * 2


@pytest.mark.parametrize(
    ("models", "workers", "message"),
    [
        (("a", "b", "c"), 1, "3 models"), (("a", "a"), 1, "named twice"), (("http://127.0.0.1:1/v1",), 1, "which model"),
        (("https://u:p@h/v1#m",), 1, "is not the address"), (("http:///v1#m",), 1, "is not the address"),
        (("http://models.example/v1#m",), 1, "readable on its way"), (("some/model",), 2, "vllm serve"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for(
    models: tuple[str, ...], workers: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCORD_CHAT_KEY", "k")
    with pytest.raises(ConfigError) as refused:
        application(ChatSettings(models), workers)
    assert message in str(refused.value)
    with pytest.raises(ConfigError, match="both replies would be the same"):
        ChatSettings(("a",), temperature=0)


# --- in the studio --------------------------------------------------------------------------------
@dataclass
class Failing:
    """A model that is away for a while."""

    why: str | None = "failed"

    def reply(self, messages: Any, count: int, seed: int) -> list[Reply]:
        if self.why is not None:
            raise ChatError(self.why, "the reason for the log")  # type: ignore[arg-type]
        return [Reply("whole", "a"), Reply("and th", "b", finished=False)]


def test_a_failing_model_is_told_and_tried_again(
    tmp_path: Path, empty: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Failing()
    house = make_house(tmp_path, model, empty)
    slug = house.project("chat", 1)
    owner = house.sign_in("olga")
    owner.page(f"/p/{slug}/work")
    item = owner.ask(f"/p/{slug}/work/next").json()["item"]
    body = {"view": item["view"], "lease": item["lease"], "user": "Hi", "chosen": []}
    for why, text in (
        ("failed", "gave no answer"),
        ("busy", "Many are talking"),
        ("too_long", "too long for the model"),
    ):
        model.why = why
        refused = owner.ask(f"/p/{slug}/work/turn", body)
        assert (refused.status_code, text in refused.json()["error"]) == (503, True)
        assert "log" not in refused.text
    assert caplog.text.count("the reason for the log") == 3
    model.why = None
    assert owner.ask(f"/p/{slug}/work/turn", body).status_code == 200
    mine = {"view": item["view"], "lease": item["lease"], "key": "k" * 16}
    sent = owner.ask(f"/p/{slug}/work/submit", {**mine, "answer": {"turns": [{"preferred": "1"}]}})
    assert sent.status_code == 200, sent.text
    record = house.answers()[0].records[0]
    by_id = {o["id"]: o["producer"] for o in record["options"]}
    assert {by_id[i]: done for i, done in record["meta"]["finished"].items()} == {
        "a": True,
        "b": False,
    }
    house.db.close()


def start(house: House, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """`accord studio` on the house's database; returns it with its address."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "accord.cli",
        "studio",
        "--no-open",
        "--port",
        str(port),
        *arguments,
    ]
    running = subprocess.Popen(
        [*command, "--database", str(house.folder / "studio.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "ACCORD_CHAT_KEY": "k-1"},
        start_new_session=True,
    )
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 300
    while running.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urlopen(f"{url}/login", timeout=1):
            return running, url
        time.sleep(0.1)
    running.kill()
    raise AssertionError(f"the studio did not start: {running.communicate()[0]}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["endpoint", "local"])
def test_from_the_command_line_into_a_browser(
    tmp_path: Path, empty: Path, server: Server, folder: Path, visit: Callable[..., Any], kind: str
) -> None:
    house = make_house(tmp_path, None, empty)
    slug = house.project("chat", 1)
    arguments = {
        "endpoint": (
            "--chat-model",
            f"{server.url}#one",
            "--chat-model",
            f"{server.url}#two",
            "--workers",
            "2",
        ),
        "local": ("--chat-model", str(folder), "--chat-max-tokens", "8"),
    }
    if kind == "endpoint":
        server.answers = [(500, "overloaded")]
    running, url = start(house, *arguments[kind])
    try:
        page = visit(SimpleNamespace(house=house, url=url), "olga")
        page.goto(f"{url}/p/{slug}/work")
        page.locator(".pane textarea").fill("hello there")
        page.keyboard.press("Control+Enter")
        if kind == "endpoint":
            page.locator("#hint", has_text="The model gave no answer").wait_for()
            assert page.locator(".pane textarea").input_value() == "hello there"
            page.problems.clear()  # the browser's own note of the 503
            page.keyboard.press("Control+Enter")
        page.wait_for_selector(".options .choose")
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="All done").wait_for()
    finally:
        running.terminate()
        said = running.communicate(timeout=30)[0]
    assert "Traceback" not in said, said
    record = house.answers()[0].records[0]
    names = {option["producer"] for option in record["options"]}
    assert names == (
        {f"{server.url}#one", f"{server.url}#two"} if kind == "endpoint" else {str(folder)}
    )
    assert (kind == "local") or re.search("chat: .*HTTP 500 'overloaded'", said), said
    house.db.close()
