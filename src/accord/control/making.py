"""Environments by name."""

from __future__ import annotations

from accord.control.environments import EnvironmentBatch
from accord.control.gym_batch import PATIENCE, GymBatch
from accord.control.mujoco_batch import MujocoBatch, task_of
from accord.errors import ConfigError


def make(
    name: str,
    count: int,
    limit: int | None = None,
    endless: bool = False,
    patience: float = PATIENCE,
    rendered: bool = False,
    absorb: bool = False,
) -> EnvironmentBatch:
    """`count` environments: `accord:NAME` (physics stepped in batch), a Gymnasium id, or
    `module:EnvId` (the module is imported first). limit: steps of an episode, None for the
    environment's own; endless: nothing ends an episode before that, where the task is ours;
    patience: seconds that one of Gymnasium's may take for a step or a reset; rendered: its frames
    will be asked for, where it has no poses; absorb: what ends one of Gymnasium's before its time
    leaves it where it is, paid nothing. Raises ConfigError for what there is none of, or whose
    spaces are not supported."""
    if count < 1:
        raise ConfigError(f"{count} environments of {name}", "use at least one")
    if name.startswith("accord:"):
        if absorb:
            raise ConfigError(
                f"horizon: absorb in {name}, which can go on after what ends it",
                "set horizon: fixed",
            )
        return MujocoBatch(task_of(name), count, limit, endless)
    return GymBatch(name, count, limit, patience, rendered, absorb)
