"""Episodes recorded by the command, gone through again, and shown on a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

from click.testing import CliRunner

from accord.cli.main import main
from accord.control.episodes import EpisodeStore
from accord.control.making import make
from accord.control.recording import record, replay
from accord.control.rollouts import at_random
from accord.errors import DataError


def accord(*given: str, fails: bool = False) -> str:
    done = CliRunner().invoke(main, ["control", *given])
    assert (done.exit_code != 0) == fails, done.output
    return done.output


def test_every_environment_gives_as_many_whole_episodes() -> None:
    """The first ones to end anywhere would be the short ones."""
    batch = make("CartPole-v1", 3)
    found = record(batch, at_random(batch.actions), 7, seed=1)
    assert found.unfinished == 0
    assert len({one.id for one in found.episodes}) == 7
    by_environment = [one.id.split("-")[1] for one in found.episodes]
    assert [by_environment.count(f"{n:03d}") for n in range(3)] == [3, 2, 2]
    for one in found.episodes:
        assert one.first_step == 0
        assert one.terminated_T[-1]
        assert one.steps == one.reward_T.sum()
    again = record(make("CartPole-v1", 3), at_random(batch.actions), 7, seed=1)
    assert [one.digest for one in again.episodes] == [one.digest for one in found.episodes]
    long = record(make("CartPole-v1", 3), at_random(batch.actions), 7, seed=1, most=15)
    assert long.unfinished == 7 - len(long.episodes) > 0


def test_episodes_that_outlast_a_look_are_whole() -> None:
    batch = make("Pendulum-v1", 2, 130)
    found = record(batch, at_random(batch.actions), 2, seed=1)
    assert [one.steps for one in found.episodes] == [130, 130]
    assert all(one.truncated_T[-1] and not one.terminated_T.any() for one in found.episodes)
    assert np.abs(found.episodes[0].action_TA).max() <= 2


def test_recorded_replayed_and_shown(tmp_path: Path) -> None:
    store, page = str(tmp_path / "flips"), tmp_path / "flips.html"
    small = ["--episodes", "3", "--limit", "20", "--elsewhere", "0.5"]
    told = accord("record", "accord:Backflip", store, *small)
    assert f"3 episodes of accord:Backflip, 60 steps, in {store}" in told
    mean = r"an episode: 20 \(all equal: no interval\) steps, paid \S+ \[\S+, \S+\]"
    assert re.search(mean, told)
    assert "holds episodes already" in accord("record", "accord:Backflip", store, fails=True)
    assert "3 of 3 episodes are the same again, to the bit" in accord("replay", store)
    accord("render", str(tmp_path), str(page), "--clip", "0-000-0000:5:15", "--clip", "0-001-0000")
    text = page.read_text()
    shown = re.search(r'id="poses">(.*?)</script>', text)
    assert shown is not None
    first, second = json.loads(shown[1])
    assert len(first["frames"]) < len(second["frames"])
    assert "0-000-0000, steps 5 to 15" in text
    for clip, said in (("0-000-0000:9:5", "no steps"), ("0-000-0000:x", "EPISODE:START:STOP")):
        assert said in accord("render", store, str(page), "--clip", clip, fails=True)
    assert "leaves episode" in accord(
        "render", store, str(page), "--clip", "0-000-0000:0:99", fails=True
    )


def test_no_episode_is_shorter_than_a_step(tmp_path: Path) -> None:
    """Of two episodes the interval of what they last is wide, and would be so both ways alike."""
    told = accord("record", "CartPole-v1", str(tmp_path / "few"), "--episodes", "2", "--seed", "3")
    found = re.search(r"an episode: (\S+) \[(\S+), (\S+)\] steps", told)
    assert found is not None, told
    mean, low, high = map(float, found.groups())
    assert low == 1
    assert high > 2 * mean


def test_what_was_changed_is_not_the_same_again(tmp_path: Path) -> None:
    from dataclasses import replace

    batch = make("accord:Hopper", 1, 10)
    (episode,) = record(batch, at_random(batch.actions), 1, seed=2).episodes
    assert replay(episode).exact
    for name in ("state_TS", "observation_TO", "reward_T"):
        rows = getattr(episode, name).copy()
        rows[-1] += 1e-9
        assert not replay(replace(episode, **{name: rows})).exact, name
    moved = replay(replace(episode, action_TA=episode.action_TA[::-1].copy()))
    assert not moved.exact
    assert moved.state > 0
    with pytest.raises(DataError, match="was made in accord:Hopper by mujoco 0"):
        replay(replace(episode, physics="mujoco 0"))
    cart = make("CartPole-v1", 1)
    (no_states,) = record(cart, at_random(cart.actions), 1, seed=2).episodes
    with pytest.raises(DataError, match="has no states"):
        replay(no_states)


def test_clips_of_tasks_without_poses_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import gymnasium\n"
        "class Plain(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (2,))\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, seed=None, options=None):\n"
        "        super().reset(seed=seed)\n"
        "        return self.observation_space.sample() * 0, {}\n"
        "    def step(self, action):\n"
        "        return self.observation_space.sample() * 0, 0.0, False, False, {}\n"
        "gymnasium.register('Plain-v0', Plain)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        store = str(tmp_path / "store")
        assert "no episode of plain:Plain-v0 ended" in accord(
            "record", "plain:Plain-v0", store, "--episodes", "1", fails=True
        )
        accord("record", "plain:Plain-v0", store, "--episodes", "2", "--limit", "5")
        page = str(tmp_path / "page.html")
        assert "has no poses" in accord("render", store, page, fails=True)
    assert len(EpisodeStore(Path(store))) == 2
