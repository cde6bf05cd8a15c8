"""Rankings: none of them would do, with an order or without; numbers carried to their places with a
mouse or a finger."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import choose, click, open_work, person, press, sent, stored, violations
from sqlalchemy import update

from accord.studio.storage.tables import Account

pytestmark = pytest.mark.slow
PHONE = {"viewport": {"width": 375, "height": 800}, "has_touch": True, "is_mobile": True}


def begin(everything: Any, visit: Any, name: str, **options: Any) -> Any:
    person(everything, name, "ranking")
    page = visit(everything, name, **options)
    open_work(page, everything, "ranking")
    return page


def order(page: Any) -> list[str]:
    """The strip's filled places, with what stands between them."""
    return [text for text in page.locator(".strip > *").all_inner_texts() if text != "·"]


def places(everything: Any, name: str) -> list[list[int]]:
    """The stored order, by places on the screen."""
    answer, view, _ = stored(everything, name)
    return [
        sorted(view.shown["order"].index(i) + 1 for i in group) for group in answer.answer["order"]
    ]


class Pointer:
    """A mouse or a finger."""

    def __init__(self, page: Any, finger: bool) -> None:
        self.page, self.finger = page, finger
        self.tell = page.context.new_cdp_session(page) if finger else None

    def point(self, kind: str, at: tuple[float, float] | None) -> None:
        if not self.finger:
            if at is not None:
                self.page.mouse.move(*at)
            {"touchStart": self.page.mouse.down, "touchEnd": self.page.mouse.up}.get(
                kind, lambda: None
            )()
        else:
            points = [] if kind == "touchEnd" or at is None else [{"x": at[0], "y": at[1]}]
            self.tell.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def carry(self, start: Any, end: Any, along: float = 0.5) -> None:
        """From the middle of one thing to a part of another (0: its left edge, 1: its right)."""
        start.scroll_into_view_if_needed()
        a, b = start.bounding_box(), end.bounding_box()
        there = (b["x"] + along * b["width"], b["y"] + b["height"] / 2)
        self.point("touchStart", (a["x"] + a["width"] / 2, a["y"] + a["height"] / 2))
        for share in (0.5, 1.0):
            x, y = a["x"] + a["width"] / 2, a["y"] + a["height"] / 2
            self.point("touchMove", (x + share * (there[0] - x), y + share * (there[1] - y)))
        self.point("touchEnd", there)


def test_all_bad_without_an_order(everything: Any, visit: Any) -> None:
    page = begin(everything, visit, "all bad")
    button = page.get_by_role("button", name="All bad")
    press(page, ["0", "0", "Enter"])  # said and taken back: nothing is said
    assert "Nothing is placed yet" in page.locator("#hint").inner_text()
    press(page, ["1", "0"])
    assert button.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Enter")
    assert "4 more" in page.locator("#hint").inner_text()  # an order is whole, or there is none
    page.locator("#say", has_text="4 more").wait_for(state="attached")
    press(page, ["1", "Enter"])
    sent(page)
    answer, _, _ = stored(everything, "all bad")
    assert answer.answer["all_bad"] is True
    assert [len(group) for group in answer.answer["order"]] == [5]
    assert answer.records[0]["choice"] == answer.answer
    page.keyboard.press("z")  # taken back: as it was said, to be changed
    page.locator("[aria-pressed=true]", has_text="All bad").wait_for()
    assert order(page) == []
    assert not violations(page)


@pytest.mark.parametrize("device", ["mouse", "phone"])
def test_all_bad_with_an_order(everything: Any, visit: Any, device: str) -> None:
    name = f"all bad {device}"
    page = begin(everything, visit, name, **(PHONE if device == "phone" else {}))
    for n in (2, 1, 3, 5, 4):
        choose(page, n)
    click(page, "All bad")
    assert page.locator(".mark").first.inner_text() == "Place 2 · All bad"
    assert not violations(page)
    page.locator("#send").click()
    sent(page)
    assert places(everything, name) == [[2], [1], [3], [5], [4]]
    assert stored(everything, name)[0].answer["all_bad"] is True


@pytest.mark.parametrize("device", ["mouse", "phone"])
def test_numbers_are_carried_to_their_places(everything: Any, visit: Any, device: str) -> None:
    name = f"carried {device}"
    page = begin(everything, visit, name, **(PHONE if device == "phone" else {}))
    pointer, strip = Pointer(page, device == "phone"), page.locator(".strip")
    grips, chip = page.locator(".grip"), lambda n: page.locator(f".strip [data-id='{n}']")
    pointer.carry(grips.nth(2), strip)
    assert order(page) == ["3"]
    pointer.carry(grips.nth(0), chip(3), 0.95)  # after it
    pointer.carry(grips.nth(4), chip(3), 0.05)  # before it
    assert order(page) == ["5", "›", "3", "›", "1"]
    pointer.carry(grips.nth(1), chip(3))  # onto it: a tie
    assert order(page) == ["5", "›", "3", "=", "2", "›", "1"]
    page.locator("#say", has_text="Response 2 shares place 2").wait_for(state="attached")
    pointer.carry(chip(1), chip(5), 0.05)  # from the last place to the first
    assert order(page) == ["1", "›", "5", "›", "3", "=", "2"]
    pointer.carry(chip(3), page.locator(".bar"))  # away from the places: taken out
    assert order(page) == ["1", "›", "5", "›", "2"]
    page.locator("#say", has_text="Response 3 is taken out").wait_for(state="attached")
    page.get_by_role("button", name="Undo").click()
    assert order(page) == ["1", "›", "5", "›", "3", "=", "2"]
    pointer.carry(grips.nth(3), page.locator(".bar"))  # from its card to nowhere
    assert order(page) == ["1", "›", "5", "›", "3", "=", "2"]
    assert page.locator(".ghost").count() == 0
    pointer.carry(grips.nth(3), chip(2), 0.95)
    page.locator("#send").click()
    sent(page)
    assert places(everything, name) == [[1], [5], [2, 3], [4]]
    assert stored(everything, name)[0].records[0]["meta"]["input"] == (
        "mouse" if device == "mouse" else "touch"
    )


def test_escape_calls_a_drag_off_and_ties_may_be_forbidden(served: Any, visit: Any) -> None:
    served.slugs = {"ranking": served.house.project("ranking", 1, tie=False, both_bad=False)}
    page = visit(served, "olga")
    open_work(page, served, "ranking")
    press(page, ["1", "2", "0"])
    pointer, chip = Pointer(page, False), lambda n: page.locator(f".strip [data-id='{n}']")
    pointer.carry(page.locator(".grip").nth(2), chip(1), 0.55)
    assert order(page) == ["1", "›", "3", "›", "2"]
    box = chip(2).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(10, 10, steps=4)
    assert page.locator(".ghost").inner_text() == "2"
    page.keyboard.press("Escape")
    page.mouse.up()
    assert order(page) == ["1", "›", "3", "›", "2"]
    assert page.locator(".ghost").count() == 0
    assert page.get_by_role("button", name="All bad").count() == 0


def test_from_right_to_left_the_first_place_is_on_the_right(everything: Any, visit: Any) -> None:
    name = "rtl carried"
    person(everything, name, "ranking")
    everything.house.db.transact(
        lambda s: s.execute(update(Account).where(Account.name == name).values(language="ar-XB"))
    )
    page = visit(everything, name)
    open_work(page, everything, "ranking")
    press(page, ["1"])
    Pointer(page, False).carry(page.locator(".grip").nth(1), page.locator(".strip .filled"), 0.95)
    assert order(page) == ["2", "›", "1"]
