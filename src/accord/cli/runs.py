"""`accord runs`: what lies there, what came out, and away with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from accord.cli.run import print_results
from accord.cli.terminal import print_table, safe_text
from accord.runs import listing
from accord.runs.runner import resuming


def show_all(root: Path) -> None:
    """A table of the runs below `root`."""
    rows = [
        (
            str(run.folder),
            f"{run.begun:%Y-%m-%d %H:%M}",
            run.state,
            f"{run.done}/{run.stages}",
            f"{run.size_mib:,.0f} MiB",
            run.outcome,
        )
        for run in listing.runs_in(root)
    ]
    if not rows:
        click.echo(f"there are no runs in {root}")
        return
    columns = ("run", "begun", "state", "stages", "size", "outcome")
    print_table(columns, rows, right=("stages", "size"))


def show(folder: Path) -> None:
    """What is known of one run."""
    run = listing.summary(folder)
    outcome = f": {run.outcome}" if run.outcome else ""
    click.echo(
        f"{run.name}, begun {run.begun:%Y-%m-%d %H:%M}, {run.size_mib:,.0f} MiB;"
        f" {run.state}{safe_text(outcome)}, {run.done} of {run.stages} stages done"
    )
    places = [folder] if (folder / "stages").is_dir() else sorted(folder.glob("seed-*"))
    for place in places:
        if len(places) > 1:
            click.secho(place.name, bold=True)
        print_results(place)
    if run.state in ("stopped", "failed"):
        click.echo(f"continue: {resuming(folder)}")
    if (folder / "report.html").is_file():
        click.echo(f"report: {folder / 'report.html'}")


def remove(folders: Sequence[Path], sure: bool) -> None:
    """Delete runs, after asking."""
    runs = [listing.summary(folder) for folder in folders]
    for run in runs:
        click.echo(f"{run.folder}: {run.state}, {run.done}/{run.stages}, {run.size_mib:,.0f} MiB")
    if not sure:
        click.confirm(f"delete {len(runs)} run{'s' * (len(runs) > 1)} for good?", abort=True)
    for run in runs:
        listing.remove(run.folder)
