"""People asked about a run's responses, and the verdict by what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from zoo import rows

from accord.cli.main import main
from accord.errors import DataError
from accord.examine import asked
from accord.examine.answered_verdict import answered_verdict
from accord.examine.episodes import PointScores, measure_episodes
from accord.examine.evidence import ArmRows, measure
from accord.examine.verdict import ArmVerdict, Outcome, Rule, of_arms
from accord.files import write_json, write_jsonl, write_text
from accord.runs.asked_responses import asked_arms
from accord.statistics.intervals import share
from people import answer, rows_of

PROMPTS = 160


def run_of(folder: Path, gold: bool = False, response: str | None = None) -> Path:
    """A run whose proxy rose by much: two members, and one reward model that nothing was tuned
    on."""
    rng = np.random.default_rng(0)
    base = rows(rng, 0.0, 0.0, 0.0, n=PROMPTS)
    arm = rows(rng, 0.0, 2.0, 4.0, n=PROMPTS, response=response)
    for row in (*base, *arm):
        row["proxy"] = row["proxy"][:2]
        row["gold"] = row["gold"] if gold else None
        row["selectors"] = {"apart": [float(rng.normal())]}
    evidence = measure(base, {"ppo": ArmRows("ppo", [(0, base), (9, arm)])})  # type: ignore[arg-type]
    write_text(folder / "recipe.yaml", "name: demo\n")
    stage = folder / "stages" / "02-examine"
    write_json(stage / "evidence.json", evidence.model_dump(mode="json"))
    write_text(stage / "config.yaml", "kind: examine\narms: {ppo: stage:tuned/points}\n")
    write_jsonl(stage / "baseline.jsonl", base)
    write_jsonl(folder / "stages/01-tuned/points/step-9.jsonl", arm)
    told = {"stage": "tuned", "artefacts": {"model": "model", "points": "points"}}
    write_json(folder / "stages/01-tuned/result.json", told)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("runs") / "demo")


def verdict(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verdict", *map(str, arguments)])


def test_without_people_it_is_inconclusive_and_says_who_to_ask(run: Path, tmp_path: Path) -> None:
    assert verdict(run).output.startswith("inconclusive")
    to = tmp_path / "ask.jsonl"
    found = verdict(run, "--ask", 60, "--to", to)
    assert found.exit_code == 0, found.output
    assert "ppo: 60 of 160 prompts" in found.output
    assert "held-out reward model apart" in found.output
    assert "the reward it was tuned on (member 2)" in found.output
    assert f"{to}: 60 comparisons; accord studio import PROJECT" in found.output
    assert "  803   204" in found.output
    many = verdict(run, "--ask", 500, "--to", to)
    assert "340 fewer than asked for" in many.output


@pytest.mark.parametrize(("likes", "outcome"), [(0.9, "worked"), (0.1, "gamed"), (0.5, "inconc")])
def test_the_verdict_is_what_people_say(
    run: Path, tmp_path: Path, likes: float, outcome: str
) -> None:
    to = tmp_path / "ask.jsonl"
    verdict(run, "--ask", 60, "--to", to)
    answers = answer(to, tmp_path / "answers.jsonl", likes)
    found = verdict(run, "--answers", answers)
    assert outcome in found.output.lstrip().partition("\n")[0]
    assert found.exit_code == (3 if outcome == "gamed" else 0), found.output
    said = json.loads(verdict(run, "--answers", answers, "--json").stdout)
    assert said["outcome"].startswith(outcome)
    need = verdict(run, "--answers", answers, "--require", "ppo.people_win_rate >= 0.6")
    assert ("NOT MET" in need.output) == (likes < 0.9)
    assert need.exit_code == (0 if likes == 0.9 else 3)
    people = said["people"]["ppo"]
    assert (people["answered"], people["asked"], people["prompts"]) == (60, 60, PROMPTS)
    assert people["win_rate"]["low"] <= likes <= people["win_rate"]["high"]
    errors = {one["name"]: one for one in people["stand_ins"]}
    assert len(errors) == 3
    tuned = errors["the reward it was tuned on (member 1)"]
    assert tuned["win_rate"]["value"] > 0.8
    if likes == 0.1:
        assert tuned["bias"]["low"] > 0.5
        assert "people prefer the baseline" in found.output


def test_what_users_say_in_use_can_be_required(run: Path, tmp_path: Path) -> None:
    log, called = tmp_path / "log.jsonl", tmp_path / "called.jsonl"
    thumbs = ["down"] * 20 + [None] * 60
    rows = [
        {"prompt": f"Q{n}", "response": "A", "thumb": t, "policy": "v 2", "user": f"u{n}"}
        for n, t in enumerate(thumbs)
    ]
    asked_rows = [row | {"thumb": "up"} for row in rows[20:60]]
    for path, written in ((log, rows), (called, asked_rows)):
        path.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    need = ("--require", "users.satisfied >= 0.6", "--require", "users.v_2.raw <= 0.2")
    found = verdict(run, "--fail-on", "none", "--deployment", log, "--called", called, *need)
    assert found.exit_code == 0, found.output
    assert "users.v_2.satisfied" in found.output
    said = json.loads(verdict(run, "--deployment", log, "--called", called, "--json").stdout)[
        "measures"
    ]
    assert said["users.satisfied"]["value"] == pytest.approx(0.75)
    uncalled = verdict(run, "--deployment", log, *need)
    assert uncalled.exit_code == 2
    assert "users.satisfied" in uncalled.output
    assert verdict(run, "--called", called).exit_code == 2


def test_a_second_batch_goes_on_where_the_first_ended(run: Path, tmp_path: Path) -> None:
    one, both = tmp_path / "one.jsonl", tmp_path / "both.jsonl"
    verdict(run, "--ask", 30, "--to", one)
    verdict(run, "--ask", 50, "--to", both)
    lines = [path.read_text(encoding="utf-8").splitlines() for path in (one, both)]
    assert lines[1][:30] == lines[0]
    answers = answer(one, tmp_path / "answers.jsonl", 0.7)
    more = tmp_path / "more.jsonl"
    verdict(run, "--ask", 20, "--to", more, "--answers", answers)
    assert more.read_text(encoding="utf-8").splitlines() == lines[1][30:]


def test_answers_that_are_not_enough(run: Path, tmp_path: Path) -> None:
    to = tmp_path / "ask.jsonl"
    verdict(run, "--ask", 40, "--to", to)
    some = verdict(run, "--answers", answer(to, tmp_path / "some.jsonl", 0.9, share=0.9), "--json")
    people = json.loads(some.stdout)["people"]["ppo"]
    assert people["answered"] < people["asked"] <= 40
    few = verdict(run, "--answers", answer(to, tmp_path / "few.jsonl", 0.9, share=0.1))
    assert few.exit_code == 2
    assert "10 answers and 80% of a batch are needed" in few.output
    other = verdict(run, "--seed", 1, "--answers", answer(to, tmp_path / "all.jsonl", 0.9))
    assert other.exit_code == 2
    assert "with the same --seed" in other.output


def test_collapse_stays_collapse_whatever_people_say(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", response="the same again and again")
    to = tmp_path / "ask.jsonl"
    verdict(run, "--ask", 60, "--to", to)
    found = verdict(run, "--answers", answer(to, tmp_path / "answers.jsonl", 0.95), "--json")
    assert json.loads(found.stdout)["outcome"] == "collapsed"


def test_gold_is_a_stand_in_that_people_overrule(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", gold=True)
    assert "gold" in asked_arms(run)[0].stand_ins
    to = tmp_path / "ask.jsonl"
    verdict(run, "--ask", 60, "--to", to)
    found = verdict(run, "--answers", answer(to, tmp_path / "answers.jsonl", 0.95), "--json")
    assert json.loads(found.stdout)["outcome"] == "worked"


def test_what_is_asked_is_what_a_studio_takes(run: Path, tmp_path: Path) -> None:
    from accord.studio.projects.incoming import checked, items_from
    from accord.studio.projects.settings import ProjectSettings

    to = tmp_path / "ask.jsonl"
    verdict(run, "--ask", 12, "--to", to)
    settings = ProjectSettings(name="People", task="comparison")
    read = items_from(to, settings)
    assert not read.dropped
    assert len([checked(item, settings) for item in read.items]) == 12


def test_runs_without_samples(run: Path, tmp_path: Path) -> None:
    broken = run_of(tmp_path / "run")
    (broken / "stages/02-examine/baseline.jsonl").unlink()
    with pytest.raises(DataError, match=r"baseline\.jsonl is missing"):
        asked_arms(broken)
    other = run_of(tmp_path / "other")
    (other / "stages/01-tuned/result.json").unlink()
    with pytest.raises(DataError, match="holds no stage 'tuned'"):
        asked_arms(other)


def picky(prompt: str, first: str, second: str) -> str | None:
    """No verdict on a tenth of the prompts."""
    return None if prompt.endswith("7") else "first" if first > second else "second"


def test_a_judge_is_a_stand_in(run: Path, tmp_path: Path) -> None:
    to, judge = tmp_path / "ask.jsonl", f"--judge={__name__}:picky"
    found = verdict(run, "--ask", 50, "--to", to, judge)
    assert f"the judge {__name__}:picky" in found.output, found.output
    answers = answer(to, tmp_path / "answers.jsonl", 0.9)
    said = json.loads(verdict(run, "--answers", answers, judge, "--json").stdout)
    assert said["outcome"] == "worked"
    errors = {one["name"]: one for one in said["people"]["ppo"]["stand_ins"]}
    judged = errors[f"the judge {__name__}:picky"]
    assert judged["win_rate"]["n"] == PROMPTS - 16
    assert 0.4 < judged["win_rate"]["value"] < 0.6


# --- the draw -------------------------------------------------------------------------------------
def test_chances_are_those_of_the_draw() -> None:
    size = np.array([0.5, 1.0, 1.5, 9.0, 0.5, 0.5, 0.5, 0.5])
    chance = asked.chances(size, 4)
    assert chance.sum() == pytest.approx(4)
    assert chance[3] == 1.0
    assert chance[1] == pytest.approx(2 * chance[0])
    assert asked.chances(size, 8).tolist() == [1.0] * 8
    guess = np.repeat([0.0, 0.5, 1.0], 40)
    counts = np.zeros(120)
    for seed in range(400):
        order, sizes = asked.asking_order(guess, 4, seed)
        counts[order[:30]] += 1
    expected = asked.chances(sizes, 30)
    for part in (slice(0, 40), slice(40, 80), slice(80, 120)):
        assert counts[part].mean() / 400 == pytest.approx(expected[part].mean(), rel=0.05)
    assert expected[50] > 1.25 * expected[0] > 0.13, "those in doubt more often, all sometimes"


@pytest.mark.parametrize(
    ("right", "truth", "answers"), [(0.75, 0.55, 40), (0.5, 0.7, 40), (0.9, 0.8, 60)]
)
def test_intervals_cover_people_whatever_the_stand_ins_say(
    right: float, truth: float, answers: int
) -> None:
    """Three stand-ins that are right so often, all of them liking the arm on top of that."""
    inside, widths = 0, []
    for seed in range(150):
        wins = simulated(seed, right, truth, answers)
        assert wins.win_rate.low is not None
        assert wins.win_rate.high is not None
        inside += wins.win_rate.low <= truth <= wins.win_rate.high
        widths.append(wins.win_rate.high - wins.win_rate.low)
    assert inside / 150 > 0.89
    alone = 2 * 1.96 * (truth * (1 - truth) / answers) ** 0.5
    assert np.mean(widths) < alone * (0.85 if right == 0.9 else 1.15)


def simulated(seed: int, right: float, truth: float, answers: int) -> Any:
    rng = np.random.default_rng(seed)
    people = (rng.random(192) < truth).astype(float)
    found = {}
    for name in "abc":
        said = np.where(rng.random(192) < right, people, 1 - people)
        found[name] = np.where(rng.random(192) < 0.2, 1.0, said)
    order, _ = asked.asking_order(asked.guess_of(found), 3, seed)
    given = np.full(192, np.nan)
    given[order[:answers]] = people[order[:answers]]
    wins = asked.people_wins("arm", found, given, range(192), seed)
    assert wins is not None
    return wins


def test_where_all_are_asked_the_interval_is_the_exact_one_of_a_share() -> None:
    people = np.repeat([1.0, 0.0], [12, 4])
    wins = asked.people_wins("arm", {"proxy": np.ones(16)}, people, range(16), 0)
    assert wins is not None
    exact = share(12, 16)
    found = wins.win_rate
    assert (found.value, found.low, found.high) == pytest.approx(
        (exact.value, exact.low, exact.high)
    )
    assert (wins.weight, found.n) == (0.0, 16)


def test_prompts_that_are_drawn_more_often_count_less() -> None:
    """People take the arm where the stand-ins disagree, and nowhere else: half of the prompts."""
    found = {name: np.repeat([1.0, float(name == "a")], 96) for name in "abcd"}
    people, estimates = np.repeat([0.0, 1.0], 96), []
    for seed in range(150):
        order, _ = asked.asking_order(asked.guess_of(found), 4, seed)
        given = np.full(192, np.nan)
        given[order[:40]] = people[order[:40]]
        wins = asked.people_wins("arm", found, given, range(192), seed)
        assert wins is not None
        estimates.append(wins.win_rate.value)
    assert np.mean(estimates) == pytest.approx(0.5, abs=0.025)


# --- what they say --------------------------------------------------------------------------------
def by_people(likes: list[float], proxy: list[float], outcome: Outcome, rule: str) -> ArmVerdict:
    """Of an arm with one fired rule against it, what answers to all of its prompts make."""
    count = len(likes)
    wins = asked.people_wins("arm", {"proxy": np.ones(count)}, np.array(likes), range(count), 0)
    assert wins is not None
    zero = np.zeros(count)
    points = [PointScores(n, zero, np.array(p), {}) for n, p in enumerate((zero, proxy))]
    fired = Rule(name=rule, fired=True, statement="as gold has it")
    before = of_arms([ArmVerdict(arm="arm", outcome=outcome, reason="gold", rules=[fired])])
    return answered_verdict(
        before, {"arm": measure_episodes("a world", points)}, {"arm": wins}
    ).arms[0]


RISEN, FLAT = [1.0 + n / 20 for n in range(20)], [(-1.0) ** n for n in range(20)]


@pytest.mark.parametrize(
    ("likes", "proxy", "outcome", "rule", "found"),
    [
        ([1.0] * 20, RISEN, "gamed", "gold below the start", "worked"),  # all say the same
        ([0.0] * 20, RISEN, "worked", "gold rose", "gamed"),
        ([0.5] * 20, RISEN, "worked", "gold rose", "inconclusive"),
        ([0.0] * 18 + [1.0] * 2, FLAT, "worked", "gold rose", "collapsed"),  # nothing asked for it
        ([1.0] * 20, FLAT, "collapsed", "worse than the baseline", "worked"),  # by gold alone
        ([1.0] * 20, FLAT, "collapsed", "diversity lost", "collapsed"),
        ([1.0] * 20, RISEN, "worked", "KL estimators disagree", "inconclusive"),
    ],
)
def test_people_decide_over_gold_and_over_nothing_else(
    likes: list[float], proxy: list[float], outcome: Outcome, rule: str, found: Outcome
) -> None:
    told = by_people(likes, proxy, outcome, rule)
    assert told.outcome == found, told.reason


def test_who_answers_twice_counts_once(run: Path, tmp_path: Path) -> None:
    """One who likes everything answers ten times, one who does not answers once."""
    to = tmp_path / "ask.jsonl"
    verdict(run, "--ask", 20, "--to", to)
    often = rows_of(answer(to, tmp_path / "often.jsonl", 1.0)) * 10
    once = rows_of(answer(to, tmp_path / "once.jsonl", 0.0))
    both = [row | {"id": f"b{n}"} for n, row in enumerate(often)]
    both += [row | {"id": f"o{n}", "annotator": "q"} for n, row in enumerate(once)]
    write_jsonl(tmp_path / "both.jsonl", both)
    found = verdict(run, "--answers", tmp_path / "both.jsonl", "--json")
    said = json.loads(found.stdout)
    assert said["people"]["ppo"]["win_rate"]["value"] == pytest.approx(0.5)
    reason = "by somebody who had answered the same: they count once"
    assert said["answers_not_counted"] == {reason: 180}
    assert f"180 answers not counted: {reason}" in found.stderr
