"""A critic's claims on the work page: nothing of them before a first look, then by keyboard alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from browsing import press, sent, violations

from accord.studio.people import members

pytestmark = pytest.mark.slow
LONG = "It turned for *many* years, and nobody counted the sacks it ground. " * 12


def item(n: int) -> dict[str, Any]:
    """The flaw stands in the second of three equal words, after marks that Markdown takes away."""
    first = f"**In 1912** it stood, in `1912` it fell. {LONG} So says {n}."
    second = f"It stands, and {n} people live there. {LONG}"
    at = first.rindex("1912")
    return {
        "prompt": f"What became of mill {n}?", "options": [first, second], "flaws": [
            {"option": 1, "span": [at, at + 4], "quote": "1912"}],
        "claims": [
            {"option": 1, "span": [at, at + 4], "quote": "1912", "text": "It fell later."},
            {"option": 2, "span": [0, 9], "quote": "It stands", "text": "It does not."}],
    }  # fmt: skip


def marked(n: int) -> dict[str, Any]:
    """The same of one response, to be marked in; both passages stand there."""
    text = f"It stands in **1912** or 1912. {LONG} {n}"
    at = text.rindex("1912")
    return {
        "prompt": f"What became of mill {n}?", "options": [text],
        "claims": [
            {"span": [at, at + 4], "quote": "1912", "text": "It fell later.", "planted": True},
            {"span": [0, 9], "quote": "It stands", "text": "It does not."}],
    }  # fmt: skip


HIGHLIGHTED = "() => [...(CSS.highlights.get('claim') ?? [])].map(range => range.toString())"


@pytest.mark.parametrize(
    ("task", "device", "key"), [("comparison", "dark desktop", "1"), ("spans", "phone", "0")]
)
def test_a_second_look_by_keyboard_alone(
    served: Any, visit: Any, task: str, device: str, key: str
) -> None:
    house = served.house
    study = {"look_seconds": 600, "arms": {"none": 1, "critique": 9, "placebo": 0}}
    make = item if task == "comparison" else marked
    slug = house.project(task, rows=[make(n) for n in range(4)], assistance=study)
    account = house.person("ada", project=house.project_id(slug))
    members.read_guideline(house.db, house.project_id(slug), account, 1)
    options = (
        {"viewport": {"width": 390, "height": 844}}
        if device == "phone"
        else {"color_scheme": "dark"}
    )
    page = visit(served, "ada", **options)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url.rpartition("/")[2]))
    page.goto(f"{served.url}/p/{slug}/work")
    page.wait_for_selector("#screen[aria-busy=false]")

    said = page.content()
    assert "It fell later" not in said
    assert "critique" not in page.locator("#screen").inner_html()
    assert "look_seconds" not in page.locator("#config").inner_html()  # nor which study it is
    press(page, ["c"])  # too early
    page.locator("#hint", has_text="Look for yourself first").wait_for()
    assert "claims" not in asked
    press(page, [key])  # a first answer is a first look
    press(page, ["Enter"])
    page.locator("#hint", has_text="second look").wait_for()
    assert "submit" not in asked
    press(page, ["c"])
    page.wait_for_selector(".claims li, .assist .soft")
    if page.locator(".claims").count() == 0:  # the arm none
        press(page, ["Enter"])
        sent(page)
        press(page, [key, "c"])
        page.wait_for_selector(".claims li")
    first = page.locator(".option").first.inner_text()
    assert page.locator(".claims [aria-pressed=true]").count() == 0  # nothing is chosen beforehand
    assert page.evaluate(HIGHLIGHTED) in (["1912"], ["It stands"])
    number: dict[str, int | str] = {"1912": 0, "It stands": 1}
    for says in ("n", "x"):  # of the passage that has the focus, then of the next
        (quote,) = page.evaluate(HIGHLIGHTED)
        if quote == "1912" and task == "comparison":  # the one in code, not the one in bold
            inside = (
                "() => [...CSS.highlights.get('claim')][0].startContainer.parentElement.tagName"
            )
            assert page.evaluate(inside) == "CODE"
        number[quote] = says
        press(page, [says, "c"])
    box = page.evaluate(
        "() => { const r = [...CSS.highlights.get('claim')][0].getBoundingClientRect(); return [r.top, innerHeight]; }"
    )
    assert 0 < box[0] < box[1]
    assert not violations(page)
    if folder := os.environ.get("ACCORD_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"assist-{device.split()[0]}.png")
        page.locator(".assist").scroll_into_view_if_needed()
        page.screenshot(path=Path(folder) / f"assist-{device.split()[0]}-claims.png")
    assert page.locator(".option").first.inner_text() == first
    before = len(house.answers())
    press(page, ["y", "z", "Enter"])
    sent(page, before + 1)
    kept = house.answers()[-1].records[0]["meta"]["assist"]
    words = {"n": "reject", "x": "useless"}
    assert kept["said"] == [words[number["1912"]], words[number["It stands"]]]
    assert kept["opened_seconds"] >= 0
