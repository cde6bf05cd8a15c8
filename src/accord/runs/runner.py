"""Runs a recipe in a directory, stage by stage; what is done stays done."""

from __future__ import annotations

import json
import os
import shlex
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from accord.errors import GUARD_EXIT, AccordError, ConfigError, Interrupted
from accord.files import disk_full, take_lock, write_json, write_text
from accord.runs import environment
from accord.runs.card import write_cards
from accord.runs.checks import check
from accord.runs.contents import hash_inputs
from accord.runs.context import (
    ALLOWED,
    INPUTS,
    RESULT,
    StageContext,
    StageProgress,
    hash_made,
    relative_artefacts,
    stage_folders,
)
from accord.runs.recipe import Recipe
from accord.runs.session import InterruptFlag
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.seeds import derive_seed
from accord.validation import dotted, suggest

RECIPE, LOCK, FAILED = "recipe.yaml", ".lock", "failed.json"


@dataclass(frozen=True)
class Outcome:
    """Where the run lies, and its exit code: 0 done, 3 stopped by a guard (and reported)."""

    run_dir: Path
    exit_code: int
    report: Path | None
    guard: str | None = None


def new_run_dir(recipe: Recipe, root: Path = Path("runs"), kind: str = "") -> Path:
    """runs/<name>-<date>-<time>; kind: what stands behind the name."""
    return root / f"{recipe.header.name}{kind}-{datetime.now():%Y%m%d-%H%M%S}"


def execute(
    recipe: Recipe,
    run_dir: Path,
    resume: bool,
    progress: StageProgress,
    tuned: dict[str, Any],
    checked: bool = False,
) -> Outcome:
    """Run all stages that are not done yet, then write the report.

    Raises ConfigError when the directory belongs to another recipe or holds a run and `resume` is
    not set; and, before anything is written, what `accord.runs.checks` finds (unless `checked` says
    that it looked already).
    """
    check_directory(recipe, run_dir, resume)
    if not checked:
        progress.planned(check(recipe, run_dir, start=True))
    make_directory(run_dir)
    with locked(run_dir), InterruptFlag() as interrupt, _trackers(recipe, run_dir, progress):
        write_text(run_dir / RECIPE, recipe.dump())
        write_json(run_dir / "environment.json", environment.describe(tuned))
        device = environment.choose_device(recipe.header.device)
        folders = stage_folders(list(recipe.stages), run_dir)
        for name, (stage, config) in recipe.stages.items():
            if (folders[name] / RESULT).exists():
                progress.say(f"{name}: done before")
                continue
            context = _context(recipe, run_dir, folders, name, device, interrupt, progress, config)
            progress.begin(name)
            hash_inputs(config, context, recipe.fingerprint())
            run_stage(stage, config, context)
        _write_lineage(recipe, run_dir, folders)
        write_cards(folders.values())
        report = write_report(run_dir)
        guard = "; ".join(_guards(folders.values())) or None
        return Outcome(run_dir, GUARD_EXIT if guard else 0, report, guard)


def _trackers(
    recipe: Recipe, run_dir: Path, progress: StageProgress
) -> AbstractContextManager[object]:
    """Within it, the recipe's trackers are sent the metrics."""
    if not recipe.header.log:
        return nullcontext()
    from accord.report.sinks.sending import Sending

    return Sending(run_dir, recipe.header.log, progress.say)


def write_report(run_dir: Path) -> Path | None:
    """Render report.html (the charts need no network)."""
    from accord.report.render import render

    return render(run_dir)


def guards_of(run_dir: Path) -> list[str]:
    """What guards said in a finished run, stage by stage."""
    return _guards(path.parent for path in sorted(run_dir.glob(f"stages/*/{RESULT}")))


def _guards(folders: Iterable[Path]) -> list[str]:
    records = [json.loads((folder / RESULT).read_text()) for folder in folders]
    return [f"{record['stage']}: {record['guard']}" for record in records if record["guard"]]


def _context(
    recipe: Recipe,
    run_dir: Path,
    folders: dict[str, Path],
    name: str,
    device: str,
    interrupt: InterruptFlag,
    progress: StageProgress,
    config: StageConfig,
) -> StageContext:
    names = list(folders)
    earlier = {other: folders[other] for other in names[: names.index(name)]}
    seed = derive_seed(recipe.header.seed, "stage", name)
    allowed = getattr(config, "allow_dropped", ALLOWED)
    return StageContext(
        run_dir,
        folders[name],
        name,
        seed,
        device,
        earlier,
        interrupt,
        progress,
        allow_dropped=allowed,
        chat_template=recipe.header.chat_template,
        chat_template_kwargs=recipe.header.chat_template_kwargs,
    )


def run_stage(stage: Stage, config: StageConfig, context: StageContext) -> None:
    """Run a stage in its folder and write result.json, or failed.json where it fails."""
    context.folder.mkdir(parents=True, exist_ok=True)
    write_text(
        context.folder / "config.yaml",
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    )
    failed = context.folder / FAILED
    failed.unlink(missing_ok=True)
    start, cpu_start = time.monotonic(), environment.cpu_seconds()
    try:
        context.interrupt.check()
        with context.naming_rows():
            result = stage.run(config, context)
    except (Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:
        full = disk_full(error, context.folder)
        message = error.message if isinstance(error, AccordError) else repr(error)
        with suppress(AccordError):  # the error itself matters more than its record
            write_json(failed, {"error": message, "trace": traceback.format_exc()})
        if full is not None and not isinstance(error, AccordError):
            raise full from error
        raise
    cost = {
        "seconds": round(time.monotonic() - start, 2),
        "cpu_seconds": round(environment.cpu_seconds() - cpu_start, 2),
        "peak_mib": round(environment.peak_mib(), 1),
    }
    write_json(context.folder / RESULT, _record(stage, result, context) | cost)


def _record(stage: Stage, result: StageResult, context: StageContext) -> dict[str, Any]:
    return {
        "stage": context.name,
        "kind": stage.kind,
        "summary": result.summary,
        "values": result.values,
        "artefacts": relative_artefacts(result.artefacts, context.folder),
        "inputs": context.inputs,
        "guard": result.guard,
    }


def _write_lineage(recipe: Recipe, run_dir: Path, folders: dict[str, Path]) -> None:
    stages = {}
    for name, folder in folders.items():
        if (folder / RESULT).exists():
            record = json.loads((folder / RESULT).read_text())
            hashes = {key: hash_made(folder / path) for key, path in record["artefacts"].items()}
            stages[name] = {"kind": record["kind"], "inputs": record["inputs"], "artefacts": hashes}
    write_json(run_dir / "lineage.json", {"recipe": recipe.fingerprint(), "stages": stages})


def check_directory(recipe: Recipe, run_dir: Path, resume: bool) -> None:
    """Raise ConfigError for a place that is no directory, holds something else, or cannot be looked
    at."""
    try:
        if run_dir.exists() and not run_dir.is_dir():
            raise ConfigError(f"--out {run_dir} is a file", "choose another place with --out")
        _check_run(recipe, run_dir, resume)
    except OSError as error:
        raise _no_place(run_dir, error) from error


def make_directory(run_dir: Path) -> None:
    """Make the run's directory. Raises ConfigError where that cannot be."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_place(run_dir, error) from error


def _no_place(run_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"--out {run_dir} cannot be written: {error.strerror or error}",
        "choose another place with --out",
    )


def _check_run(recipe: Recipe, run_dir: Path, resume: bool) -> None:
    existing = run_dir / RECIPE
    if not existing.exists():
        if resume and not run_dir.exists():
            raise nothing_to_resume(run_dir)
        if run_dir.exists() and any(p.name != LOCK for p in run_dir.iterdir()):
            raise ConfigError(
                f"{run_dir} exists and is not a run of accord", "choose an empty place with --out"
            )
        return
    if not resume:
        raise ConfigError(
            f"{run_dir} already holds a run",
            f"continue it: {resuming(run_dir)}; or choose another place with --out",
        )
    old, new = yaml.safe_load(existing.read_text(encoding="utf-8")), recipe.resolved()
    before, after = dotted(old), dotted(new)
    changed = [
        f"{name} ({before.get(name)!r} there, {after.get(name)!r} now)"
        for name in sorted({**before, **after})
        if before.get(name) != after.get(name)
    ]
    if changed:
        raise ConfigError(
            f"{run_dir} holds a run of another recipe; different: {', '.join(changed[:6])}",
            "resume with the same recipe and overrides, or start afresh with another --out",
        )
    for path in sorted(run_dir.glob(f"stages/*/{INPUTS}")):
        then, now = json.loads(path.read_text(encoding="utf-8"))["recipe"], recipe.fingerprint()
        if then != now:
            raise ConfigError(
                f"{existing} changed since {path.parent.name} began: sha256:{then} then,"
                f" sha256:{now} now",
                f"put back what it was, or start a new run: accord run {existing} --out OTHER",
            )


def resuming(run_dir: Path) -> str:
    """The command that continues a run."""
    return f"accord run --resume {shlex.quote(str(run_dir))}"


def nothing_to_resume(run_dir: Path) -> ConfigError:
    """For a directory that holds no run."""
    known = sorted(str(path.parent) for path in run_dir.parent.glob(f"*/{RECIPE}"))
    return ConfigError(
        f"there is no run to resume in {run_dir}: it has no {RECIPE}",
        f"{suggest(str(run_dir), known)}name the directory of a run, such as runs/NAME-DATE-TIME",
    )


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """One process per run directory; the lock dies with its process."""
    handle = take_lock(run_dir / LOCK)
    if handle is None:
        raise ConfigError(
            f"another process is working in {run_dir}", "wait for it, or choose another --out"
        )
    try:
        yield
    finally:
        os.close(handle)
