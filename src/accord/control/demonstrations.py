"""What an expert showed: whole episodes, held against the environment they are for, as the steps
that imitation learns from; and the horizon that it is learned within.

Suffixes: S steps of all episodes, N episodes, O numbers of an observation, A of an action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from accord.control.environments import ActionForm, EnvironmentBatch, Mask
from accord.control.episodes import Episode, EpisodeStore
from accord.control.minari_format import data_folder, read_minari
from accord.control.rollouts import Steps, Walker, at_random
from accord.errors import ConfigError, DataError
from accord.seeds import generator
from accord.statistics.intervals import Array

Horizon = Literal["fixed", "absorb", "variable"]
ROLLOUT_FIELDS = ("obs", "acts", "rews", "terminal", "indices")
"""Arrays of a file of flattened trajectories as the library `imitation` writes them."""


@dataclass(frozen=True)
class ShownSteps:
    """Steps of N whole episodes: seen before, done, seen after [S, O], [S, A], [S, O];
    terminated_S: the task ended the episode there; paid_N: what each episode was paid."""

    seen_SO: Array
    action_SA: Array
    next_SO: Array
    terminated_S: Mask
    paid_N: Array

    def __len__(self) -> int:
        return len(self.seen_SO)

    def joined(self, other: ShownSteps) -> ShownSteps:
        """These, then the other's."""
        return ShownSteps(
            *(np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(),
                                                   strict=True))
        )  # fmt: skip


def shown_steps(episodes: Sequence[Episode]) -> ShownSteps:
    """The steps of one or more episodes, in their order."""
    return ShownSteps(
        np.concatenate([one.observation_TO[:-1] for one in episodes]).astype(np.float64),
        np.concatenate([one.action_TA for one in episodes]).astype(np.float64),
        np.concatenate([one.observation_TO[1:] for one in episodes]).astype(np.float64),
        np.concatenate([one.terminated_T for one in episodes]),
        np.array([one.reward_T.sum() for one in episodes]),
    )


def walked_steps(steps: Steps) -> ShownSteps:
    """The steps of a walk, row by row of all environments, as if they were one episode of each."""
    observation, actions = steps.observation_TNO.shape[-1], steps.action_TNA.shape[-1]
    return ShownSteps(
        steps.observation_TNO.reshape(-1, observation),
        steps.action_TNA.reshape(-1, actions),
        steps.next_TNO.reshape(-1, observation),
        steps.terminated_TN.ravel(),
        steps.reward_TN.sum(0),
    )


# --- reading --------------------------------------------------------------------------------------
def read_demonstrations(place: str | Path, environment: str) -> list[Episode]:
    """The episodes of a store (`accord control record`), of a dataset of Minari, or of a .npz of
    flattened trajectories as the library `imitation` writes them, whose environment is taken to be
    the one that is meant. Raises ConfigError where nothing is there, DataError for what cannot be
    read or is empty."""
    path = Path(place)
    if data_folder(path) is not None:
        episodes = read_minari(str(path))
    elif path.is_dir():
        store = EpisodeStore(path)
        episodes = [store.episode(name) for name in store.ids]
    elif path.suffix == ".npz" and path.is_file():
        episodes = _flattened(path, environment)
    else:
        raise ConfigError(
            f"there are no demonstrations at {path}",
            "name a folder that accord control record wrote, a dataset of Minari, or a .npz of the"
            " library imitation",
        )
    if not episodes:
        raise DataError(
            f"{path} holds no episode", f"record some: accord control record {environment} FOLDER"
        )
    return episodes


def _flattened(path: Path, environment: str) -> list[Episode]:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ROLLOUT_FIELDS if name not in file.files]
            arrays = {name: file[name] for name in ROLLOUT_FIELDS if name not in missing}
    except Exception as error:
        raise DataError(
            f"{path} is no .npz of plain arrays ({type(error).__name__})",
            "write it again, without objects in it",
        ) from error
    if missing:
        raise DataError(
            f"{path} has no array {missing[0]!r}",
            f"flattened trajectories have {', '.join(ROLLOUT_FIELDS)}",
        )
    if wrong := _misshapen(arrays):
        raise DataError(
            f"{path}: {wrong}",
            "flattened trajectories have T actions and rewards, the indices at which all N episodes"
            " but the first begin, N times whether the task ended one, and T + N observations",
        )
    seen, done, paid = arrays["obs"], arrays["acts"], arrays["rews"]
    cuts = [0, *arrays["indices"].tolist(), len(done)]
    found = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        rows = slice(start, stop)
        terminated = np.zeros(max(0, stop - start), dtype=bool)
        truncated = terminated.copy()
        terminated[-1:], truncated[-1:] = arrays["terminal"][number], not arrays["terminal"][number]
        around = slice(start + number, stop + number + 1)
        found.append(
            Episode(
                f"{path.stem}-{number:03d}", environment, "unknown", 0, 0, seen[around],
                done[rows].reshape(len(terminated), -1), paid[rows], terminated, truncated,
            )
        )  # fmt: skip
    return found


def _misshapen(arrays: Mapping[str, Array]) -> str:
    """What of flattened trajectories does not fit the rest; empty: nothing."""
    kinds = {name: array.dtype.kind for name, array in arrays.items()}
    allowed = dict.fromkeys(ROLLOUT_FIELDS, "biuf") | {"terminal": "biu", "indices": "iu"}
    for name, kind in kinds.items():
        if kind not in allowed[name] and arrays[name].size:
            return f"{name} holds {arrays[name].dtype}"
        if not arrays[name].ndim:
            return f"{name} is a single value"
    for name in ("rews", "terminal", "indices"):
        if arrays[name].ndim > 1:
            return f"{name} has {arrays[name].ndim} axes, not one"
    steps, begins = len(arrays["acts"]), arrays["indices"]
    cuts = [0, *begins.tolist(), steps]
    if any(stop <= start for start, stop in pairwise(cuts)):
        return f"episodes of {steps:,} steps cannot begin at {begins[:8].tolist()}"
    wanted = {"rews": steps, "terminal": len(begins) + 1, "obs": steps + len(begins) + 1}
    for name, rows in wanted.items():
        if len(arrays[name]) != rows:
            return f"{name} has {len(arrays[name]):,} rows for {steps:,} actions, not {rows:,}"
    return ""


# --- checking -------------------------------------------------------------------------------------
def check_shown(
    episodes: Sequence[Episode], environments: EnvironmentBatch, steps: int | None, wanted: int
) -> None:
    """Raise DataError for fewer demonstrations than are `wanted`, and for one of another
    environment, of other observations or actions, or that is a piece. steps: how long each is where
    all must last as long as the others, None where they need not."""
    name, form = environments.name, environments.actions
    if wanted > len(episodes):
        raise DataError(
            f"{wanted:,} demonstrations are asked for, there are {len(episodes):,}",
            "ask for fewer (shown), or record more",
        )
    for one in episodes:
        if one.environment != name:
            raise DataError(
                f"demonstration {one.id} is of {one.environment}, not of {name}",
                f"record some there: accord control record {name} FOLDER",
            )
        numbers = one.observation_TO.shape[1:]
        if numbers != (environments.observation_size,):
            raise DataError(
                f"demonstration {one.id} observes {list(numbers)} numbers, {name} observes"
                f" {environments.observation_size}",
                "name demonstrations of this environment",
            )
        _check_actions(one, name, form)
        ended = bool(one.terminated_T[-1] or one.truncated_T[-1])
        if one.first_step or not ended:
            raise DataError(
                f"demonstration {one.id} is a piece of an episode, steps {one.first_step:,} to"
                f" {one.first_step + one.steps:,}",
                "give whole episodes, as accord control record writes them",
            )
        if steps is not None and one.steps != steps:
            raise DataError(
                f"demonstration {one.id} has {one.steps:,} steps, an episode here {steps:,}: how"
                " long it lasted would tell the expert from the learner, whatever it did",
                "record it with the same --limit and an expert that lasts, set episode_steps, or"
                " set horizon: variable if you mean it",
            )


def _check_actions(one: Episode, name: str, form: ActionForm) -> None:
    takes = "one number" if form.numbers == 1 else f"{form.numbers} numbers"
    kind = f"{takes}, {form.kind}" + (f" of {form.size}" if form.kind == "discrete" else "")
    if one.action_TA.shape[1:] != (form.numbers,):
        raise DataError(
            f"demonstration {one.id} does {list(one.action_TA.shape[1:])} numbers a step, {name}"
            f" takes {kind}",
            "name demonstrations of this environment",
        )
    if form.kind == "discrete":
        other_T = (one.action_TA[:, 0] % 1 != 0) | ~(
            (one.action_TA[:, 0] >= 0) & (one.action_TA[:, 0] < form.size)
        )
        if other_T.any():
            at = int(other_T.argmax())
            raise DataError(
                f"demonstration {one.id} does {one.action_TA[at, 0]:g} at step {at}, {name} takes"
                f" {kind}",
                f"actions are whole numbers from 0 to {form.size - 1}",
            )


PROBED = 4
"""Environments in which it is looked for ends, with a policy that acts at random."""


def check_horizon(
    environments: EnvironmentBatch, steps: int, seed: int, instead: str = "horizon: variable"
) -> None:
    """Raise ConfigError where an episode ends before its time, with a policy that acts at random: a
    learned reward would then decide whether to live. environments: a few of them, as they are
    learned in; instead: what else to set who means it."""
    walker, rng = Walker(environments), generator(seed, "horizon")
    walker.begin(rng)
    walked = walker.walk(at_random(environments.actions), steps, rng)
    if walked.terminated_TN.any():
        at = int(walked.terminated_TN.any(1).argmax()) + 1
        raise ConfigError(
            f"{environments.name} ended an episode after {at:,} of {steps:,} steps, with horizon:"
            " fixed: a learned reward that is always above 0 would pay for lasting, one below 0 for"
            " ending, whatever else it says",
            f"set horizon: absorb (what ended stays there until its time is over), or {instead} if"
            " you mean it",
        )
