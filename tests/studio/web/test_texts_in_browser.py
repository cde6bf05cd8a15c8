"""Texts on the work page: formulas, sources by a key, long conversations, tools and reasoning,
plain text."""

from __future__ import annotations

from typing import Any

from browsing import open_work, violations

CALL = {
    "id": "toolu_1",
    "type": "function",
    "function": {"name": "search", "arguments": {"city": "Zürich"}},
}
RICH = "Roots: $x_1 = \\sqrt{2}$ and $\\nonsense{$\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('x')\n```"
HOSTILE = "$\\href{javascript:window.hacked=1}{x}$ $\\includegraphics{http://e.org/p.png}$ $\\def\\a{\\a\\a}\\a$ $\\htmlStyle{color:red}{y}$"


def test_formulas_sources_and_what_was_said_before(served: Any, visit: Any) -> None:
    turns = [{"role": ["user", "assistant"][n % 2], "content": f"Turn {n}"} for n in range(13)]
    said = [
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [CALL]}
    ]
    tools = [{"type": "function", "function": {"name": "search", "description": "Looks up"}}]
    rows = [{"prompt": turns, "options": [RICH, {"content": said}], "tools": tools}]
    served.slugs = {"comparison": served.house.project("comparison", rows=rows)}
    page = visit(served, "olga")
    open_work(page, served, "comparison")
    page.locator("math msqrt").wait_for()
    bodies = page.locator(".option .body")
    first = bodies.nth(0).locator("math").count() > 0
    card, other = bodies.nth(0 if first else 1), bodies.nth(1 if first else 0)
    assert "$\\nonsense{$" in card.inner_text()  # what cannot be drawn stays
    assert "Calls search · call_1" in other.inner_text()
    assert '"city": "Zürich"' in other.inner_text()
    page.keyboard.press("v")
    assert RICH in "\n".join(card.locator("pre").all_inner_texts())
    assert '{"city": "Zürich"}' in other.inner_text()
    page.keyboard.press("v")
    page.locator("math msqrt").wait_for()
    card.locator("xpath=..").locator(".choose").focus()
    page.keyboard.press("v")
    assert (page.locator("math").count(), '{"city"' in other.inner_text()) == (
        0,
        False,
    )  # of the response one looks at
    assert not page.get_by_text("Turn 9", exact=True).is_visible()
    page.get_by_text("Earlier messages (10)").click()
    assert page.get_by_text("Turn 9", exact=True).is_visible()
    page.get_by_text("Tools offered (1): search").click()
    assert page.get_by_text("Looks up").is_visible()
    assert not violations(page)


def test_formulas_can_do_nothing(served: Any, visit: Any) -> None:
    served.slugs = {
        "thumb": served.house.project(
            "thumb", rows=[{"prompt": "Q", "options": [HOSTILE + " $z$"]}]
        )
    }
    page = visit(served, "olga")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(served.url) else None)
    open_work(page, served, "thumb")
    page.locator("math").first.wait_for()
    page.wait_for_function(
        "() => document.querySelector('.option').innerText.includes('htmlStyle')"
    )
    assert page.locator(".option a, .option img, .option [style]").count() == 0
    assert page.evaluate("window.hacked") is None
    assert not asked


def test_plain_text_is_no_markdown(served: Any, visit: Any) -> None:
    rows = [{"prompt": "Q", "options": ["**not bold**\n  kept   spaces\n\n- dash"]}]
    served.slugs = {"thumb": served.house.project("thumb", rows=rows, text="plain")}
    page = visit(served, "olga")
    open_work(page, served, "thumb")
    assert page.locator(".option .body").inner_text() == "**not bold**\n  kept   spaces\n\n- dash"


def test_keys_of_other_alphabets_count_by_their_place(served: Any, visit: Any) -> None:
    served.slugs = {"thumb": served.house.project("thumb", 1)}
    page = visit(served, "olga")
    open_work(page, served, "thumb")
    press = "([key, code]) => document.getElementById('screen').dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true}))"
    page.evaluate(press, ["é", "Digit2"])  # no letter's place: nothing
    assert page.locator("dialog[open]").count() == 0
    page.evaluate(press, ["ы", "KeyS"])
    page.locator("dialog[open]").wait_for()
