"""Every text from data reaches the report as text: in HTML, in charts, in a study's tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_report import make_run

from accord.files import write_json, write_text
from accord.report import charts, study
from accord.report.render import render

MARK = "hostile"
TEXT = f"{MARK}<script>&amp;\"'</script>"
"""Every letter that means something to HTML, and an entity that must not be read as one."""
NUMBER = {"value": 0.4, "low": 0.3, "high": 0.5, "n": 3}


class Page(HTMLParser):
    """What a browser makes of a page: elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[str] = []
        self.inside: list[str] = []
        self.figures: dict[str, Any] = {}
        self._raw = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [value or "" for _, value in attrs]
        self._raw = dict(attrs).get("id") or tag if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""

    def handle_data(self, data: str) -> None:
        if self._raw == "figures":
            self.figures = json.loads(data)
        elif not self._raw:
            self.inside.append(data)


def hostile(value: Any, keep: tuple[str, ...] = ("outcome", "flag")) -> Any:
    """The same with every text replaced by hostile ones, told apart; keys stay."""
    if isinstance(value, dict):
        return {k: v if k in keep else hostile(v, keep) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(one, keep) for one in value]
    return f"{TEXT} {value[:12]}" if isinstance(value, str) else value


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def check(page: Page, plain: Page, shown: int) -> None:
    """Nothing hostile became an element, in the page or in what Plotly draws; `shown` texts of it
    at least stand there letter by letter."""
    assert page.elements == plain.elements
    assert sum(TEXT in text for text in page.inside) >= shown
    for text in (*page.inside, *page.attributes):
        quoted = text.replace('\\"', '"').replace("''", "'")  # in JSON, in YAML
        assert quoted.count(TEXT) == text.count(MARK), text[:200]
    drawn = [text for text in texts(page.figures) if MARK in text]
    assert drawn
    for text in drawn:
        assert charts.plain(TEXT) in text.replace("<br>", ""), text
        assert "<" not in text.replace("<br>", ""), text


def test_every_text_of_a_run_is_text_in_its_report(tmp_path: Path) -> None:
    plain = make_run(tmp_path / "plain")
    run = make_run(tmp_path / "run")
    for folder in (plain, run):
        write_json(folder / "lineage.json", {"recipe": "abc"})
        write_json(folder / "stages/02-examine/failed.json", {"error": "bad", "trace": ""})
        verdict = json.loads((folder / "verdict.json").read_text())
        for rule in (rule for arm in verdict["arms"] for rule in arm["rules"]):
            rule["in_known_runs"] = "caught 1/2"
        write_json(folder / "verdict.json", verdict | {"stopped_by_guard": "kl"})
    for name in ("verdict.json", "lineage.json", "environment.json", "stages/01-sft/result.json",
                 "stages/02-examine/evidence.json", "stages/02-examine/failed.json"):  # fmt: skip
        path = run / name
        write_json(path, hostile(json.loads(path.read_text(encoding="utf-8"))))
    write_text(run / "recipe.yaml", yaml.safe_dump({"name": TEXT, "about": TEXT}, width=1000))
    page, other = (Page(render(f).read_text(encoding="utf-8")) for f in (run, plain))
    check(page, other, shown=40)


def comparison(label: str) -> dict[str, Any]:
    cell = {"values": {"1": 0.3, "2": 0.5}, "mean": NUMBER, "difference": None}
    return {
        "seeds": [1, 2],
        "rows": {"a": f"{label} one", "b": f"{label} two"},
        "columns": {"x": f"{label} three"},
        "cells": {"a": {"x": cell}, "b": {"x": cell | {"difference": NUMBER}}},
        "compared": {"b": "a"},
    }


def test_every_text_of_a_study_is_text_in_its_report(tmp_path: Path) -> None:
    pages = []
    for label in (TEXT, "plain"):
        run = tmp_path / label[:5]
        write_text(run / "recipe.yaml", yaml.safe_dump({"name": label, "about": label}, width=1000))
        curves = {f"{label} one": [(0.5, NUMBER), (1.0, NUMBER)]}
        written = study.render(run, comparison(label), curves)
        pages.append(Page(written.read_text(encoding="utf-8")))
    check(*pages, shown=6)


@pytest.mark.slow
def test_a_browser_draws_hostile_names_letter_by_letter(tmp_path: Path, browser) -> None:
    run = tmp_path / "run"
    write_text(run / "recipe.yaml", yaml.safe_dump({"name": "n", "about": "a"}))
    link = 'R&amp;D <a href="http://x.org">"x"</a>'
    values = comparison("plain")
    values["rows"] = {"a": link, "b": "<b>two</b>"}
    report = study.render(run, values, {link: [(0.5, NUMBER), (1.0, NUMBER)]})
    page = browser.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("#dots-0 .ytick text")
    ticks = page.locator("#dots-0 .ytick text").evaluate_all("all => all.map(t => t.textContent)")
    assert "".join(ticks[0].split()) == "".join(link.split())
    assert ticks[1] == "<b>two</b>"
    assert page.locator("#dots-0 svg a, #curves svg a").count() == 0
    page.close()
