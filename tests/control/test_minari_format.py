"""Episodes as datasets of Minari: the same back again, and those that others wrote."""

from __future__ import annotations

import builtins
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

minari = pytest.importorskip("minari")
gymnasium = pytest.importorskip("gymnasium")
from minari.data_collector import EpisodeBuffer  # noqa: E402
from minari.dataset.minari_storage import MinariStorage  # noqa: E402

from accord.cli.main import main  # noqa: E402
from accord.control.demonstrations import read_demonstrations  # noqa: E402
from accord.control.episodes import Episode, EpisodeStore  # noqa: E402
from accord.control.making import make  # noqa: E402
from accord.control.minari_format import read_minari, write_minari  # noqa: E402
from accord.control.recording import record, replay  # noqa: E402
from accord.control.rollouts import at_random  # noqa: E402
from accord.errors import ConfigError, DataError  # noqa: E402


def recorded(environment: str, limit: int | None = None) -> list[Episode]:
    batch = make(environment, 2, limit)
    return record(batch, at_random(batch.actions), 3, 0).episodes


def of_others(folder: Path, actions: Any, observations: Any, done: Any, seen: Any) -> str:
    """A dataset of one episode that accord did not write."""
    folder.mkdir()
    storage = MinariStorage.new(folder / "data", observations, actions)
    steps = len(done)
    ends = np.arange(steps) == steps - 1
    storage.update_episodes(
        [
            EpisodeBuffer(
                seed=7, observations=seen, actions=done, rewards=np.arange(steps) / 2,
                terminations=ends, truncations=np.zeros(steps, dtype=bool),
            )
        ]
    )  # fmt: skip
    storage.update_metadata({"dataset_id": folder.name, "minari_version": minari.__version__})
    return str(folder)


@pytest.mark.parametrize(
    ("environment", "limit"), [("CartPole-v1", None), ("accord:Backflip", 30), ("Pendulum-v1", 9)]
)
def test_what_is_written_comes_back_to_the_bit(
    environment: str, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    episodes = recorded(environment, limit)
    write_minari(episodes, Path("some-v0"))
    for one, other in zip(episodes, read_minari("some-v0"), strict=True):
        for field in fields(Episode):
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            assert type(mine) is type(theirs)
            np.testing.assert_array_equal(mine, theirs)
        if environment.startswith("accord:"):
            assert replay(other).exact


def test_minari_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = recorded("CartPole-v1")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari(episodes, tmp_path / "carts-v0")
    dataset = minari.load_dataset("carts-v0")
    assert dataset.env_spec.id == "CartPole-v1"
    assert dataset.total_steps == sum(one.steps for one in episodes)
    for ours, theirs in zip(episodes, dataset.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(ours.action_TA[:, 0], theirs.actions)
        np.testing.assert_array_equal(ours.observation_TO, theirs.observations)
    assert len(read_minari("carts-v0")) == len(episodes)


def test_datasets_of_others_are_read(tmp_path: Path) -> None:
    """Actions counted from another number than 0, observations of several axes, or one of a few."""
    spaces, rng = gymnasium.spaces, np.random.default_rng(0)
    images = rng.integers(0, 9, (5, 2, 3)).astype(np.float32)
    place = of_others(
        tmp_path / "a", spaces.Discrete(3, start=5), spaces.Box(0, 9, (2, 3)), np.array([5, 7, 6, 5]), images
    )  # fmt: skip
    with pytest.raises(ConfigError, match="of which environment"):
        read_minari(place)
    (episode,) = read_minari(place, "Theirs-v0")
    assert (episode.environment, episode.physics, episode.seed) == ("Theirs-v0", "unknown", 7)
    np.testing.assert_array_equal(episode.action_TA, [[0], [2], [1], [0]])
    np.testing.assert_array_equal(episode.observation_TO, images.reshape(5, 6))
    assert episode.reward_T.tolist() == [0, 0.5, 1, 1.5]
    assert episode.terminated_T.tolist() == [False, False, False, True]
    place = of_others(
        tmp_path / "b", spaces.Box(-1, 1, (2,), np.float64), spaces.Discrete(4), rng.uniform(-1, 1, (2, 2)), np.array([0, 3, 1])
    )  # fmt: skip
    (episode,) = read_minari(place, "Theirs-v0")
    np.testing.assert_array_equal(episode.observation_TO, np.eye(4)[[0, 3, 1]])
    both = spaces.Dict({"a": spaces.Box(-1, 1, (1,))})
    place = of_others(
        tmp_path / "c", spaces.Discrete(2), both, np.array([0]), {"a": np.zeros((2, 1), np.float32)}
    )
    with pytest.raises(ConfigError, match="only Box and Discrete"):
        read_minari(place, "Theirs-v0")


def test_demonstrations_may_be_a_dataset(tmp_path: Path) -> None:
    episodes = recorded("CartPole-v1")
    write_minari(episodes, tmp_path / "shown-v0")
    read = read_demonstrations(tmp_path / "shown-v0", "CartPole-v1")
    assert [one.digest for one in read] == [one.digest for one in episodes]


def test_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    episodes = recorded("accord:Hopper", 12)
    EpisodeStore(Path("store")).append(episodes)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["control", *arguments])
        assert done.exit_code in (0, 2), done.output
        return done.output

    assert "3 episodes of accord:Hopper" in run("export", "store", "flips-v0")
    assert "3 episodes of accord:Hopper, 36 steps" in run("import", "flips-v0", "back")
    assert EpisodeStore(Path("back")).ids == [one.id for one in episodes]
    assert "name a new folder" in run("export", "store", "flips-v0")
    assert "holds episodes already" in run("import", "flips-v0", "back")
    assert "minari download nowhere-v0" in run("import", "nowhere-v0", "new")
    Path("flips-v0/data/metadata.json").write_text("{")
    assert "cannot be read as a dataset" in run("import", "flips-v0", "new")
    assert not list(Path().glob(".*unfinished"))


def test_what_cannot_be_one_dataset_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no environment"):
        write_minari([], tmp_path / "a")
    several = [*recorded("CartPole-v1"), *recorded("Pendulum-v1", 5)]
    with pytest.raises(DataError, match="CartPole-v1, Pendulum-v1"):
        write_minari(several, tmp_path / "a")
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("h5py", "minari"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr("accord.control.extra.import_module", missing)
    with pytest.raises(ConfigError, match="needs h5py") as error:
        write_minari(several[:1], tmp_path / "a")
    assert "accord[control]" in error.value.fix


def test_an_end_in_the_middle_is_refused(tmp_path: Path) -> None:
    episodes = recorded("CartPole-v1")
    write_minari(episodes, tmp_path / "a-v0")
    import h5py

    with h5py.File(tmp_path / "a-v0/data/main_data.hdf5", "r+") as file:
        file["episode_0"]["terminations"][0] = True
    with pytest.raises(DataError, match="goes on after its end at step 0"):
        read_minari(str(tmp_path / "a-v0"))
    heads = json.loads((tmp_path / "a-v0/data/metadata.json").read_text())["accord_episodes"]
    assert json.loads(heads)[0]["environment"] == "CartPole-v1"


@pytest.mark.parametrize(
    "ours", ["{", "[]", '[{"id": "a"}]', "[1, 2, 3]", "null", json.dumps([{}] * 3)]
)
def test_what_is_told_of_other_episodes_is_refused(ours: str, tmp_path: Path) -> None:
    write_minari(recorded("CartPole-v1"), tmp_path / "a-v0")
    path = tmp_path / "a-v0/data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"accord_episodes": ours}))
    with pytest.raises(DataError, match="accord_episodes"):
        read_minari(str(tmp_path / "a-v0"))


def test_broken_data_are_refused(tmp_path: Path) -> None:
    write_minari(recorded("CartPole-v1"), tmp_path / "a-v0")
    path = tmp_path / "a-v0/data/main_data.hdf5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot be read as a dataset"):
        read_minari(str(tmp_path / "a-v0"))
