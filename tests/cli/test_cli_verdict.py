"""`accord verdict` on runs whose evidence is known: outcome, requirements, exit codes, files."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from zoo import BROKEN, healthy, rows

from accord.cli.main import main
from accord.examine.episodes import GoldBy, PointScores, measure_episodes
from accord.examine.evidence import ArmRows, measure
from accord.examine.measures import measures, requirement, requirements_met
from accord.examine.verdict import Verdict
from accord.files import write_json, write_text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one healthy arm."""
    return made(tmp_path_factory.mktemp("runs") / "healthy", healthy(1))


def made(folder: Path, points: list[object]) -> Path:
    """A run directory with the evidence of one arm called ppo."""
    write_text(folder / "recipe.yaml", "name: demo\n")
    baseline = rows(np.random.default_rng(9), 0.0, 0.0, 0.0)
    pool = [
        r | {"prompt_id": i // 4}
        for i, r in enumerate(rows(np.random.default_rng(8), 0, 0, 0, n=480))
    ]
    evidence = measure(baseline, {"ppo": ArmRows("ppo", points)}, pool)  # type: ignore[arg-type]
    write_json(folder / "stages/02-examine/evidence.json", evidence.model_dump(mode="json"))
    return folder


def verdict(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verdict", *map(str, arguments)])


def test_a_healthy_run_passes_and_says_why(run: Path) -> None:
    found = verdict(run)
    assert found.exit_code == 0, found.output
    assert found.output.startswith("worked: gold prefers it to the baseline")
    assert "gold below its own peak" in found.output


@pytest.mark.parametrize(
    ("fail_on", "code"), [("gamed,collapsed", 3), ("collapsed", 0), ("none", 0), ("gamed", 3)]
)
def test_outcomes_fail_as_asked(tmp_path: Path, fail_on: str, code: int) -> None:
    kind = BROKEN["proxy up, gold below the start"][1]
    gamed = made(tmp_path / "gamed", kind(np.random.default_rng(0)))
    found = verdict(gamed, "--fail-on", fail_on)
    assert (found.exit_code, found.output[:5]) == (code, "gamed")


def test_requirements_are_met_only_where_that_is_shown(run: Path, tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    asked = ("ppo.win_rate >= 60%", "ppo.kl<=4", "ppo.gold_gain > 1.0")
    options = [part for text in asked for part in ("--require", text)]
    found = verdict(run, *options, "--json", "--junit", report)
    told = json.loads(found.output)
    assert found.exit_code == 3
    assert told["failed"] is True
    assert [one["met"] for one in told["requirements"]] == [True, False, False]
    value = told["measures"]["ppo.gold_gain"]
    assert value["low"] < 1.0 < value["value"]
    assert "not shown" in told["requirements"][2]["how"]
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    assert verdict(run, "--require", asked[0]).exit_code == 0


def test_every_measure_is_defined_and_has_its_interval_around_it(run: Path) -> None:
    text = (run / "stages/02-examine/evidence.json").read_text(encoding="utf-8")
    from accord.examine.evidence import Evidence

    found = measures(Evidence.model_validate_json(text))
    assert {"ppo.win_rate", "ppo.kl", "ppo.surface.length", "best_of_4.win_rate"} <= set(found)
    for one in found.values():
        assert one.unit
        assert one.meaning
        assert one.low is None or one.high is None or one.low <= one.value <= one.high
    listed = verdict(run, "--measures").output
    assert all(f"  {name} " in listed for name in found)
    at_the_bound = requirements_met([requirement("ppo.unique <= 1")], found)
    assert at_the_bound[0].met


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--require", "ppo.kl"), "is no requirement"),
        (("--require", "ppo.kl <= few"), "is no requirement"),
        (("--require", "ppo.win_rat >= .5"), 'did you mean "ppo.win_rate"?'),
        (("--fail-on", "hacked"), "there is no outcome 'hacked'"),
    ],
)
def test_what_cannot_be_asked_is_told(run: Path, options: tuple[str, str], said: str) -> None:
    found = verdict(run, *options)
    assert found.exit_code == 2
    assert said in found.output


def test_a_run_without_evidence_is_told_what_to_do(tmp_path: Path) -> None:
    assert "recipe.yaml is missing" in verdict(tmp_path).output
    write_text(tmp_path / "recipe.yaml", "name: demo\n")
    assert (
        "no examine stage, and none in which a policy acts, has finished"
        in verdict(tmp_path).output
    )
    write_json(tmp_path / "stages/01-examine/evidence.json", {"arms": []})
    assert "written by another version" in verdict(tmp_path).output
    again = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert "written by another version" in again.output


def test_the_schema_is_that_of_what_is_written() -> None:
    told = CliRunner().invoke(main, ["verdict", "--schema"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.output) == Verdict.model_json_schema()
    assert json.loads(told.output)["additionalProperties"] is False


def acting(folder: Path, gold: list[float], gold_by: GoldBy = "environment") -> Path:
    """A run whose policy acts: mean gold at each point, the proxy 10 more each time."""
    rng = np.random.default_rng(3)
    start = rng.normal(size=24)
    points = [
        PointScores(
            step=1000 * at,
            gold_N=start + mean + 0.1 * rng.normal(size=24),
            proxy_N=start + 10 * at + 0.1 * rng.normal(size=24),
            measured={"clean_flips": np.full(24, float(at)) + rng.normal(size=24) / 10},
        )
        for at, mean in enumerate(gold)
    ]
    evidence = measure_episodes("accord:Backflip", points, gold_by)
    write_text(folder / "recipe.yaml", "name: demo\n")
    write_json(folder / "stages/01-learn/episodes.json", evidence.model_dump(mode="json"))
    return folder


def test_policies_that_act_have_a_verdict_too(tmp_path: Path) -> None:
    good = acting(tmp_path / "good", [0.0, 5.0, 10.0])
    found = verdict(good, "--require", "learn.clean_flips >= 1.5", "--junit", tmp_path / "j.xml")
    assert found.exit_code == 0, found.output
    assert found.output.startswith("worked: gold prefers it to the untrained policy")
    assert "learn (accord:Backflip): worked" in found.output
    assert "met   learn.clean_flips >= 1.5" in found.output
    assert 'failures="0"' in (tmp_path / "j.xml").read_text()
    assert verdict(good, "--require", "learn.gold >= 11").exit_code == 3
    gamed = acting(tmp_path / "gamed", [0.0, 5.0, -5.0])
    found = verdict(gamed, "--json")
    assert found.exit_code == 3
    said = json.loads(found.output)
    assert (said["outcome"], said["failed"]) == ("gamed", True)
    assert said["measures"]["learn.late_drop"]["high"] < 0
    assert (
        said
        == said | Verdict.model_validate({k: said[k] for k in Verdict.model_fields}).model_dump()
    )


def test_what_a_policy_was_tuned_on_cannot_say_that_it_worked(tmp_path: Path) -> None:
    found = verdict(acting(tmp_path / "paid", [0.0, 5.0, 10.0], "tuned on"), "--json")
    said = json.loads(found.output)
    assert said["outcome"] == "inconclusive"
    assert "require what was meant" in said["reason"]
    fell = verdict(acting(tmp_path / "fell", [0.0, 5.0, -5.0], "tuned on"), "--json")
    assert json.loads(fell.output)["outcome"] == "gamed"


def test_what_is_about_responses_is_refused_of_policies_that_act(tmp_path: Path) -> None:
    good = acting(tmp_path / "good", [0.0, 5.0])
    (tmp_path / "log.jsonl").write_text("{}\n")
    found = verdict(good, "--deployment", tmp_path / "log.jsonl")
    assert found.exit_code == 2
    assert "this run's policy acts" in found.output
    place = good / "stages/01-learn/episodes.json"
    place.write_text(place.read_text().replace('"environment"', '"environments"'))
    found = verdict(good)
    assert found.exit_code == 2
    assert "was written by another version" in found.output
