"""What a tracker has to do, and what it is told of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from accord.errors import AccordError
from accord.report.sinks.following import Scalars
from accord.validation import read_yaml

SECRET = re.compile(r"KEY|TOKEN|PASSWORD|SECRET", re.IGNORECASE)
"""Names of environment variables whose values are shown nowhere."""


class SinkError(AccordError):
    """A tracker cannot be reached, or refuses."""


@dataclass(frozen=True)
class RunInfo:
    """run_dir: of the run; key: made from the run's place and time, the same after a resume; name:
    of the run's directory; project: the recipe's name; settings: the resolved recipe."""

    run_dir: Path
    key: str
    name: str
    project: str
    settings: Mapping[str, Any]


class Sink(Protocol):
    """A tracker. `state`: what it needs to go on after a resume (JSON), kept with the position;
    `anew`: every start writes the whole run again.

    Each method raises SinkError, or whatever the tracker's library raises.
    """

    state: dict[str, Any]
    anew: bool

    def open(self) -> str:
        """Start, or go on; where to look (an address or a command)."""

    def send(self, rows: Sequence[Scalars]) -> None:
        """Returns once the rows are with the tracker."""

    def close(self, finished: bool) -> None:
        """finished: all stages are done."""


def read_recipe(run_dir: Path) -> dict[str, Any]:
    """The resolved recipe of a run. Raises ConfigError where it cannot be read."""
    path = run_dir / "recipe.yaml"
    return read_yaml(path.read_text(encoding="utf-8"), str(path), "it is written by accord run")


def without_secrets(text: str) -> str:
    """The text, with the values of secret environment variables replaced."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= 6:
            text = text.replace(value, "***")
    return text
