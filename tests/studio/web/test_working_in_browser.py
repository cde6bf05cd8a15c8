"""What working for hours needs: nothing is lost, everything can be taken back, nobody is surprised,
nobody is excluded."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import open_work, person, sent, stored, violations
from houses import PASSWORD
from sqlalchemy import update
from test_security import HOSTILE

from accord.studio.projects import editing
from accord.studio.projects.settings import TASKS
from accord.studio.queue import workload
from accord.studio.storage.tables import Account, Item, Slot, View

pytestmark = pytest.mark.slow


def test_undo_and_taking_the_last_answer_back(everything: Any, visit: Any) -> None:
    person(everything, "undo", "ranking")
    page = visit(everything, "undo")
    open_work(page, everything, "ranking")
    for key in "12":
        page.keyboard.press(key)
    assert page.locator(".strip .filled").all_inner_texts() == ["1", "2"]
    page.keyboard.press("z")
    assert page.locator(".strip .filled").all_inner_texts() == ["1"]
    for key in ["2", "3", "4", "5", "Enter"]:
        page.keyboard.press(key)
    sent(page)
    assert page.locator(".strip .filled").count() == 0
    page.keyboard.press("z")
    page.locator(".strip .filled").nth(4).wait_for()  # the answer is there again, to be changed
    assert page.locator(".strip .filled").all_inner_texts() == ["1", "2", "3", "4", "5"]
    page.keyboard.press("5")
    page.keyboard.press("=")
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    sent(page)
    answers = [
        a for a in everything.house.answers() if a.account_id == everything.house.people["undo"]
    ]
    assert [a.state for a in answers] == ["undone", "live"]
    assert [len(group) for group in answers[1].answer["order"]] == [1, 1, 1, 2]


def test_who_has_judged_all_sees_what_is_asked_later(served: Any, visit: Any) -> None:
    slug = served.slugs["thumb"] = served.house.project("thumb", 1)
    person(served, "early", "thumb")
    page = visit(served, "early")
    page.clock.install()
    open_work(page, served, "thumb")
    assert page.locator("#standing").inner_text() == "0 of 1 done · 0 min today"
    for key in ["1", "Enter"]:
        page.keyboard.press(key)
    done = page.get_by_role("heading", name="All done")
    done.wait_for()
    assert page.locator("#standing").inner_text() == "1 of 1 done · 0 min today"
    page.get_by_role("button", name="Look again").focus()
    with page.expect_response(lambda r: r.url.endswith("/work/next")):
        page.clock.fast_forward(15_000)
    assert done.is_visible()
    assert page.locator(":focus").inner_text() == "Look again"
    rows = [{"prompt": "Later?", "options": ["Yes."]}]
    assert editing.add_items(served.house.db, served.house.project_id(slug), rows).new == 1
    page.clock.fast_forward(15_000)
    page.get_by_text("Later?").wait_for()
    assert page.locator("#standing").inner_text() == "1 of 2 done · 0 min today"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "1 done, more than 2 to go · 0 min today"),
        ("de", "1 erledigt, noch mehr als 2 · heute 0 min"),
    ],
)
def test_of_many_items_it_is_said_that_there_are_more(
    served: Any, visit: Any, monkeypatch: pytest.MonkeyPatch, language: str, said: str
) -> None:
    monkeypatch.setattr(workload, "MOST_COUNTED", 2)
    served.slugs["thumb"] = served.house.project("thumb", 4)
    person(served, "many", "thumb")
    with served.house.db.write() as session:
        change = update(Account).where(Account.name == "many").values(language=language)
        session.execute(change)
    page = visit(served, "many")
    open_work(page, served, "thumb")
    for key in ["1", "Enter"]:
        page.keyboard.press(key)
    sent(page)
    assert page.locator("#standing").inner_text() == said


def test_drafts_outlive_a_closed_tab_here_and_elsewhere(everything: Any, visit: Any) -> None:
    person(everything, "draft", "demonstration")
    page = visit(everything, "draft")
    open_work(page, everything, "demonstration")
    page.keyboard.press("e")
    with page.expect_response(
        lambda r: r.url.endswith("/work/draft") and "Half a thou" in r.request.post_data
    ):
        page.keyboard.type("Half a thou")
    page.close()
    again = page.context.new_page()
    open_work(again, everything, "demonstration")
    assert again.locator(".pane textarea").input_value() == "Half a thou"
    other = visit(everything, "draft")  # another machine: nothing in its storage
    open_work(other, everything, "demonstration")
    assert other.locator(".pane textarea").input_value() == "Half a thou"


def test_a_slow_draft_does_not_come_after_the_answer(everything: Any, visit: Any) -> None:
    person(everything, "slow draft", "thumb")
    page = visit(everything, "slow draft")
    open_work(page, everything, "thumb")
    held: list[Any] = []
    page.route("**/work/draft", lambda route: held.append(route))
    with page.expect_request("**/work/draft"):
        page.keyboard.press("1")
    with page.expect_event(
        "requestfailed", lambda r: r.url.endswith("/work/draft")
    ):  # given up: the answer is better
        page.keyboard.press("Enter")
    sent(page)
    held[0].continue_()
    assert page.locator("#notice").inner_text() == ""


def test_without_a_network_the_answer_is_kept_and_sent_once(everything: Any, visit: Any) -> None:
    person(everything, "offline", "thumb")
    page = visit(everything, "offline")
    open_work(page, everything, "thumb")
    lost = {"n": 0, "seen": 0, "arrived": 0}

    def lose(route: Any) -> None:
        lost["n"] += 1
        if not lost["seen"]:
            route.abort()
        elif not lost["arrived"]:
            lost["arrived"] = 1
            route.fetch()  # it arrives, but the receipt is lost
            route.abort()
        else:
            route.continue_()

    page.route("**/work/submit", lose)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.locator("#notice", has_text="Your answer is kept here").wait_for()
    lost["seen"] = 1
    sent(page)
    assert lost["n"] >= 3
    answer, *_ = stored(everything, "offline")
    assert answer.answer == {"up": True}
    assert page.locator("#notice").inner_text() == ""
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('outbox')).length") == 0
    page.problems.clear()  # the browser reports the lost requests itself


def test_a_tab_closed_while_sending_sends_when_it_is_opened_again(
    everything: Any, visit: Any
) -> None:
    person(everything, "closed", "thumb")
    page = visit(everything, "closed")
    open_work(page, everything, "thumb")
    page.context.set_offline(True)
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    page.locator("#notice", has_text="Your answer is kept here").wait_for()
    page.close()
    page.context.set_offline(False)
    again = page.context.new_page()
    open_work(again, everything, "thumb")
    sent(again)
    assert stored(everything, "closed")[0].answer == {"up": False}
    page.problems.clear()


def test_a_lost_lease_is_said_and_nothing_is_lost(served: Any, visit: Any) -> None:
    house = served.house
    slug = house.project("thumb", 1, lease_minutes=0.5)
    served.slugs = {"thumb": slug}
    page = visit(served, "olga")
    open_work(page, served, "thumb")
    house.person("rival", project=house.project_id(slug))

    def give_away(session: Any) -> None:
        now = house.db.now()
        session.execute(update(Slot).values(answer_id="other", view_id=None, expires_at=None))
        session.execute(update(View).values(expires_at=now - 1))

    house.db.transact(give_away)
    page.keyboard.press("1")
    page.evaluate(
        "document.dispatchEvent(new Event('visibilitychange'))"
    )  # looked at again: the lease is asked for
    page.locator("#notice", has_text="given to somebody else").wait_for()
    page.keyboard.press("Enter")
    sent(page)
    answer = house.answers()[0]
    assert (answer.answer, answer.extra) == ({"up": True}, True)


def test_skipping_asks_why_and_never_shows_it_again(everything: Any, visit: Any) -> None:
    person(everything, "skips", "comparison")
    page = visit(everything, "skips")
    open_work(page, everything, "comparison")
    first = page.locator(".prompt").inner_text()
    page.keyboard.press("1")  # what was chosen already is not sent
    page.keyboard.press("u")
    assert page.locator("dialog input:checked").get_attribute("value") == "unsure"
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()  # no reason, no skip
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    page.locator(".prompt", has_not_text=first.split("\n")[-1]).wait_for()
    with everything.house.db.read() as session:
        views = (
            session.query(View)
            .where(View.account_id == everything.house.people["skips"])
            .order_by(View.id)
            .all()
        )
    assert [(v.state, v.skip_reason) for v in views] == [
        ("skipped", "distressing"),
        ("served", None),
    ]
    assert not [
        a for a in everything.house.answers() if a.account_id == everything.house.people["skips"]
    ]


def test_warnings_and_blur_leave_the_choice_to_the_rater(served: Any, visit: Any) -> None:
    house = served.house
    slug = house.project("comparison", 2, categories=[{"name": "violence", "label": "Violence"}])
    served.slugs = {"comparison": slug}
    house.db.transact(lambda s: s.execute(update(Item).values(categories=["violence"])))
    house.db.transact(
        lambda s: s.execute(update(Account).values(preferences={"blur": ["violence"]}))
    )
    page = visit(served, "olga")
    open_work(page, served, "comparison")
    assert "contains: Violence" in page.locator(".veil").inner_text()
    page.keyboard.press("1")  # what is not seen cannot be judged
    assert page.locator("[aria-pressed=true]").count() == 0
    page.keyboard.press("b")
    assert page.locator(".screen.blurred .options").count() == 1
    page.keyboard.press("b")
    assert page.locator(".screen.blurred").count() == 0
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    sent(page)
    assert page.locator(".veil").count() == 0  # warned once in a sitting, blurred every time
    assert page.locator(".screen.blurred").count() == 1


def test_help_guideline_flags_and_words_by_keyboard(served: Any, visit: Any) -> None:
    house = served.house
    slug = house.project(
        "comparison",
        2,
        flags=["spam", "rude"],
        critique="required",
        strength=True,
        attributes=[{"name": "true"}],
    )
    served.slugs = {"comparison": slug}
    page = visit(served, "olga")
    open_work(page, served, "comparison")
    page.keyboard.press("g")
    page.locator("dialog .content strong", has_text="fair").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert "reading included" in page.locator("dialog").inner_text()
    page.locator("dialog textarea").fill("What is fair?")
    page.locator("dialog").get_by_role("button", name="Ask").click()
    page.locator("#hint", has_text="Your question was sent").wait_for()
    page.keyboard.press("2")
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.keyboard.press("f")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert "few words" in page.locator("#hint").inner_text()
    page.keyboard.press("e")
    page.keyboard.insert_text("Kinder.")
    page.keyboard.press("Escape")
    page.locator(".option").nth(1).locator("input[value='4']").check()
    page.keyboard.press("Enter")
    sent(page)
    answer = house.answers()[0]
    order = next(v for v in [stored(served, "olga")[1]]).shown["order"]
    assert answer.answer == {
        "preferred": order[1],
        "tie": False,
        "both_bad": False,
        "strength": 2,
        "flags": ["rude"],
        "critique": "Kinder.",
        "scores": {order[1]: {"true": 4}},
    }
    assert [r["kind"] for r in answer.records] == ["comparison", "rating"]
    assert len(house.sign_in("olga").page(f"/p/{slug}/questions").text.split("What is fair?")) == 2


def test_a_chat_of_two_turns_goes_on_as_chosen(everything: Any, visit: Any) -> None:
    person(everything, "talker", "chat")
    page = visit(everything, "talker")
    open_work(page, everything, "chat")
    page.locator(".pane textarea").fill("First")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".options .choose")
    page.keyboard.press("Escape")
    page.keyboard.press("=")
    page.keyboard.press("e")
    page.keyboard.type("Second")
    page.keyboard.press("Control+Enter")
    assert "goes on" in page.locator("#hint").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press(".")
    page.keyboard.press("e")
    page.keyboard.press("Control+Enter")
    page.locator(".option", has_text="Second").first.wait_for()
    assert "(4 messages)" in page.locator(".option").first.inner_text()
    page.reload()
    page.locator(".option", has_text="Second").first.wait_for()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    sent(page)
    turns = stored(everything, "talker")[0].answer["turns"]
    assert [(t["tie"], t["preferred"], t.get("continued")) for t in turns] == [
        (True, None, "2"),
        (False, "2", None),
    ]


def test_nothing_is_sent_while_the_model_writes(everything: Any, visit: Any) -> None:
    person(everything, "hasty", "chat")
    page = visit(everything, "hasty")
    open_work(page, everything, "chat")
    page.locator(".pane textarea").fill("First")
    page.keyboard.press("Control+Enter")
    page.locator(".options .choose").first.wait_for()
    page.keyboard.press("1")
    held: list[Any] = []
    page.route("**/work/turn", lambda route: held.append(route))
    page.keyboard.press("e")
    page.keyboard.insert_text("Second")
    with page.expect_request("**/work/turn"):
        page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert "two answers" in page.locator("#hint").inner_text()
    held[0].continue_()
    page.locator(".option", has_text="Second").first.wait_for()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    sent(page)
    assert len(stored(everything, "hasty")[0].answer["turns"]) == 2


def test_hostile_items_do_nothing(served: Any, visit: Any) -> None:
    house = served.house
    slug = house.project("comparison", 1)
    rows = [
        {"prompt": text + f" {n}", "options": [text, text + " b"]} for n, text in enumerate(HOSTILE)
    ]
    added = editing.add_items(house.db, house.project_id(slug), rows)
    assert added.new == len(HOSTILE)
    served.slugs = {"comparison": slug}
    page = visit(served, "olga")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(served.url) else None)
    open_work(page, served, "comparison")
    for n in range(len(HOSTILE)):
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        sent(page, n + 1)
    assert page.evaluate("window.hacked") is None
    assert not asked


PAGES = (
    "/",
    "/me",
    "/people",
    "/p/new",
    "/p/{slug}/guideline",
    "/p/{slug}/questions",
    "/p/{slug}/people",
    "/p/{slug}/settings",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_used_by_everybody(everything: Any, visit: Any, scheme: str) -> None:
    slug = everything.slugs["comparison"]
    page = visit(everything, "olga", color_scheme=scheme)
    for path in PAGES:
        page.goto(everything.url + path.format(slug=slug))
        assert not violations(page, scheme), path
    out = visit(everything, None, color_scheme=scheme)
    for path in ("/login", "/join/none"):
        out.goto(everything.url + path)
        assert not violations(out, scheme), path
    page.problems.clear()  # /join/none is a 404, which the browser reports


@pytest.mark.parametrize("task", TASKS)
def test_tasks_can_be_used_by_everybody(everything: Any, visit: Any, task: str) -> None:
    name = f"axe {task}"
    person(everything, name, task)
    for scheme in ("light", "dark"):
        page = visit(everything, name, color_scheme=scheme)
        open_work(page, everything, task)
        for key in ("1", "f"):
            page.keyboard.press(key)
        assert not violations(page, scheme), (task, scheme)
    page.keyboard.press("s")
    assert not violations(page)


@pytest.mark.parametrize("task", ["comparison", "ranking", "steps", "rating"])
def test_from_right_to_left_and_at_twice_the_size(everything: Any, visit: Any, task: str) -> None:
    name = f"rtl {task}"
    person(everything, name, task)
    house = everything.house
    house.db.transact(
        lambda s: s.execute(update(Account).where(Account.name == name).values(language="ar-XB"))
    )
    page = visit(everything, name, viewport={"width": 640, "height": 400}, device_scale_factor=2)
    open_work(page, everything, task)
    assert page.evaluate("document.documentElement.dir") == "rtl"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    untranslated = page.evaluate("""[...document.querySelectorAll('#actions button span, .option h2, .question')]
        .map(n => n.textContent).filter(x => x && !x.startsWith('\u2067['))""")
    assert not [x for x in untranslated if x.strip("123456789 ·")]
    send = page.locator("#send").bounding_box()
    assert send["x"] < 320  # the end of the line is on the left
    assert not violations(page)


def test_signing_in_and_out_with_the_keyboard(everything: Any, visit: Any) -> None:
    in_and_out(everything, visit)


def in_and_out(everything: Any, visit: Any) -> None:
    """Sign in at a page one may not see yet, and out again."""
    page = visit(everything, None)
    guideline = f"{everything.url}/p/{everything.slugs['thumb']}/guideline"
    page.goto(guideline)
    page.locator(
        "[name=name]:focus"
    ).wait_for()  # the field that the page itself chooses, once it is drawn
    page.keyboard.type("olga")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(guideline)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login?said=signed_out")
    assert "You are signed out" in page.locator("[role=status]").inner_text()


def test_active_time_counts_reading_and_stops_when_idle(everything: Any, visit: Any) -> None:
    page = visit(everything, "olga", bypass_csp=True)
    page.goto(f"{everything.url}/login")
    counted = page.evaluate(
        """async ([path]) => {
        const { Clock } = await import(path);
        let now = 0;
        const clock = new Clock(180, () => now);
        const wait = (seconds) => { for (let i = 0; i < seconds; i += 1) { now += 1; clock.tick(); } };
        wait(170); const reading = clock.active;
        wait(100); const idle = clock.active;
        clock.touch(); wait(10); const back = clock.active;
        now += 3600; clock.tick(); const slept = clock.active;
        clock.begin(5); wait(3); clock.act(); wait(1);
        return [reading, idle, back, slept, clock.active, clock.firstKey];
    }""",
        [f"/static/{everything.house.app.state.studio.static.rpartition('/')[2]}/clock.js"],
    )
    assert counted == [170, 180, 190, 190, 9, 3]
