"""Films side by side: real ones, recorded by the browser; they play in step, and what cannot be
shown is not judged."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from browsing import Served, open_work, person, press, sent, serving, stored, violations
from houses import Client, House, make_house

pytestmark = pytest.mark.slow
RECORD = """async (lengths) => Promise.all(lengths.map(async (seconds) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 120 });
    const pen = canvas.getContext("2d"), chunks = [], began = performance.now();
    const draw = setInterval(() => {
        const at = (performance.now() - began) / 1000;
        pen.fillStyle = "#123"; pen.fillRect(0, 0, 160, 120); pen.fillStyle = "#fc3"; pen.fillRect(at * 40, 40, 24, 24);
    }, 20);
    const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: "video/webm;codecs=vp8" });
    recorder.ondataavailable = (event) => chunks.push(event.data);
    const done = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start();
    setTimeout(() => recorder.stop(), seconds * 1000);
    await done;
    clearInterval(draw);
    const reader = new FileReader();
    reader.readAsDataURL(new Blob(chunks));
    await new Promise((resolve) => { reader.onload = resolve; });
    return reader.result.split(",")[1];
}))"""
SHORT, LONG = 2.0, 3.5
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8DAwPAfAAcAAf9+CLHQAAAAAElFTkSuQmCC"
"""A sheet of two frames of one pixel each, red and blue."""
DRAWN: dict[str, list[dict[str, Any]]] = {
    "poses": [
        {"kind": "poses", "dt": 0.1, "limbs": [0.1], "frames": [[0, 100, 0, 100 + at] for at in range(end)]}
        for end in (20, 30)
    ],
    "frames": [
        {"kind": "frames", "dt": 0.5, "sheet": PIXELS, "type": "image/png", "width": 1, "height": 1,
         "columns": 2, "count": 2}
    ] * 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def films(browser: Any) -> dict[str, bytes]:
    """Two films of a square that walks, and a file that is none."""
    page = browser.new_page()
    recorded = page.evaluate(RECORD, [SHORT, LONG])
    page.close()
    made = {
        name: base64.b64decode(data)
        for name, data in zip(("short.webm", "long.webm"), recorded, strict=True)
    }
    return {**made, "broken.webm": b"\x1aE\xdf\xa3 this is no film" * 40}


@pytest.fixture(scope="module")
def cinema(films: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, empty: Any) -> Any:
    """A studio with a project per pair of clips."""
    house = make_house(tmp_path_factory.mktemp("cinema"), None, empty)
    with serving(house) as served:
        for name, pair in {
            "two": ("short", "long"),
            "gone": ("short", "gone"),
            "torn": ("broken", "long"),
        }.items():
            clips = [{"id": f"m{n}", "content": f"{clip}.webm"} for n, clip in enumerate(pair)]
            slug = house.project(
                "clips",
                rows=[{"prompt": "Which walks better?", "options": clips}],
                name=name,
                overlap=20,
            )
            served.slugs[name] = slug
            (house.media / slug).mkdir()
            for file, data in films.items():
                (house.media / slug / file).write_bytes(data)
        for name, drawings in DRAWN.items():
            clips = [
                {
                    "id": f"m{n}",
                    "content": {"episode": f"secret-{n}", "start": 0, "stop": 9},
                    "drawing": one,
                }
                for n, one in enumerate(drawings)
            ]
            served.slugs[name] = house.project("clips", rows=[{"options": clips}], name=name)
        clips = [
            {
                "id": f"m{n}",
                "content": {"episode": f"secret-{n}", "start": 3, "stop": 61},
                "drawing": DRAWN["poses"][1] | {"every": 2},
            }
            for n in range(2)
        ]
        for name, few in (("wrong", clips), ("alone", clips[:1])):
            task = "clips" if len(few) > 1 else "thumb"
            served.slugs[name] = house.project(task, rows=[{"options": few}], name=name, stops=True)
        for task, count in (("ranking", 4), ("best_worst", 4), ("rating", 1), ("thumb", 1)):
            shown = [
                {
                    "id": f"m{n}",
                    "content": {"episode": f"secret-{n}", "start": 0, "stop": 9},
                    "drawing": DRAWN["poses"][n % 2],
                }
                for n in range(count)
            ]
            scales = {"attributes": [{"name": "overall"}]} if task == "rating" else {}
            served.slugs[task] = house.project(
                task, rows=[{"options": shown}], name=task, overlap=2, **scales
            )
        yield served
    house.db.close()


def begin(cinema: Served, visit: Any, name: str, project: str = "two", **options: Any) -> Any:
    """The work page of a new person, with its clips there."""
    person(cinema, name, project)
    page = visit(cinema, name, **options)
    open_work(page, cinema, project)
    if project == "two":
        page.wait_for_function(
            "() => films().length === 2 && films().every(f => f.readyState >= 2 && isFinite(f.duration) && !f.seeking && f.currentTime === 0)"
        )
    return page


@pytest.fixture
def visit(visit: Any) -> Any:
    """Pages that know their films."""

    def open_page(*given: Any, **options: Any) -> Any:
        page = visit(*given, **options)
        page.add_init_script("window.films = () => [...document.querySelectorAll('video')]")
        return page

    return open_page


def times(page: Any) -> list[float]:
    return page.evaluate("films().map(f => f.currentTime)")


def playing(page: Any, seconds: float) -> None:
    page.wait_for_function(
        "(s) => films().some(f => !f.paused) && Math.max(...films().map(f => f.currentTime)) > s",
        arg=seconds,
    )


def press_at(page: Any, key: str, seconds: float) -> None:
    """Press a key the moment the films get there (a busy machine would be late from outside)."""
    page.evaluate(
        """async ([key, seconds]) => {
        while (Math.max(...films().map((f) => f.currentTime)) < seconds) await new Promise((f) => setTimeout(f, 10));
        document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }""",
        [key, seconds],
    )


def test_films_play_in_step_and_are_judged_by_keyboard(cinema: Served, visit: Any) -> None:
    page = begin(cinema, visit, "steady")
    asked = page.evaluate("""async () => {
        document.dispatchEvent(new KeyboardEvent("keydown", { key: "p", bubbles: true }));
        const seen = [];
        while (films()[0].currentTime < 1.5) { await new Promise((f) => setTimeout(f, 50)); seen.push(films().map((f) => f.currentTime)); }
        return seen;
    }""")
    assert len(asked) > 5
    assert max(abs(a - b) for a, b in asked) < 0.35, asked
    page.keyboard.press("p")
    page.wait_for_function("() => films().every(f => f.paused && !f.seeking)")
    a, b = times(page)
    assert a == pytest.approx(b, abs=0.05)
    assert page.get_by_role("button", name="Play").count() == 1
    press(page, ["2", "Enter"])
    sent(page)
    answer, view, _ = stored(cinema, "steady")
    assert answer.answer["preferred"] == view.shown["order"][1]
    assert answer.records[0]["meta"]["input"] == "keyboard"


def test_the_shorter_one_waits_at_its_end(cinema: Served, visit: Any) -> None:
    page = begin(cinema, visit, "patient")
    short = page.evaluate("Math.min(...films().map(f => f.duration))")
    long = page.evaluate("Math.max(...films().map(f => f.duration))")
    assert (short, long) == (pytest.approx(SHORT, abs=0.6), pytest.approx(LONG, abs=0.6))
    press(page, ["l", "l", ".", ".", "p"])  # twice the speed, once
    assert page.get_by_text("2×").is_visible()
    press_at(page, "p", short + 0.2)
    assert page.evaluate("films().map(f => f.playbackRate)").count(2) == 2
    press(page, [",", ",", "p"])
    press_at(page, "p", short + 0.4)
    assert min(times(page)) == pytest.approx(short, abs=0.1)  # did not begin again
    page.keyboard.press("p")
    page.get_by_role("button", name="Play").wait_for()  # both are over
    page.keyboard.press("p")  # from the start
    page.wait_for_function("(s) => films().every(f => f.currentTime < s)", arg=short)
    page.keyboard.press("p")
    press(page, [",", ",", ",", ",", ",", ","])
    assert page.evaluate("films().map(f => f.playbackRate)") == [0.25, 0.25]
    page.reload()  # the speed stays as it was chosen
    page.get_by_text("0.25×").wait_for()


def test_slider_and_loop(cinema: Served, visit: Any) -> None:
    page = begin(cinema, visit, "looper")
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_function(
        "() => films().every(f => !f.seeking && f.currentTime > f.duration - 0.1)"
    )
    page.keyboard.press("Home")
    page.wait_for_function("() => films().every(f => f.currentTime === 0)")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => films().every(f => !f.seeking)")
    a, b = times(page)
    assert (
        a
        == b
        == pytest.approx(0.2 * page.evaluate("Math.max(...films().map(f => f.duration))"), abs=0.05)
    )
    assert "of 3." in slider.get_attribute("aria-valuetext")
    page.keyboard.press("Escape")
    press(page, ["l"])
    assert page.get_by_role("button", name="Loop").get_attribute("aria-pressed") == "true"
    slider.focus()
    page.keyboard.press("End")
    page.keyboard.press("p")
    page.wait_for_function("() => films().every(f => f.currentTime < 1)")
    playing(page, 0.3)
    assert not violations(page)
    press(page, ["p", "r"])
    page.wait_for_function("() => films().every(f => f.currentTime === 0)")


def test_a_film_that_is_late_keeps_the_other_back(cinema: Served, visit: Any) -> None:
    person(cinema, "late", "two")
    page = visit(cinema, "late")
    held: list[Any] = []
    holding = [True]
    page.route(
        "**/work/clips/*/2.webm", lambda route: held.append(route) if holding else route.continue_()
    )
    open_work(page, cinema, "two")
    page.wait_for_function("() => films().filter(f => f.readyState >= 2).length === 1")
    press(page, ["p", "1", "Enter"])
    assert "not there yet" in page.locator("#hint").inner_text()
    page.wait_for_timeout(800)  # it must not run on in this time
    assert max(times(page)) < 0.5
    holding.clear()
    for route in held:
        route.continue_()
    playing(page, 0.8)
    a, b = times(page)
    assert abs(a - b) < 0.4


@pytest.mark.parametrize("project", ["gone", "torn"])
def test_what_cannot_be_shown_is_said_and_not_judged(
    cinema: Served, visit: Any, project: str
) -> None:
    name = f"sees nothing {project}"
    page = begin(cinema, visit, name, project)
    page.locator(".option .wrong", has_text="cannot be shown").wait_for()
    press(page, ["1", "Enter"])
    assert "Skip the item as broken" in page.locator("#hint").inner_text()
    assert page.locator("#send").get_attribute("aria-disabled") == "true"
    page.keyboard.press("p")  # the other one can still be looked at
    playing(page, 0.1)
    press(page, ["s", "4", "Enter"])
    page.get_by_text("All done").wait_for()
    assert not [a for a in cinema.house.answers() if a.account_id == cinema.house.people[name]]
    page.problems.clear()  # the browser reports the missing file itself


def test_films_are_served_in_ranges(house: House, owner: Client) -> None:
    slug = house.project("clips", rows=[{"prompt": "Q", "options": ["a.webm", "b.webm"]}])
    (house.media / slug).mkdir()
    for name in ("a.webm", "b.webm"):
        (house.media / slug / name).write_bytes(bytes(range(256)) * 8)
    where = owner.ask(f"/p/{slug}/work/next").json()["item"]["options"][0]["src"]
    whole = owner.get(where)
    assert (whole.status_code, whole.headers["accept-ranges"], whole.headers["content-type"]) == (
        200,
        "bytes",
        "video/webm",
    )
    part = owner.get(where, headers={"Range": "bytes=250-259"})
    assert (part.status_code, part.headers["content-range"]) == (206, "bytes 250-259/2048")
    assert part.content == bytes([250, 251, 252, 253, 254, 255, 0, 1, 2, 3])
    assert owner.get(where, headers={"Range": "bytes=4000-"}).status_code == 416


def test_films_on_a_phone(cinema: Served, visit: Any) -> None:
    page = begin(
        cinema,
        visit,
        "walker",
        viewport={"width": 375, "height": 800},
        has_touch=True,
        is_mobile=True,
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.get_by_role("button", name="Play").tap()
    playing(page, 0.3)
    page.locator(".choose").first.tap()
    page.locator("#send").tap()
    sent(page)
    assert stored(cinema, "walker")[0].records[0]["meta"]["input"] == "touch"


def test_four_clips_stand_beside_each_other_on_a_phone(cinema: Served, visit: Any) -> None:
    """They play together: all must be seen at once."""
    small = {"viewport": {"width": 375, "height": 800}, "has_touch": True, "is_mobile": True}
    page = begin(cinema, visit, "small", "ranking", **small)
    boxes = [card.bounding_box() for card in page.locator(".option").all()]
    assert len({box["x"] for box in boxes}) == len({box["y"] for box in boxes}) == 2
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_of_clips_the_prompt_is_the_question(cinema: Served, visit: Any) -> None:
    """Nobody says it, it is asked once, and where there is no text there is none to turn over."""
    clips = [
        {
            "id": f"m{n}",
            "content": {"episode": f"secret-{n}", "start": 0, "stop": 9},
            "drawing": drawing,
        }
        for n, drawing in enumerate(DRAWN["poses"])
    ]
    rows = [{"prompt": "Which walks better?", "options": clips}]
    bare = [{"options": clips}]
    for name, items, question in (
        ("asked", rows, ""),
        ("both", rows, "Which one?"),
        ("bare", bare, ""),
    ):
        more = {"rows": items, "name": name, "question": question}
        cinema.slugs[name] = cinema.house.project("clips", **more)
    page = begin(cinema, visit, "asked", "asked")
    assert page.locator(".question").inner_text().strip() == "Which walks better?"
    assert page.locator(".prompt, .who").count() == 0
    assert page.get_by_role("button", name="Source").is_visible()
    page = begin(cinema, visit, "both", "both")
    assert page.locator(".prompt").inner_text().strip() == "Which walks better?"
    assert page.locator(".question").inner_text() == "Which one?"
    page = begin(cinema, visit, "bare", "bare")
    assert page.get_by_role("button", name="Source").count() == 0


def test_poses_play_in_step_and_are_judged_by_keyboard(cinema: Served, visit: Any) -> None:
    """Of different lengths, slowly, with the place in them on the slider."""
    person(cinema, "poser", "poses")
    page = visit(cinema, "poser")
    open_work(page, cinema, "poses")
    seen = """() => [...document.querySelectorAll("canvas")].map((c) => [c.currentTime, c.duration, c.ended, c.playbackRate])"""
    rows = page.evaluate(seen)
    assert [row[0] for row in rows] == [0, 0]
    # Which of them stands on the left is drawn for every person.
    assert sorted(row[1] for row in rows) == pytest.approx([2.0, 3.0])
    assert "secret" not in page.content()
    press(page, [".", ".", "p"])  # twice the speed
    page.wait_for_function(
        """() => { const [a, b] = [...document.querySelectorAll("canvas")].map((c) => c.currentTime); return a > 0.5 && Math.abs(a - b) < 0.2; }"""
    )
    page.keyboard.press("p")
    a, b = (row[0] for row in page.evaluate(seen))
    assert a == pytest.approx(b, abs=0.05)
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.wait_for_function(
        """() => [...document.querySelectorAll("canvas")].every((c) => c.ended)"""
    )
    page.keyboard.press("Home")
    page.wait_for_function(
        """() => [...document.querySelectorAll("canvas")].every((c) => c.currentTime === 0)"""
    )
    assert not violations(page)
    page.keyboard.press("Escape")
    press(page, ["2", "Enter"])
    sent(page)
    answer, view, _ = stored(cinema, "poser")
    record = answer.records[0]
    assert answer.answer["preferred"] == view.shown["order"][1]
    assert record["options"][0]["content"]["episode"].startswith("secret-")
    assert "drawing" not in record["options"][0]


def test_frames_of_a_sheet_are_shown_one_by_one(cinema: Served, visit: Any) -> None:
    person(cinema, "framer", "frames")
    page = visit(cinema, "framer")
    open_work(page, cinema, "frames")
    pixel = """(time) => [...document.querySelectorAll("canvas")].map((c) => {
        c.currentTime = time; return [...c.getContext("2d").getImageData(0, 0, 1, 1).data].slice(0, 3); })"""
    page.wait_for_function(
        """() => [...document.querySelectorAll("canvas")].every((c) => c.readyState === 4)"""
    )
    assert page.evaluate(pixel, 0.1) == [[255, 0, 0]] * 2
    assert page.evaluate(pixel, 0.7) == [[0, 0, 255]] * 2


@pytest.mark.parametrize(
    ("task", "keys", "shown"),
    [
        ("ranking", ["3", "1", "=", "4", "2"], 4),
        ("best_worst", ["2", "4"], 4),
        ("rating", ["4"], 1),
        ("thumb", ["0"], 1),
    ],
)
def test_clips_are_judged_in_every_kind_by_keyboard(
    cinema: Served, visit: Any, task: str, keys: list[str], shown: int
) -> None:
    """They play together while they are ranked or rated; nothing tells which episode is seen."""
    person(cinema, f"judge of {task}", task)
    page = visit(cinema, f"judge of {task}")
    open_work(page, cinema, task)
    seen = """() => [...document.querySelectorAll(".clips canvas")].map((c) => c.currentTime)"""
    assert page.evaluate(seen) == [0] * shown
    assert page.get_by_role("heading", name="Clip 1").is_visible()
    assert "secret" not in page.content()
    press(page, ["p"])
    page.wait_for_function(f"() => ({seen})().every((at) => at > 0.2)")
    press(page, ["p", "Enter"])
    assert page.locator("#hint").inner_text()  # nothing was said yet
    press(page, keys)
    assert not violations(page)
    press(page, ["Enter"])
    sent(page)
    answer, view, _ = stored(cinema, f"judge of {task}")
    order, record = view.shown["order"], answer.records[0]
    first, second, third, fourth = [*order, *[""] * 4][:4]
    assert record["kind"] == task
    assert {option["content"]["episode"] for option in record["options"]} == {f"secret-{n}" for n in range(shown)}  # fmt: skip
    assert answer.answer == {
        "ranking": {"order": [[third], sorted([first, fourth]), [second]], "all_bad": False},
        "best_worst": {"best": second, "worst": fourth},
        "rating": {"scores": {"overall": 4}},
        "thumb": {"up": False},
    }[task]  # fmt: skip


@pytest.mark.parametrize(
    ("project", "keys", "place"), [("wrong", ["x", "2", "1"], 1), ("alone", ["x", "0"], 0)]
)
def test_a_clip_is_stopped_at_a_moment_by_keyboard(
    cinema: Served, visit: Any, project: str, keys: list[str], place: int
) -> None:
    """The films stop where the key was pressed; the step is the pose's that was seen."""
    person(cinema, f"stopper of {project}", project)
    page = visit(cinema, f"stopper of {project}")
    open_work(page, cinema, project)
    press(page, ["x", "2"] if project == "wrong" else ["x"])
    assert "Play to the moment first" in page.locator("#hint").inner_text()
    press(page, ["p"])
    page.wait_for_function("() => document.querySelector('canvas').currentTime > 0.55")
    press(page, keys)
    assert page.locator("#hint").inner_text() == ""  # which clip is no longer asked
    seen = page.evaluate("[...document.querySelectorAll('canvas')].map((c) => [c.currentTime, c.paused])")  # fmt: skip
    assert all(paused for _, paused in seen)
    frame = int(seen[place][0] / 0.1 + 1e-6)
    assert page.get_by_role("button", name=f"Wrong from {frame * 0.1:.2f} s").is_visible()
    assert not violations(page)
    press(page, ["Enter"])
    sent(page)
    answer, view, _ = stored(cinema, f"stopper of {project}")
    stopped = view.shown["order"][place]
    assert answer.answer["stops"] == {stopped: 2 * frame}
    main, stop = answer.records
    assert stop["id"] == f"{main['id']}.stop.{stopped}"
    until, whole = (option["content"] for option in stop["options"])
    assert (until["start"], until["stop"], whole["stop"]) == (3, 3 + 2 * frame, 61)
    assert stop["choice"]["preferred"] == stop["options"][0]["id"]
