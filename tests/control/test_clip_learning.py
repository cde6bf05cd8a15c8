"""The loop: it learns from comparisons, a resume is the same to the bit, and what cannot be is said."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

from accord.control.answering import SHOWN
from accord.control.asked_kinds import QUESTIONS, AskedKind
from accord.control.clip_learning import ClipLearning
from accord.control.evaluation import watch
from accord.control.keeping import EPISODES, best
from accord.control.ppo import VectorPpo
from accord.control.replay import ReplayBuffer
from accord.control.rollouts import Act, Steps
from accord.control.sac import Sac
from accord.control.settings import ClipLearningSettings
from accord.errors import AccordError, ConfigError, Interrupted, RunError
from accord.learning.session import LocalSession
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from accord.runs.recipe import Recipe, load
from accord.runs.stage import Value
from accord.statistics.intervals import Array

SMALL: dict[str, Any] = {
    "environment": "accord:Backflip", "episode_steps": 60, "steps": 1200, "comparisons": 12,
    "first_comparisons": 6, "rounds": 2, "asked_until": 0.7, "clip": 15, "elsewhere_first": 0.4, "elsewhere": 0.5, "anew": [0.5], "keep": "best",
    "points": 2, "evaluation": 3, "zero_first": -0.4, "ending_costs": 3.0,
    "policy": {"environments": 4, "rollout": 50, "minibatch": 100, "hidden": 8, "epochs": 1},
    "reward": {"hidden": 8, "first_steps": 4, "round_steps": 2, "anew_steps": 3},
}  # fmt: skip

SOFT: dict[str, Any] = SMALL | {
    "learner": "sac", "steps": 600, "points": 1,
    "sac": {"environments": 2, "rollout": 25, "minibatch": 16, "hidden": 8, "updates_per_step": 0.04,
            "random_steps": 100, "explore": 200, "recent": 3, "buffer": 500},
}  # fmt: skip
del SOFT["policy"]


@pytest.fixture(autouse=True)
def beside_the_users_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def recipe(tmp_path: Path, **more: Any) -> Recipe:
    path = tmp_path / "small.yaml"
    stage = SMALL | more | {"kind": "learn_from_clips"}
    path.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"learn": stage}}))
    return load(str(path))


def run(made: Recipe, folder: Path, resume: bool = False) -> dict[str, Value]:
    runner.execute(made, folder, resume, StageProgress(), {})
    found: dict[str, Value] = json.loads((folder / "stages/01-learn/result.json").read_text())
    return found


def left(folder: Path) -> dict[str, str]:
    """Hashes of all that a run leaves, but for times."""
    stage = folder / "stages/01-learn"
    files = [*stage.glob("*.safetensors"), *stage.glob("episodes/*"), *stage.glob("watched/*")]
    files += [stage / name for name in ("feedback.jsonl", "episodes.json", "poses.json")]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


class Stops(LocalSession):
    """Writes the state after a step, then is interrupted."""

    def __init__(self, after: int, path: Path) -> None:
        super().__init__()
        self.after, self.path = after, path

    def end_step(self, step: int, total: int, values: Any, state: Any, where: str = "") -> None:
        super().end_step(step, total, values, state, where)
        if step == self.after:
            torch.save(state(), self.path)
        if step == self.after + 1:  # more was done and written since
            raise Interrupted("stopped")


def test_a_run_leaves_policy_reward_judgements_evidence_and_a_page(tmp_path: Path) -> None:
    result = run(recipe(tmp_path), tmp_path / "run")
    assert result["values"]["comparisons"] == 12
    records = [json.loads(line) for line in (tmp_path / "run/stages/01-learn/feedback.jsonl").read_text().splitlines()]  # fmt: skip
    assert [r["meta"]["selected_by"] for r in records[:6]] == ["random"] * 6
    assert {r["meta"]["selected_by"] for r in records[6:]} == {"random", "active"}
    assert {r["options"][0]["content"]["stop"] - r["options"][0]["content"]["start"] for r in records} == {15}  # fmt: skip
    verdict = json.loads((tmp_path / "run/verdict.json").read_text())
    assert {rule["name"] for rule in verdict["arms"][0]["rules"]} >= {"gold rose", "the proxy rose alone"}  # fmt: skip
    page = (tmp_path / "run/report.html").read_text()
    assert 'id="acts"' in page
    assert '"limbs":' in page
    assert "clean flips" in page


def test_who_learned_from_the_reward_is_not_judged_by_it_alone(tmp_path: Path) -> None:
    run(recipe(tmp_path, learn_from="reward"), tmp_path / "run")
    evidence = json.loads((tmp_path / "run/stages/01-learn/episodes.json").read_text())
    assert evidence["gold_by"] == "tuned on"


@pytest.mark.parametrize(
    ("environment", "after"),
    [("accord:Backflip", 2), ("accord:Backflip", 3), ("accord:Backflip", 4), ("Pendulum-v1", 2)],
)
def test_a_resumed_run_is_the_same_to_the_bit(tmp_path: Path, environment: str, after: int) -> None:
    """Where the state can be set, before, as and after the policy begins anew; where it cannot, it
    says that new episodes begin."""
    settings = ClipLearningSettings.model_validate(SMALL | {"environment": environment} | (
        {} if environment.startswith("accord") else {"elsewhere": 0, "elsewhere_first": 0, "horizon": "fixed", "ending_costs": 0}
    ))  # fmt: skip
    said: list[str] = []
    whole = ClipLearning(settings, 5, tmp_path / "whole")
    whole.run(LocalSession())
    session = Stops(after, tmp_path / "state.pt")
    with pytest.raises(Interrupted):
        ClipLearning(settings, 5, tmp_path / "half").run(session)
    again = ClipLearning(settings, 5, tmp_path / "half", say=said.append)
    again.run(LocalSession(torch.load(session.path, weights_only=True)))
    assert len(again.records) == len(whole.records) == 12
    assert again.store.ids == EpisodeIds(tmp_path / "half")
    if environment == "Pendulum-v1":
        assert said[0] == "the state of Pendulum-v1 cannot be set: new episodes begin"
        return
    assert again.records == whole.records
    mine = again.learner.arrays(), again.reward.arrays(), *again._lived
    theirs = whole.learner.arrays(), whole.reward.arrays(), *whole._lived
    assert len(again._lived) == 1  # of two lives
    for ours, others in zip(mine, theirs, strict=True):
        for name, array in ours.items():
            assert (array == others[name]).all(), name


def test_what_is_taken_back_is_read_no_more(tmp_path: Path) -> None:
    """Records that were read are not read again, and those of rows that went are gone."""
    learning = ClipLearning(ClipLearningSettings.model_validate(SMALL), 5, tmp_path)
    learning.run(LocalSession())
    before, log = learning.records, learning.questions._log
    gone = log.rows[1]
    log.keep(lambda row: row is not gone)
    log.append([gone | {"id": "said-later"}])
    after = learning.records
    assert [one.id for one in after] == [
        before[0].id,
        *(one.id for one in before[2:]),
        "said-later",
    ]
    assert after[0] is before[0]


@pytest.mark.parametrize(
    ("environment", "by_chance"), [("user_environments:Walk-v0", 1), ("Pendulum-v1", 0)]
)
@pytest.mark.parametrize("asks", ["comparison", "rating"])
def test_a_watcher_who_answers_by_chance_says_so_once(
    tmp_path: Path, environment: str, by_chance: int, asks: AskedKind
) -> None:
    """One environment pays 1 for every step of clips that last equally long."""
    own = {"environment": environment, "elsewhere": 0, "elsewhere_first": 0, "asks": asks}
    said = list[str]()
    made = ClipLearningSettings.model_validate(SMALL | own | {"clip": 4, "ending_costs": 0})
    ClipLearning(made, 5, tmp_path, say=said.append).run(LocalSession())
    told = [one for one in said if "the simulated watcher answers by chance" in one]
    assert len(told) == by_chance
    assert all(one.startswith(f"{environment} paid the same for every clip") for one in told)


@pytest.mark.parametrize("asks", ["ranking", "best_worst", "rating", "thumb"])
def test_a_run_asks_in_any_kind(tmp_path: Path, asks: AskedKind) -> None:
    """As many answers as the schedule says, each about as many different clips as its kind is, a
    quarter drawn at random; what is held out is ordered; the scale of ratings goes on as it was."""
    settings = ClipLearningSettings.model_validate(
        SMALL | {"asks": asks, "comparisons": 30, "first_comparisons": 14, "mistakes": 0.1}
    )
    whole, kept = ClipLearning(settings, 5, tmp_path / "whole"), LocalSession()
    whole.run(kept)
    records = whole.records
    assert [row["comparisons"] for row in kept.history] == [14, 14, 22, 22, 30, 30]
    assert {record.kind for record in records} == {asks}
    assert len({record.id for record in records}) == 30
    for record in records:
        assert len({option.content.model_dump_json() for option in record.options}) == SHOWN[asks]  # type: ignore[union-attr]
        assert record.prompt == QUESTIONS[asks]
    arms = [record.meta["selected_by"] for record in records]
    assert arms[:14] == ["random"] * 14
    assert arms[14:].count("random") == 4
    assert 0 <= whole.told["heldout_agreement"] <= 1
    assert whole.told["heldout_pairs"] >= 1
    if asks != "rating":
        return
    session = Stops(3, tmp_path / "state.pt")
    with pytest.raises(Interrupted):
        ClipLearning(settings, 5, tmp_path / "half").run(session)
    again = ClipLearning(settings, 5, tmp_path / "half")
    again.run(LocalSession(torch.load(session.path, weights_only=True)))
    assert again.records == records
    for name, array in again.reward.arrays().items():
        assert (array == whole.reward.arrays()[name]).all(), name


def EpisodeIds(folder: Path) -> list[str]:
    from accord.control.episodes import EpisodeStore

    return EpisodeStore(folder / "episodes").ids


def test_an_interrupted_run_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the runner: every file it leaves."""
    made = recipe(tmp_path, checkpoints={"every_steps": 1})
    run(made, tmp_path / "whole")
    walk = ClipLearning._walk_and_learn

    def stopping(self: ClipLearning, number: int) -> Any:
        if number == 4 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        return walk(self, number)

    monkeypatch.setattr(ClipLearning, "_walk_and_learn", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(made, tmp_path / "cut")
    run(made, tmp_path / "cut", resume=True)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_soft_actor_critic_killed_at_any_moment_ends_as_if_it_was_not(tmp_path: Path) -> None:
    """By kill -9 while it explores and after it: what it remembers goes on too, and so do the
    rollouts of which nothing was asked yet, and the scale that a watcher rates on."""
    made = recipe(tmp_path, **SOFT, policy={}, asks="rating", checkpoints={"every_steps": 1})
    run(made, tmp_path / "whole")
    walk, dies_at = ClipLearning._walk_and_learn, [3, 9]

    def dying(self: ClipLearning, number: int) -> Any:
        if number == dies_at[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return walk(self, number)

    for resume in (False, True):
        child = os.fork()
        if not child:
            ClipLearning._walk_and_learn = dying  # type: ignore[method-assign]
            run(made, tmp_path / "killed", resume)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        dies_at.pop(0)
    run(made, tmp_path / "killed", resume=True)
    assert "on 0 to 4</span>" in (tmp_path / "killed/report.html").read_text()
    assert left(tmp_path / "killed") == left(tmp_path / "whole")


def test_soft_actor_critic_learns_in_the_same_loop(tmp_path: Path) -> None:
    """Nothing is asked while it explores; clips come from several rollouts; all that it remembers
    is told by the reward as it is; what acts can be taken elsewhere."""
    from accord.control.leaving import saved_policy

    settings = ClipLearningSettings.model_validate(SOFT | {"learn_from": "comparisons"})
    assert settings.first_asked == 4
    assert min(settings.schedule()) == 4
    learning, session = ClipLearning(settings, 3, tmp_path), LocalSession()
    learning.run(session)
    asked = [row["comparisons"] for row in session.history]
    assert asked[:4] == [0] * 4
    assert asked[4] == 6
    assert asked[-1] == 12
    lengths = {episode.steps for name in learning.store.ids for episode in [learning.store.episode(name)]}  # fmt: skip
    assert max(lengths) > 25  # longer than one rollout
    assert isinstance(learning.learner, Sac)
    kept = learning.learner.buffer.all()
    assert len(learning.learner.buffer) == min(500, learning.environment_steps)
    inputs = learning.reward.inputs(*(column.double().numpy() for column in (kept.seen_SO, kept.action_SA, kept.next_SO)))  # fmt: skip
    wanted = learning.pay.worth(settings.rollouts - 1, inputs, kept.over_S.numpy())
    np.testing.assert_allclose(kept.reward_S, wanted, rtol=1e-4, atol=1e-4)
    learning.save(tmp_path)
    size, form = learning.environments.observation_size, learning.environments.actions
    seen = np.random.default_rng(0).normal(size=(5, size))
    for act in (
        learning.learner.actor(),
        saved_policy(tmp_path / "policy.safetensors", size, form),
    ):
        found = act(seen, np.random.default_rng(1))[0]
    np.testing.assert_array_equal(found, learning.learner.actor()(seen, np.random.default_rng(1))[0])  # fmt: skip


@pytest.mark.parametrize("teacher", ["reward", "comparisons"])
def test_a_policy_learns_while_a_rollout_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: str
) -> None:
    """After every `update_every` steps, as often in all as the steps ask for, by the policy as it
    then is; clips are cut from whole rollouts all the same. What it remembers is told anew once
    where the zero of rewards moves, and once more where the reward learned."""
    soft = {"rollout": 25, "environments": 2, "minibatch": 8, "hidden": 8, "random_steps": 10,
            "update_every": 10, "updates_per_step": 0.125}  # fmt: skip
    made = SOFT | {"learn_from": teacher, "steps": 300, "sac": soft, "anew": [], "keep": "last",
                   "zero_until": 0.99, "reward": SMALL["reward"] | {"anew_steps": 0}}  # fmt: skip
    settings, acted = ClipLearningSettings.model_validate(made), list[tuple[int, int]]()
    learning, session = ClipLearning(settings, 3, tmp_path), LocalSession()
    walk, walked = learning._walker.walk, list[Steps]()

    def watched(act: Act, steps: int, *more: Any) -> Steps:
        assert isinstance(learning.learner, Sac)
        acted.append((steps, learning.learner._optimizer.steps))
        walked.append(walk(act, steps, *more))
        return walked[-1]

    monkeypatch.setattr(learning._walker, "walk", watched)
    anew, relabel = list[int](), ReplayBuffer.relabel
    monkeypatch.setattr(ReplayBuffer, "relabel", lambda *a: (anew.append(len(session.history)), relabel(*a)))  # fmt: skip
    learning.run(session)
    whole = teacher == "comparisons"  # nothing to learn from in the first rollout
    first, later = ([25], acted[-15:]) if whole else ([10, 10, 5], acted[3:])
    assert [steps for steps, _ in acted[: len(first)]] == first  # and more, for the first clips
    assert [steps for steps, _ in later] == [10, 10, 5] * 5
    before = 50 + np.cumsum([0, *(2 * steps for steps, _ in later[:-1])])
    assert [updates for _, updates in later] == (before // 8).tolist()
    assert session.history[-1]["optimizer_steps"] == 300 // 8
    if whole:
        lengths = {learning.store.episode(name).steps for name in learning.store.ids}
        assert max(lengths) > 10
        asked = {number for number in settings.schedule() if number}
        assert anew == sorted([*range(6), *asked])
    else:
        assert not anew
    assert isinstance(learning.learner, Sac)  # it remembers every step once
    seen = [one.next_TNO.reshape(-1, one.next_TNO.shape[-1]) for one in walked]
    there = learning.learner.buffer.all().next_SO.numpy()
    np.testing.assert_array_equal(np.unique(there, axis=0), np.unique(np.concatenate(seen).astype(np.float32), axis=0))  # fmt: skip
    assert len(there) == sum(map(len, seen))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_every_step_of_a_rollout_lies_in_one_part(rollout: int, every: int, explore: int) -> None:
    sac = {"rollout": rollout, "update_every": min(every, rollout), "environments": 1,
           "explore": explore, "random_steps": 0}  # fmt: skip
    made = {"environment": "accord:Hopper", "learner": "sac", "sac": sac, "steps": 2000, "clip": 1,
            "comparisons": 2, "first_comparisons": 1, "rounds": 1}  # fmt: skip
    timetable = ClipLearningSettings.model_validate(made)
    for number in range(timetable.rollouts):
        parts = timetable.parts(number)
        assert sum(parts) == rollout
        assert len(parts) == (
            1 if number <= timetable.first_asked else -(-rollout // sac["update_every"])
        )
    assert ClipLearningSettings(environment="accord:Hopper").parts(5) == [timetable.policy.rollout]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**SOFT, "policy": {}, "sac": {"rollout": 20, "update_every": 21}}, "update_every 21 is more than a rollout of 20"),
        ({"sac": {"hidden": 8}}, "settings under sac with learner: ppo: set learner: sac"),
        ({"learner": "sac"}, "settings under policy with learner: sac"),
        ({**SOFT, "policy": {}, "learn_from": "reward"}, "learn_from: reward explores nothing"),
        ({**SOFT, "policy": {}, "steps": 200}, "200 steps of exploring leave none of 200"),
        ({**SOFT, "policy": {}, "steps": 100}, "sac.random_steps 100 leave none of 100 to learn"),
        ({**SOFT, "policy": {}, "clip": 30}, "a clip of 30 steps is longer than a rollout of 25"),
        ({**SOFT, "policy": {}, "asked_until": 0.2}, "2 rounds in 0 rollouts"),
        (
            {**SOFT, "policy": {}, "environment": "CartPole-v1", "elsewhere": 0, "elsewhere_first": 0},
            "they are one of 2",
        ),
        ({**SOFT, "policy": {}, "sac": {"hiden": 8}}, 'did you mean "hidden"'),
    ],
)  # fmt: skip
def test_each_learner_has_its_own_settings_and_what_it_cannot_do_is_said(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(recipe(tmp_path, **given), tmp_path / "run")
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"environment": "accord:Backfilp"}, 'did you mean "accord:Backflip"'),
        ({"environment": "accord:Hopper"}, "accord:Hopper has no other starts"),
        ({"first_comparisons": 20}, "first_comparisons 20 are more than all 12"),
        ({"clip": 70}, "a clip of 70 steps is longer than a rollout of 50"),
        ({"episode_steps": 10}, "a clip of 15 steps is longer than an episode of 10"),
        (
            {
                "environment": "user_environments:Endless-v0",
                "episode_steps": None,
                "elsewhere": 0,
                "elsewhere_first": 0,
            },
            "Endless-v0 does not say how long an episode is",
        ),
        ({"rounds": 7}, "6 comparisons cannot be spread over 7 rounds"),
        (
            {"asked_until": 0.1},
            "2 rounds in 0 rollouts of 200 steps (asked_until 0.1 of 1,200 steps)",
        ),
        ({"anew": []}, "reward.anew_steps 3 with anew: [], where nothing begins anew"),
        ({"anew": [], "reward": {}}, "keep: best with anew: [], where the policy has one life"),
        ({"anew": [0.5, 0.2]}, "anew [0.5, 0.2]: name shares between 0 and 1, in order"),
        ({"asks": "ranking", "learn_from": "reward"}, "asks: ranking with learn_from: reward"),
        ({"asks": "stars"}, "asks"),
        ({"horizon": "fixed"}, "ending_costs 3 with horizon: fixed, where nothing ends"),
        ({"anew": [1]}, "anew [1.0]: name shares between 0 and 1, in order"),
        ({"anew": [0.5, 0.52]}, "anew [0.5, 0.52] begins twice in one of 6 rollouts"),
        (
            {
                "learner": "sac",
                "policy": {},
                "anew": [0.3],
                "sac": {"rollout": 20, "environments": 4, "explore": 400},
            },
            "anew [0.3]: 400 of 1,200 steps explore",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_a_run(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(recipe(tmp_path, **given), tmp_path / "run")
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


@given(st.integers(1, 60), st.floats(-1, 1), st.floats(0.01, 0.99))
def test_the_zero_of_rewards_ends_at_the_floor(rollouts: int, first: float, until: float) -> None:
    """From where it was told to lie it moves evenly over a share of the rollouts, and is the floor
    after that, and in the last in any case."""
    settings = ClipLearningSettings.model_validate(
        SMALL | {"steps": 200 * rollouts, "comparisons": 6, "rounds": 0}
        | {"zero_first": first, "zero_until": until, "anew": [], "keep": "last", "reward": {}}
    )  # fmt: skip
    shares = np.array([settings.floor_share(number) for number in range(rollouts)])
    moving = np.arange(rollouts) < min(until * rollouts, rollouts - 1)
    assert shares[0] == pytest.approx(first if rollouts > 1 else 1)
    assert shares[~moving] == pytest.approx(1)
    assert (np.diff(shares) >= -1e-12).all()
    assert np.diff(shares[moving], 2) == pytest.approx(0, abs=1e-9)


@given(st.integers(9, 90), st.lists(st.integers(1, 8), unique=True), st.floats(0, 1))
def test_every_rollout_lies_in_one_life_which_begins_elsewhere_first(
    rollouts: int, tenths: list[int], first: float
) -> None:
    settings = ClipLearningSettings.model_validate(
        SMALL | {"steps": 200 * rollouts, "comparisons": 6, "rounds": 0}
        | {"anew": sorted(one / 9 for one in tenths), "elsewhere_first": first, "elsewhere": 0.25}
        | {"keep": "last", "reward": {}}
    )  # fmt: skip
    lives = settings.lives
    assert len(lives) == len(tenths) + 1
    assert [number for life in lives for number in life] == list(range(rollouts))
    for number in range(rollouts):
        life = lives[settings.life(number)]
        assert number in life
        lived = (number - life.start) / len(life)
        assert settings.begins_elsewhere(number) == (1 if lived < first else 0.25)


@pytest.mark.parametrize("anew_steps", [0, 3])
def test_a_policy_that_begins_anew_has_learned_nothing_and_the_reward_everything(
    tmp_path: Path, anew_steps: int
) -> None:
    """The reward's networks, which may begin anew with it, learn from all that was judged so far."""
    reward = SMALL["reward"] | {"anew_steps": anew_steps}
    settings = ClipLearningSettings.model_validate(SMALL | {"reward": reward, "keep": "last"})
    said: list[str] = []
    learning = ClipLearning(settings, 4, tmp_path, say=said.append)
    learning.run(LocalSession())
    assert isinstance(learning.learner, VectorPpo)
    assert learning.learner.updates == 3  # rollouts of the second of two lives
    assert learning.learner.optimizer.steps == learning.learner.optimizer.total_steps
    assert learning.learner.seen.count == 3 * 200
    assert len(learning.records) == 12
    assert learning.reward.trained == 3 + (anew_steps > 0)
    assert learning.reward.optimizer.steps == (anew_steps + 2 if anew_steps else 4 + 2 + 2)
    also = " and the reward begin" if anew_steps else " begins"
    assert f"rollout 4: the policy{also} anew" in said
    first, second, again = (learning._newborn(life).arrays() for life in (0, 1, 1))
    assert any((first[name] != second[name]).any() for name in first)
    assert all((second[name] == again[name]).all() for name in second)


@pytest.mark.parametrize("teacher", ["reward", "comparisons"])
def test_the_life_is_kept_whose_episodes_pay_most(tmp_path: Path, teacher: str) -> None:
    """In any order of them; the run's last evaluation is of what it leaves."""
    settings = ClipLearningSettings.model_validate(
        SMALL | {"learn_from": teacher, "anew": [0.3, 0.6]}
    )
    said, last = list[str](), list[Steps]()

    def watched(act: Act) -> Steps:
        return watch(settings.environment, act, EPISODES, 60, 1).steps

    learning = ClipLearning(settings, 4, tmp_path, say=said.append)
    learning.run(LocalSession(), lambda _, act: last.append(watched(act)))
    assert said[-1].startswith("of 3 lives of the policy number ")
    left = watched(learning.learner.actor())
    np.testing.assert_array_equal(last[-1].observation_TNO, left.observation_TNO)

    mine = {name: one.copy() for name, one in learning.learner.arrays().items()}
    for place in range(3):
        seen = list[Steps]()

        def rewards(steps: Steps, place: int = place, seen: list[Steps] = seen) -> Array:
            seen.append(steps)
            return np.full(steps.reward_TN.shape, float(len(seen) == place + 1))

        kept = best([*learning._lived, mine], learning.learner, settings, 60, rewards, 1)
        assert (kept.place, len(kept.returns)) == (place, 3)
        again = watched(learning.learner.actor())
        np.testing.assert_array_equal(seen[place].observation_TNO, again.observation_TNO)
    another = {name: one / 2 for name, one in mine.items()}
    own = best(
        [another, learning.learner.arrays()],
        learning.learner,
        settings,
        60,
        lambda steps: steps.reward_TN * 0,
        1,
    )
    assert own.place == 1
    np.testing.assert_array_equal(
        watched(learning.learner.actor()).observation_TNO, again.observation_TNO
    )


def test_the_zero_of_rewards_may_stay_where_it_is() -> None:
    settings = ClipLearningSettings.model_validate(SMALL | {"zero_first": 0.3, "zero_until": None})
    assert {settings.floor_share(number) for number in range(settings.rollouts)} == {0.3}


@pytest.mark.parametrize("environment", ["accord:Backflip", "CartPole-v1"])
def test_to_stay_at_the_start_pays_nothing_at_first(tmp_path: Path, environment: str) -> None:
    """And what it is worth above the floor at the end; all else is worth as much more."""
    settings = ClipLearningSettings.model_validate(
        SMALL | {"environment": environment, "zero_first": 0.0}
        | ({} if environment.startswith("accord") else {"elsewhere": 0, "elsewhere_first": 0, "clip": 8})
    )  # fmt: skip
    learning = ClipLearning(settings, 2, tmp_path)
    learning.run(LocalSession())
    start = learning.reward.rewards(learning.pay.starts_BI).mean()
    [steps], _ = learning._walk_and_learn(settings.rollouts)
    first, last = (learning.pay.of(number, steps) for number in (0, settings.rollouts - 1))
    np.testing.assert_allclose(last - first, start, atol=1e-12)
    told = learning.reward.rewards(learning.reward.of_steps(steps)) - 3.0 * steps.terminated_TN
    np.testing.assert_array_equal(last, told)


@pytest.mark.parametrize("teacher", ["reward", "comparisons"])
@given(st.floats(0, 100))
@settings(max_examples=10, deadline=None)
def test_an_end_costs_what_was_told_and_nothing_else_does(teacher: str, costs: float) -> None:
    """Only where the task ended the episode: its time being over is no fall."""
    with tempfile.TemporaryDirectory() as folder:
        free, charged = (
            ClipLearning(
                ClipLearningSettings.model_validate(
                    SMALL | {"learn_from": teacher, "episode_steps": 30, "ending_costs": one}
                ),
                5,
                Path(folder) / str(number),
            )
            for number, one in enumerate([0.0, costs])
        )
        [steps], _ = free._walk_and_learn(0)
        assert steps.terminated_TN.any()
        assert steps.truncated_TN.any()
        paid = free.pay.of(0, steps) - charged.pay.of(0, steps)
        np.testing.assert_allclose(paid, np.where(steps.terminated_TN, costs, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"horizon": "fixed", "ending_costs": 0},
            "ended an episode before its time, with horizon: fixed",
        ),
        ({"clip": 15}, "no episode lasts for a clip of 15 steps: .* the longest has 4"),
        (
            {"environment": "user_environments:Walled-v0", "horizon": "absorb", "ending_costs": 0},
            "changed nothing of what is observed, and its episode went on: .* cannot be told",
        ),
    ],
)
def test_what_an_environment_does_that_cannot_be_learned_from_is_said(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    here = {"environment": "user_environments:Short-v0", "elsewhere": 0.0, "elsewhere_first": 0.0}
    settings = ClipLearningSettings.model_validate(SMALL | here | given)
    with pytest.raises((RunError, AccordError), match=said):
        ClipLearning(settings, 1, tmp_path).run(LocalSession())


def test_a_horizon_that_is_not_kept_is_refused_before_the_run(tmp_path: Path) -> None:
    here = {"environment": "user_environments:Short-v0", "horizon": "fixed", "ending_costs": 0}
    made = recipe(tmp_path, **here, elsewhere=0.0, elsewhere_first=0.0)
    with pytest.raises(ConfigError, match="ended an episode after 4 of 60 steps") as caught:
        check(made, tmp_path / "run")
    assert "or horizon: floor if you mean it" in str(caught.value.fix)
    lasting = recipe(tmp_path, **here | {"environment": "Pendulum-v1"}, elsewhere=0.0, elsewhere_first=0.0)  # fmt: skip
    assert check(lasting, tmp_path / "run")["learn"].rows == 12


def test_an_environment_that_hangs_while_it_is_watched_is_named_as_soon(tmp_path: Path) -> None:
    """As soon as anywhere else: nothing has been walked before the first evaluation."""
    here = {"environment": "user_environments:Hanging-v0", "patience": 0.2, "ending_costs": 0}
    made = recipe(tmp_path, **here, elsewhere=0.0, elsewhere_first=0.0)
    with pytest.raises(RunError, match=r"hangs in step\(\): .*within 0.2 seconds"):
        run(made, tmp_path / "run")


@pytest.mark.parametrize(
    ("environment", "horizon", "limbs"),
    [("CartPole-v1", "absorb", 2), ("Pendulum-v1", "fixed", 1)],
)
def test_the_page_of_a_classic_task_shows_what_was_done(
    tmp_path: Path, environment: str, horizon: str, limbs: int
) -> None:
    """The policy at the end, and clips with what was said of them; each drawn from what was seen."""
    given = {
        "environment": environment,
        "horizon": horizon,
        "elsewhere": 0.0,
        "elsewhere_first": 0.0,
    }
    run(recipe(tmp_path, **given, ending_costs=0, zero_first=1.0), tmp_path / "run")
    shown = json.loads((tmp_path / "run/stages/01-learn/poses.json").read_text())
    assert len(shown["judged"]) == 4
    clips = [clip for one in shown["judged"] for clip in one["clips"]]
    assert sorted({clip["note"] for clip in clips}) == ["not preferred", "preferred"]
    for clip in [shown["policy"], *clips]:
        assert len(clip["limbs"]) == limbs
        assert {len(pose) for pose in clip["frames"]} == {4 * limbs}
        assert clip["view"]["follows"] is False
    assert {len(clip["frames"]) for clip in clips} == {16 if environment == "Pendulum-v1" else 8}
    page = (tmp_path / "run/report.html").read_text()
    assert 'data-clip="0.policy"' in page
    assert 'data-clip="0.judged.0.clips.0,0.judged.0.clips.1"' in page


@pytest.mark.slow
def test_a_pendulum_learns_from_comparisons(tmp_path: Path) -> None:
    """From -1,200 to above -700 in 40,000 steps and 150 comparisons, never shown its reward."""
    from accord.control.evaluation import watch

    settings = ClipLearningSettings.model_validate({
        "environment": "Pendulum-v1", "steps": 45_000, "comparisons": 150, "first_comparisons": 50,
        "rounds": 4, "clip": 25, "horizon": "fixed", "points": 1,
        "policy": {"environments": 8, "rollout": 200, "minibatch": 200, "gamma": 0.95},
        "reward": {"hidden": 32, "first_steps": 100, "round_steps": 50},
    })  # fmt: skip
    gold: list[float] = []
    ClipLearning(settings, 1, tmp_path).run(
        LocalSession(),
        lambda _, act: gold.append(watch("Pendulum-v1", act, 16, 200, 7).gold_N.mean()),
    )
    assert gold[0] < -900
    assert gold[-1] > -700
