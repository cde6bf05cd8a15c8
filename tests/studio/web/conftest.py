"""A studio that runs: its database, a browser's session over HTTP, a server and a real browser."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import WAIT, Served, serving
from houses import Client, House, make_house

from accord.studio.projects.settings import TASKS
from accord.studio.tasks.chat import Reply

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class Echo:
    """A model of a few lines: says what it was told, in two ways."""

    def reply(self, messages: list[dict[str, str]], count: int, seed: int) -> list[Reply]:
        text = messages[-1]["content"]
        return [
            Reply(f"{way} {text} ({len(messages)} messages)", way)
            for way in ("Briefly:", "At length:")[:count]
        ]


@pytest.fixture
def house(tmp_path: Path, empty: Path) -> Iterator[House]:
    """A studio with an owner and nobody else."""
    made = make_house(tmp_path, Echo(), empty)
    yield made
    made.db.close()


@pytest.fixture
def owner(house: House) -> Client:
    """The owner's session."""
    return house.sign_in("olga")


@contextmanager
def furnished(house: House) -> Iterator[Served]:
    """The studio, running, with a project of every task."""
    (house.media / "test-clips").mkdir()
    for name in ("a0.png", "b0.png"):
        (house.media / "test-clips" / name).write_bytes(PIXEL)
    with serving(house) as served:
        served.slugs = {task: house.project(task, 3, overlap=20) for task in TASKS}
        yield served
    house.db.close()


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[Served]:
    """A studio that runs for all browser tests, with a project of every task. Tests bring people of
    their own."""
    with furnished(make_house(tmp_path_factory.mktemp("everything"), Echo(), empty)) as served:
        yield served


@pytest.fixture(scope="module")
def everything_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, new_postgres: Callable[[], str]
) -> Iterator[Served]:
    """The same studio, its data on a PostgreSQL server."""
    with furnished(
        make_house(tmp_path_factory.mktemp("postgres"), Echo(), url=new_postgres())
    ) as served:
        yield served


@pytest.fixture
def served(house: House) -> Iterator[Served]:
    """A studio of one's own that runs."""
    with serving(house) as made:
        yield made


@pytest.fixture
def visit(browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """visit(served, name, **context options): a page signed in as that person; fails the test on
    console errors."""
    contexts, problems = [], []

    def open_page(served: Served, name: str | None, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(WAIT)
        contexts.append(context)
        if name is not None:
            secret = served.house.session(name)
            context.add_cookies([{"name": "accord_session", "value": secret, "url": served.url}])
        page = context.new_page()
        page.problems = problems
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: problems.append(str(e)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems
