"""The studio in a browser with its data on PostgreSQL: each task once, the results, signing in and
out."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import open_work, person, sent, stored
from crowds import judged
from test_results import TABS
from test_tasks_in_browser import by_keyboard
from test_working_in_browser import in_and_out

pytestmark = pytest.mark.slow


# The page is the same; each writes its answers in its own way: by one choice, many, a text, marks.
@pytest.mark.parametrize("task", ["comparison", "ranking", "rating", "demonstration", "spans"])
def test_every_task_by_keyboard(everything_on_postgres: Any, visit: Any, task: str) -> None:
    by_keyboard(everything_on_postgres, visit, task)


def test_signing_in_and_out(everything_on_postgres: Any, visit: Any) -> None:
    in_and_out(everything_on_postgres, visit)


def test_drafts_undo_and_skips(everything_on_postgres: Any, visit: Any) -> None:
    person(everything_on_postgres, "again", "demonstration")
    page = visit(everything_on_postgres, "again")
    open_work(page, everything_on_postgres, "demonstration")
    page.keyboard.press("e")
    with page.expect_response(
        lambda r: r.url.endswith("/work/draft") and "Mine, so" in r.request.post_data
    ):
        page.keyboard.type("Mine, so")
    other = visit(everything_on_postgres, "again")
    open_work(other, everything_on_postgres, "demonstration")
    assert other.locator(".pane textarea").input_value() == "Mine, so"
    other.locator(".pane textarea").fill("Mine.")
    other.keyboard.press("Control+Enter")
    sent(other)
    other.keyboard.press("z")
    sent(other, 0)
    assert other.locator(".pane textarea").input_value() == "Mine."
    other.keyboard.press("s")
    other.keyboard.press("1")
    other.keyboard.press("Enter")
    other.wait_for_function("() => document.querySelector('.pane textarea')?.value === ''")
    assert stored(everything_on_postgres, "again")[0].state == "undone"


def test_the_results(everything_on_postgres: Any, visit: Any) -> None:
    house = everything_on_postgres.house
    house.app.state.stats_cache.wait = 120
    slug = judged(house, count=8, gold=1, people=3)
    page = visit(everything_on_postgres, "olga")
    for tab in (*TABS, "/hooks", "/people", "/settings", "/questions"):
        answer = page.goto(f"{everything_on_postgres.url}/p/{slug}{tab}")
        assert answer.status == 200, tab
    page.goto(f"{everything_on_postgres.url}/p/{slug}/log?verify=1")
    page.get_by_text("The log is whole").wait_for()
