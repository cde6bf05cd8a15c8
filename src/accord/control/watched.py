"""Episodes of a policy that were watched along its training, kept to be measured, drawn and asked
about.

Suffixes: T steps, N episodes, O numbers of an observation, Q coordinates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from accord.control.environments import EnvironmentBatch
from accord.control.evaluation import WatchedEpisodes
from accord.control.poses import JUDGED, movement
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.files import write_atomically
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.control.leaving import SavedReward

MEASURED = "measured."
"""Before the names of what the task counts."""


@dataclass(frozen=True)
class KeptEpisodes:
    """N episodes of a policy after so many steps of its environments; arrays: as
    `WatchedFolder.keep` writes them."""

    step: int
    arrays: Mapping[str, Array]

    @property
    def gold_N(self) -> Array:
        """What the environment paid for each."""
        return self.arrays["gold"]

    @property
    def seed(self) -> int:
        """Of the episodes' starts, as `evaluation.watch` takes it."""
        return int(self.arrays["seed"][0])

    @property
    def measured(self) -> dict[str, Array]:
        """What the task counts, by name: [N] each."""
        return {
            name.removeprefix(MEASURED): row
            for name, row in self.arrays.items()
            if name.startswith(MEASURED)
        }

    def proxy_N(self, reward: SavedReward) -> Array:
        """What a learned reward says of each, its sum over the steps: [N]."""
        kept = self.arrays
        inputs = reward.inputs(kept["observation"], kept["action"], kept["next"])
        said_N: Array = (reward.rewards(inputs) * kept["alive"]).sum(0)
        return said_N

    def clip(self, n: int) -> Clip:
        """Episode n as a whole. Its name is a hash of what was seen and done: the same for two
        that are the same, another in another run, and silent on whose it is."""
        steps, total = self._steps(n), hashlib.sha256()
        for rows_TA in (self.seen(n), self.done(n)):
            total.update(np.ascontiguousarray(rows_TA).tobytes())
        return Clip(episode=total.hexdigest()[:24], start=0, stop=steps)

    def drawing(
        self, n: int, environments: EnvironmentBatch, per_second: int = JUDGED
    ) -> dict[str, Any]:
        """Episode n as browsers draw it. Raises DataError where there are no poses."""
        positions_TQ = None
        if "positions" in self.arrays:
            positions_TQ = self.arrays["positions"][: self._steps(n), n]
        return movement(environments, self.seen(n), positions_TQ, per_second)

    def _steps(self, n: int) -> int:
        return int(self.arrays["alive"][:, n].sum())

    def done(self, n: int) -> Array:
        """The action of each step: [T, A]."""
        action_TA: Array = self.arrays["action"][: self._steps(n), n]
        return action_TA

    def seen(self, n: int) -> Array:
        """Observations before each step, and after the last: [T + 1, O]."""
        steps = self._steps(n)
        then_TO = self.arrays["next"][steps - 1 : steps, n]
        seen_TO: Array = np.concatenate([self.arrays["observation"][:steps, n], then_TO])
        return seen_TO


class WatchedFolder:
    """A file for each point of a training, named by its steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def points(self) -> list[int]:
        """Steps of the environments at each."""
        return sorted(int(path.stem) for path in self.folder.glob("*.safetensors"))

    def keep(self, step: int, seen: WatchedEpisodes, seed: int) -> None:
        """Keep what was seen after so many steps, begun by this seed; those of the first point are
        a new beginning, and what an earlier try left goes."""
        if step == 0:
            for old in self.folder.glob("*.safetensors"):
                old.unlink()
        arrays = {
            "observation": seen.steps.observation_TNO.astype(np.float32),
            "action": seen.steps.action_TNA.astype(np.float32),
            "next": seen.steps.next_TNO.astype(np.float32),
            "alive": seen.alive_TN,
            "gold": seen.gold_N,
            "seed": np.array([seed], dtype=np.uint64),
        }
        arrays |= {f"{MEASURED}{name}": row for name, row in seen.measured.items()}
        if seen.positions_TNQ is not None:
            arrays["positions"] = seen.positions_TNQ
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomically(self._path(step), lambda place: save_file(arrays, str(place)))

    def read(self, step: int) -> KeptEpisodes:
        """Raises DataError where this point is not there, or cannot be read."""
        path = self._path(step)
        again = "remove the stage's directory and run it again: accord run --resume"
        if not path.is_file():
            raise DataError(f"{path} is missing", again)
        try:
            return KeptEpisodes(step, load_file(str(path)))
        except Exception as error:
            raise DataError(f"{path} cannot be read: {error}", again) from error

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:012d}.safetensors"
