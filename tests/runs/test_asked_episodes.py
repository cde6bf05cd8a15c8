"""People asked about episodes of policies that act, and the verdict by what they say."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from pydantic import TypeAdapter

from people import answer, rows_of

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

from accord.cli.main import main
from accord.control.making import make
from accord.control.poses import JUDGED, movement
from accord.control.watched import WatchedFolder
from accord.feedback.messages import to_json
from accord.files import write_jsonl
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.recipe import load
from accord.studio.client import Client
from accord.studio.people import accounts, api_tokens
from accord.studio.projects import editing
from accord.studio.projects.settings import ProjectSettings
from accord.studio.storage.database import open_database
from accord.studio.tasks.drawings import Drawing
from accord.studio.web.app import StudioConfig, create_app
from listening import listening

EPISODES = 16
SMALL: dict[str, Any] = {
    "kind": "learn_from_clips", "environment": "accord:Hopper", "episode_steps": 60, "steps": 6000,
    "comparisons": 60, "first_comparisons": 40, "rounds": 1, "clip": 10, "points": 1, "evaluation": EPISODES,
    "policy": {"environments": 8, "rollout": 60, "minibatch": 120, "hidden": 16, "epochs": 4, "learning_rate": 0.01},
    "reward": {"hidden": 16, "first_steps": 60, "round_steps": 30},
}  # fmt: skip
STAGE = "stages/01-learn"


def run_of(folder: Path, **more: Any) -> Path:
    """A run in which a hopper learns to stay up: its reward rises, and so does gold."""
    recipe = folder.with_suffix(".yaml")
    stages = {"stages": {"learn": SMALL | more}}
    recipe.write_text(yaml.safe_dump({"name": "small", "seed": 3} | stages))
    runner.execute(load(str(recipe)), folder, False, StageProgress(), {})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("runs") / "hops")


@pytest.fixture
def asked(run: Path, tmp_path: Path) -> Path:
    """All that can be asked of it."""
    to = tmp_path / "ask.jsonl"
    assert verdict(run, "--ask", EPISODES, "--to", to).exit_code == 0
    return to


def accord(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def verdict(*arguments: object) -> Result:
    return accord("verdict", *arguments)


def lasts(option: dict[str, Any]) -> int:
    return len(option["drawing"]["frames"])


def test_what_is_asked_is_a_policy_beside_the_untrained_one_from_the_same_start(
    run: Path, tmp_path: Path
) -> None:
    to = tmp_path / "ask.jsonl"
    found = verdict(run, "--ask", 12, "--to", to)
    assert found.exit_code == 0, found.output
    assert "learn: 12 of 16 episodes; stand-ins take it on" in found.output
    assert "  gold\n  the reward it was tuned on\n" in found.output
    assert f"accord studio import PROJECT {to}\n  into a project of the task clips" in found.output
    assert (
        "8 fewer than asked for: there are no more episodes"
        in verdict(run, "--ask", 24, "--to", tmp_path / "more.jsonl").output
    )
    watched, rows = WatchedFolder(run / STAGE / "watched"), rows_of(to)
    points = {"baseline": watched.read(0), "learn": watched.read(watched.points[-1])}
    for row in rows:
        assert row["prompt"] == "Which of the two clips is better?"
        n = row["meta"]["episode_id"]
        for option in row["options"]:  # whole episodes, each its own policy's
            assert option["content"] == to_json(points[option["producer"]].clip(n))
            assert lasts(option) == -(-option["content"]["stop"] // option["drawing"]["every"])
        first, second = (option["drawing"]["frames"][0] for option in row["options"])
        assert first == second
    producers = [tuple(option["producer"] for option in row["options"]) for row in rows]
    assert set(producers) == {("learn", "baseline"), ("baseline", "learn")}
    assert len({row["meta"]["episode_id"] for row in rows}) == 12
    verdict(run, "--ask", 12, "--to", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == to.read_bytes()


def test_from_a_run_through_the_studio_to_its_verdict(
    run: Path, asked: Path, tmp_path: Path
) -> None:
    """Somebody sees poses alone, and takes the episode that lasts: that is the tuned policy's."""
    place, answers = tmp_path / "studio.db", tmp_path / "answers.jsonl"
    with closing(open_database(place)) as db:
        editing.create_project(db, ProjectSettings(name="hops", task="clips"), None)
        took = accord("studio", "import", "hops", asked, "--database", place)
        assert f"hops: {EPISODES} new items, 0 there already" in took.output, took.output
        again = accord("studio", "import", "hops", asked, "--database", place)
        assert f"hops: 0 new items, {EPISODES} there already" in again.output
        boss = db.transact(
            lambda s: accounts.create_account(s, "olga", "-", "owner", db.now(), None).id
        )
        visitor = accounts.Visitor(boss, "p-olga", "olga", "owner", "en", "", "")
        token = api_tokens.issue_token(db, visitor, "test", api_tokens.SCOPES, None)
        with listening(create_app(StudioConfig(db))) as there:
            bot = Client(there.url, token).make_bot("hops", "bot")["token"]
            assert Client(there.url, bot).judge("hops", longer) == EPISODES
    assert accord("studio", "export", "hops", answers, "--database", place).exit_code == 0
    found = verdict(run, "--answers", answers, "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert said["outcome"] == "worked"
    assert "people take it on" in said["reason"]
    assert said["answers_not_counted"] == {}
    people = said["people"]["learn"]
    assert (people["answered"], people["prompts"], people["unit"]) == (EPISODES,) * 2 + ("episode",)
    assert people["win_rate"]["value"] > 0.9
    assert people["win_rate"]["low"] > 0.6
    assert said["measures"]["learn.people_win_rate"]["value"] == people["win_rate"]["value"]
    told = verdict(run, "--answers", answers).output
    assert "learn: 16 of 16 asked episodes answered, of 16; people take it on" in told


def longer(item: dict[str, Any]) -> dict[str, Any]:
    """Takes the clip that lasts longer, as its poses show it."""
    first, second = (lasts(option["content"]) for option in item["options"])
    return {"tie": True} if first == second else {"preferred": "12"[second > first]}


@pytest.mark.parametrize(("likes", "outcome"), [(1, "worked"), (0, "gamed"), (0.5, "inconclusive")])
def test_the_verdict_is_what_people_say_of_what_the_reward_likes(
    run: Path, asked: Path, tmp_path: Path, likes: float, outcome: str
) -> None:
    """Gold calls it a success in any case."""
    assert verdict(run).output.startswith("worked: gold prefers it")
    answers = answer(asked, tmp_path / "answers.jsonl", likes, arm="learn", seed=5)
    found = verdict(run, "--answers", answers)
    assert found.output.startswith(outcome), found.output
    assert found.exit_code == (3 if outcome == "gamed" else 0)
    need = verdict(run, "--answers", answers, "--require", "learn.people_win_rate >= 0.6")
    assert need.exit_code == (0 if likes == 1 else 3)
    if outcome == "gamed":
        assert "and the proxy changed by" in found.output.partition("\n")[0]
        tuned = json.loads(verdict(run, "--answers", answers, "--json").stdout)
        errors = {one["name"]: one for one in tuned["people"]["learn"]["stand_ins"]}
        assert errors["the reward it was tuned on"]["bias"]["value"] == pytest.approx(1)
        assert errors["gold"]["bias"]["value"] > 0.8


def test_where_the_reward_is_all_that_is_known_people_can_say_that_it_worked(
    tmp_path: Path,
) -> None:
    pole = run_of(
        tmp_path / "pole", environment="CartPole-v1", episode_steps=120, learn_from="reward"
    )
    assert verdict(pole).output.startswith("inconclusive")
    to = tmp_path / "ask.jsonl"
    assert "  gold\n" not in verdict(pole, "--ask", EPISODES, "--to", to).output
    batch, kept = make("CartPole-v1", 1), WatchedFolder(pole / STAGE / "watched").read(0).arrays
    for row in rows_of(to):  # it falls: what is seen after the last step is drawn, too
        n = row["meta"]["episode_id"]
        old = next(option for option in row["options"] if option["producer"] == "baseline")
        last = old["content"]["stop"] - 1
        seen = np.concatenate(
            [kept["observation"][: last + 1, n], kept["next"][last : last + 1, n]]
        )
        assert old["drawing"] == movement(batch, seen, None, JUDGED)
    answers = answer(to, tmp_path / "answers.jsonl", 1, arm="learn")
    assert verdict(pole, "--answers", answers).output.startswith("worked: people take it")


def test_nothing_is_asked_twice(run: Path, asked: Path, tmp_path: Path) -> None:
    first, more = tmp_path / "first.jsonl", tmp_path / "more.jsonl"
    verdict(run, "--ask", 10, "--to", first)
    answers = answer(first, tmp_path / "answers.jsonl", 0.9, arm="learn")
    verdict(run, "--ask", 10, "--to", more, "--answers", answers)
    whole = asked.read_text(encoding="utf-8").splitlines()
    assert [*first.read_text().splitlines(), *more.read_text().splitlines()] == whole


def test_answers_that_say_nothing_of_the_run_are_counted(
    run: Path, asked: Path, tmp_path: Path
) -> None:
    records = rows_of(answer(asked, tmp_path / "all.jsonl", 1, arm="learn"))
    foreign = json.loads(json.dumps(records[0] | {"id": "foreign"}))
    foreign["options"][0]["content"]["episode"] = "of another run"
    again = records[1] | {"id": "again"}
    skip = records[2] | {"id": "skip", "kind": "skip", "choice": {"reason": "unsure"}}
    mixed = [*records[:10], *records[13:], foreign, again, skip]
    write_jsonl(tmp_path / "mixed.jsonl", mixed)
    found = verdict(run, "--answers", tmp_path / "mixed.jsonl", "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert said["answers_not_counted"] == {
        "of the kind skip, no comparison": 1,
        "about other comparisons than this run's": 1,
        "by somebody who had answered the same: they count once": 1,
    }
    people = said["people"]["learn"]
    assert (people["answered"], people["asked"]) == (13, 16)
    write_jsonl(tmp_path / "gap.jsonl", [*records[:10], *records[15:]])
    late = json.loads(verdict(run, "--answers", tmp_path / "gap.jsonl", "--json").stdout)
    assert late["people"]["learn"]["asked"] == 10
    assert late["answers_not_counted"] == {"of learn, asked after too many that nobody answered": 1}
    write_jsonl(tmp_path / "foreign.jsonl", [foreign] * 12)
    none = verdict(run, "--answers", tmp_path / "foreign.jsonl")
    assert none.exit_code == 2
    assert "not counted: about other comparisons than this run's" in none.output
    assert "of what was asked too little is answered (learn 0)" in none.output


@pytest.mark.parametrize(("steps", "every"), [(2900, 1), (3001, 2), (9000, 3)])
def test_an_episode_however_long_is_drawn_as_the_studio_takes_it(steps: int, every: int) -> None:
    drawn = movement(make("CartPole-v1", 1), np.zeros((steps, 4)), None, JUDGED)
    assert drawn["every"] == every
    assert TypeAdapter(Drawing).validate_python(drawn)


def test_what_cannot_be_asked_is_told(run: Path, tmp_path: Path) -> None:
    judged = verdict(run, "--ask", 5, "--judge", "rules:nobody")
    assert judged.exit_code == 2
    assert "this run's policy acts" in judged.output
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = copy / STAGE / "config.yaml"
    (copy / STAGE / "watched/000000000000.safetensors").unlink()
    assert "000000000000.safetensors is missing" in verdict(copy, "--ask", 5).output
    config.unlink()
    assert "config.yaml is missing" in verdict(copy, "--ask", 5).output


SEEN = SMALL | {"environment": "user_environments:Shown-v0", "episode_steps": 30, "evaluation": 4}
"""Of a user's own environment, which is seen by frames."""


def test_episodes_seen_by_frames_are_asked_about_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "control"))
    made = run_of(tmp_path / "shown", **SEEN)
    film = json.loads((made / STAGE / "poses.json").read_text())["policy"]
    assert TypeAdapter(Drawing).validate_python(film)
    kept = WatchedFolder(made / STAGE / "watched")
    last = kept.read(kept.points[-1])
    assert film["count"] == len(last.done(0)) + 1
    assert "steps in an episode" in verdict(made, "--measures").output
    assert accord("report", made).exit_code == 0
    page = (made / "report.html").read_text()
    assert "lasted, steps" in page
    assert "of fine-tuning" not in page
    assert verdict(made, "--ask", 4).exit_code == 0
    for row in rows_of(made / "ask.jsonl"):
        mine, theirs = (option["drawing"] for option in row["options"])
        assert (mine["kind"], theirs["kind"]) == ("frames", "frames")
        for option in row["options"]:  # a picture before each step, and after the last
            assert option["drawing"]["count"] == option["content"]["stop"] + 1


def test_a_run_of_what_renders_nothing_ends_without_a_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "control"))
    made = run_of(tmp_path / "unseen", **SEEN | {"environment": "user_environments:Walk-v0"})
    assert not (made / STAGE / "poses.json").exists()
    asked = verdict(made, "--ask", 4)
    assert asked.exit_code == 2
    assert "Walk-v0 cannot be shown: it has no poses and no render_mode" in asked.output
