"""Every task in a real browser: by keyboard alone, by mouse, with a finger on a phone; what is
stored is what was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browsing import choose, click, open_work, person, press, sent, stored

from accord.studio.projects.settings import TASKS

pytestmark = pytest.mark.slow

KEYS: dict[str, list[str]] = {
    "comparison": ["2", "1", "Enter"],
    "clips": ["=", "Enter"],
    "ranking": ["3", "1", "=", "5", "2", "2", "4", "2", "Enter"],
    "best_worst": ["2", "4", "Enter"],
    "rating": ["4", "0", "Enter"],
    "thumb": ["0", "Enter"],
    "flags": ["3", "1", "1", "Enter"],
    "critique": ["e", "Too long.", "Escape", "Enter"],
    "correction": ["e", "Control+End", " Really.", "Control+Enter"],
    "demonstration": ["e", "Like so.", "Control+Enter"],
    "steps": ["1", "2", "3", "Enter"],
    "spans": ["e", "ArrowRight", "Shift+ArrowRight", "2", "Enter"],
    "chat": ["e", "hello there", "Control+Enter", "wait", "1", "Enter"],
}
"""What is pressed; longer words are typed."""


def shown(order: list[str], *places: int) -> list[str]:
    return [order[place - 1] for place in places]


EXPECTED: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "comparison": lambda o: {"preferred": o[0], "tie": False},
    "clips": lambda o: {"preferred": None, "tie": True},
    "ranking": lambda o: {"order": [[o[2]], sorted([o[0], o[4]]), [o[3]], [o[1]]]},
    "best_worst": lambda o: {"best": o[1], "worst": o[3]},
    "rating": lambda o: {"scores": {"helpful": 4, "true": 0}},
    "thumb": lambda o: {"up": False},
    "flags": lambda o: {"flags": ["wrong"]},
    "critique": lambda o: {"text": "Too long."},
    "correction": lambda o: {"content": "I am ChatGPT. The capital of item {n} is Rome, and it rains 𝔘pwards there. Really."},
    "demonstration": lambda o: {"content": "Like so."},
    "steps": lambda o: {"labels": [1, 0, -1], "first_error": 2},
    "spans": lambda o: {"spans": [{"option": o[0], "start": 2, "end": 12, "label": "good"}]},
    "chat": lambda o: {"turns": [{"preferred": "1", "tie": False, "both_bad": False, "strength": None}]},
}  # fmt: skip


def check(served: Any, name: str, task: str, device: str) -> None:
    answer, view, item = stored(served, name)
    expected = EXPECTED[task](view.shown["order"])
    for key, value in expected.items():
        got = answer.answer[key]
        if key == "content" and "{n}" in value:
            value = item.options[0]["content"] + " Really."
        assert got == value, (task, key)
    record = answer.records[0]
    assert record["meta"]["input"] == device
    assert record["meta"]["first_key_seconds"] > 0
    assert answer.active_seconds > 0


@pytest.mark.parametrize("task", TASKS)
def test_by_keyboard_alone(everything: Any, visit: Any, task: str) -> None:
    by_keyboard(everything, visit, task)


def by_keyboard(everything: Any, visit: Any, task: str) -> None:
    """Judge one item with nothing but keys."""
    name = f"key {task}"
    person(everything, name, task)
    page = visit(everything, name)
    open_work(page, everything, task)
    page.keyboard.press("Enter")  # an untouched screen cannot be sent
    assert page.locator("#hint").inner_text() != ""
    assert page.locator("#send").get_attribute("aria-disabled") == "true"
    assert page.locator("[aria-pressed=true], input:checked").count() == 0
    press(page, KEYS[task])
    sent(page)
    check(everything, name, task, "keyboard")


def by_pointer(page: Any, task: str) -> None:
    """The same answers with a pointer."""
    if task == "comparison":
        choose(page, 2)
        choose(page, 1)
    elif task == "clips":
        click(page, "Equally good")
    elif task == "ranking":
        choose(page, 3)
        choose(page, 1)
        click(page, "Tie the next")
        for n in (5, 4, 2):
            choose(page, n)
    elif task == "best_worst":
        page.locator(".option").nth(1).get_by_role("button").first.click()
        page.locator(".option").nth(3).get_by_role("button").nth(1).click()
    elif task == "rating":
        page.locator(".scale").nth(0).locator("input").nth(3).check()
        page.locator(".scale").nth(1).locator("input").nth(0).check()
    elif task == "thumb":
        click(page, "Bad")
    elif task == "flags":
        click(page, "wrong")
    elif task in ("critique", "demonstration", "correction"):
        area = page.locator(".pane textarea")
        text = {"critique": "Too long.", "demonstration": "Like so."}.get(task)
        area.fill(text if text is not None else area.input_value() + " Really.")
    elif task == "steps":
        for n, kind in enumerate(("good", "okay", "bad")):
            page.locator(".step").nth(n).locator(f".{kind}").click()
    elif task == "spans":
        page.evaluate("""() => { const w = [...document.querySelectorAll('.marking > span')].filter(s => s.textContent.trim());
            const r = document.createRange(); r.setStart(w[1].firstChild, 0); r.setEnd(w[2].firstChild, 1);
            getSelection().removeAllRanges(); getSelection().addRange(r); }""")
        click(page, "good", exact=True)
    elif task == "chat":
        page.locator(".pane textarea").fill("Hello")
        click(page, "Say it")
        page.wait_for_selector(".options .choose")
        choose(page, 1)


@pytest.mark.parametrize("task", TASKS)
def test_by_mouse(everything: Any, visit: Any, task: str) -> None:
    name = f"mouse {task}"
    person(everything, name, task)
    page = visit(everything, name)
    open_work(page, everything, task)
    by_pointer(page, task)
    page.locator("#send").click()
    sent(page)
    check(everything, name, task, "mouse")


@pytest.mark.parametrize("task", TASKS)
def test_on_a_phone(everything: Any, visit: Any, task: str) -> None:
    name = f"phone {task}"
    person(everything, name, task)
    page = visit(
        everything, name, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    )
    open_work(page, everything, task)
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    small = page.evaluate("""[...document.querySelectorAll('#actions button, .choose, .pick')].filter(b => b.offsetParent)
        .map(b => b.getBoundingClientRect()).filter(r => r.width < 36 || r.height < 36).length""")
    assert small == 0
    by_pointer(page, task)
    page.locator("#send").tap()
    sent(page)
    answer, view, _ = stored(everything, name)
    for key, value in EXPECTED[task](view.shown["order"]).items():
        assert "{n}" in str(value) or answer.answer[key] == value


@pytest.mark.parametrize("task", TASKS)
def test_at_four_times_the_size_nothing_is_cut_off(everything: Any, visit: Any, task: str) -> None:
    """1280 pixels at 400 % are 320 (WCAG 1.4.10): no page scrolls sideways, no control lies
    outside."""
    name = f"narrow {task}"
    person(everything, name, task)
    page = visit(everything, name, viewport={"width": 320, "height": 256}, device_scale_factor=4)
    open_work(page, everything, task)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    outside = page.evaluate("""[...document.querySelectorAll('main *, header *')].filter(n => n.offsetParent && n.getClientRects().length)
        .filter(n => { const r = n.getBoundingClientRect(); return r.width > 1 && (r.left < -1 || r.right > innerWidth + 1)
            && ![...function*() { for (let p = n.parentElement; p; p = p.parentElement) yield p }()]
                .some(p => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) })
        .map(n => n.outerHTML.slice(0, 80))""")
    assert not outside
