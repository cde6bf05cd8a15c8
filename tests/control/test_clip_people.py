"""People judge clips through the studio while a policy learns: all of it by the public API."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from sqlalchemy import select

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from accord.cli.main import main
from accord.control.answering import SHOWN
from accord.control.asked_kinds import ASKED_KINDS, said_of
from accord.control.clip_learning import ClipLearning
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.episodes import EpisodeStore, windows
from accord.control.going_on import GoingOn
from accord.control.hearing import Hearing
from accord.control.judgement_log import JudgementLog
from accord.control.judging_project import open_project
from accord.control.making import make
from accord.control.people import Settled, StudioJudges, clip_key
from accord.control.poses import pose_drawing
from accord.control.reading_clips import judged_clips
from accord.control.recording import record, replay
from accord.control.rollouts import at_random
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import AskedClips, SimulatedWatcher
from accord.errors import ConfigError
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback
from accord.learning.session import LocalSession
from accord.runs.stages import clip_film
from accord.runs.stages.clip_film import last_answers
from accord.seeds import generator
from accord.studio.client import ApiError, Client
from accord.studio.people import accounts, api_tokens
from accord.studio.projects.incoming import BadItem, checked
from accord.studio.projects.settings import Attribute, ProjectSettings
from accord.studio.projects.training import RewardLearned, learned_so_far
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.tables import Project
from accord.studio.web.app import StudioConfig, create_app
from listening import listening

SMALL: dict[str, Any] = {
    "environment": "Pendulum-v1", "episode_steps": 40, "steps": 1200, "comparisons": 12, "horizon": "fixed",
    "first_comparisons": 6, "rounds": 2, "asked_until": 0.7, "clip": 10, "points": 1, "evaluation": 2,
    "policy": {"environments": 2, "rollout": 80, "minibatch": 80, "hidden": 8, "epochs": 1},
    "reward": {"hidden": 8, "first_steps": 4, "round_steps": 2},
}  # fmt: skip


CLIP = {"episode": "e", "start": 0, "stop": 4}
DRAWN = {
    "content": CLIP,
    "drawing": {"kind": "poses", "dt": 0.1, "limbs": [0.1], "frames": [[1, 2, 3, 4]]},
}
"""A clip as an option of an item."""


def owner(db: Database, name: str = "olga") -> str:
    """The token of an owner of the house."""
    account = db.transact(
        lambda session: accounts.create_account(session, name, "-", "owner", db.now(), None).id
    )
    visitor = accounts.Visitor(account, f"p-{name}", name, "owner", "en", "", "")
    return api_tokens.issue_token(db, visitor, "test", api_tokens.SCOPES, None)


def upper(item: dict[str, Any]) -> dict[str, Any]:
    """Prefers the clip in which the pendulum's tip is higher, as the poses show it."""
    heights = [
        sum(frame[3] for frame in option["content"]["drawing"]["frames"])
        for option in item["options"]
    ]
    if heights[0] == heights[1]:
        return {"tie": True}
    return {"preferred": "12"[heights[1] > heights[0]]}


def learning(folder: Path, db: Database, pause: Any, said: list[str]) -> tuple[ClipLearning, int]:
    settings = ClipLearningSettings.model_validate(SMALL)
    project, _ = open_project(db, "here", folder / "studio.json", "robots", settings.wording)
    people = StudioJudges(db, project, settings.wording, pause)
    return ClipLearning(settings, 5, folder, say=said.append, people=people), project


def test_people_teach_a_policy_through_the_api_while_it_learns(tmp_path: Path) -> None:
    """Judged by poses alone; it waits where the schedule says so; what is learned is told."""
    place = tmp_path / "studio.db"
    with closing(open_database(place)) as db, listening(create_app(StudioConfig(db))) as there:
        boss, waited, said = Client(there.url, owner(db)), list[tuple[int, int]](), list[str]()

        def pause(settled: int, due: int) -> None:
            waited.append((settled, due))
            bot = boss.make_bot("robots", f"bot-{len(waited)}")["token"]
            Client(there.url, bot).judge("robots", upper, most=4)

        learner, project = learning(tmp_path, db, pause, said)
        session = LocalSession()
        learner.run(session)
        # Six first; then not more than one round of three behind.
        assert waited == [(0, 6), (4, 6), (6, 9)]
        assert "3 comparisons asked, of rollout 5" in said
        assert said[-1] == "never given, and asked no more: 2 of 12 comparisons"
        late = Client(there.url, boss.make_bot("robots", "late")["token"])
        assert late.next_item("robots")["reason"] == "done"
        records = learner.records
        arms = [record.meta["selected_by"] for record in records]
        assert (arms[:6], set(arms[6:])) == (["random"] * 6, {"random", "active"})
        for record in records:  # what was judged is kept, as it was shown
            clips = [learner.store.clip(option.content) for option in record.options]  # type: ignore[arg-type]
            heights = [float(clip.observation_TO[:, 0].sum()) for clip in clips]
            best = record.options[heights[1] > heights[0]].id
            assert record.choice == Comparison(preferred=best), heights
        with db.read() as reading:
            told = learned_so_far(reading, project)
        assert [(one.asked, one.answered, one.held_out) for one in told] == [(6, 6, 0), (12, 10, 1)]
        asked = [(row["comparisons"], row["comparisons_asked"]) for row in session.history]
        assert asked == [(6, 6), (6, 6), (6, 9), (6, 9), (10, 12), (10, 12), (10, 12)]


def heights(item: dict[str, Any]) -> dict[str, float]:
    """How high the pendulum's tip is on average, by the place of the clip."""
    return {
        option["id"]: float(np.mean([row[3] for row in option["content"]["drawing"]["frames"]]))
        for option in item["options"]
    }


def by_height(item: dict[str, Any]) -> dict[str, Any]:
    """The answer of somebody who sees poses alone, in the kind that is asked for."""
    high = heights(item)
    best, *between, worst = sorted(high, key=lambda place: -high[place]) * (2 if len(high) == 1 else 1)  # fmt: skip
    if item["task"] == "ranking":
        return {"order": [[best], *([one] for one in between), [worst]]}
    if item["task"] == "best_worst":
        return {"best": best, "worst": worst}
    if item["task"] == "rating":
        return {"scores": {"overall": int(np.searchsorted([-60, -20, 20, 60], high[best])) + 1}}
    return {"up": high[best] > 0}


def test_people_answer_in_every_kind_through_the_api_and_the_reward_learns_it(
    tmp_path: Path,
) -> None:
    """Clips are the options of the studio's tasks; ids and episodes stay hidden."""
    batch = make("Pendulum-v1", 4, 60)
    episodes = record(batch, at_random(batch.actions), 24, seed=1).episodes
    store = EpisodeStore(tmp_path / "episodes")
    store.append(episodes)
    clips = [clip for episode in episodes for clip in windows(episode, 6)]
    drawings = {clip_key(clip): pose_drawing(store.clip(clip), batch) for clip in clips}
    with (
        closing(open_database(tmp_path / "studio.db")) as db,
        listening(create_app(StudioConfig(db))) as there,
    ):
        boss = Client(there.url, owner(db))
        for asks in ASKED_KINDS[1:]:
            project, slug = open_project(db, "here", tmp_path / f"{asks}.json", asks, "Which?", asks)  # fmt: skip
            people = StudioJudges(db, project, "Which?", lambda *_: None)
            many, size = 30 // (SHOWN[asks] + 1), SHOWN[asks]
            asked = [
                AskedClips(tuple(clips[n::many][:size]), "random", ()) for n in range(many)
            ]  # fmt: skip
            people.ask(1, asked, drawings)
            bot = Client(there.url, boss.make_bot(slug, f"bot for {asks}")["token"])
            seen = bot.next_item(slug)["item"]
            assert "episode" not in json.dumps(seen["options"])
            assert [option["id"] for option in seen["options"]] == list("1234")[:size]
            assert bot.judge(slug, by_height) == many
            assert people.settled() == Settled(many, many)
            records = people.judgements()
            assert {record.kind for record in records} == {asks}
            assert [len(record.options) for record in records] == [size] * many
            reward = ClipReward(ClipRewardSettings(sees="outcome", hidden=16, members=1, learning_rate=0.01), 3, batch.actions, 1)  # fmt: skip
            judged, left = judged_clips(records, store, reward)
            assert judged is not None
            assert not left
            reward.fix_scale(judged.clips_CLI.reshape(-1, 3))
            reward.learn(judged, 50)
            pieces = [store.clip(clip) for clip in clips[-200:]]
            score = reward.scores(np.stack([reward.of_episode(one) for one in pieces]))[0]
            high = np.array([one.observation_TO[1:, 0].sum() for one in pieces])
            assert np.corrcoef(score, high)[0, 1] > 0.6, asks


def test_a_clip_stopped_at_a_moment_is_learned_from_beside_the_answer(tmp_path: Path) -> None:
    """By the step of the episode; the answers are counted without what was said beside them."""
    batch = make("Pendulum-v1", 2, 40)
    store = EpisodeStore(tmp_path / "episodes")
    store.append(record(batch, at_random(batch.actions), 2, seed=1).episodes)
    clips = [clip for name in store.ids for clip in windows(store.episode(name), 10)]
    drawings = {clip_key(clip): pose_drawing(store.clip(clip), batch) for clip in clips}
    asked = [AskedClips((clips[n], clips[n + 1]), "random", ()) for n in (0, 2)]
    settings, said = ClipLearningSettings.model_validate(SMALL), list[str]()
    with (
        closing(open_database(tmp_path / "studio.db")) as db,
        listening(create_app(StudioConfig(db))) as there,
    ):
        project, slug = open_project(db, "here", tmp_path / "s.json", "r", "Q", "comparison", True)
        people = StudioJudges(db, project, "Q", lambda *_: None)
        people.ask(0, asked, drawings)
        bot = Client(there.url, Client(there.url, owner(db)).make_bot(slug, "bot")["token"])
        item = bot.next_item(slug)["item"]
        for stops, why in (({"1": 0}, "0 is not a step from 1 to 9"), ({"1": 10}, "10 is not"), ({"3": 2}, "no option '3'"), ({"1": True}, "True is not")):  # fmt: skip
            with pytest.raises(ApiError, match=why):
                bot.submit(slug, item, {"preferred": "1", "stops": stops})
        bot.submit(slug, item, {"preferred": "1", "stops": {"2": 4}})
        bot.judge(slug, lambda _: {"preferred": "2"})
        plain, other = open_project(db, "here", tmp_path / "o.json", "other", "Q")
        StudioJudges(db, plain, "Q", lambda *_: None).ask(0, asked, drawings)
        bot = Client(there.url, Client(there.url, owner(db, "otto")).make_bot(other, "bob")["token"])  # fmt: skip
        with pytest.raises(ApiError, match="does not ask where clips go wrong"):
            bot.submit(other, bot.next_item(other)["item"], {"preferred": "1", "stops": {"2": 4}})
        hearing = Hearing(people, settings, JudgementLog(tmp_path / "feedback.jsonl"), said.append)
        hearing.listen(0)
    assert (hearing.answered, hearing.fresh) == (2, 3)
    assert said == ["stops at a moment, beside the comparisons: 1"]
    records = people_said(hearing)
    (stop,) = (one for one in records if one.meta.get("grounds") == "stop")
    (answer,) = (one for one in records if stop.id.startswith(f"{one.id}.stop."))
    stopped = next(o.content for o in answer.options if o.id not in answer.choice.named())
    until, whole = (option.content for option in stop.options)
    assert whole == stopped
    assert isinstance(stopped, Clip)
    assert until == stopped.model_copy(update={"stop": stopped.start + 4})
    assert stop.choice.named() == [stop.options[0].id]
    reward = ClipReward(ClipRewardSettings(), 3, batch.actions, 1)
    judged, left = judged_clips(records, store, reward)
    assert judged is not None
    assert not left
    assert (len(judged), judged.uneven) == (3, 1)


def test_the_policy_goes_on_from_where_a_clip_was_stopped_and_asks_again(tmp_path: Path) -> None:
    """Once for each stop, from the very state; what is preferred is a correction, beside the
    answers that the schedule counts. A trainer that was killed before it asked asks about the
    tries it kept."""
    settings = ClipLearningSettings.model_validate(
        SMALL
        | {"environment": "accord:Backflip", "horizon": "floor", "steps": 640, "comparisons": 4}
        | {"first_comparisons": 2, "rounds": 1, "ahead": 0}
    )
    said, seen = list[str](), list[int]()
    with (
        closing(open_database(tmp_path / "studio.db")) as db,
        listening(create_app(StudioConfig(db))) as there,
    ):
        project, slug = open_project(db, "h", tmp_path / "s.json", "r", "Q", "comparison", True)
        token = Client(there.url, owner(db)).make_bot(slug, "bot")["token"]

        def answer(item: dict[str, Any]) -> dict[str, Any]:
            """Stops the first clip ever seen at its fourth step; prefers what is on the left."""
            seen.append(item["view"])
            return {"preferred": "1"} | ({"stops": {"2": 4}} if len(seen) == 1 else {})

        people = StudioJudges(
            db, project, "Q", lambda *_: [Client(there.url, token).judge(slug, answer)][:0], True
        )
        learner = ClipLearning(settings, 5, tmp_path, say=said.append, people=people)
        learner.run(LocalSession())
        assert learner.answered == 4
        assert "the policy went on from a stop, and asks which is better: 1" in said
        assert "answers about what followed a stop, beside the comparisons: 1" in said
        assert people.corrections() == Settled(1, 1)
        stop, correction = (
            next(one for one in learner.records if one.meta.get("grounds") == grounds)
            for grounds in ("stop", "correction")
        )
        until, whole = (option.content for option in stop.options)
        assert isinstance(until, Clip)
        assert correction.meta["stop"] == stop.id
        before, after = (learner.store.clip(option.content) for option in correction.options)  # type: ignore[arg-type]
        assert correction.options[0].content == whole
        assert after.state_TS is not None
        np.testing.assert_array_equal(before.state_TS[:5], after.state_TS[:5])  # type: ignore[index]
        assert (before.action_TA[4:] != after.action_TA[4:]).any()
        assert after.steps == before.steps or after.terminated_T[-1]
        assert replay(after).exact
        tries = len(learner.store)
        going = GoingOn(people, learner.store, learner.questions.film, "comparison", 5, said.append)
        going.answer(learner.records, learner.learner.actor())
        assert (len(learner.store), people.corrections().asked) == (tries, 1)
        fresh = stop.model_copy(update={"id": "another"})  # of the same moment: the same question
        going.answer([fresh], learner.learner.actor())
        assert (len(learner.store), people.corrections().asked) == (tries, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"studio": {"goes_on": True}}, "studio.goes_on goes on from stops"),
        ({"studio": {"goes_on": True, "stops": True}, "asks": "rating"}, "clips are seen one by one"),
        ({"studio": {"goes_on": True, "stops": True}}, "the state of Pendulum-v1 cannot be set"),
    ],
)  # fmt: skip
def test_what_cannot_be_gone_on_with_is_refused_before_a_run(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    stage = SMALL | {"kind": "learn_from_clips", "people": "studio"} | more
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"learn": stage}}))
    done = CliRunner().invoke(main, ["run", str(recipe), "--dry-run"])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_dry_run_says_what_people_are_asked(tmp_path: Path) -> None:
    stage = SMALL | {"kind": "learn_from_clips", "people": "studio", "asks": "best_worst"}
    stage |= {"environment": "accord:Backflip", "horizon": "floor"}
    stage["studio"] = {"stops": True, "goes_on": True}
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"learn": stage}}))
    told = " ".join(CliRunner().invoke(main, ["run", str(recipe), "--dry-run"]).output.split())
    assert (
        "somebody in the studio, who sees poses, says the best and the worst of 4 clips at a time: 12"
        " choices of the best and the worst, first 6 before the policy learns, then 2 rounds of the"
        " others"
    ) in told
    assert "may be stopped at a moment, from which the policy goes on and asks again" in told


def test_a_picture_that_is_none_is_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    stage = SMALL | {"kind": "learn_from_clips", "people": "studio", "horizon": "floor"}
    recipe = tmp_path / "small.yaml"
    for name, said in (("Shown", "who sees frames"), ("Nowhere", "renders uint8 [0, 0, 3]")):
        stage |= {"environment": f"user_environments:{name}-v0"}
        recipe.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"learn": stage}}))
        done = CliRunner().invoke(main, ["run", str(recipe), "--dry-run"])
        assert (done.exit_code, said in done.output) == (0 if name == "Shown" else 2, True)


def test_a_run_that_fails_before_anything_is_asked_leaves_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment fails in the first walk."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    place = tmp_path / "studio.db"
    stage = SMALL | {"kind": "learn_from_clips", "people": "studio", "horizon": "floor"}
    stage |= {"environment": "user_environments:Torn-v0", "studio": {"database": str(place)}}
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"learn": stage}}))
    done = CliRunner().invoke(main, ["run", str(recipe), "--out", str(tmp_path / "robots")])
    assert done.exit_code == 1
    assert "the motor burnt out" in done.output
    assert "people judge in the project" not in done.output
    with closing(open_database(place)) as db, db.read() as session:
        assert list(session.scalars(select(Project.slug))) == []


def people_said(hearing: Hearing) -> list[Feedback]:
    return [Feedback.model_validate(row) for row in hearing.log.rows]


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("comparison", [{"content": CLIP}, "a text"], "use one of the tasks clips, ranking"),
        ("ranking", [DRAWN, "a text"], "option 2 is a text beside clips"),
        ("thumb", [DRAWN | {"content": "a text"}], "is a text, and has a drawing"),
        ("correction", [DRAWN | {"content": "a text"}], "those are for the tasks clips"),
        ("rating", [{"content": CLIP}], "give its drawing"),
        ("ranking", [DRAWN] * 2, "two options have the same text"),
    ],
)  # fmt: skip
def test_clips_are_options_of_some_tasks_and_not_beside_texts(
    task: Any, options: list[Any], said: str
) -> None:
    scale = [Attribute(name="overall")] if task == "rating" else []
    with pytest.raises(BadItem, match=said):
        checked({"options": options}, ProjectSettings(name="n", task=task, attributes=scale))


def test_what_somebody_skips_is_settled_and_says_nothing(tmp_path: Path) -> None:
    clips = [Clip(episode=name, start=0, stop=1) for name in "ab"]
    drawing = {"kind": "poses", "dt": 0.1, "limbs": [0.1], "frames": [[1, 2, 3, 4]]}
    with (
        closing(open_database(tmp_path / "studio.db")) as db,
        listening(create_app(StudioConfig(db))) as there,
    ):
        project, _ = open_project(db, "here", tmp_path / "studio.json", "robots", "Which?")
        people = StudioJudges(db, project, "Which?", lambda *_: None)
        asked = [AskedClips((clips[0], clips[1]), "random", (np.zeros(1),) * 2)]
        people.ask(2, asked, {clip_key(clip): drawing for clip in clips})
        assert people.settled() == Settled(1, 0)
        token = Client(there.url, owner(db)).make_bot("robots", "bot")["token"]
        Client(there.url, token).judge("robots", lambda item: None, most=1)
        assert people.settled() == Settled(1, 1)
        assert people.judgements() == []
        assert (people.standing(2), people.standing(1)) == (1, 0)


class Bystander:
    """Has judged everything as soon as it is asked, from what is shown."""

    def __init__(self, db: Database, project: int) -> None:
        self.seen: list[dict[str, Any]] = []
        self.inner = StudioJudges(db, project, "Which?", lambda *_: None)
        self.told: list[RewardLearned] = []

    def standing(self, rollout: int) -> int:
        return self.inner.standing(rollout)

    def ask(self, rollout: int, asked: Any, drawings: Any) -> None:
        self.seen += drawings.values()
        self.drawn = getattr(self, "drawn", {}) | dict(drawings)
        self.inner.ask(rollout, asked, drawings)
        self.records = getattr(self, "records", []) + SimulatedWatcher("Which?", 1.0).judge(asked, generator(rollout, "by"))  # fmt: skip

    goes_on = False

    def gone_on(self) -> set[str]:
        return set()

    def ask_again(self, stop: str, clips: Any, drawings: Any) -> int:
        raise AssertionError("nothing is stopped")

    def corrections(self) -> Settled:
        return Settled(0, 0)

    def settled(self) -> Settled:
        return Settled(self.inner.settled().asked, len(self.records))

    def judgements(self) -> list[Feedback]:
        return list(self.records)

    def pause(self, settled: int, due: int) -> None:
        raise AssertionError("everything was judged")

    def tell(self, learned: RewardLearned) -> None:
        self.told.append(learned)

    def close(self) -> None:
        return None


def test_an_environment_without_poses_is_seen_by_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    more = {"environment": "user_environments:Shown-v0", "horizon": "floor"}
    settings = ClipLearningSettings.model_validate(SMALL | more)
    with closing(open_database(tmp_path / "studio.db")) as db:
        project, _ = open_project(db, "here", tmp_path / "studio.json", "robots", "Which?")
        people = Bystander(db, project)
        learner = ClipLearning(settings, 5, tmp_path, people=people)
        learner.run(LocalSession())
        answers = last_answers(learner, people.inner)
        monkeypatch.setattr(clip_film, "HEAVIEST_FRAMES", 1)
        assert last_answers(learner, people.inner) == []
    assert people.told[-1].judgements == 12
    for said, answer in zip(learner.records[-4:], answers, strict=True):  # as they were seen
        for option, clip in zip(said.in_order, answer["clips"], strict=True):
            assert clip["sheet"] == people.drawn[clip_key(option.content)]["sheet"]  # type: ignore[arg-type]
            assert clip["note"] == said_of(said, option)
    for shown in people.seen:
        assert (shown["kind"], shown["width"], shown["height"], shown["dt"]) == ("frames", 150, 100, 0.1)  # fmt: skip
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(people.seen[0]["sheet"]))))
    piece = learner.store.clip(learner.records[0].options[0].content)  # type: ignore[arg-type]
    for number in range(people.seen[0]["count"]):  # the brightness of each is where it was
        row, column = divmod(number, people.seen[0]["columns"])
        brightness = sheet[row * 100 + 50, column * 150 + 75].mean()
        assert brightness == pytest.approx(
            np.clip(100 + 100 * piece.observation_TO[number, 0], 0, 255), abs=6
        )
    for name, said in (("Walk", "cannot be shown: it has no poses"), ("Misdrawn", "renders float64")):  # fmt: skip
        broken = settings.model_copy(update={"environment": f"user_environments:{name}-v0"})
        with pytest.raises(ConfigError, match=said):
            ClipLearning(broken, 5, tmp_path / name, people=people).run(LocalSession())


def test_a_run_whose_project_is_gone_says_so(tmp_path: Path) -> None:
    for name in ("one.db", "other.db"):
        with closing(open_database(tmp_path / name)) as db:
            if name == "one.db":
                made = open_project(db, name, tmp_path / "studio.json", "robots", "Which?")
                assert open_project(db, name, tmp_path / "studio.json", "x", "y") == made
                continue
            with pytest.raises(ConfigError, match=r"'robots', in which .* is not in other.db"):
                open_project(db, name, tmp_path / "studio.json", "robots", "Which?")


@pytest.mark.parametrize(
    ("drawing", "said"),
    [
        ({"kind": "poses", "dt": 0.1, "limbs": [0.1], "frames": [[1, 2, 3]]}, "pose 0 has 3 numbers for 1 limbs"),
        ({"kind": "poses", "dt": 0, "limbs": [0.1], "frames": [[1, 2, 3, 4]]}, "greater than 0"),
        ({"kind": "poses", "dt": 0.1, "limbs": [float("nan")], "frames": [[1, 2, 3, 4]]}, "finite"),
        ({"kind": "frames", "dt": 0.1, "sheet": "<svg>", "type": "image/png", "width": 1, "height": 1, "columns": 1, "count": 1}, "not base64"),
        ({"kind": "frames", "dt": 0.1, "sheet": "PHN2Zz4=", "type": "image/png", "width": 1, "height": 1, "columns": 1, "count": 1}, "no image/png"),
        (None, "give its drawing"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_no_item(drawing: Any, said: str) -> None:
    settings = ProjectSettings(name="n", task="clips")
    row = {"options": [{"content": {"episode": e, "start": 0, "stop": 1}, "drawing": drawing} for e in "ab"]}  # fmt: skip
    with pytest.raises(BadItem, match=said):
        checked(row, settings)


@pytest.mark.slow
def test_nothing_judged_is_lost_when_trainer_and_studio_are_killed(tmp_path: Path) -> None:
    """kill -9 while people judge; they go on meanwhile, the studio is started anew, the run goes
    on, and nobody is asked twice."""
    place = tmp_path / "studio.db"
    stage = SMALL | {"kind": "learn_from_clips", "people": "studio", "ahead": 0}
    stage["studio"] = {"database": str(place), "every_seconds": 0.3}  # the run names the project
    stage["checkpoints"] = {"every_steps": 1}
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"learn": stage}}))
    folder = tmp_path / "robots"

    def train(*how: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "accord.cli", "run", *how]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def judge(url: str, token: str, most: int) -> list[str]:
        """Answers of as many items as people come to."""
        client, given = Client(url, token), list[str]()
        deadline = time.monotonic() + 120
        while len(given) < most and time.monotonic() < deadline:
            item = client.next_item("robots")["item"]
            if item is None:
                time.sleep(0.3)
                continue
            given.append(client.submit("robots", item, upper(item))["answer_id"])
        return given

    with closing(open_database(place)) as db:
        boss = owner(db)
        trainer = train(str(recipe), "--out", str(folder))
        with listening(create_app(StudioConfig(db))) as there:
            deadline = time.monotonic() + 120
            while not any(p["slug"] == "robots" for p in Client(there.url, boss).projects()):
                assert trainer.poll() is None, trainer.communicate()[0].decode()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            bot = Client(there.url, boss).make_bot("robots", "bot")["token"]
            given = judge(there.url, bot, 7)  # one of the second asking: a checkpoint is behind it
            trainer.send_signal(signal.SIGKILL)
            trainer.communicate()
            given += judge(there.url, bot, 1)
    with closing(open_database(place)) as db, listening(create_app(StudioConfig(db))) as there:
        trainer = train("--resume", str(folder))
        given += judge(there.url, bot, 4)
        told = trainer.communicate(timeout=120)[0].decode()
        assert trainer.returncode == 0, told
        assert Client(there.url, bot).next_item("robots")["reason"] == "done"
        items = list(Client(there.url, boss).items("robots"))
    rows = (folder / "stages/01-learn/feedback.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == given
    assert len(items) == len(given) == 12
