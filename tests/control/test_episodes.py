"""The episode store: what goes in comes out, also after a kill; what cannot be judged is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control import episodes
from accord.control.episodes import (
    Episode,
    EpisodeStore,
    check_physics,
    windows,
)
from accord.errors import DataError
from accord.feedback.messages import Clip


def episode(
    name: str = "a", steps: int = 7, seed: int = 0, states: bool = True, **more: Any
) -> Episode:
    rng = np.random.default_rng(seed)
    ended = np.zeros(steps, dtype=bool)
    ended[-1] = True
    made = Episode(
        name, "accord:Backflip", "mujoco 4", seed, 0,
        rng.normal(size=(steps + 1, 3)), rng.normal(size=(steps, 2)), rng.normal(size=steps),
        ended, np.zeros(steps, dtype=bool),
        rng.normal(size=(steps + 1, 5)) if states else None,
    )  # fmt: skip
    return replace(made, **more)


def same(one: Episode, other: Episode) -> None:
    for field in fields(Episode):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs, field.name


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.booleans(), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], states: bool, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = EpisodeStore(folder)
    made = [episode(f"e{i}", n, i, states and i % 2 == 0) for i, n in enumerate(lengths)]
    cut = min(cut, len(made))
    store.append(made[:cut])
    store.append(made[cut:])
    for read in (store, EpisodeStore(folder)):
        assert read.ids == [one.id for one in made]
        for one in made:
            same(read.episode(one.id), one)


def test_a_clip_is_its_steps_and_what_was_seen_around_them(tmp_path: Path) -> None:
    store, whole = EpisodeStore(tmp_path), episode(steps=10)
    store.append([whole])
    piece = store.clip(Clip(episode="a", start=3, stop=7))
    assert (piece.steps, piece.first_step) == (4, 3)
    np.testing.assert_array_equal(piece.observation_TO, whole.observation_TO[3:8])
    np.testing.assert_array_equal(piece.state_TS, whole.state_TS[3:8])
    np.testing.assert_array_equal(piece.action_TA, whole.action_TA[3:7])
    assert not piece.terminated_T.any()
    assert store.clip(Clip(episode="a", start=6, stop=10)).terminated_T.any()


@given(st.integers(1, 60), st.integers(1, 20))
def test_windows_follow_each_other_to_the_end(steps: int, length: int) -> None:
    with pytest.raises(DataError, match="clips of 0 steps"):
        windows(episode(steps=steps), 0)
    if steps < length:
        with pytest.raises(DataError, match=f"has {steps} steps, a clip {length}"):
            windows(episode(steps=steps), length)
        return
    clips = windows(episode(steps=steps), length)
    assert len(clips) == steps // length
    assert clips[-1].stop == steps
    assert all(clip.stop - clip.start == length for clip in clips)
    assert all(a.stop == b.start for a, b in pairwise(clips))


def test_clips_are_held_without_their_episodes_and_not_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "CLIPS_KEPT", 2)
    store = EpisodeStore(tmp_path)
    store.append([episode()])
    clips = [Clip(episode="a", start=n, stop=stop) for n in range(2) for stop in (n + 2, n + 3)]
    for clip in [*clips, *clips]:
        same(store.clip(clip), store.episode("a").piece(clip))
        assert store.clip(clip).reward_T.base is None
        assert store.clip(clip) is store.clip(clip)
    assert len(store._cut) == 2
    store.keep(0)
    store.append([episode(seed=1)])
    same(store.clip(clips[3]), episode(seed=1).piece(clips[3]))


def test_a_kill_while_writing_loses_that_append_alone(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    store.append([episode("a")])
    left = tmp_path / ".writing-block-000001.safetensors.x"
    left.mkdir()
    (left / "block-000001.safetensors").write_bytes(b"half")
    again = EpisodeStore(tmp_path)
    assert again.ids == ["a"]
    again.append([episode("b")])
    assert EpisodeStore(tmp_path).ids == ["a", "b"]
    again.keep(1)
    assert again.ids == EpisodeStore(tmp_path).ids == ["a"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"observation_TO": np.full((8, 3), np.nan)}, "observation at step 0 is not a finite"),
        ({"reward_T": np.array([0, 0, np.inf, 0, 0, 0, 0.0])}, "reward at step 2 is not a finite"),
        ({"terminated_T": np.array([0, 1, 0, 0, 0, 0, 0], dtype=bool)}, "goes on after its end at step 1"),
        ({"action_TA": np.zeros((6, 2))}, "6 rows of action for 7 steps"),
        ({"observation_TO": np.zeros((7, 3))}, "7 rows of observation for 7 steps"),
        ({"state_TS": np.zeros((7, 3))}, "7 rows of state for 7 steps"),
        ({"reward_T": np.zeros(0)}, "has no steps"),
    ],
)  # fmt: skip
def test_what_is_no_episode_is_refused(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        episode(**broken)


def test_what_is_not_there_or_not_its_own_is_refused(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    store.append([episode("a", 7)])
    with pytest.raises(DataError, match="there is no episode 'b'"):
        store.clip(Clip(episode="b", start=0, stop=1))
    with pytest.raises(DataError, match=r"the clip \[5, 9\) leaves episode a, which has 7 steps"):
        store.clip(Clip(episode="a", start=5, stop=9))
    with pytest.raises(DataError, match="'a' is there already"):
        store.append([episode("a")])
    (tmp_path / "block-000001.safetensors").write_bytes(b"not one")
    with pytest.raises(DataError, match="cannot be read"):
        EpisodeStore(tmp_path)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    told = {"accord": json.dumps({"version": 2, "episodes": []})}
    save_file({"x": np.zeros(1)}, str(tmp_path / "block-000000.safetensors"), told)
    with pytest.raises(DataError, match="version 2; version 1 is read"):
        EpisodeStore(tmp_path)


def test_states_are_gone_on_from_where_they_were_made() -> None:
    check_physics(episode(), "accord:Backflip", "mujoco 4")
    with pytest.raises(DataError, match="by mujoco 4, not in accord:Backflip by mujoco 5"):
        check_physics(episode(), "accord:Backflip", "mujoco 5")
    with pytest.raises(DataError, match="has no states"):
        check_physics(episode(states=False), "accord:Backflip", "mujoco 4")
