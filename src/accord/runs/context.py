"""What a stage sees of its run: its directory, inputs of earlier stages, seeds, progress, resumable logs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.errors import ConfigError
from accord.files import AppendLog
from accord.runs.recipe import REFERENCE
from accord.runs.session import InterruptFlag, RunSession
from accord.runs.stage import Plan

if TYPE_CHECKING:
    from accord.text.encoding import Encoder
    from accord.text.language import Language

RESULT = "result.json"


class Progress:
    """Receives a stage's progress; the default shows nothing."""

    def begin(self, stage: str) -> None:
        """A stage starts."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of work."""

    def say(self, text: str) -> None:
        """One line for the user."""


@dataclass
class StageContext:
    """Handed to a stage's `plan` and `run`.

    folder: the stage's own directory (stages/NN-name); seed: derived from the run's seed and the stage's
    name, so that adding a stage does not change the others; planned: the plans of earlier stages (for `plan`).
    """

    run_dir: Path
    folder: Path
    name: str
    seed: int
    device: str
    earlier: Mapping[str, Path]
    interrupt: InterruptFlag
    progress: Progress = field(default_factory=Progress)
    inputs: dict[str, str] = field(default_factory=dict)
    planned: Mapping[str, Plan] = field(default_factory=dict)

    def resolve(self, reference: str) -> str:
        """A path for `stage:NAME[/ARTEFACT]`; anything else (path, Hub id, accord:NAME) is returned as it is."""
        if not reference.startswith(REFERENCE):
            self.inputs[reference] = reference
            return reference
        name, _, artefact = reference.removeprefix(REFERENCE).partition("/")
        result = json.loads((self.earlier[name] / RESULT).read_text())
        artefact = artefact or next(iter(result["artefacts"]))
        if artefact not in result["artefacts"]:
            raise ConfigError(f"stage {name!r} left no {artefact!r}", f"it left: {', '.join(result['artefacts'])}")
        path = str(self.earlier[name] / result["artefacts"][artefact])
        self.inputs[reference] = path
        return path

    def path(self, reference: str) -> Path:
        """As `resolve`, for things that must be local."""
        return Path(self.resolve(reference))

    def encoder(self, model: Language) -> Encoder:
        """How this stage turns text into `model`'s tokens."""
        from accord.text.encoding import Encoder

        return Encoder(model.tokenizer)

    def session(self, note: Callable[[Mapping[str, float]], str] | None = None, every_steps: int = 0) -> RunSession:
        """The session of this stage's training loop; `note` turns a step's metrics into the progress line."""

        def on_step(step: int, total: int, values: Mapping[str, float]) -> None:
            self.progress.step(step, total, note(values) if note else "")

        return RunSession(self.folder, self.interrupt, every_steps=every_steps, on_step=on_step, say=self.progress.say)

    def log(self, name: str) -> AppendLog:
        """An append-only JSONL file of this stage that a resumed try continues."""
        return AppendLog(self.folder / name)

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """Between chunks of work that need no checkpoint: show progress, stop here when asked to."""
        self.progress.step(done, total, note)
        self.interrupt.check()

    def say(self, text: str) -> None:
        """One line for the user."""
        self.progress.say(text)


def derive_seed(seed: int, name: str) -> int:
    """A stage's seed: 31 bits of a hash of the run's seed and the stage's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


def relative_artefacts(artefacts: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Artefact paths relative to the stage's directory, for result.json."""
    return {name: str(Path(path).relative_to(folder)) for name, path in artefacts.items()}
