"""People in a real browser: an invitation of no use, a forgotten password, erasing somebody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from browsing import Served, violations
from houses import PASSWORD
from playwright.sync_api import expect

from accord.studio.people import accounts

pytestmark = pytest.mark.slow
NEW = "quite another password"


def secret(page: Any) -> str:
    """The link that is shown once."""
    shown: str = page.locator("code.secret").inner_text()
    return shown


def wide(page: Any) -> bool:
    """Whether the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_an_invitation_that_is_not_needed(served: Served, visit: Any) -> None:
    slug = served.house.project()
    served.house.person("ann", project=served.house.project_id(slug), part="manager")
    olga, ann = visit(served, "olga"), visit(served, "ann")
    olga.goto(f"{served.url}/p/{slug}/people")
    olga.get_by_role("button", name="Make a link").click()
    link = secret(olga)
    ann.goto(link)
    expect(ann.get_by_role("heading", name="This invitation stays unused")).to_be_visible()
    expect(ann.get_by_text("Your role, manager, allows all that annotator does.")).to_be_visible()
    assert not violations(ann)
    ann.get_by_role("link", name="On to “Test comparison”").click()
    expect(ann).to_have_url(re.compile(f"/p/{slug}/guideline"))
    olga.goto(f"{served.url}/p/{slug}/people")
    expect(olga.get_by_text("0 of 1 used")).to_be_visible()


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_forgotten_password(served: Served, visit: Any, phone: bool) -> None:
    options = {"viewport": {"width": 390, "height": 844}} if phone else {}
    served.house.person("ann")
    olga, ann = visit(served, "olga", **options), visit(served, None, **options)
    olga.goto(f"{served.url}/people")
    olga.get_by_role("link", name="ann", exact=True).click()
    olga.get_by_role("button", name="Make a link to a new password").click()
    link = secret(olga)
    assert not wide(olga)
    assert not violations(olga)
    ann.goto(link)
    assert not wide(ann)
    assert not violations(ann)
    ann.get_by_label("New password").fill(NEW)
    ann.keyboard.press("Enter")
    expect(ann.get_by_text("The new password is set. Sign in with it.")).to_be_visible()
    ann.get_by_label("Name").fill("ann")
    ann.get_by_label("Password").fill(NEW)
    ann.keyboard.press("Enter")
    expect(ann.get_by_role("heading", name="Projects")).to_be_visible()
    with served.house.db.read() as session:
        stored = accounts.named(session, "ann").password
    assert accounts.password_fits(stored, NEW)


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_erasing_somebody(served: Served, visit: Any, phone: bool) -> None:
    options = {"viewport": {"width": 390, "height": 844}} if phone else {}
    slug = served.house.project()
    served.house.person("Annabel", project=served.house.project_id(slug))
    olga = visit(served, "olga", **options)
    olga.goto(f"{served.url}/people")
    olga.get_by_role("link", name="Annabel").click()
    expect(olga.get_by_role("heading", name="What goes")).to_be_visible()
    expect(olga.get_by_role("heading", name="What stays")).to_be_visible()
    assert not wide(olga)
    assert not violations(olga)
    erase = olga.get_by_role("button", name="Erase Annabel for good")
    erase.click()  # the browser asks for what is missing
    expect(olga.get_by_label("Write the name to confirm: Annabel")).to_be_focused()
    olga.keyboard.type("annabel")
    olga.get_by_label("Your own password").fill(PASSWORD)
    erase.click()
    expect(olga.get_by_text("The person is erased.")).to_be_visible()
    expect(olga.get_by_role("link", name="Annabel")).to_have_count(0)
