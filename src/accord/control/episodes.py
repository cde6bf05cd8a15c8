"""Episodes on disk: what was seen, done and paid, how it ended, the physics states to go on from.

A store is a folder of blocks, one for each append, written aside and renamed: a kill loses the
append under way and nothing else. A clip is (episode, start, stop), as in feedback records.
Suffixes: T steps, O numbers of an observation, A of an action, S of a state.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from accord.control.environments import Mask
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.files import write_atomically
from accord.statistics.intervals import Array

VERSION, HEAD = 1, "accord"
KEPT = 8
"""Blocks that are held in memory."""
CLIPS_KEPT = 4096
"""Clips that are: a reward reads all that were judged each time it learns."""


@dataclass(frozen=True)
class Episode:
    """A piece of one episode, whole where first_step is 0 and its last step ended it.

    observation: one more than there are steps; terminated (the task ended it) and truncated (its
    time was over) are told apart, and may be true at the last step alone; state: full physics
    states, one more than steps, None where they cannot be read; environment, physics: whose; seed:
    of the rollout; first_step: of the whole episode.
    """

    id: str
    environment: str
    physics: str
    seed: int
    first_step: int
    observation_TO: Array
    action_TA: Array
    reward_T: Array
    terminated_T: Mask
    truncated_T: Mask
    state_TS: Array | None = None

    def __post_init__(self) -> None:
        steps = self.steps
        if steps < 1:
            raise DataError(f"episode {self.id} has no steps")
        for name, more in (
            ("action_TA", 0),
            ("terminated_T", 0),
            ("truncated_T", 0),
            ("observation_TO", 1),
            ("state_TS", 1),
        ):
            rows = getattr(self, name)
            if rows is not None and len(rows) != steps + more:
                raise DataError(
                    f"episode {self.id}: {len(rows)} rows of {name.partition('_')[0]} for"
                    f" {steps} steps",
                    "there is an action, a reward and an end for each step; an observation and a"
                    " state before each, and one after the last",
                )
        early = (self.terminated_T | self.truncated_T)[:-1]
        if early.any():
            raise DataError(
                f"episode {self.id} goes on after its end at step {int(early.argmax())}",
                "cut it there: what follows is another episode",
            )
        for name in ("observation_TO", "action_TA", "reward_T", "state_TS"):
            rows = getattr(self, name)
            if rows is not None and not np.isfinite(rows).all():
                at = int(np.argwhere(~np.isfinite(rows))[0][0])
                raise DataError(
                    f"episode {self.id}: {name.partition('_')[0]} at step {at} is not a finite"
                    " number",
                    "leave the episode out, or mend the environment that made it",
                )

    @property
    def steps(self) -> int:
        return len(self.reward_T)

    @property
    def digest(self) -> str:
        """SHA-256 of what was seen and done."""
        total = hashlib.sha256()
        for rows in (self.observation_TO, self.action_TA):
            total.update(np.ascontiguousarray(rows).tobytes())
        return total.hexdigest()

    def piece(self, clip: Clip) -> Episode:
        """The steps [start, stop) of it. Raises DataError where they are not all its own."""
        if clip.stop > self.steps:
            raise DataError(
                f"the clip [{clip.start}, {clip.stop}) leaves episode {self.id}, which has"
                f" {self.steps} steps",
                "a clip lies within one episode: shorten it, or take a longer episode",
            )
        steps, around = slice(clip.start, clip.stop), slice(clip.start, clip.stop + 1)
        return Episode(
            self.id,
            self.environment,
            self.physics,
            self.seed,
            self.first_step + clip.start,
            self.observation_TO[around],
            self.action_TA[steps],
            self.reward_T[steps],
            self.terminated_T[steps],
            self.truncated_T[steps],
            None if self.state_TS is None else self.state_TS[around],
        )

    def apart(self) -> Episode:
        """With arrays of its own, so that nothing longer that it was cut from stays in memory."""
        arrays: dict[str, Any] = {
            name: rows.copy() for name, rows in vars(self).items() if isinstance(rows, np.ndarray)
        }
        return replace(self, **arrays)


def windows(episode: Episode, steps: int) -> list[Clip]:
    """Clips of `steps` that follow each other in an episode, its last steps among them. Raises
    DataError for an episode that is shorter, and for clips of no steps."""
    if steps < 1:
        raise DataError(f"clips of {steps} steps", "use clips of 1 or more")
    if episode.steps < steps:
        raise DataError(
            f"episode {episode.id} has {episode.steps} steps, a clip {steps}",
            "use shorter clips, or episodes that last longer",
        )
    rest = episode.steps % steps
    return [
        Clip(episode=episode.id, start=start, stop=start + steps)
        for start in range(rest, episode.steps, steps)
    ]


def check_physics(episode: Episode, environment: str, physics: str) -> None:
    """Raise DataError where states are to be gone on from in another environment than theirs, or by
    another version of what computes it."""
    if episode.state_TS is None:
        raise DataError(
            f"episode {episode.id} has no states: those of {episode.environment} cannot be read",
            "only environments whose state can be set can be gone on from a moment",
        )
    if (episode.environment, episode.physics) != (environment, physics):
        raise DataError(
            f"episode {episode.id} was made in {episode.environment} by {episode.physics}, not in"
            f" {environment} by {physics}",
            f"install {episode.physics}, or make new episodes",
        )


class EpisodeStore:
    """A folder of blocks of episodes, in the order of their appends."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError for a block that cannot be read or is of a later version."""
        self.folder = folder
        self._places: dict[str, tuple[Path, dict[str, Any]]] = {}
        self._blocks: list[Path] = []
        self._held: OrderedDict[Path, dict[str, Any]] = OrderedDict()
        self._cut: OrderedDict[tuple[str, int, int], Episode] = OrderedDict()
        for path in sorted(folder.glob("block-*.safetensors")):
            self._index(path)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def blocks(self) -> int:
        """Appends so far."""
        return len(self._blocks)

    @property
    def ids(self) -> list[str]:
        """Of all episodes, in the order they came."""
        return list(self._places)

    def append(self, episodes: Sequence[Episode]) -> None:
        """Add episodes durably, all or none. Raises DataError for an id that is there."""
        if not episodes:
            return
        ids = [episode.id for episode in episodes]
        for number, name in enumerate(ids):
            if name in self._places or name in ids[:number]:
                raise DataError(f"the episode {name!r} is there already", "give it another id")
        arrays, heads = {}, []
        for number, episode in enumerate(episodes):
            head: dict[str, Any] = {}
            for field in fields(episode):
                value = getattr(episode, field.name)
                if isinstance(value, np.ndarray):
                    arrays[f"{number}.{field.name}"] = np.ascontiguousarray(value)
                else:
                    head[field.name] = value
            heads.append(head)
        path = self.folder / f"block-{len(self._blocks):06d}.safetensors"
        # One entry: the order of several is not always the same.
        told = {HEAD: json.dumps({"version": VERSION, "episodes": heads})}
        write_atomically(path, lambda place: save_file(arrays, str(place), told))
        self._index(path)

    def missing(
        self, episodes: Sequence[Episode], fix: str = "name another folder"
    ) -> list[Episode]:
        """Those that are not there yet. Raises DataError, with this `fix`, for another episode of a
        name that is there."""
        for one in episodes:
            if one.id in self._places and self.episode(one.id).digest != one.digest:
                raise DataError(f"{self.folder} holds another episode {one.id}", fix)
        return [one for one in episodes if one.id not in self._places]

    def keep(self, blocks: int) -> None:
        """Forget all appends after the first `blocks` (work after the last checkpoint is
        redone)."""
        for path in self._blocks[blocks:]:
            path.unlink()
        self.__init__(self.folder)  # type: ignore[misc]

    def episode(self, name: str) -> Episode:
        """Raises DataError where there is none of this id."""
        if name not in self._places:
            raise DataError(
                f"there is no episode {name!r} among the {len(self):,} of {self.folder}",
                "name the store that the clips were cut from",
            )
        path, head = self._places[name]
        arrays = self._block(path)
        number = head["number"]
        own: dict[str, Any] = {
            field.name: arrays.get(f"{number}.{field.name}", head.get(field.name))
            for field in fields(Episode)
        }
        return Episode(**own)

    def clip(self, clip: Clip) -> Episode:
        """The steps that a clip shows. Raises DataError as `episode` and `Episode.piece` do."""
        key = clip.episode, clip.start, clip.stop
        if key not in self._cut:
            self._cut[key] = self.episode(clip.episode).piece(clip).apart()
            if len(self._cut) > CLIPS_KEPT:
                self._cut.popitem(last=False)
        self._cut.move_to_end(key)
        return self._cut[key]

    def _index(self, path: Path) -> None:
        try:
            with safe_open(str(path), "numpy") as file:
                told = json.loads((file.metadata() or {}).get(HEAD, "{}"))
        except Exception as error:
            raise DataError(
                f"{path} cannot be read: {error}", "remove it: its episodes are lost"
            ) from error
        if told.get("version") != VERSION:
            raise DataError(
                f"{path} is of version {told.get('version')!r}; version {VERSION} is read",
                "read it with the accord that wrote it",
            )
        for number, head in enumerate(told["episodes"]):
            self._places[head["id"]] = (path, head | {"number": number})
        self._blocks.append(path)

    def _block(self, path: Path) -> dict[str, Any]:
        if path not in self._held:
            with safe_open(str(path), "numpy") as file:
                self._held[path] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(path)
        return self._held[path]
