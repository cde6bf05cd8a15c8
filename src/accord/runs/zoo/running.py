"""Running cells of the zoo: every stage is kept in a cache under the hash of all it rests on, so
that cells share what they have in common, and what is done is not done again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import accord
from accord.errors import ConfigError
from accord.examine.evidence import Evidence
from accord.runs import recipe as recipes
from accord.runs.contents import hash_inputs
from accord.runs.context import ALLOWED, RESULT, StageContext, StageProgress
from accord.runs.inputs import REFERENCE, stage_of, texts_in, with_references
from accord.runs.runner import locked, run_stage
from accord.runs.session import InterruptFlag
from accord.runs.stage import Stage, StageConfig
from accord.runs.zoo import stages as _stages  # noqa: F401  (registers them)
from accord.runs.zoo.kinds import EXAMINED, Kind, Size
from accord.seeds import derive_seed

UNUSED = ("cli", "studio", "report", "assets", "recipes")
"""Rooms that no cell's numbers depend on."""
DECIDES = (
    "examine/verdict.py",
    "examine/error_rates.py",
    "examine/measures.py",
    "runs/zoo/kinds.py",
    "runs/zoo/running.py",
    "runs/zoo/summary.py",
)
"""Files that judge evidence, or say which cells there are: kept evidence does not depend on them
(a kind's settings are in its stages' hashes)."""
PLANTS = "examine/behaviour/canaries.py"
"""The one file of measures that what is trained on depends on, too."""
WAIT = 2.0
"""Seconds until it is looked again whether another process has finished."""
SHARED_SEED = 1
"""Seed of stages that all seeds share."""


@cache
def code_digest(examines: bool) -> str:
    """SHA-256 of the code that makes models and samples, and where it `examines`, of the measures
    too."""
    root, total = Path(accord.__file__).parent, hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        room = name.partition("/")[0]
        if room in UNUSED or name in DECIDES:
            continue
        if room == "examine" and not examines and name != PLANTS:
            continue
        total.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


@dataclass(frozen=True)
class Step:
    """A stage of a cell: where it lies in the cache, and what it reads."""

    name: str
    stage: Stage
    config: StageConfig
    folder: Path
    seed: int
    reads: tuple[str, ...]

    @property
    def done(self) -> bool:
        return (self.folder / RESULT).is_file()


@dataclass(frozen=True)
class ZooCell:
    """One kind with one seed: its stages in order, the examination last."""

    kind: Kind
    seed: int
    steps: Mapping[str, Step] = field(repr=False)

    @property
    def evidence_file(self) -> Path:
        return self.steps[EXAMINED].folder / "evidence.json"

    @property
    def done(self) -> bool:
        return self.steps[EXAMINED].done

    def evidence(self) -> Evidence:
        """What the examination found."""
        return Evidence.model_validate_json(self.evidence_file.read_text(encoding="utf-8"))

    def cpu_seconds(self) -> float:
        """CPU time of the stages that are the cell's own: tuning and all that follows."""
        own = [step for step in self.steps.values() if step.name in self.kind.own]
        results = [json.loads((step.folder / RESULT).read_text()) for step in own]
        return float(sum(result["cpu_seconds"] for result in results))


def cell(kind: Kind, seed: int, size: Size, kept: Path) -> ZooCell:
    """The stages of a kind, pruned to what its examination needs, each with its place in the
    cache."""
    recipe = recipes.validate(
        {"name": kind.name, "seed": seed, "threads": 1, "stages": kind.stages(size)}
    )
    needed = _needed(EXAMINED, recipe)
    keys: dict[str, str] = {}
    steps: dict[str, Step] = {}
    for name, (stage, config) in recipe.stages.items():
        if name not in needed:
            continue
        reads = tuple(sorted(_read_by(config)))
        own_seed = derive_seed(SHARED_SEED if name in kind.shared else seed, "stage", name)
        told = {
            "stage": stage.kind,
            "config": _resolved(config, keys),
            "seed": own_seed,
            "code": code_digest(stage.kind == "examine"),
        }
        keys[name] = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        folder = kept / name / keys[name][:16]
        steps[name] = Step(name, stage, config, folder, own_seed, reads)
    return ZooCell(kind, seed, steps)


def run_cell(
    one: ZooCell, progress: StageProgress, interrupt: InterruptFlag, device: str = "cpu"
) -> bool:
    """Run what of a cell is not kept yet. False where another process is at one of its stages:
    several share a cache, each at stages of its own."""
    for name, step in one.steps.items():
        if step.done:
            continue
        step.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            try:
                held.enter_context(locked(step.folder))
            except ConfigError:
                return False
            if not step.done:
                progress.begin(name)
                _run(one, step, progress, interrupt, device)
    return True


def run_cells(
    cells: Sequence[ZooCell],
    progress: StageProgress,
    interrupt: InterruptFlag,
    finished: Callable[[int, ZooCell], None],
) -> None:
    """Run all cells, those that another process is at last; `finished` is told the place of each.
    Where others are at all that is left, it waits for them."""
    left = list(enumerate(cells))
    while left:
        busy = []
        for place, one in left:
            if run_cell(one, progress, interrupt):
                finished(place, one)
            else:
                busy.append((place, one))
        if len(busy) == len(left):
            interrupt.check()
            time.sleep(WAIT)
        left = busy


def _run(
    one: ZooCell, step: Step, progress: StageProgress, interrupt: InterruptFlag, device: str
) -> None:
    context = StageContext(
        step.folder,
        step.folder,
        step.name,
        step.seed,
        device,
        {other: one.steps[other].folder for other in one.steps},
        interrupt,
        progress,
        allow_dropped=getattr(step.config, "allow_dropped", ALLOWED),
    )
    hash_inputs(step.config, context, step.folder.name)
    run_stage(step.stage, step.config, context)


def _read_by(config: StageConfig) -> set[str]:
    """Names of the stages whose artefacts these settings name."""
    texts = (text for _, text in texts_in(config.model_dump(mode="json")))
    return {stage_of(text)[0] for text in texts if text.startswith(REFERENCE)}


def _resolved(config: StageConfig, keys: Mapping[str, str]) -> Any:
    """Settings with what stages made named by its hash."""

    def made(reference: str) -> str:
        name, artefact = stage_of(reference)
        return f"{keys[name]}/{artefact}"

    return with_references(config.model_dump(mode="json"), made)


def _needed(name: str, recipe: recipes.Recipe) -> set[str]:
    """A stage and all that it rests on."""
    found = {name}
    for other in _read_by(recipe.stages[name][1]):
        found |= _needed(other, recipe)
    return found
