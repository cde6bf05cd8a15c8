"""What is known before anything runs: of a model its shape, of a stage what it would do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from accord.runs.inputs import REFERENCE, Kind

if TYPE_CHECKING:
    from accord.text.language import Language


@dataclass(frozen=True)
class ModelSize:
    """Shape of a causal LM; parameters counts tied weights once."""

    parameters: int
    layers: int
    hidden: int


@dataclass(frozen=True)
class KnownModel:
    """A model as far as it is known. location: directory of its files (of an adapter: its base's),
    None where they are not on this disk; adapter: whether it carries one; language: None where its
    tokenizer is not there yet; unknown: it is not on this disk, and the Hub could not be asked."""

    name: str
    kind: Kind
    location: str | None = None
    size: ModelSize | None = None
    language: Language | None = None
    adapter: bool = False
    note: str | None = None
    unknown: bool = False

    def left_by(self, stage: str, kind: Kind = "policy", adapter: bool = False) -> KnownModel:
        """The model that a stage makes of this one, with an `adapter` or whole."""
        return replace(self, name=f"{REFERENCE}{stage}", kind=kind, adapter=adapter)


@dataclass(frozen=True)
class Plan:
    """What a stage would do, computed before any model is loaded; None where it cannot be known
    yet.

    rows: what it works on; cut, dropped (by reason): what became of the rows it reads; tokens (an
    upper bound), steps: amounts; memory_mib, disk_mib (what it leaves and, at most, holds on the
    way), seconds (from, to): estimates; example: one decoded
    example.
    For the plans of later stages: sizes: rows per artefact; files: rows of an artefact, or the
    first of them, as they will be; models: what is known of the models it leaves, by artefact;
    scorers: what scored the text that they learn from.
    """

    rows: int | None = None
    cut: int | None = None
    dropped: dict[str, int] | None = None
    tokens: int | None = None
    steps: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    seconds: tuple[float, float] | None = None
    example: str | None = None
    notes: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    models: dict[str, KnownModel] = field(default_factory=dict)
    scorers: list[str] = field(default_factory=list)
