"""`accord watch`, `compare` and `runs`: many runs, side by side. Only click is imported here, as in
main.py."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli.terminal import guarded


@click.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    multiple=True,
    metavar="TRACKER",
    help="Send the metrics there too: tensorboard, wandb, mlflow, trackio. Any number of times.",
)
@click.option("--once", is_flag=True, help="Show (and send) what is there now, and end.")
@click.option("--page", is_flag=True, help="As a page on this machine, until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Of --page (default: 7870, or a free one)."
)
@guarded
def watch(
    places: tuple[Path, ...], to: tuple[str, ...], once: bool, page: bool, port: int | None
) -> None:
    """Watch runs while they go: stages, time left, curves, alarms.

    \b
    accord watch runs/quickstart-20260101-120000    one run (or a study, all its seeds)
    accord watch runs                               all runs of a folder
    accord watch runs --page                        the same in the browser, with samples
    accord watch RUN --to tensorboard --once        send a run that is done

    It reads files alone and may be started, ended and started again at any time.
    """
    from accord.cli.watch import watch, watch_page

    if not page:
        if port is not None:
            raise click.UsageError("--port is of --page")
        watch(places, to, once)
        return
    if to or once:
        raise click.UsageError("--page shows runs until Ctrl-C: leave out --to and --once")
    watch_page(places, port)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Every measure, not those of arms alone.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def compare(runs: tuple[Path, ...], everything: bool, as_json: bool) -> None:
    """Runs side by side: verdicts, settings that differ, measures, costs, and paired differences.

    \b
    accord compare runs/a runs/b [runs/c …]

    Differences are taken prompt by prompt between the last points of arms of the same name, the
    first run being what the others are compared with; rewards only where the same model gave them.
    """
    from accord.cli.compare import show

    show(runs, everything, as_json)


@click.group()
def runs() -> None:
    """List runs, show one, delete some."""


@runs.command("list")
@click.argument(
    "root", default="runs", type=click.Path(file_okay=False, path_type=Path), required=False
)
@guarded
def runs_list(root: Path) -> None:
    """The runs in ROOT (default: runs), the latest first: state, stages done, size, outcome."""
    from accord.cli import runs

    runs.show_all(root)


@runs.command("show")
@click.argument("run", type=click.Path(path_type=Path))
@guarded
def runs_show(run: Path) -> None:
    """What came out of RUN, stage by stage, and how to continue it."""
    from accord.cli import runs

    runs.show(run)


@runs.command("rm")
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@guarded
def runs_rm(run: tuple[Path, ...], yes: bool) -> None:
    """Delete RUN (one or several) with everything in its directory; one at work is refused."""
    from accord.cli import runs

    runs.remove(run, yes)
