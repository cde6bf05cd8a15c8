"""Contents that are hard to show, on a large screen, a phone and in the dark: all of it within the
page, within reach of the keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import open_work, violations
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from long_texts import NAMES, row
from nasty_markdown import NASTY, Page, lost
from sqlalchemy import select

from accord.studio.storage.tables import Item
from accord.studio.tasks.markup import safe_html, visible

SCREENS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "desktop, dark": {"color_scheme": "dark"},
}
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CLIPPED = """() => [...document.querySelectorAll(".content *")].filter((e) => (e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight) && e.clientWidth
  && ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("screen", SCREENS)
def test_contents_keep_within_the_page(served: Any, visit: Any, name: str, screen: str) -> None:
    slug = served.house.project("comparison", rows=[row(name)])
    served.slugs = {"comparison": slug}
    page = visit(served, "olga", **SCREENS[screen])
    open_work(page, served, "comparison")
    if name == "mathematics":
        page.locator(".math.display math").nth(2).wait_for()
    with served.house.db.read() as session:
        key = session.scalars(select(Item.key)).one()
    for path in ("work", f"items/{key}"):
        if path != "work":
            page.goto(f"{served.url}/p/{slug}/{path}")
        assert page.evaluate(BEYOND) == 0
        page.wait_for_function(f"() => ({CLIPPED})().length === 0")
        assert not violations(page)


def test_a_long_conversation_is_opened_at_its_end(served: Any, visit: Any) -> None:
    slug = served.house.project("comparison", rows=[row("12 turns")])
    served.slugs = {"comparison": slug}
    page = visit(served, "olga", **SCREENS["phone"])
    open_work(page, served, "comparison")
    box = page.get_by_text("Find me a flight.").bounding_box()
    bar = page.locator("#actions").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= bar["y"]
    page.locator(".earlier summary").focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("You book flights.").is_visible()
    with served.house.db.read() as session:
        key = session.scalars(select(Item.key)).one()
    page.goto(f"{served.url}/p/{slug}/items/{key}")
    assert not page.get_by_text("You book flights.").is_visible()
    page.locator(".earlier summary").focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("You book flights.").is_visible()


def test_paragraphs_have_a_direction_each(served: Any, visit: Any) -> None:
    served.slugs = {"comparison": served.house.project("comparison", rows=[row("right to left")])}
    page = visit(served, "olga")
    open_work(page, served, "comparison")
    ends = """(text) => { const p = [...document.querySelectorAll(".content p")].find((p) => p.textContent.startsWith(text)), r = document.createRange();
      const last = p.lastChild; r.setStart(last, last.length - 1); r.setEnd(last, last.length); const at = r.getBoundingClientRect(), all = document.createRange();
      all.selectNodeContents(p); const box = all.getBoundingClientRect(); return (at.left - box.left) / box.width; }"""
    assert page.evaluate(ends, "This paragraph") > 0.9  # its full stop is at the right
    assert page.evaluate(ends, "זהו") < 0.1


def test_formulas_that_would_hide_something_stay(served: Any, visit: Any) -> None:
    served.slugs = {"comparison": served.house.project("comparison", rows=[row("mathematics")])}
    page = visit(served, "olga")
    open_work(page, served, "comparison")
    page.locator(".math.display math").nth(2).wait_for()
    assert page.locator("math").count() == 5
    shown = page.locator(".options").inner_text()
    assert "$a \\phantom{secret} b$" in shown
    assert "$\\frac{1}{$" in shown
    assert "and \\\\ alone" in shown


SEEN = """(html) => { const place = document.querySelector(".content"); place.innerHTML = html;
  place.querySelectorAll("li[value]").forEach((li) => { const first = document.createElement("b"); first.textContent = `${li.value} `; li.prepend(first); });
  return place.innerText; }"""


def test_a_browser_shows_all_but_marks(served: Any, visit: Any) -> None:
    page = visit(served, "olga")
    page.goto(f"{served.url}/p/{served.house.project('thumb')}/guideline")

    @limits(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(NASTY, min_size=15, max_size=15))
    def check(texts: list[str]) -> None:
        for text in texts:
            html = safe_html(text)
            assert not lost(visible(text), page.evaluate(SEEN, html), Page(html).found), html

    check()
