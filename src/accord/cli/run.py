"""`accord run`: validate, plan or execute, with a progress display and a closing table."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.errors import DiskFull, Interrupted
from accord.runs import environment

if TYPE_CHECKING:
    from accord.runs.recipe import Recipe


def run_recipe(name: str, overrides: Sequence[str], out: Path | None, dry_run: bool) -> None:
    """Run a recipe; leaves with the run's exit code."""
    from accord.runs import recipe as recipes

    recipe = recipes.load(name, overrides)
    _run(recipe, out, resume=False, dry_run=dry_run)


def resume_run(run_dir: Path, dry_run: bool) -> None:
    """Continue the run in `run_dir`; leaves with its exit code."""
    from accord.runs import recipe as recipes

    path = run_dir / "recipe.yaml"
    if not path.is_file():
        from accord.runs.runner import nothing_to_resume

        raise nothing_to_resume(run_dir)
    _run(recipes.load(str(path)), run_dir, resume=True, dry_run=dry_run)


def _run(recipe: Recipe, out: Path | None, resume: bool, dry_run: bool) -> None:
    threads = environment.prepare(recipe.header.threads)  # before torch is imported
    from accord.runs import runner

    run_dir = out or runner.new_run_dir(recipe)
    quiet_libraries()
    from accord.models import precision
    from accord.models.tuning import tune

    arithmetic = precision.choose(
        recipe.header.precision, environment.choose_device(recipe.header.device)
    )
    tuned = tune(threads, arithmetic)
    if dry_run:
        _dry_run(recipe, run_dir, resume)
        return
    with saying_how_to_go_on(run_dir / runner.RECIPE, runner.resuming(run_dir)):
        if recipe.header.study is not None:
            _run_study(recipe, run_dir, resume, tuned)
        else:
            _run_once(recipe, run_dir, resume, tuned)


@contextmanager
def saying_how_to_go_on(begun: Path, command: str) -> Iterator[None]:
    """Within it, what stops work that could go on ends with the command that continues it; it has
    begun once the file `begun` is there."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        twice = "interrupted; the work up to the last checkpoint is kept"
        message = error.message if isinstance(error, Interrupted) else twice
        if not begun.is_file():
            raise Interrupted("interrupted before anything was begun") from None
        raise Interrupted(message, command) from None
    except DiskFull as error:
        fix = f"{error.fix}, then continue: {command}" if begun.is_file() else error.fix
        raise DiskFull(error.message, fix) from error


def _run_once(recipe: Recipe, run_dir: Path, resume: bool, tuned: dict[str, Any]) -> None:
    from accord.cli.progress import RunProgress
    from accord.runs import runner

    with RunProgress(list(recipe.stages)) as progress:
        outcome = runner.execute(recipe, run_dir, resume, progress, tuned)
    print_results(run_dir)
    if outcome.guard:
        click.secho(f"stopped by a guard in {outcome.guard}", fg="yellow")
    if outcome.report is not None:
        click.echo(f"report: {outcome.report}")
    sys.exit(outcome.exit_code)


def _run_study(recipe: Any, run_dir: Path, resume: bool, tuned: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from accord.cli.progress import RunProgress
    from accord.runs import study

    stages = list(recipe.stages)
    report = study.execute(
        recipe, run_dir, resume, lambda seed: RunProgress(stages, f"seed {seed}, "), tuned
    )
    table = (run_dir / study.TABLE).read_text(encoding="utf-8")
    if sys.stdout.isatty():
        Console().print(Markdown(table))
    else:
        click.echo(table)
    click.echo(f"report: {report}")


def quiet_libraries() -> None:
    """Silence other libraries' progress bars; ours is enough. Said in advance: they may never be
    imported."""
    import logging
    import warnings

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    # Where it is installed, peft imports it, and it asks for kernels that nothing here uses.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _dry_run(recipe: Any, run_dir: Path, resume: bool) -> None:
    from accord.cli.plans import lines_of, parameter_lines
    from accord.runs import runner
    from accord.runs.checks import check
    from accord.runs.known import UNASKED

    runner.check_directory(recipe, run_dir, resume)
    seeds = recipe.header.study.seeds if recipe.header.study else [recipe.header.seed]
    plans = check(recipe.with_seed(seeds[0]), run_dir, measure=True)
    click.echo(f"{recipe.header.name} → {run_dir}\n")
    for line in parameter_lines(recipe.header.parameters):
        click.echo(line)
    for line in lines_of(plans, times=True, runs=len(seeds)):
        click.echo(line)
    unsure = any(UNASKED in note for plan in plans.values() for note in plan.notes)
    valid = "is valid as far as can be told here" if unsure else "is valid"
    which = f"seeds {seeds}" if recipe.header.study else f"seed {seeds[0]}"
    needed = len(seeds) * sum(plan.disk_mib or 0 for plan in plans.values())
    click.echo(
        f"\n{which}; disk: up to {needed:,} MiB of {environment.free_mib(run_dir):,.0f} MiB free; "
        "the"
        f" recipe {valid}, nothing was run"
    )


def print_results(run_dir: Path) -> None:
    """What came out of each stage that is done, as a table."""
    from accord.cli.terminal import print_table
    from accord.report.times import duration

    rows, total = [], 0.0
    for path in sorted(run_dir.glob("stages/*/result.json")):
        record = json.loads(path.read_text())
        total += record["seconds"]
        peak = f"{record['peak_mib']:,.0f} MiB"
        rows.append((record["stage"], duration(record["seconds"]), peak, record["summary"]))
    rows.append(("total", duration(total), "", ""))
    print_table(("stage", "time", "peak", "what came out"), rows, right=("time", "peak"))
