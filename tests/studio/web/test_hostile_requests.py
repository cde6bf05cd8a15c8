"""Hostile files and bodies over HTTP: refused with the place, in little memory and CPU of the server's
process, and never a mistake of the server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

import hostile
from measuring import MOST_MIB, MOST_SECONDS, pace, slower

HERE = Path(__file__).parent
MIB = 1 << 20
REFUSED = {400, 413, 415, 422}
LONGEST = 2_000
"""Bytes of an answer to a program."""


@dataclass
class Server:
    """A studio's process and two ways in: a browser's session and an API token."""

    pid: int
    web: httpx2.Client
    api: httpx2.Client
    slug: str
    csrf: str

    def memory(self, name: str) -> float:
        """MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) / 1024

    def seconds(self) -> float:
        """Of CPU, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def measured(self, ask: Callable[[], httpx2.Response]) -> httpx2.Response:
        """The answer; fails where it cost too much."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        before, memory, seconds = pace(), self.memory("VmRSS"), self.seconds()
        response = ask()
        assert self.memory("VmHWM") - memory <= MOST_MIB
        taken = self.seconds() - seconds
        assert taken / slower(before, pace()) <= MOST_SECONDS
        return response


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    tests = [str(HERE), str(HERE.parent), str(HERE.parents[1]), str(HERE.parents[2])]
    paths = [*tests, os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, str(HERE / "hostile_server.py"), str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        text=True,
    )
    try:
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        url, slug = f"http://127.0.0.1:{found['port']}", found["slug"]
        cookies = {"accord_session": found["cookie"]}
        bearer = {"Authorization": f"Bearer {found['token']}"}
        with (
            httpx2.Client(base_url=url, cookies=cookies, timeout=120) as web,
            httpx2.Client(base_url=f"{url}/api/v1", headers=bearer, timeout=120) as api,
        ):
            page = web.get(f"/p/{slug}/settings")
            csrf = re.findall(r'<meta name="csrf" content="([^"]+)"', page.text)[0]
            yield Server(process.pid, web, api, slug, csrf)
    finally:
        process.terminate()
        process.wait(30)


def uploaded(server: Server, path: str, name: str, data: bytes) -> httpx2.Response:
    """A form with a file."""
    form = {"csrf": server.csrf, "settings": "name: N\ntask: comparison\n"}
    return server.measured(
        lambda: server.web.post(path, data=form, files={"file": (name.replace(" ", "-"), data)})
    )


SOME = [
    "lines.jsonl.gz",
    "keys.jsonl",
    "deep.json",
    "long text.arrow",
    "a footer that lies.parquet",
]


@pytest.mark.parametrize(
    "name",
    [n if n in SOME else pytest.param(n, marks=pytest.mark.slow) for n in hostile.FILES],
)
def test_files_sent_to_a_page(server: Server, name: str) -> None:
    data = hostile.FILES[name]()
    more = ["/p/new"] if name in SOME else []
    for path in (f"/p/{server.slug}/items", *more):
        response = uploaded(server, path, name, data)
        assert response.status_code in {200, 303} | REFUSED, response.text[:2000]
        assert len(response.content) < 200_000


def long_list(unit: str, size: int = 60 * MIB) -> str:
    return "[" + f"{unit}," * (size // (len(unit) + 1)) + unit + "]"


BODIES: dict[str, Callable[[], str]] = {
    "deep": lambda: hostile.DEEP,
    "numbers": lambda: long_list("1"),
    "objects": lambda: long_list("{}"),
    "lists": lambda: long_list("[]"),
    "one text": lambda: json.dumps("x" * (60 * MIB)),
    "texts": lambda: long_list('"x"'),
    "a long key": lambda: json.dumps({"x" * (60 * MIB): 1}),
    "keys": lambda: json.dumps({f"k{n}": 1 for n in range(400_000)}),
    "digits": lambda: "[" + "9" * 900_000 + "]",
    "wrong items": lambda: json.dumps([{"x": "y" * 50}] * 9_000),
    "an item of a long text": lambda: json.dumps([{"prompt": "x" * (30 * MIB), "responses": [1]}]),
    "no text": lambda: '["\\ud800"]',
    "cut": lambda: '{"items": [{"prompt": "p"',
}
ROUTES = {
    "items": ("POST", "items"),
    "records": ("POST", "judgements"),
    "text": ("PUT", "guideline"),
    "task": ("PUT", "settings"),
}


@pytest.mark.slow
@pytest.mark.parametrize("field", ROUTES)
@pytest.mark.parametrize("name", BODIES)
def test_bodies_sent_by_programs(server: Server, name: str, field: str) -> None:
    method, route = ROUTES[field]
    body = BODIES[name]()
    content = (body if name == "cut" else f'{{"{field}": {body}}}').encode()
    headers = {"Content-Type": "application/json"}
    response = server.measured(
        lambda: server.api.request(
            method, f"/projects/{server.slug}/{route}", content=content, headers=headers
        )
    )
    assert response.status_code in REFUSED, response.text[:2000]
    assert len(response.content) < LONGEST, response.text[:4000]


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.YAML)
def test_settings_sent_to_a_page(server: Server, name: str) -> None:
    text = hostile.YAML[name]()
    form = {"csrf": server.csrf, "settings": text}
    for path in (f"/p/{server.slug}/settings", "/p/new"):
        response = server.measured(lambda path=path: server.web.post(path, data=form))
        assert response.status_code in {200} | REFUSED, response.text[:2000]
