"""The contract of a stage: its settings, what it provides, what it plans, what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from accord.validation import Settings

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.estimate import ModelSize

Value = float | int | str | bool


class StageConfig(Settings):
    """Base of all stage settings: unknown keys are refused, values are fixed once read."""

    kind: str


@dataclass(frozen=True)
class Plan:
    """What a stage would do, computed before any model is loaded; None where it cannot be known yet.

    rows, tokens (an upper bound), steps: amounts; memory_mib, seconds: estimates; example: one decoded example.
    For the plans of later stages: sizes: rows per artefact; model: shape of the model it leaves, base: what that
    descends from; demonstration: the first (prompt, response) it writes.
    """

    rows: int | None = None
    tokens: int | None = None
    steps: int | None = None
    memory_mib: int | None = None
    seconds: float | None = None
    example: str | None = None
    notes: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    model: ModelSize | None = None
    base: str | None = None
    demonstration: tuple[Any, str] | None = None


@dataclass(frozen=True)
class StageResult:
    """summary: one line for the closing table; values: numbers for the report; artefacts: name -> path.

    guard: why a guard stopped the stage early. Later stages still run (the examination says what happened),
    and the command ends with exit code 3.
    """

    summary: str
    values: dict[str, Value] = field(default_factory=dict)
    artefacts: dict[str, Path] = field(default_factory=dict)
    guard: str | None = None


class Stage:
    """One kind of stage. Subclasses set the class variables and implement `run`; heavy imports go inside it.

    provides: artefact names other stages may refer to; the first one is meant by a bare `stage:NAME`.
    references: the settings that may hold a `stage:` reference, with the artefact each expects.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[StageConfig]]
    provides: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = ""

    def plan(self, config: Any, context: StageContext) -> Plan:
        """Estimate the work. Must not load models."""
        return Plan()

    def run(self, config: Any, context: StageContext) -> StageResult:
        """Do the work, resuming from what `context` remembers of an interrupted try."""
        raise NotImplementedError
