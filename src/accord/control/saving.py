"""Files of what a run learned: networks with their scales, and what they say of themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from accord.control.environments import EnvironmentBatch
from accord.errors import ConfigError, DataError
from accord.files import write_atomically
from accord.statistics.intervals import Array
from accord.validation import Settings


def save_arrays(path: Path, arrays: dict[str, np.ndarray], head: dict[str, str]) -> None:
    """A network and its scales, whole or absent."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, lambda place: save_file(plain, str(place), {"accord": json.dumps(head)}))


def saved_head(
    what: str,
    environments: EnvironmentBatch,
    learner: str,
    kept: Settings,
    spent: Mapping[str, int],
) -> dict[str, str]:
    """What a saved network says of itself. learner: the kind of policy; kept: its settings; spent:
    steps of the environment, and what was asked, by name."""
    return {
        "what": what,
        "learner": learner,
        "environment": environments.name,
        "physics": environments.physics,
        "settings": kept.model_dump_json(),
        **{name: str(count) for name, count in spent.items()},
    }


def read_saved(path: str | Path, what: str) -> tuple[dict[str, str], dict[str, Array]]:
    """(head, arrays) of a policy.safetensors or reward.safetensors. Raises ConfigError where there
    is none, DataError for another file."""
    if not Path(path).is_file():
        raise ConfigError(
            f"there is no file {path}", f"name the {what}.safetensors of a learn_from_clips stage"
        )
    try:
        with safe_open(str(path), "numpy") as file:
            head: dict[str, str] = json.loads((file.metadata() or {}).get("accord", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise DataError(f"{path} cannot be read: {error}", "copy it again") from error
    if head.get("what") != what:
        raise DataError(
            f"{path} holds {head.get('what') or 'something else'}, not a {what}",
            f"name the {what}.safetensors of a learn_from_clips stage",
        )
    return head, arrays
