"""`accord loop`: a recipe's rounds, their table, and how to go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli.run import quiet_libraries, saying_how_to_go_on
from accord.errors import GUARD_EXIT
from accord.runs import environment

if TYPE_CHECKING:
    from accord.runs.loop import LoopResults
    from accord.runs.recipe import Recipe


def run_loop(
    name: str, overrides: Sequence[str], rounds: int | None, out: Path | None, dry_run: bool
) -> None:
    """Begin a loop; leaves with its exit code."""
    from accord.runs import recipe as recipes

    recipe = recipes.load(name, overrides)
    _loop(recipe, rounds, out, dry_run)


def resume_loop(place: Path, rounds: int | None, dry_run: bool) -> None:
    """Continue the loop in `place`, up to `rounds` where they are given."""
    from accord.runs.loop import read_loop

    recipe, wanted = read_loop(place)
    _loop(recipe, rounds or wanted, place, dry_run, resume=True)


def _loop(
    recipe: Recipe, rounds: int | None, out: Path | None, dry_run: bool, resume: bool = False
) -> None:
    threads = environment.prepare(recipe.header.threads)  # before torch is imported
    quiet_libraries()
    from accord.cli.progress import RunProgress
    from accord.models import precision
    from accord.models.tuning import tune
    from accord.runs import loop as loops
    from accord.runs.rounds import loop_of
    from accord.runs.runner import new_run_dir

    settings = loop_of(recipe)
    wanted, place = rounds or settings.rounds, out or new_run_dir(recipe, kind="-loop")
    if dry_run:
        _dry_run(recipe, wanted, place)
        return
    device = environment.choose_device(recipe.header.device)
    tuned = tune(threads, precision.choose(recipe.header.precision, device))
    with saying_how_to_go_on(place / loops.LOOP, loops.resuming(place)):
        results = loops.execute(
            recipe,
            place,
            wanted,
            lambda name, stages: RunProgress(list(stages), f"{name}, "),
            tuned,
            click.echo,
            resume,
        )
    _print(results, place)
    if results.stopped.startswith("a guard"):
        sys.exit(GUARD_EXIT)


def _dry_run(recipe: Recipe, rounds: int, place: Path) -> None:
    from accord.cli.plans import lines_of
    from accord.runs.checks import check
    from accord.runs.loop import arms_of
    from accord.runs.rounds import loop_of, round_recipe

    loop = loop_of(recipe)
    first = round_recipe(recipe, loop, 1, False, [])
    plans = check(first, place / "round-1", measure=True)
    runs = sum(len(arms_of(loop, number)) for number in range(1, rounds + 1))
    click.echo(f"{recipe.header.name} → {place}\n\nround 1:")
    for line in lines_of(plans, times=True, runs=1):
        click.echo(line)
    again = [name for name in recipe.stages if name not in loop.once]
    click.echo(
        f"\n{rounds} rounds, {runs} runs with the static arm's; from the second on each runs"
        f" {', '.join(again)} and reads what earlier rounds left"
    )
    click.echo("nothing was run")


def _print(results: LoopResults, place: Path) -> None:
    from accord.cli.terminal import print_table
    from accord.runs.loop import HEADINGS, RESULTS, table

    print_table(HEADINGS, table(results), right=("round", "labels"))
    click.echo(f"differences in {results.quantity}, paired by prompt, 95 % intervals")
    click.secho(results.stopped, bold=True)
    folders = [one.folder for one in results.rounds if one.arm == "round"]
    click.echo(f"all differences: {place / RESULTS}")
    if len(folders) > 1:
        click.echo(f"side by side: accord report {' '.join(folders)}")
