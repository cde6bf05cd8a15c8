"""The report: one page from files alone, hostile text inert, whole in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from zoo import healthy, rows

from accord.errors import DataError
from accord.examine.evidence import AgreementRow, AnnotatorEvidence, ArmRows, measure
from accord.examine.reward_card import card
from accord.examine.verdict import decide
from accord.files import write_json, write_jsonl, write_text
from accord.report.render import render
from accord.report.times import duration

HOSTILE = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'


def make_run(folder: Path, examined: bool = True) -> Path:
    """A run directory as the runner would leave it, with hostile model text."""
    rng = np.random.default_rng(0)
    write_text(folder / "recipe.yaml", yaml.safe_dump({"name": "demo", "about": HOSTILE}))
    write_json(folder / "environment.json", {"python": "3.11"})
    stage = folder / "stages" / "01-sft"
    result = {
        "stage": "sft",
        "kind": "sft",
        "summary": HOSTILE,
        "values": {},
        "artefacts": {},
        "seconds": 61.0,
        "cpu_seconds": 58.0,
        "peak_mib": 900.0,
    }
    write_json(stage / "result.json", result)
    write_jsonl(
        stage / "metrics.jsonl",
        [{"step": i, "time": 0.0, "loss_tok": 4 - i / 10} for i in range(1, 9)],
    )
    if not examined:
        return folder
    baseline = rows(np.random.default_rng(9), 0.0, 0.0, 0.0)
    baseline[0]["response"] = baseline[0]["prompt"] = HOSTILE
    pool = [r | {"prompt_id": i // 4} for i, r in enumerate(rows(rng, 0, 0, 0, n=480))]
    gap = rng.normal(0.5, 1, size=(3, 200))
    judges = [
        AnnotatorEvidence(
            annotator=f"ann-0{i}",
            judgements=100,
            rationality=1.0 - i,
            rationality_low=0.8,
            rationality_high=1.2,
            side_bias=0.1,
            side_bias_error=0.1,
            flag="ok" if i < 2 else "contrary",
            reason="because",
            true_rationality=1.0 - i,
            true_side_bias=0.0,
        )
        for i in range(3)
    ]
    agreed = AgreementRow(
        alpha=[0.2, 0.1, 0.3],
        with_ties=[0.5, 0.4, 0.6],
        strict=[0.6, 0.5, 0.7],
        ceiling=[0.7, 0.6, 0.8],
        units=100,
        judgements=300,
        not_measurable={},
    )
    evidence = measure(
        baseline,
        {"ppo": ArmRows("ppo", healthy(1)), "dpo": ArmRows("dpo", healthy(2))},
        pool,
        reward_card=card(gap, list(range(200)), np.sign(rng.normal(size=200)), gap[0]),
        annotators=judges,
        agreement=agreed,
    )
    write_json(folder / "stages" / "02-examine" / "evidence.json", evidence.model_dump(mode="json"))
    write_json(folder / "stages" / "02-examine" / "result.json", result | {"stage": "examine"})
    write_json(folder / "verdict.json", decide(evidence).model_dump(mode="json"))
    return folder


def test_page_is_self_contained_and_leads_with_the_verdict(tmp_path: Path) -> None:
    page = render(make_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert (
        page.index("It worked") < page.index("Reward against distance") < page.index('id="changed"')
    )
    assert HOSTILE not in page
    outside = page.replace("http://www.w3.org", "")
    for attribute in ('src="http', 'href="http', "@import", "url(http"):
        assert attribute not in outside.split("<script>")[0]
    assert len(page) < 3_000_000


def test_each_alarm_stands_with_its_rates_in_known_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    place = run / "verdict.json"
    verdict = json.loads(place.read_text(encoding="utf-8"))
    said = {"gold below the start": "caught 19/40, false 1/90", "repetition": "not measured"}
    for arm in verdict["arms"]:
        for rule in arm["rules"]:
            rule["in_known_runs"] = said.get(rule["name"], "")
    write_json(place, verdict)
    page = render(run).read_text(encoding="utf-8")
    for told in said.values():
        assert page.count(f"In known runs: {told}.") == len(verdict["arms"])
    assert page.count("In known runs:") == len(said) * len(verdict["arms"])


def test_page_says_what_is_missing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", examined=False)
    page = render(run).read_text(encoding="utf-8")
    assert "No verdict" in page
    assert "Add an examine stage" not in page  # there is no model that it could look at
    (next((run / "stages").iterdir()) / "model").mkdir()
    page = render(run).read_text(encoding="utf-8")
    assert "Add an examine stage" in page
    with pytest.raises(DataError, match=r"recipe\.yaml is missing"):
        render(tmp_path)


def test_agreement_that_is_no_number_says_why(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = run / "stages" / "02-examine" / "evidence.json"
    evidence = json.loads(path.read_text(encoding="utf-8"))
    assert (
        "Two annotators agree on 60.0 % [50.0, 70.0] of strict pairs (50.0 % with ties counted)"
        in render(run).read_text()
    )
    evidence["agreement"] |= {
        "strict": [None] * 3,
        "ceiling": [None] * 3,
        "alpha": [0.2, None, None],
    }
    evidence["agreement"]["not_measurable"] = {"strict": "all ties"}
    write_json(path, evidence)
    page = render(run).read_text(encoding="utf-8")
    assert "Krippendorff's α is 0.200 over 100 pairs. Not measurable: strict (all ties)." in page
    assert "Two annotators agree" not in page
    assert "(ceiling" not in page


def test_failures_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", examined=False)
    write_json(run / "stages" / "02-ppo" / "failed.json", {"error": "no space left", "trace": ""})
    page = render(run).read_text(encoding="utf-8")
    assert "Stage ppo failed: no space left" in page
    assert "not finished" in page


def test_durations() -> None:
    assert duration(3.21) == "3.2 s"
    assert duration(125) == "2 min 05 s"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_page_in_a_real_browser(tmp_path: Path, browser, width: int, scheme: str) -> None:
    report = render(make_run(tmp_path / "run"))
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems, requests = [], []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("request", lambda r: requests.append(r.url) if not r.url.startswith("file:") else None)
    page.goto(report.as_uri())
    for chart in page.locator(".chart").all():  # each is drawn when it comes into sight
        if chart.is_visible():
            chart.scroll_into_view_if_needed()
            chart.locator("svg.main-svg").first.wait_for()
    assert not problems
    assert not requests
    assert page.evaluate("window.hacked") is None
    assert page.locator(".chart:has(svg.main-svg)").count() >= 7
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    page.close()
