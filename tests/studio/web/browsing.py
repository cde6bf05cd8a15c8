"""A studio behind an address, and what a browser's tests do with it: open, press, wait, look at
what was stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from houses import House

from accord.studio.people import members
from accord.studio.storage.tables import Answer, Item, View
from listening import listening

WAIT = 60_000
"""Milliseconds after which something will not come any more, however busy the machine is."""


@dataclass
class Served:
    """A studio behind an address. slugs: its projects by task."""

    house: House
    url: str
    server: uvicorn.Server
    slugs: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving(house: House) -> Iterator[Served]:
    """The studio on a free port, in a thread."""
    with listening(house.app) as there:
        yield Served(house, there.url, there.server)


def person(served: Served, name: str, task: str) -> None:
    """Somebody new who has read the guideline of the task's project."""
    house, project_id = served.house, served.house.project_id(served.slugs[task])
    account = house.person(name, project=project_id)
    members.read_guideline(house.db, project_id, account, 1)


def open_work(page: Any, served: Served, task: str) -> None:
    """The work page with its first item."""
    page.goto(f"{served.url}/p/{served.slugs[task]}/work")
    page.wait_for_selector("#screen[aria-busy=false]")
    page.wait_for_function(
        "() => [...document.querySelectorAll('img.clip')].every(picture => picture.complete)"
    )


def press(page: Any, keys: list[str]) -> None:
    """Keys one by one; longer words are typed; "wait" waits for responses of a chat."""
    for key in keys:
        if key == "wait":
            page.wait_for_selector(".options .choose")
        elif len(key) > 1 and not key[0].isupper():
            page.keyboard.type(key)
        elif len(key) > 1 and " " in key:
            page.keyboard.insert_text(key)
        else:
            page.keyboard.press(key)


def choose(page: Any, n: int) -> None:
    """Click the button of the n-th response."""
    page.locator(".option .choose").nth(n - 1).click()


def click(page: Any, name: str, **more: Any) -> None:
    """Click the first button of that name."""
    page.get_by_role("button", name=name, **more).first.click()


def sent(page: Any, count: int = 1) -> None:
    """Wait until so many answers are acknowledged and the next item is there (both come in one
    step)."""
    page.locator("#standing", has_text=re.compile(f"^{count} ")).wait_for()


def stored(served: Served, name: str) -> tuple[Answer, View, Item]:
    """The person's answer with its view and item; there must be one."""
    account = served.house.people[name]
    found = [a for a in served.house.answers() if a.account_id == account]
    assert len(found) == 1, [(a.state, a.answer) for a in found]
    with served.house.db.read() as session:
        return (
            found[0],
            session.get_one(View, found[0].view_id),
            session.get_one(Item, found[0].item_id),
        )


def violations(page: Any, scheme: str = "light") -> list[str]:
    """What axe finds that keeps somebody out; in the dark only its colours can differ."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if scheme == "dark":
        options["runOnly"] = ["color-contrast"]
    found = axe.run(page, options=options).response["violations"]
    return [
        f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:160]} {v['nodes'][0].get('failureSummary', '')[:300]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
