"""`accord run`, `loop` and `report`: recipes, run and told. Only click is imported here, as in
main.py."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli.completing import complete_override, complete_recipe
from accord.cli.terminal import guarded


class RunCommand(click.Command):
    """`accord run`, whose help says what the recipe before it lets one choose."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keeps what was given: --help comes before it is parsed."""
        ctx.meta["accord.given"] = list(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """About the recipe and its parameters, where one was given that can be read."""
        given = [one for one in ctx.meta.get("accord.given", []) if not one.startswith("-")]
        if not given:
            return
        from accord.cli.plans import recipe_help

        for line in recipe_help(given[0]):
            formatter.write(f"{line}\n")


@click.command(cls=RunCommand)
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_override)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run directory (default: runs/NAME-DATE-TIME)."
)
@click.option(
    "--resume",
    metavar="RUNDIR",
    type=click.Path(path_type=Path),
    help="Continue the run in RUNDIR where it stopped; nothing else is given.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and show the plan; load no model.")
@guarded
def run(
    recipe: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    dry_run: bool,
) -> None:
    """Run RECIPE, a YAML file or the name of a packaged recipe, or continue a run: accord run
    --resume RUNDIR.

    \b
    Parameters:  what the recipe lets you choose: accord run RECIPE --help
    Settings:    seed=3, or STAGE.KEY=VALUE, for example ppo.kl_coefficient=0.1
    Stopping:    Ctrl-C or SIGTERM finishes the step and leaves a checkpoint
    Exit codes:  0 done, 1 failed, 2 usage or configuration, 3 stopped by a guard, 130 interrupted
    """
    from accord.cli.run import resume_run, run_recipe

    if resume is None and recipe is None:
        raise click.UsageError("name a RECIPE (accord recipes lists them), or --resume RUNDIR.")
    if resume is not None and (recipe is not None or out is not None):
        given = "--out" if recipe is None else " ".join([recipe, *overrides])
        raise click.UsageError(
            f"a run that continues has its recipe, settings and place in RUNDIR: leave out {given}."
        )
    if resume is not None:
        resume_run(resume, dry_run)
    elif recipe is not None:
        run_recipe(recipe, overrides, out, dry_run)


@click.command()
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_override)
@click.option("--rounds", type=click.IntRange(1), help="Rounds; unless said, the recipe's.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Its directory (default: runs/NAME-loop-DATE)."
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Continue the loop in DIR where it stopped; with --rounds as far as that.",
)
@click.option("--dry-run", is_flag=True, help="Check the first round and show the plan.")
@guarded
def loop(
    recipe: str | None,
    overrides: tuple[str, ...],
    rounds: int | None,
    out: Path | None,
    resume: Path | None,
    dry_run: bool,
) -> None:
    """Run RECIPE in rounds: each mines the last policy's samples, asks, learns from all that was
    said so far, tunes from the start and is compared with every earlier round.

    \b
    Rounds are ordinary runs in DIR/round-N, and DIR/static-N at equal labels beside them.
    accord loop loop-reviews --rounds 4
    Exit codes: as accord run; 3 where a guard stopped it
    """
    from accord.cli.loop import resume_loop, run_loop

    if resume is None and recipe is None:
        raise click.UsageError("name a RECIPE with rounds, or --resume DIR.")
    if resume is not None and (recipe is not None or out is not None):
        raise click.UsageError("a loop that continues has its recipe and place in DIR.")
    if resume is not None:
        resume_loop(resume, rounds, dry_run)
    elif recipe is not None:
        run_loop(recipe, overrides, rounds, out, dry_run)


@click.command()
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    metavar="RUN...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the page of several runs is written; comparison.html unless said.",
)
@guarded
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write RUN's report.html again from what the run directory holds.

    Several runs: one page with all of them side by side, differences from the first on the prompts
    that they share, and the samples of all.

    \b
    accord report runs/quickstart-1
    accord report runs/quickstart-1 runs/quickstart-2 --out both.html
    """
    from accord.runs.pages import write_comparison, write_report

    if len(runs) == 1:
        if out is not None:
            raise click.UsageError("--out is of several runs: a run's page is its report.html.")
        click.echo(write_report(runs[0]))
    else:
        click.echo(write_comparison(runs, out or Path("comparison.html")))
