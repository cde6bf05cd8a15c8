"""What ways of choosing clips save: measured from one pool, each way by its own questions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from accord.control.acquisition import value
from accord.control.acquisition_curves import (
    MEASURES,
    WAYS,
    AcquisitionSettings,
    HeldOutClips,
    PolicyClips,
    clips_of,
    curve,
)
from accord.control.asked_kinds import answer_shares
from accord.control.asking import ClipPool, places
from accord.control.watchers import AskedClips
from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

SMALL: dict[str, Any] = {
    "environment": "Pendulum-v1", "episode_steps": 40, "steps": 640, "stages": 2, "clip": 10,
    "comparisons": 60, "first_comparisons": 20, "rounds": 2, "rationality": 0.2,
    "policy": {"environments": 4, "rollout": 40, "minibatch": 80, "hidden": 8, "epochs": 1},
    "reward": {"hidden": 8, "first_steps": 60, "round_steps": 20, "learning_rate": 0.01},
}  # fmt: skip


@dataclass
class Remembering(ClipPool):
    """A pool that remembers how much the members disagreed about what was asked: (arm, variance)
    of each question, round by round."""

    rounds: list[list[tuple[str, float]]] = field(default_factory=list)
    nearest: list[float] = field(default_factory=list)
    """How far each round's active questions lie from the nearest of the others, on average."""

    def choose(self, reward: Any, settings: Any, *how: Any) -> list[AskedClips]:
        asked = super().choose(reward, settings, *how)
        shown = [[self.episodes[c.episode].piece(c) for c in one.clips] for one in asked]
        inputs = np.stack([[reward.of_episode(piece) for piece in two] for two in shown])
        score_EQK = np.stack([reward.scores(inputs[:, k]) for k in range(2)], -1)
        told = value("variance", answer_shares("comparison", score_EQK, settings.reward.lapse))
        active = np.array([one.arm == "active" for one in asked])
        if active.any():
            flat = inputs.reshape(-1, *inputs.shape[2:])
            place = places(reward, flat, np.arange(len(flat)).reshape(-1, 2))
            turned = places(reward, flat, np.arange(len(flat)).reshape(-1, 2)[:, ::-1])
            np.testing.assert_allclose(place, turned)
            gaps = np.linalg.norm(place[active, None] - place, axis=-1)
            self.nearest.append(float(np.sort(gaps, 1)[:, 1].mean()))
        self.rounds.append([(one.arm, float(v)) for one, v in zip(asked, told, strict=True)])
        return asked


@pytest.fixture(scope="module")
def found() -> PolicyClips:
    return clips_of(AcquisitionSettings.model_validate(SMALL), 1)


def remembering(found: PolicyClips) -> tuple[PolicyClips, Remembering]:
    pool = Remembering(found.pool.length, found.pool.episodes, found.pool.clips)
    return replace(found, pool=pool), pool


def test_each_way_asks_as_it_says_beside_the_same_first_questions(found: PolicyClips) -> None:
    """The first answers and what they taught are the same; later a quarter is drawn at random, and
    the others are those on which the members disagree."""
    settings = AcquisitionSettings.model_validate(SMALL)
    firsts, spread, nearest = [], {}, {}
    for way in WAYS:
        here, pool = remembering(found)
        points = list(curve(settings, here, way, 3))
        assert [size for size, _ in points] == [20, 40, 60]
        firsts.append(points[0][1])
        assert [arm for arm, _ in pool.rounds[0]] == ["random"] * 20
        later = [one for asked in pool.rounds[1:] for one in asked]
        arms = [arm for arm, _ in later]
        assert arms.count("active") == (0 if way == "random" else 30)
        nearest[way] = np.mean(pool.nearest) if pool.nearest else np.nan
        spread[way] = np.mean([v for arm, v in later if (arm == "active") == (way != "random")])
    assert all(one == firsts[0] for one in firsts)
    for way in ("variance", "information"):
        assert spread[way] > 2 * spread["random"]
        assert spread[way] > spread[f"{way}_apart"] > 1.2 * spread["random"]
        assert nearest[f"{way}_apart"] > 1.2 * nearest[way]


def test_the_pool_holds_the_early_policies_and_later_behaviour_is_held_out(
    found: PolicyClips,
) -> None:
    names = {name.rpartition("-")[0].rpartition("-")[0] for name in found.pool.episodes}
    assert names == {"pool-0", "pool-2"}  # of four rollouts, untrained and half-way
    assert len(found.pool.clips) == len(found.same.liked_C) == 2 * len(found.later.liked_C) == 32
    own = [found.pool.episodes[clip.episode].piece(clip) for clip in found.pool.clips]
    shown = {one.observation_TO.tobytes() for one in own}
    for clips in (found.same, found.later):
        read = {clip[:, :3].tobytes() for clip in clips.inputs_CLI}
        assert not any(one[: len(next(iter(read)))] in read for one in shown)


def test_agreement_and_what_is_kept_are_of_what_is_liked() -> None:
    rng = np.random.default_rng(0)
    clips = HeldOutClips(np.zeros((200, 1, 1)), rng.normal(size=200))
    right, wrong, blind = clips.liked_C, -clips.liked_C, rng.normal(size=200)
    draws = [np.random.default_rng(1) for _ in range(6)]
    assert clips.agreement(right, draws[0]) == clips.kept(right, draws[1]) == 1
    assert clips.agreement(wrong, draws[2]) == 0
    assert clips.kept(wrong, draws[3]) < -0.9
    assert clips.agreement(blind, draws[4]) == pytest.approx(0.5, abs=0.1)
    assert clips.kept(blind, draws[5]) == pytest.approx(0, abs=0.15)


def test_a_run_prints_what_each_way_saves_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    stage = SMALL | {"kind": "clip_acquisition_world", "draws": 2}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"curves": stage}}))
    folder, said = tmp_path / "run", list[str]()
    log = folder / "stages/01-curves/curves.jsonl"

    class Heard(StageProgress):
        def say(self, text: str) -> None:
            said.append(text)

        def step(self, done: int, total: int, note: str = "") -> None:
            if done == 2 and not said:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.execute(recipes.load(str(path)), folder, False, Heard(), {})
    before = log.read_text()
    runner.execute(recipes.load(str(path)), folder, True, Heard(), {})
    assert log.read_text().startswith(before)
    assert before.count("\n") == 2
    values = json.loads((folder / "stages/01-curves/result.json").read_text())["values"]
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["draw"], row["way"]) for row in rows] == [
        (n, way) for n in range(2) for way in WAYS
    ]
    for name in MEASURES:
        for way in WAYS:
            last = [row["points"][-1] for row in rows if row["way"] == way]
            assert [point["comparisons"] for point in last] == [60, 60]
            mean = np.mean([point[name] for point in last])
            assert values[f"{name}.{way}.60"] == pytest.approx(mean)
            if way != "random":
                saved = [
                    values[f"{end}.{name}.{way}"] for end in ("saved_low", "saved", "saved_high")
                ]
                assert -2 <= saved[0] <= saved[1] <= saved[2] <= 2 / 3
    assert values["same.random.60"] > max(0.6, values["same.random.20"] - 0.05)
    assert sum("; saves " in line for line in said) == (len(WAYS) - 1) * len(MEASURES)
    assert any(line.startswith("variance, agreement about the same policies after 20: ") for line in said)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"asks": "rating"}, "asks: rating: what is measured here is comparisons"),
        ({"diversity": 2}, "diversity 2, candidates 10: each way brings its own"),
        ({"candidates": 2}, "diversity 1, candidates 2: each way brings its own"),
        ({"stages": 4}, "4 stages in half of 4 rollouts"),
        ({"rounds": 0}, "40 comparisons are left for 0 rounds"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    stage = SMALL | {"kind": "clip_acquisition_world"} | given
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "seed": 3, "stages": {"curves": stage}}))
    with pytest.raises(ConfigError, match=said):
        runner.execute(recipes.load(str(path)), tmp_path / "run", False, StageProgress(), {})
