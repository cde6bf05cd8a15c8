"""What a stage sees of its run: its directory, inputs of earlier stages, seeds, progress, resumable
logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.errors import AccordError, ConfigError, DataError
from accord.feedback.formats.source import AnySpec, DataSpec, with_paths
from accord.files import AppendLog, digest, write_json
from accord.runs.inputs import REFERENCE, about, stage_of
from accord.runs.plan import Plan
from accord.runs.progress_file import ProgressFile
from accord.runs.session import KEEP, InterruptFlag, RunSession

if TYPE_CHECKING:
    from accord.runs.plan import KnownModel
    from accord.runs.speed import Speed
    from accord.text.encoding import Encoder
    from accord.text.language import Language
    from accord.text.lengths import LengthTable

RESULT, INPUTS, CARD = "result.json", "inputs.json", "README.md"
ALLOWED = 0.2
"""Share of rows that may be dropped unless a stage's settings allow more."""
_ROW = re.compile(r"row ([^\s/:]+)(?:/[^\s:]+)?")
"""How an error calls a record, or one of its responses."""


class NotYet(AccordError):
    """Asked of a check: what an earlier stage has still to make."""


class StageProgress:
    """Receives a stage's progress; the default shows nothing."""

    def planned(self, plans: Mapping[str, Plan]) -> None:
        """Everything was checked; what each stage is going to do."""

    def begin(self, stage: str) -> None:
        """A stage starts."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of work."""

    def say(self, text: str) -> None:
        """One line for the user."""


@dataclass
class StageContext:
    """Handed to a stage's `plan` and `run`.

    folder: the stage's own directory (stages/NN-name; for `plan` one that is thrown away); seed:
    derived from the run's seed and the stage's name, so that adding a stage does not change the
    others; allow_dropped: share of rows that may be dropped; chat_template, chat_template_kwargs:
    the recipe's; planning: nothing is made yet, and `planned` are the plans of earlier stages;
    inputs: hashes of what is read, by name, taken before it is read; tables: of lengths, as they
    were made; looked_at: (rows read, rows in all, whether that is a guess) of each source;
    measures: whether a plan measures how fast this machine is; places: where the records that were
    read stand, by id.
    """

    run_dir: Path
    folder: Path
    name: str
    seed: int
    device: str
    earlier: Mapping[str, Path]
    interrupt: InterruptFlag
    progress: StageProgress = field(default_factory=StageProgress)
    inputs: dict[str, str] = field(default_factory=dict)
    allow_dropped: float = ALLOWED
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    planning: bool = False
    planned: Mapping[str, Plan] = field(default_factory=dict)
    tables: list[LengthTable] = field(default_factory=list)
    looked_at: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    measures: bool = False
    places: dict[str, str] = field(default_factory=dict, repr=False)
    _written: ProgressFile | None = field(default=None, repr=False)

    @contextmanager
    def naming_rows(self) -> Iterator[None]:
        """Errors about a record, which is named by its id, name its place in the file instead."""
        try:
            yield
        except DataError as error:
            message = _ROW.sub(lambda match: self.places.get(match[1], match[0]), error.message)
            if message == error.message:
                raise
            raise DataError(message, error.fix) from error

    def resolve(self, reference: str) -> str:
        """A path for `stage:NAME[/ARTEFACT]`; anything else (path, Hub id, accord:NAME) is returned
        as it is."""
        if not reference.startswith(REFERENCE):
            self._note(reference, reference)
            return reference
        made = self.made(reference)
        if made is None:
            raise NotYet(f"{reference} is not made yet", "run the stage first")
        self._note(reference, str(made))
        return str(made)

    def _note(self, reference: str, path: str) -> None:
        """Hash what no setting names as an input (see `accord.runs.inputs.Names`) before it is
        read."""
        if not self.planning and reference not in self.inputs and Path(path).exists():
            self.inputs[reference] = hash_made(Path(path))

    @property
    def inputs_file(self) -> Path:
        """Where the hashes of what the stage reads lie, once it has begun."""
        return self.folder / INPUTS

    def made(self, reference: str) -> Path | None:
        """Where the artefact of an earlier stage lies; while planning, a file of its first rows
        where these can be told; None where it is not there yet. Raises ConfigError where the stage
        left no such artefact."""
        name, artefact = stage_of(reference)
        if not (self.earlier[name] / RESULT).is_file():
            plan = self.planned.get(name)
            return plan.files.get(artefact or next(iter(plan.files), "")) if plan else None
        result = json.loads((self.earlier[name] / RESULT).read_text())
        artefact = artefact or next(iter(result["artefacts"]))
        if artefact not in result["artefacts"]:
            raise ConfigError(
                f"stage {name!r} left no {artefact!r}", f"it left: {', '.join(result['artefacts'])}"
            )
        return Path(self.earlier[name] / result["artefacts"][artefact])

    def data(self, spec: DataSpec) -> AnySpec:
        """As `resolve`, for all that `spec` names."""
        return with_paths(spec, self.resolve)

    def keep_table(self, table: LengthTable) -> None:
        """Show and store what became of the rows' lengths."""
        self.tables.append(table)
        if not self.planning:
            for line in table.lines():
                self.say(line)
            write_json(self.folder / "lengths.json", table.values())

    def about(self, setting: str) -> AbstractContextManager[None]:
        """Within it, errors say which setting of this stage they are about."""
        return about(f"stages.{self.name}.{setting}")

    @property
    def scale(self) -> float:
        """Rows in all per row that was looked at: 1 unless a plan reads only the first ones of a
        large source."""
        read, total = (sum(one[i] for one in self.looked_at.values()) for i in (0, 1))
        return total / read if read else 1.0

    def speed(self, model: KnownModel, lora: bool = False) -> Speed | None:
        """Measured on this machine; None where a plan does not measure."""
        from accord.runs.speed import speed_of

        return speed_of(model, self.device, lora) if self.measures else None

    def path(self, reference: str) -> Path:
        """As `resolve`, for things that must be local."""
        return Path(self.resolve(reference))

    def encoder(self, model: Language) -> Encoder:
        """How this stage turns text into `model`'s tokens.

        The recipe's chat template becomes the tokenizer's own: what is sampled stops at its ends,
        and it is saved with the model.
        """
        from accord.text.encoding import Encoder

        if self.planning:  # other recipes' plans share the tokenizer
            return Encoder(model.tokenizer, self.chat_template, self.chat_template_kwargs)
        if self.chat_template is not None:
            model.tokenizer.chat_template = self.chat_template
        return Encoder(model.tokenizer, chat_template_kwargs=self.chat_template_kwargs)

    def session(
        self,
        note: Callable[[Mapping[str, float]], str] | None = None,
        every_steps: int = 0,
        every_seconds: float = 20.0,
        keep: int = KEEP,
        within: str = "",
    ) -> RunSession:
        """The session of this stage's training loop; `note` turns a step's metrics into the
        progress line; within: the loop's own folder in the stage's, where a stage has several; the
        rest as a stage's `checkpoints` say."""

        def on_step(step: int, total: int, values: Mapping[str, float]) -> None:
            self.progress.step(step, total, note(values) if note else "")

        return RunSession(
            self.folder / within,
            self.interrupt,
            every_steps=every_steps,
            every_seconds=every_seconds,
            keep=keep,
            on_step=on_step,
            say=self.progress.say,
        )

    def log(self, name: str) -> AppendLog:
        """An append-only JSONL file of this stage that a resumed try continues."""
        return AppendLog(self.folder / name)

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """Between chunks of work that need no checkpoint: show progress, stop here when asked
        to."""
        if self._written is None:
            self._written = ProgressFile(self.folder)
        self._written.update(done, total)
        self.progress.step(done, total, note)
        self.interrupt.check()

    def say(self, text: str) -> None:
        """One line for the user."""
        self.progress.say(text)


def stage_folders(names: Sequence[str], run_dir: Path) -> dict[str, Path]:
    """stages/NN-name for each stage, in order."""
    return {name: run_dir / "stages" / f"{i:02d}-{name}" for i, name in enumerate(names, 1)}


def recorded_inputs(run_dir: Path) -> dict[str, str]:
    """What the run's stages read so far: name -> hash, the first where one was read more often."""
    known: dict[str, str] = {}
    for path in sorted(run_dir.glob(f"stages/*/{INPUTS}")):
        known = json.loads(path.read_text(encoding="utf-8"))["inputs"] | known
    return known


def hash_made(path: Path) -> str:
    """Of a model or another result of a stage, less its card: that tells of it, and is written when
    the run is over."""
    return f"sha256:{digest(path, CARD)}"


def relative_artefacts(artefacts: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Artefact paths relative to the stage's directory, for result.json."""
    return {name: str(Path(path).relative_to(folder)) for name, path in artefacts.items()}
