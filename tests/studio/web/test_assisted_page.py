"""The page about help by a critic: it says what the command says, and only where there is a study."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import violations
from houses import Client, House

from accord.feedback.assistance import assistance
from accord.feedback.simulate_assisted import AssistedCrowd, simulated_assistance
from accord.feedback.store import write_records
from accord.studio.i18n import words
from accord.studio.projects import editing, importing
from accord.studio.projects.settings import settings_from
from accord.studio.quality.assisted import assisted
from accord.studio.quality.measures import load


def studied(house: House, folder: Path, items: int = 90) -> str:
    """A project of marked passages that a simulated crowd judged in three arms."""
    raw = {"name": "Mills", "task": "spans", "spans": ["error"], "overlap": 3, "assistance": {}}
    project_id = editing.create_project(house.db, settings_from(raw), house.people["olga"])
    records = simulated_assistance(AssistedCrowd(), items, 6, 3, 5)
    write_records(folder / "judged.jsonl", records)
    done = importing.import_file(house.db, project_id, folder / "judged.jsonl")
    assert done.answers == len(records)
    return "mills"


def text(page: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_the_page_says_what_the_command_says(house: House, owner: Client, tmp_path: Path) -> None:
    house.app.state.stats_cache.wait = 120
    slug = studied(house, tmp_path)
    snapshot = load(house.db, house.project_id(slug))
    found = assistance([r for a in snapshot.answers for r in a.records])
    page, to = text(owner.page(f"/p/{slug}/assistance")), words("en")
    for one in found.arms.values():
        assert to.percent_interval(one.recall) in page
        assert to.number(one.judgements) in page
    assert to.percent_interval(found.contrasts["none"].recall) in page
    assert to.percent_interval(found.contrasts["placebo"].recall) in page
    assert to.percent_interval(found.over_reliance) in page
    seconds = found.contrasts["none"].seconds
    assert seconds is not None
    assert f"{to.number(seconds.value, 1)} (" in page
    assert "no item has a known answer" in page  # why accuracy is missing
    assert "not measurable" in page
    told = assisted(snapshot).value
    assert told is not None
    assert told.over_reliance == found.over_reliance
    snapshot.states.update(dict.fromkeys(snapshot.names, "quarantined"))
    assert "no judgement says" in str(assisted(snapshot).why)


def test_there_is_no_page_where_there_is_no_study_and_none_for_annotators(house: House, owner: Client, tmp_path: Path) -> None:  # fmt: skip
    house.app.state.stats_cache.wait = 120
    plain, study = house.project("comparison"), house.project("spans", rows=[], assistance={})
    assert "Assistance" not in text(owner.page(f"/p/{plain}"))
    assert owner.page(f"/p/{plain}/assistance").status_code == 404
    assert "Assistance" in text(owner.page(f"/p/{study}"))
    assert "no judgement says" in text(owner.page(f"/p/{study}/assistance"))
    house.person("ada", project=house.project_id(study))
    assert house.sign_in("ada").page(f"/p/{study}/assistance").status_code in (403, 404)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_the_page_in_a_browser(served: Any, visit: Any, tmp_path: Path, device: str) -> None:
    served.house.app.state.stats_cache.wait = 120
    slug = studied(served.house, tmp_path)
    size = {"width": 390, "height": 844} if device == "phone" else {"width": 1280, "height": 900}
    page = visit(served, "olga", viewport=size)
    page.goto(f"{served.url}/p/{slug}/assistance")
    assert page.locator("table").count() == 2
    assert page.locator("nav.tabs a[aria-current=page]").inner_text() == "Assistance"
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if folder := os.environ.get("ACCORD_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"assisted-{device}.png", full_page=True)
