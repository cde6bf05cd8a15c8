"""The page in a real browser: found by keyboard, searched, sorted, hovered, printed, on a phone, in
the dark, and by people who do not see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import WAIT, violations
from test_report import HOSTILE, make_run

from accord.files import write_jsonl
from accord.report.render import render

PROMPTS = 30


def sample(n: int, said: str, **more: Any) -> dict[str, Any]:
    return {
        "prompt_id": n,
        "prompt": f"prompt number {n}",
        "response": said,
        "response_tokens": len(said) // 3,
        "finished": n % 5 > 0,
        "gold": 0.0,
        "proxy": [0.0],
        "kl_exact": 0.0,
    } | more


def add_samples(run: Path) -> None:
    """An arm at two points beside the untuned answers: prompt n has its gold changed by n - 20, and
    is said to be number n."""
    write_jsonl(
        run / "stages/02-examine/baseline.jsonl",
        [sample(n, f"untuned {n}") for n in range(PROMPTS)],
    )
    for step in (4, 8):
        rows = []
        for n in range(PROMPTS):
            said = HOSTILE if n == 3 else f"needle {n}" if n == 17 else f"tuned {n}"
            more = {"gold": float(n - 20), "proxy": [n / 10], "kl_exact": float(n)}
            marks = {"token_ends": [3, len(said), len(said)], "token_kl": [0.25, 2.5, 0.0]}
            rows.append(sample(n, said, **more, **marks))
        write_jsonl(run / f"stages/03-ppo/points/step-{step:06d}.jsonl", rows)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("page") / "run")
    add_samples(run)
    return render(run)


@pytest.fixture
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, unpacked; a test may be marked with what its window is like."""
    options = {"viewport": {"width": 1200, "height": 900}} | getattr(request, "param", {})
    opened = browser.new_page(**options)
    problems: list[str] = []
    opened.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(report.as_uri())
    opened.wait_for_selector("#samples-panel[data-ready]")
    yield opened
    assert not problems
    assert opened.evaluate("window.hacked") is None
    opened.close()


def said(page: Any) -> list[str]:
    """The answers that are listed."""
    return page.locator("#samples-list .said span:last-child").all_text_contents()


def listed(page: Any, count: int) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(page.locator("#samples-list li")).to_have_count(count, timeout=WAIT)


PHONE = {"viewport": {"width": 390, "height": 800}}
DARK = {"color_scheme": "dark"}


@pytest.mark.slow
def test_all_samples_worst_first_page_by_page(page: Any) -> None:
    assert said(page)[:3] == ["tuned 0", "tuned 1", "tuned 2"]
    assert "1 to 20 of 30 samples" in page.locator("#samples-status").text_content()
    page.click("#samples-after")
    listed(page, 10)
    assert said(page)[-1] == "tuned 29"
    assert page.locator("#samples-after").is_disabled()
    page.select_option("#samples-step", "all")
    assert "of 60 samples" in page.locator("#samples-status").text_content()
    page.select_option("#samples-arm", label="untuned")
    assert "of 30 samples" in page.locator("#samples-status").text_content()


@pytest.mark.slow
def test_samples_are_searched_sorted_and_filtered_by_prompt(page: Any) -> None:
    page.fill("#samples-search", "NEEDLE")
    listed(page, 1)
    page.fill("#samples-search", "number 2")  # of the prompt: 2, 20 to 29
    listed(page, 11)
    page.select_option("#samples-sort", "kl")
    assert said(page)[0] == "tuned 29"
    page.click("#samples-reverse")
    assert said(page)[0] == "tuned 2"
    page.fill("#samples-search", "nothing like it")
    listed(page, 0)
    assert page.locator("#samples-status").text_content() == "No sample fits."
    page.fill("#samples-search", "needle")
    listed(page, 1)
    page.locator("#samples-list summary").click()
    page.get_by_role("button", name="all answers to this prompt").click()
    page.fill("#samples-search", "")
    listed(page, 2)  # tuned, and untuned
    assert set(said(page)) == {"needle 17", "untuned 17"}
    page.click("#samples-all-prompts")
    listed(page, 20)


@pytest.mark.slow
def test_the_keyboard_alone_finds_a_sample_and_reads_it(page: Any) -> None:
    page.keyboard.press("n")
    listed(page, 10)
    page.keyboard.press("p")
    listed(page, 20)
    page.keyboard.press("/")
    page.keyboard.type("needle")
    listed(page, 1)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    opened = page.locator("#samples-list details[open]")
    opened.locator(".token").first.wait_for()
    assert opened.locator(".token").all_text_contents() == ["nee", "dle 17", "∎"]
    titles = opened.locator(".token").evaluate_all("all => all.map(one => one.title)")
    assert titles[:2] == ["KL 0.25 nats", "KL 2.50 nats"]
    colours = opened.locator(".token").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert len(set(colours)) == 3
    assert "untuned 17" in opened.text_content()
    page.check("#samples-numbers")
    assert opened.locator(".nats").first.is_visible()


@pytest.mark.slow
def test_hostile_samples_stand_there_letter_by_letter(page: Any) -> None:
    page.fill("#samples-search", "window.hacked")
    listed(page, 1)
    page.locator("#samples-list summary").click()
    page.locator("#samples-list .token").first.wait_for()
    assert "".join(page.locator("#samples-list .token").all_text_contents()[:2]) == HOSTILE


@pytest.mark.slow
def test_charts_tell_their_values_when_pointed_at(page: Any) -> None:
    chart = page.locator(".chart").first
    chart.locator("svg.main-svg").first.wait_for()
    point = chart.locator(".scatterlayer .point").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chart.locator(".hoverlayer text").first.wait_for()
    told = chart.locator(".hoverlayer").text_content()
    assert "√KL" in told
    assert "95 % from" in told


@pytest.mark.slow
@pytest.mark.parametrize("page", [{}, PHONE, DARK], indirect=True, ids=["desk", "phone", "dark"])
def test_nobody_is_kept_out(page: Any) -> None:
    width = page.evaluate("innerWidth")
    page.locator("#samples-list summary").first.click()
    page.locator("#samples-list .token").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    links = page.locator(".contents a")
    places = links.evaluate_all("all => all.map(one => document.querySelector(one.hash) !== null)")
    assert places
    assert all(places)


@pytest.mark.slow
def test_what_is_printed_has_its_charts_and_no_buttons(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    charts = page.locator(".chart:visible")
    assert charts.count() >= 7
    assert page.locator(".chart:visible:has(svg.main-svg)").count() == charts.count()
    assert page.locator("button:visible, select:visible, input:visible").count() == 0
    assert page.locator("#samples-list li:visible").count() == 20
    assert len(page.pdf()) > 50_000


@pytest.mark.slow
def test_without_scripts_the_page_says_where_samples_are(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert "Samples need JavaScript" in page.locator("#samples-note").text_content()
    assert page.locator("#samples-panel").is_hidden()
    context.close()
