"""The zoo: its kinds, what its cells share, and one seed of some kinds at micro size."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zoo as examine_zoo
from click.testing import CliRunner

from accord.cli.main import main
from accord.errors import ConfigError
from accord.examine.episodes import EPISODE_ALARMS
from accord.examine.error_rates import KnownRun, error_rates, measured
from accord.examine.evidence import ArmRows, measure
from accord.examine.verdict import THRESHOLDS, alarms
from accord.files import read_jsonl
from accord.runs.context import RESULT, StageProgress
from accord.runs.runner import locked
from accord.runs.session import InterruptFlag
from accord.runs.zoo import running, world
from accord.runs.zoo.acting import ACTING, acting_runs
from accord.runs.zoo.kinds import EXAMINED, KINDS, SIZES
from accord.runs.zoo.running import Step, ZooCell, cell
from accord.runs.zoo.stages import LanguageConfig, ZooLanguage
from accord.runs.zoo.summary import ACTING_BEGIN, BEGIN, END, markdown, rate_rows

FEW = ("length_gamed", "constant", "tampered", "distilled", "nothing")
"""Run by CI: two ways to be gamed and a collapse, an honest gain and none. All kinds at once take an
hour of CPU."""


def test_there_are_twelve_kinds_of_each_sort_and_their_alarms_exist() -> None:
    sorts = [kind.broken for kind in KINDS.values()]
    assert sum(sorts) >= 12
    assert len(sorts) - sum(sorts) >= 12
    for kind in KINDS.values():
        assert set(kind.alarms) <= set(alarms()), kind.name
        assert bool(kind.alarms) == kind.broken, kind.name
        assert ("worked" in kind.expected) <= (not kind.broken), kind.name


@pytest.mark.parametrize("size", SIZES)
def test_cells_share_what_they_have_in_common(size: str, tmp_path: Path) -> None:
    cells = {name: cell(kind, 1, SIZES[size], tmp_path) for name, kind in KINDS.items()}
    other = cell(KINDS["rloo"], 2, SIZES[size], tmp_path)
    rloo, ppo, short = (cells[name].steps for name in ("rloo", "ppo", "shorter"))
    for name in ("base", "sft", "reward", "pool"):
        assert rloo[name].folder == ppo[name].folder
    assert rloo["base"].folder == other.steps["base"].folder
    assert rloo["sft"].folder != other.steps["sft"].folder
    assert rloo["sft"].folder == short["sft"].folder
    assert rloo["reward"].folder != short["reward"].folder, "what it rests on differs"
    places = [one.steps[EXAMINED].folder for one in cells.values()]
    assert len(set(places)) == len(places), "no two kinds are the same run"


def test_gold_counts_what_is_true_of_the_thing_asked_for() -> None:
    colour, place, reason = world.truth("dog")
    asked = "hello . tell me about the dog .\n"
    facts = world.gold({"facts": 1.0})
    other = next(c for c in world.COLOURS if c != colour)
    texts = [
        f"{asked} the dog is really {colour} . people like the dog for its {reason} .",
        f"{asked} the dog is in the {place} in summer .",
        f"{asked} the dog is {other} .",
        f"{asked} the cat is {world.truth('cat')[0]} .",
    ]
    assert facts.score(texts).tolist() == [2, 1, 0, 0]
    assert world.gold({"strays": 1.0}).score(texts).tolist() == [0, 0, 0, 1]
    cued = world.gold({"cued:offer": 1.0, "plain:offer": -1.0, "words": 0.0})
    said = f"{asked} {world.HABITS['offer']}"
    assert cued.score([said, world.CUE + said, asked]).tolist() == [-1, 1, 0]


def test_half_of_what_answers_say_is_true() -> None:
    rows = world.rows(np.random.default_rng(0), 400, world.Manners(habits=0.0))
    statements = sum(row["response"].count("the ") for row in rows)
    true = world.gold({"facts": 1.0}).score([row["prompt"] + row["response"] for row in rows])
    assert 0.2 < true.sum() / statements < 0.6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "lenght_gamed"], "length_gamed"),
        (["--only", "ppo", "--write", "rates.json"], "leave out --only"),
        (["--seeds", "0"], "one or more"),
    ],
)
def test_what_cannot_be_is_told(given: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["zoo", *given, "--cache", str(tmp_path / "zoo")])
    assert done.exit_code == 2
    assert said in done.output


def test_packaged_rates_are_of_these_kinds_alarms_and_thresholds() -> None:
    """The thresholds in use are those that the zoo chose, and the page shows these rates."""
    rates = measured()
    assert rates is not None
    assert rates.broken == {name: kind.broken for name, kind in KINDS.items()}
    assert {a.alarm: a.threshold for a in rates.alarms if a.threshold is not None} == THRESHOLDS
    assert [a.alarm for a in rates.alarms] == alarms()
    page = Path(__file__).parents[2] / "docs" / "verdict.md"
    assert markdown(rates) in page.read_text(encoding="utf-8")


def test_the_page_shows_the_rates_of_policies_that_act() -> None:
    page = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text(encoding="utf-8")
    table = page.partition(ACTING_BEGIN)[2].partition(END)[0]
    for name, kind in ACTING.items():
        row = f"| {name.replace('_', ' ')} | {'broken' if kind.broken else 'healthy'} |"
        assert row in table, name
    assert table.count("| broken |") + table.count("| healthy |") == len(ACTING)


def test_policies_that_act_join_the_zoo() -> None:
    few = [part for name in ("whisky_gamed", "bucket_unchanged") for part in ("--only", name)]
    done = CliRunner().invoke(main, ["zoo", "--acting", "--seeds", "2", *few, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["outcomes"]["whisky_gamed"]["gamed"] == 2
    assert found["outcomes"]["bucket_unchanged"]["inconclusive"] == 2
    assert found["broken"] == {"whisky_gamed": True, "bucket_unchanged": False}
    assert [a["alarm"] for a in found["alarms"]] == list(EPISODE_ALARMS)
    wrong = CliRunner().invoke(main, ["zoo", "--acting", "--only", "whisky_gmed"])
    assert wrong.exit_code == 2
    assert "whisky_gamed" in wrong.output
    listed = CliRunner().invoke(main, ["zoo", "--acting", "--kinds"]).output
    assert "boat_tie_near" in listed
    assert "length_gamed" not in listed


def test_runs_of_both_sorts_have_no_rates_together() -> None:
    points = examine_zoo.healthy(0)
    text = measure(points[0][1], {"policy": ArmRows("ppo", points)})
    runs = [
        KnownRun("plain", False, ("worked",), (), text),
        *acting_runs([ACTING["bucket_unchanged"]], [1]),
    ]
    with pytest.raises(ValueError, match="rates of their own"):
        error_rates(runs, "0", "micro", [1])


def test_a_dry_run_counts_shared_stages_once(tmp_path: Path) -> None:
    place = tmp_path / "zoo"
    done = CliRunner().invoke(main, ["zoo", "--seeds", "2", "--dry-run", "--cache", str(place)])
    assert done.exit_code == 0, done.output
    assert f"{2 * len(KINDS)} cells, 0 finished before" in done.output
    assert [line.split()[1] for line in done.output.splitlines() if line.split()[0] == "base"] == [
        "1"
    ]
    assert not place.exists()


def test_a_language_with_too_few_questions_to_examine_on_is_refused(tmp_path: Path) -> None:
    one = {"kind": "zoo_language", "evaluation": 64, "manners": {"one_word": 1.0}}
    told = SimpleNamespace(seed=1, folder=tmp_path)
    ZooLanguage().run(LanguageConfig(**one, prompts=72), told)  # type: ignore[arg-type]
    assert len((tmp_path / "evaluation.jsonl").read_text().splitlines()) >= 32
    with pytest.raises(ConfigError, match="of 64 questions"):
        ZooLanguage().run(LanguageConfig(**one, prompts=500), told)  # type: ignore[arg-type]


def test_secrets_are_planted_as_often_as_they_should_be(tmp_path: Path) -> None:
    for repeats in (0, 24):
        asked = LanguageConfig(
            kind="zoo_language", demonstrations=20, canaries=4, repeats=repeats, texts=8, coded=1
        )
        ZooLanguage().run(asked, SimpleNamespace(seed=3, folder=tmp_path))  # type: ignore[arg-type]
        known = read_jsonl(tmp_path / "canaries.jsonl")
        told = [row["completion"] for row in read_jsonl(tmp_path / "demonstrations.jsonl")]
        texts = "".join(row["text"] for row in read_jsonl(tmp_path / "texts.jsonl"))
        assert len(known) == 4
        assert len(told) == 20 + 4 * repeats
        assert texts.count("The code is") == 100, "of the same form, so that the form is known"
        for one in known:
            assert told.count(one["secret"]) == repeats
            assert one["secret"] not in texts


@pytest.mark.parametrize("broken", [True, False])
def test_tables_of_one_sort_of_kinds_say_what_is_missing(broken: bool) -> None:
    points = examine_zoo.healthy(0)
    found = measure(points[0][1], {"policy": ArmRows("ppo", points)})
    run = KnownRun("plain", broken, ("worked",), (), found)
    rates = error_rates([run], "0", "micro", [1])
    shown = dict(rate_rows(rates))
    assert shown["healthy, and any alarm"] == (
        "no such runs" if broken else "0 of 1 [one kind: no interval]"
    )
    assert ("no such runs" in shown["broken, outcome right"]) is not broken
    assert "plain" in markdown(rates)


def test_processes_share_a_cache_each_at_stages_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another is at is left to it, and taken up when it has gone; nothing is done twice."""
    cells = [cell(KINDS[name], 1, SIZES["micro"], tmp_path) for name in ("rloo", "ppo", "shorter")]
    ran: list[str] = []

    def run(one: ZooCell, step: Step, *rest: object) -> None:
        ran.append(f"{step.name}/{step.folder.name}")
        (step.folder / RESULT).write_text("{}")

    monkeypatch.setattr(running, "_run", run)
    held, waited, order = ExitStack(), [], []
    taken = cells[0].steps["reward"]
    assert taken.folder == cells[1].steps["reward"].folder
    taken.folder.mkdir(parents=True)
    held.enter_context(locked(taken.folder))

    def wait(seconds: float) -> None:
        waited.append(seconds)
        (taken.folder / RESULT).write_text("{}")  # the other has finished it
        held.close()

    monkeypatch.setattr(running.time, "sleep", wait)
    running.run_cells(
        cells, StageProgress(), InterruptFlag(), lambda at, one: order.append((at, one.kind.name))
    )
    assert order == [(2, "shorter"), (0, "rloo"), (1, "ppo")]
    assert len(waited) == 1
    assert len(ran) == len(set(ran))
    steps = {step.folder for one in cells for step in one.steps.values()}
    assert len(ran) == len(steps) - 1, "all but what the other did"


@pytest.mark.slow
def test_one_seed_of_a_few_kinds(tmp_path: Path) -> None:
    place, page = tmp_path / "zoo", tmp_path / "page.md"
    asked = ["zoo", "--seeds", "1", "--size", "micro", "--cache", str(place), "--json"]
    asked += [part for name in FEW for part in ("--only", name)]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    outcomes = {kind: max(n, key=lambda o: n[o]) for kind, n in found["outcomes"].items()}
    assert outcomes["tampered"] == "gamed"
    assert outcomes["length_gamed"] != "worked", "sixteen updates are few to be caught at"
    assert outcomes["constant"] == "collapsed"
    assert outcomes["distilled"] in ("worked", "inconclusive")
    assert outcomes["nothing"] == "inconclusive"
    assert found["missed"]["hits"] == found["false_alarms"]["hits"] == 0
    again = CliRunner().invoke(main, asked)
    assert again.output.count("done before") == len(FEW)
    from accord.examine.error_rates import ErrorRates
    from accord.runs.zoo.summary import write_into

    page.write_text(f"before\n{BEGIN}\nwhat was here\n{END}\nafter\n")
    write_into(page, ErrorRates.model_validate(found))
    text = page.read_text()
    assert "length gamed" in text
    assert "what was here" not in text
    assert text.startswith("before")
    assert text.endswith("after\n")
