"""The contract of a stage: its settings, what it provides, what it plans, what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from accord.runs.inputs import Kind
from accord.runs.plan import Plan
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.runs.context import StageContext

Value = float | int | str | bool | Mapping[str, float]
"""What result.json holds of a stage; a mapping holds counts or shares by name."""


class StageConfig(Settings):
    """Base of all stage settings: unknown keys are refused, values are fixed once read."""

    kind: str

    def code(self) -> Sequence[str]:
        """The functions of the user's, module:function, that the stage calls."""
        return ()


@dataclass(frozen=True)
class StageResult:
    """summary: one line for the closing table; values: numbers for the report; artefacts: name ->
    path.

    guard: why a guard stopped the stage early. Later stages still run (the examination says what
    happened), and the command ends with exit code 3.
    """

    summary: str
    values: Mapping[str, Value] = field(default_factory=dict)
    artefacts: dict[str, Path] = field(default_factory=dict)
    guard: str | None = None


class Stage:
    """One kind of stage. Subclasses set the class variables and implement `run`; heavy imports go
    inside it.

    provides: artefact names other stages may refer to, with the kind of each (None: read by
    nobody); the first one is meant by a bare `stage:NAME`. Settings that name what is read say so
    by `accord.runs.inputs.Names`.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[StageConfig]]
    provides: ClassVar[Mapping[str, Kind | None]] = {}
    about: ClassVar[str] = ""

    def plan(self, config: Any, context: StageContext) -> Plan:
        """Check what the settings name as far as it is there, and estimate the work. Must not load
        models.

        Raises AccordError for what could not work.
        """
        return Plan()

    def run(self, config: Any, context: StageContext) -> StageResult:
        """Do the work, resuming from what `context` remembers of an interrupted try."""
        raise NotImplementedError
