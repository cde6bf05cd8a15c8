"""Pages about results: what they show, who may see them, what they change; in HTTP and in
Chromium."""

from __future__ import annotations

import csv
import io
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import violations
from crowds import judged
from houses import Client, House
from sqlalchemy import select, update

from accord.feedback.formats import read_feedback
from accord.feedback.records import parse_line
from accord.feedback.simulate import BAD, Offered, judge_ranking, simulated_crowd
from accord.seeds import derive_seed
from accord.spreadsheets import FORMULA
from accord.studio.delivery import exporting
from accord.studio.i18n import words
from accord.studio.people import accounts, members
from accord.studio.projects import editing
from accord.studio.projects.settings import ProjectSettings
from accord.studio.quality.cache import StatsCache
from accord.studio.quality.measures import (
    LiveAnswer,
    ProjectSnapshot,
    forecast,
    load,
    overview,
    people,
)
from accord.studio.queue import assigning
from accord.studio.storage.tables import Account, Answer, Event, Item, Project
from accord.studio.tasks import presenting

TABS = (
    "",
    "/annotators",
    "/items",
    "/groups",
    "/integrity",
    "/selection",
    "/representation",
    "/log",
    "/export",
)


@pytest.fixture
def slug(house: House) -> str:
    """The judged project; statistics are waited for as long as they take."""
    house.app.state.stats_cache.wait = 120
    return judged(house)


def text(page: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_the_overview_says_what_the_functions_say(house: House, owner: Client, slug: str) -> None:
    page = owner.page(f"/p/{slug}")
    assert page.status_code == 200
    found = overview(load(house.db, house.project_id(slug)), house.db.now())
    strict = found.agreement.value["strict"]
    assert words("en").percent_interval(strict) in page.text
    assert f"from {sum(found.per_day)} answers" in text(page)
    assert "Known answers right" in page.text
    assert found.gold_asked > 0


def test_annotators_stand_out_and_can_be_kept_aside(house: House, owner: Client, slug: str) -> None:
    page = owner.page(f"/p/{slug}/annotators")
    rows = re.findall(
        r'<th scope="row"><bdi>(ann \d)</bdi>(.*?)</th>.*?action="/p/[^"]+/(a-\w+)"',
        page.text,
        re.DOTALL,
    )
    assert len(rows) == 8
    before = len(exporting.collect(house.db, house.project_id(slug)).records)
    _, _, public = rows[0]
    assert (
        owner.fill(f"/p/{slug}/annotators/{public}", {"do": "quarantine", "reason": ""}).status_code
        == 400
    )
    assert (
        owner.fill(
            f"/p/{slug}/annotators/{public}", {"do": "quarantine", "reason": "clicks left"}
        ).status_code
        == 303
    )
    after = exporting.collect(house.db, house.project_id(slug))
    assert len(after.records) < before
    assert "its annotator is quarantined" in after.left_out
    page = owner.page(f"/p/{slug}/annotators")
    assert "quarantined" in page.text
    assert (
        owner.fill(
            f"/p/{slug}/annotators/{public}", {"do": "restore", "reason": "it was a mistake"}
        ).status_code
        == 303
    )
    assert len(exporting.collect(house.db, house.project_id(slug)).records) == before
    with house.db.read() as session:
        kinds = list(
            session.scalars(
                select(Event.kind).where(Event.subject == public, Event.kind.startswith("member."))
            )
        )
    assert kinds[-2:] == ["member.quarantined", "member.active"]


def test_who_stands_out_is_named_with_the_reason() -> None:
    crowd, rng = simulated_crowd(3), np.random.default_rng(0)
    answers = []
    for n in range(60):
        rewards = [float(r) for r in rng.normal(size=4)]
        offered = Offered(
            f"Prompt {n}", [f"Answer {k}" for k in "abcd"], rewards, "model", [True] * 4
        )
        for who, annotator in enumerate(crowd):
            record = judge_ranking(offered, annotator, derive_seed(0, n, who), "test@1")
            right = annotator.rationality > 0 if n % 6 == 0 else None
            answers.append(
                LiveAnswer(
                    record.id,
                    str(n),
                    annotator.id,
                    "work",
                    right,
                    float(n),
                    20.0,
                    "random",
                    [record],
                )
            )
    found = people(ProjectSnapshot(1, answers, {}, {}, frozenset(), 0.1))
    bad = {a.id for a in crowd if (a.rationality, a.side_bias) in BAD}
    assert {row.annotator for row in found.rows[:2]} == bad
    assert all(row.findings for row in found.rows[:2])
    assert not any(row.findings for row in found.rows[2:])
    assert {row.annotator for row in found.rows if "fails known answers" in row.findings} == bad


def test_an_item_shows_who_disagrees_and_why(house: House, owner: Client, slug: str) -> None:
    with house.db.read() as session:
        full = (Item.purpose == "work") & (Item.state == "full")
        given = session.execute(
            select(Answer.answer, Item.key).join(Item, Item.id == Answer.item_id).where(full)
        ).all()
    assert all(
        owner.page(f"/p/{slug}/items/{key}").status_code == 200
        for key in sorted({key for _, key in given})[:8]
    )
    key = next(key for said, key in given if said.get("critique") == "It answers the question.")
    page = owner.page(f"/p/{slug}/items/{key}")
    assert "It answers the question." in page.text
    answer = re.search(r"/exclude/([\w-]+)", page.text)[1]
    assert (
        owner.fill(
            f"/p/{slug}/items/{key}/exclude/{answer}", {"reason": "read too fast"}
        ).status_code
        == 303
    )
    page = owner.page(f"/p/{slug}/items/{key}")
    assert "excluded: read too fast" in text(page)
    assert owner.page(f"/p/{slug}/items/{'0' * 16}").status_code == 404
    assert owner.page(f"/p/{slug}/items?words=letter 3.").text.count("/items/") < owner.page(
        f"/p/{slug}/items"
    ).text.count("/items/")


def test_selection_sets_priorities_with_an_arm_of_chance(house: House, owner: Client) -> None:
    house.app.state.stats_cache.wait = 120
    slug = judged(house, count=30, gold=0, overlap=1, people=0)
    page = owner.page(f"/p/{slug}/selection")
    page = owner.fill(f"/p/{slug}/selection", {"goal": "ranking", "count": "20"})
    assert page.status_code == 200, page.text
    with house.db.read() as session:
        arms = list(session.scalars(select(Item.selected_by).where(Item.priority > 0)))
    assert arms.count("random") / len(arms) >= 0.2
    assert arms.count("information") == 16
    assert owner.fill(f"/p/{slug}/selection", {"goal": "ranking", "count": "x"}).status_code == 400


def test_representation_shows_groups_but_no_small_ones(
    house: House, owner: Client, slug: str
) -> None:
    assert "8 people" in text(
        owner.page(f"/p/{slug}/representation")
    )  # two groups of four: none is shown
    house.db.transact(
        lambda s: s.execute(
            update(Account).where(Account.name.like("ann %")).values(attributes={"region": "north"})
        )
    )
    page = text(
        owner.page(f"/p/{slug}/representation")
    )  # what people say of themselves makes new numbers too
    assert "north 8" in page
    assert "not shown (" not in page, "nothing is hidden, so nothing is said of it"


def test_representation_against_the_population(house: House, owner: Client, slug: str) -> None:
    """Spellings that differ in case or blanks are one group; who is missing is named, also where
    too few to show are here."""
    with house.db.read() as session:
        names = list(session.scalars(select(Account.name).where(Account.name.like("ann %"))))
    for number, name in enumerate(names):
        country = {"country": ("Kenya", " KENYA", "Kenya", "kenya ")[number % 4]}
        house.db.transact(
            lambda s, n=name, c=country: s.execute(
                update(Account).where(Account.name == n).values(attributes=c)
            )
        )
    with house.db.read() as session:
        project = session.scalars(select(Project).where(Project.slug == slug)).one()
    new = ProjectSettings.model_validate(
        project.settings | {"population": {"country": {"kenya": 0.1, "Fiji": 0.02}}}
    )
    editing.update_settings(house.db, project.id, new, None)
    page = text(owner.page(f"/p/{slug}/representation"))
    assert "In the population, but nobody or too few to show here: Fiji 2%" in page
    assert re.search(r"Kenya 8 .*10% · more here", page), page


def test_the_log_is_verified_and_a_change_is_found(house: House, owner: Client, slug: str) -> None:
    assert "The log is whole" in owner.page(f"/p/{slug}/log?verify=1").text
    house.db.transact(
        lambda s: s.execute(update(Event).where(Event.kind == "items.added").values(payload={}))
    )
    assert "payload was changed" in owner.page(f"/p/{slug}/log?verify=1").text


def test_the_download_holds_what_the_page_promises(house: House, owner: Client, slug: str) -> None:
    page = owner.page(f"/p/{slug}/export")
    promised = int(re.search(r"Download ([\d,]+) rows", page.text)[1].replace(",", ""))
    got = owner.page(f"/p/{slug}/export?shape=accord&download=1")
    assert got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as files:
        names = files.namelist()
        records = [
            parse_line(line) for line in files.read(f"{slug}-accord.jsonl").decode().splitlines()
        ]
    assert len(records) == promised
    assert f"{slug}-accord.card.md" in names
    assert "nothing to export" in owner.page(f"/p/{slug}/export?shape=prm800k").text


ROLES = ("annotator", "reviewer", "manager", "owner", "auditor", None)
LOOK = "reviewer manager owner auditor"
MATRIX = {
    **{("GET", f"/p/{{slug}}{tab}"): LOOK for tab in TABS},
    ("GET", "/p/{slug}/hooks"): "manager owner auditor",
    ("POST", "/p/{slug}/annotators/nobody"): "manager owner",
    ("POST", "/p/{slug}/selection"): "manager owner",
    ("POST", "/p/{slug}/items/{key}/exclude/none"): "reviewer manager owner",
    ("POST", "/p/{slug}/items/{key}/pause"): "manager owner",
    ("POST", "/p/{slug}/hooks"): "manager owner",
    ("POST", "/p/{slug}/hooks/1/remove"): "manager owner",
    ("GET", "/p/{slug}/items/{key}"): LOOK,
}


def test_who_may_see_and_change_results(house: House) -> None:
    house.app.state.stats_cache.wait = 120
    slug = house.project()
    project_id = house.project_id(slug)
    with house.db.read() as session:
        key = session.scalar(select(Item.key).where(Item.project_id == project_id))
    for role in ROLES:
        name = f"as {role}"
        house.person(name, project=project_id if role else None, part=role)
        client = house.sign_in(name)
        client.page(f"/p/{slug}/guideline")
        for (method, path), may in MATRIX.items():
            where = path.format(slug=slug, key=key)
            if method == "GET":
                status = client.page(where).status_code
            else:
                form = {
                    "do": "trust",
                    "url": "http://127.0.0.1/",
                    "kinds": "answer.submitted",
                    "paused": "0",
                }
                answer = client.fill(where, form)
                # what is allowed may still name something that is not there
                status = (
                    200 if answer.status_code == 404 and role in may.split() else answer.status_code
                )
            refused = status in (403, 404)
            assert refused is not (role in may.split()), (role, method, path, status)
        if role is None:
            assert client.page(f"/p/{slug}").status_code == 404


def test_gold_is_nowhere_an_annotator_can_look(house: House) -> None:
    house.app.state.stats_cache.wait = 120
    slug = judged(house, count=4, gold=4, people=0)
    house.person("ann", project=house.project_id(slug))
    client = house.sign_in("ann")
    with house.db.read() as session:
        known = list(session.scalars(select(Item.key).where(Item.purpose == "gold")))
    for tab in (*TABS, "/hooks", *(f"/items/{key}" for key in known)):
        assert client.page(f"/p/{slug}{tab}").status_code == 403, tab


# --- the cache of statistics ----------------------------------------------------------------------
def test_numbers_are_kept_until_something_changes(house: House) -> None:
    slug = judged(house, count=6, gold=0, people=2, overlap=2)
    project_id, calls = house.project_id(slug), []
    stats_cache = StatsCache(
        house.db,
        wait=60,
        more={"count": lambda snapshot, _: calls.append(1) or len(snapshot.answers)},
    )
    first = stats_cache.get(project_id, "count")
    assert (stats_cache.get(project_id, "count"), len(calls)) == (first, 1)
    with house.db.read() as session:
        ann = accounts.named(session, "ann 1").public
    house.db.transact(lambda s: members.set_trusted(s, project_id, ann, True, house.db.now(), None))
    assert stats_cache.get(project_id, "count").value == first.value
    assert len(calls) == 2
    assert (
        stats_cache._snapshot(project_id, stats_cache.version(project_id)[0])
        is stats_cache._loaded[2]
    )  # records are read once for all parts
    stats_cache.close()


def test_a_slow_part_never_holds_a_page_up(house: House) -> None:
    slug = judged(house, count=4, gold=0, people=1, overlap=1)
    project_id = house.project_id(slug)
    stats_cache = StatsCache(
        house.db,
        wait=0.01,
        more={"slow": lambda snapshot, _: time.sleep(0.3) or len(snapshot.answers)},
    )
    first = stats_cache.get(project_id, "slow")
    assert (first.value, first.stale) == (None, True)
    house.person("bob", project=project_id)
    assert (
        assigning.next_view(house.db, project_id, house.people["bob"]) is not None
    )  # the queue does not wait for it
    stats_cache.wait = 10
    assert stats_cache.get(project_id, "slow").value is not None
    stats_cache.close()


def test_the_forecast_is_as_uncertain_as_counts_are() -> None:
    found = forecast(100, [0] * 7 + [10] * 7)
    assert found.days.value == pytest.approx(10)
    assert found.days.low < 10 < found.days.high
    assert forecast(100, [5] * 7 + [0] * 7).days is None
    begun_today = forecast(100, [0] * 13 + [10])  # not a week at a seventh of the pace
    assert begun_today.days.value == pytest.approx(10)
    assert forecast(100, [0] * 11 + [10, 0, 2]).per_day == pytest.approx(4)
    assert forecast(0, [10] * 14).days is None


# --- in Chromium ----------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_results_can_be_used_by_everybody(served: Any, visit: Any, scheme: str) -> None:
    house: House = served.house
    house.app.state.stats_cache.wait = (
        120  # pages with their numbers, not with the promise of numbers
    )
    slug = judged(house)
    page = visit(served, "olga", color_scheme=scheme)
    with house.db.read() as session:
        key = session.scalar(select(Item.key).where(Item.purpose == "work", Item.state == "full"))
    for tab in (*TABS, "/hooks", f"/items/{key}"):
        page.goto(f"{served.url}/p/{slug}{tab}")
        assert not violations(page, scheme), tab
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab


@pytest.mark.slow
def test_results_fit_a_phone(served: Any, visit: Any) -> None:
    house: House = served.house
    house.app.state.stats_cache.wait = 120
    slug = judged(house, count=8, gold=1, people=3)
    page = visit(
        served, "olga", viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True
    )
    for tab in (*TABS, "/log?verify=1", "/hooks", "/people", "/settings"):
        page.goto(f"{served.url}/p/{slug}{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") == 375, tab
        assert page.locator(".links [aria-current]").count() == 1, tab
        for link in page.locator(
            ".links [aria-current], .tabs [aria-current]"
        ).all():  # where one is, is in sight
            box = link.bounding_box()
            assert box["x"] >= 0, tab
            assert box["x"] + box["width"] <= 375, tab


@pytest.mark.slow
def test_a_table_downloaded_in_the_browser_is_safe_to_open_and_reads_back(
    served: Any, visit: Any, tmp_path: Path
) -> None:
    house: House = served.house
    rows = [
        {"prompt": f"Was heißt das? {n}", "options": [f"=HYPERLINK({n})", f'\'- Gemüse,\r\n"{n}"']}
        for n in range(2)
    ]
    slug = house.project(name="Tables", rows=rows)
    project_id, account = house.project_id(slug), house.people["olga"]
    for _ in rows:
        view = assigning.next_view(house.db, project_id, account)
        assert isinstance(view, assigning.Served)
        told = {"preferred": view.order[0]}
        assigning.submit(
            house.db, account, view.view_id, view.lease, f"key-{view.view_id:08}", told
        )
    page = visit(served, "olga")
    page.goto(f"{served.url}/p/{slug}/export")
    page.select_option("select[name=shape]", "csv-pairwise")
    page.get_by_role("button", name="Look").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download 2 rows").click()
    with zipfile.ZipFile(waiting.value.path()) as files:
        table = files.read(f"{slug}-csv-pairwise.csv")
    assert table.startswith("\ufeff".encode())  # Excel shows umlauts
    for cells in csv.reader(io.StringIO(table.decode("utf-8-sig"), newline="")):
        assert not any(cell.startswith(FORMULA) for cell in cells)
    (tmp_path / "table.csv").write_bytes(table)
    got = read_feedback(tmp_path / "table.csv")
    collected = exporting.collect(house.db, project_id).records
    assert not got.dropped
    for record, kept in zip(got.records, collected, strict=True):
        chosen = {o.id: o.content for o in kept.options}[kept.choice.preferred]
        assert {o.id: o.content for o in record.options}[record.choice.preferred] == chosen
        assert record.prompt == kept.prompt


def test_what_a_rater_wrote_is_shown_whole_and_as_on_the_work_page(
    house: House, owner: Client
) -> None:
    slug = house.project("demonstration", 1)
    at = owner.ask(f"/p/{slug}/work/next").json()["item"]
    written = "**First** a\\\\b\u202e " + "word " * 200 + "last."
    body = {
        "view": at["view"],
        "lease": at["lease"],
        "key": "whole-1234",
        "answer": {"content": written},
    }
    assert owner.ask(f"/p/{slug}/work/submit", body).status_code == 200
    with house.db.read() as session:
        key = session.scalars(select(Item.key)).one()
    page = owner.page(f"/p/{slug}/items/{key}").text
    assert presenting.messages_html(written, "assistant")[0]["parts"][0]["html"].strip() in page
    assert "<strong>First</strong> a\\\\b⟦U+202E⟧" in page
