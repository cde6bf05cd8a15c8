"""No text is missing in any language, none is left over, and pages speak the reader's language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from math import nan
from pathlib import Path

import numpy as np
import pytest
from babel import Locale
from houses import Client, House

from accord.statistics.intervals import Interval
from accord.studio.i18n import LANGUAGES, PSEUDO, Words, preferred, words
from accord.studio.projects.settings import TASKS

ROOT = Path(str(resources.files("accord.studio")))
GROUPS = "nav|said|error|login|password|openid|join|home|limit|guideline|questions|new|settings|people|house|person|role|state|scope|me|work|skip|key|task|quality"
COMPOSED = re.compile(
    r"(said|limit|role|state|scope|skip)\.|task\.(name|about|question|step|strength|missing)\.|me\.attribute\.|work\.(role|nothing|assist)\.|work\.model_|new\.critique\.|quality\.(tab|purpose|item|answer|goal|arm|assisted|less)\.|settings\.(pause|resume|archive)|openid\.(down|refused|cancelled|stale|unknown)|join\.unneeded\.|person\.(way\.|goes_|stays_)"
)


def forms(text: str | dict[str, str]) -> dict[str, str]:
    return {"other": text} if isinstance(text, str) else text


def gaps(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))


def used() -> set[str]:
    """Keys written out in templates, scripts and Python."""
    found: set[str] = set()
    for file in [*ROOT.rglob("*.js"), *ROOT.rglob("*.j2"), *ROOT.rglob("*.py")]:
        found |= set(
            re.findall(
                rf"""["'`]((?:{GROUPS})\.[a-z_.0-9-]+)["'`]""", file.read_text(encoding="utf-8")
            )
        )
    return {key for key in found if not key.endswith((".j2", ".js", ".", "_"))}


def test_languages_have_the_same_keys_and_the_same_gaps_to_fill() -> None:
    english = words("en").texts
    for language in LANGUAGES:
        texts = words(language).texts
        assert texts.keys() == english.keys(), language
        for key, text in texts.items():
            here, there = forms(text), forms(english[key])
            assert all(inner.strip() for inner in here.values()), (language, key)
            assert gaps(here["other"]) == gaps(there["other"]), (language, key)
            if len(here) > 1 or len(there) > 1:  # "one taste" needs no number
                assert here.keys() == Locale(language).plural_form.tags | {"other"}, (language, key)
                assert all(gaps(inner) <= gaps(here["other"]) for inner in here.values())
                assert "{count}" in here["other"], (language, key)


def test_a_text_follows_its_number() -> None:
    for language, one, many in (
        ("en", "1 try with API tokens", "2 tries with API tokens"),
        ("de", "1 Versuch mit API-Schlüsseln", "2 Versuche mit API-Schlüsseln"),
        (PSEUDO, "\u2067[1 try with API tokens]\u2069", "\u2067[2 tries with API tokens]\u2069"),
    ):
        assert words(language)("limit.token", count=1) == one
        assert words(language)("limit.token", count=2) == many
        assert words(language)("limit.token", count=0) == many.replace("2", "0")
    assert words("en")("quality.groups_found", count=1) == "One taste explains the votes best."


AT = 1_735_819_385.0  # 2025-01-02 12:03:05 UTC
WRITTEN = [
    (lambda t: t.number(12345), "12,345", "12.345"),
    (lambda t: t.number(-1234.55, 1), "-1,234.6", "-1.234,6"),
    (lambda t: t.number(2.5, 1, True), "+2.5", "+2,5"),
    (lambda t: t.rough(0.012345), "0.0123", "0,0123"),
    (lambda t: " ".join(map(t.rough, (0, 1.0, -2.5, 1234))), "0 1 -2.5 1,230", "0 1 -2,5 1.230"),
    (lambda t: t.percent(0.873), "87%", "87\u00a0%"),
    (lambda t: t.unit(1.5, "hour", 1), "1.5 hr", "1,5 Std."),
    (lambda t: t.money(1234.5, "EUR"), "€1,234.50", "1.234,50\u00a0€"),
    (lambda t: t.day(AT), "Jan 2, 2025", "02.01.2025"),
    (lambda t: t.moment(AT), "Jan 2, 2025, 12:03 UTC", "02.01.2025, 12:03 UTC"),
    (lambda t: t.moment(AT, True), "Jan 2, 2025, 12:03:05 UTC", "02.01.2025, 12:03:05 UTC"),
    (lambda t: t.interval(Interval(1.2, -0.8, 1.61)), "1.20 (-0.80 to 1.61)", "1,20 (-0,80 bis 1,61)"),
    (lambda t: t.percent_interval(Interval(0.5, nan, nan)), "50%", "50\u00a0%"),
    (lambda t: t.percent_interval(None), "–", "–"),
    (lambda t: t("home.filled", filled=1000, slots=np.int64(2000)), "1,000 of 2,000 answers", "1.000 von 2.000 Antworten"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "english", "german"), WRITTEN)
def test_numbers_and_dates_are_written_as_the_reader_does(
    write: Callable[[Words], str], english: str, german: str
) -> None:
    assert (write(words("en")), write(words("de"))) == (english, german)


def test_pages_write_numbers_in_the_readers_language(house: House, owner: Client) -> None:
    slug = house.project(count=40, overlap=100)
    assert "0 / 4,000" in owner.page(f"/p/{slug}").text
    owner.fill("/me/preferences", {"language": "de"})
    assert "0 / 4.000" in owner.page(f"/p/{slug}").text
    assert "0 von 4.000" in owner.page("/").text
    log = owner.page(f"/p/{slug}/log").text
    assert re.search(r">\d\d\.\d\d\.\d{4}, \d\d:\d\d:\d\d UTC<", log)


def test_no_template_writes_numbers_by_itself() -> None:
    for file in (ROOT / "templates").glob("*.j2"):
        assert not re.search(r"format\(|\|round|\{:", file.read_text(encoding="utf-8")), file.name


def test_scripts_get_texts_that_need_no_number() -> None:
    for language in (*LANGUAGES, PSEUDO):
        texts = words(language).starting("task.", "key.", "work.", "skip.")
        assert all(isinstance(text, str) for text in texts.values())


def test_no_key_is_there_twice() -> None:
    """The later text would be shown in the earlier one's places."""
    for file in (ROOT / "locale").glob("*.json"):
        pairs: list[tuple[str, str]] = json.loads(
            file.read_text(encoding="utf-8"), object_pairs_hook=list
        )
        keys = [key for key, _ in pairs]
        assert not {key for key in keys if keys.count(key) > 1}, file.name


def test_every_key_exists_and_is_used() -> None:
    english = words("en").texts
    names = used()
    assert len(names) > 250
    events = {"guideline.published", "guideline.read", "password.changed", "password.reset"}
    events.add("password.link_made")  # kinds of events look like keys
    assert not {key for key in names if key not in english} - events
    assert not {key for key in english if key not in names and not COMPOSED.match(key)}
    for task in TASKS:
        for part in ("name", "about", "question"):
            assert f"task.{part}.{task}" in english


def test_the_browsers_language_counts_before_signing_in(house: House) -> None:
    client = house.client()
    assert (
        "Anmelden"
        in client.page("/login", headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.8"}).text
    )
    assert "Sign in" in client.page("/login", headers={"Accept-Language": "xx"}).text
    assert preferred("fr;q=1, en;q=0.2, de;q=0.7") == "de"
    assert preferred(";;q=x,") == "en"


def test_the_pseudo_language_shows_what_is_not_translated(house: House, owner: Client) -> None:
    slug = house.project()
    owner.fill("/me/preferences", {"language": PSEUDO})
    for path in (
        "/",
        "/me",
        f"/p/{slug}/guideline",
        f"/p/{slug}/settings",
        f"/p/{slug}/people",
        "/p/new",
    ):
        page = owner.page(path).text
        assert 'dir="rtl"' in page
        headings = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", page)
        assert all(
            h.startswith("\u2067[") or "Test comparison" in h or "Judge" in h for h in headings
        ), headings


@pytest.mark.parametrize("key", ["nav.nothing"])
def test_a_key_that_does_not_exist_is_an_error(key: str) -> None:
    with pytest.raises(KeyError):
        words("en")(key)
