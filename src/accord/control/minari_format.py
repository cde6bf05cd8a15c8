"""Episodes as datasets of Minari (Farama Foundation) and back: for other libraries' offline
learners, and for demonstrations that were recorded elsewhere.

Suffixes: T steps, O numbers of an observation, A of an action.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accord.control.environments import ActionForm
from accord.control.episodes import Episode
from accord.control.extra import needed
from accord.control.gym_batch import action_form, flat, flat_size
from accord.control.making import make
from accord.errors import ConfigError, DataError

DATA, METADATA = "data", "metadata.json"
"""Where Minari keeps what belongs to a dataset's folder."""
OURS, STATE = "accord_episodes", "state"
"""What Minari's format has no place for: a key of its metadata, and the information that holds the
physics states."""
WHAT = "a dataset of Minari"
HEAD = ("id", "environment", "physics", "seed", "first_step")


def write_minari(episodes: Sequence[Episode], out: Path) -> None:
    """A new dataset in the folder `out`, which Minari loads by the folder's name where
    MINARI_DATASETS_PATH is what it lies in. Observations are written as numbers, physics states as
    information of each step.

    Raises ConfigError where Minari is missing or the folder holds something, DataError for episodes
    of several environments, or none.
    """
    environments = sorted({episode.environment for episode in episodes})
    if len(environments) != 1:
        raise DataError(
            f"episodes of {', '.join(environments) or 'no environment'} for one dataset",
            "Minari's datasets have one environment: write a dataset for each",
        )
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is there already", "name a new folder")
    minari, gym = _minari(), needed("gymnasium", WHAT)
    storage = needed("minari.dataset.minari_storage", WHAT).MinariStorage
    out = out.resolve()  # Minari's file of links does not stand relative paths
    aside = out.with_name(f".{out.name}-unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    size, actions = episodes[0].observation_TO.shape[1], make(environments[0], 1).actions
    kept = storage.new(
        aside / DATA,
        gym.spaces.Box(-np.inf, np.inf, (size,), np.float64),
        _action_space(gym, actions),
        gym.spec(environments[0]) if environments[0] in gym.registry else None,
        jpeg_encoding=False,
    )
    buffer = minari.data_collector.EpisodeBuffer
    kept.update_episodes([_buffer(buffer, one, actions.kind == "discrete") for one in episodes])
    heads = [{field: getattr(episode, field) for field in HEAD} for episode in episodes]
    kept.update_metadata(
        {"dataset_id": out.name, "minari_version": minari.__version__, OURS: json.dumps(heads)}
    )
    if out.exists():
        out.rmdir()
    aside.rename(out)


def _action_space(gym: Any, actions: ActionForm) -> Any:
    if actions.kind == "discrete":
        return gym.spaces.Discrete(actions.size)
    return gym.spaces.Box(actions.low_A, actions.high_A, dtype=np.float64)


def _buffer(buffer: Any, episode: Episode, discrete: bool) -> Any:
    action = episode.action_TA[:, 0].astype(np.int64) if discrete else episode.action_TA
    return buffer(
        seed=episode.seed,
        observations=episode.observation_TO.astype(np.float64),
        actions=action,
        rewards=episode.reward_T,
        terminations=episode.terminated_T,
        truncations=episode.truncated_T,
        infos=None if episode.state_TS is None else {STATE: episode.state_TS},
    )


def data_folder(place: Path) -> Path | None:
    """Where the data of a dataset of Minari lie in a folder; None where it is none."""
    return next((one for one in (place / DATA, place) if (one / METADATA).is_file()), None)


def read_minari(place: str, environment: str | None = None) -> list[Episode]:
    """The episodes of a dataset: a folder, or the name of one that Minari has on this machine.
    environment: whose, where the dataset does not say it.

    Raises ConfigError where Minari or the dataset is missing, where the environment is not known
    or its spaces are neither Box nor Discrete, DataError for what cannot be read or goes on after
    its end.
    """
    dataset = _opened(place)
    gym = needed("gymnasium", WHAT)
    spec = dataset.env_spec
    heads = _heads(place, dataset)
    environment = environment or (heads[0]["environment"] if heads else spec and spec.id)
    if not environment:
        raise ConfigError(
            f"{place} does not say of which environment it is", "name it: --environment ID"
        )
    seen, done = dataset.observation_space, dataset.action_space
    flat_size(gym, environment, seen)
    actions = action_form(gym, environment, done)
    first = int(done.start) if actions.kind == "discrete" else 0
    found = []
    for one in _episodes(place, dataset):
        head = heads[one.id] if heads else _head(place, one.id, environment, dataset)
        found.append(
            Episode(
                **head | {"environment": environment},
                observation_TO=np.stack([flat(gym, seen, row) for row in one.observations]),
                action_TA=np.asarray(one.actions, dtype=np.float64).reshape(len(one), -1) - first,
                reward_T=np.asarray(one.rewards, dtype=np.float64),
                terminated_T=np.asarray(one.terminations, dtype=bool),
                truncated_T=np.asarray(one.truncations, dtype=bool),
                state_TS=(one.infos or {}).get(STATE) if heads else None,
            )
        )
    return found


def _minari() -> Any:
    needed("h5py", WHAT)  # which Minari itself can do without
    return needed("minari", WHAT)


def _opened(place: str) -> Any:
    minari = _minari()
    folder = data_folder(Path(place))
    try:
        return minari.load_dataset(place) if folder is None else minari.MinariDataset(folder)
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no dataset of Minari at {place}, and none of this name on this machine",
            f"name its folder, or fetch it first: minari download {place}",
        ) from error
    except Exception as error:
        raise _unreadable(place, error) from error


def _unreadable(place: str, why: object) -> DataError:
    return DataError(f"{place} cannot be read as a dataset of Minari: {why}", "write it again")


def _episodes(place: str, dataset: Any) -> list[Any]:
    try:
        return list(dataset.iterate_episodes())
    except Exception as error:
        raise _unreadable(place, error) from error


def _heads(place: str, dataset: Any) -> list[dict[str, Any]]:
    """What accord told of its own episodes; empty: others wrote them."""
    told = dataset.storage.metadata
    if OURS not in told:
        return []
    try:
        heads: list[dict[str, Any]] = json.loads(told[OURS])
        whole = all(set(head) == set(HEAD) for head in heads)
    except (TypeError, ValueError) as error:
        raise _unreadable(place, f"{OURS}: {error}") from error
    if not whole or len(heads) != dataset.storage.total_episodes:
        raise _unreadable(place, f"{OURS} does not tell {', '.join(HEAD)} of each episode")
    return heads


def _head(place: str, number: int, environment: str, dataset: Any) -> dict[str, Any]:
    """Of an episode that accord did not write."""
    told: dict[str, Any] = next(iter(dataset.storage.get_episode_metadata([number])), {})
    seed = told.get("seed")
    return {
        "id": f"{Path(place).name}-{number:06d}",
        "environment": environment,
        "physics": "unknown",
        "seed": 0 if seed is None or not np.isfinite(seed) else int(seed),
        "first_step": 0,
    }
