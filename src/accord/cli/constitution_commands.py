"""`accord constitution`: principles in a file. Only click is imported here, as in main.py."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli.studio_commands import STUDIO_DATABASE
from accord.cli.terminal import guarded


@click.group()
def constitution() -> None:
    """Constitutions: the principles that critics, revisers and judges are given."""


@constitution.command("check")
@click.argument("file")
@guarded
def constitution_check(file: str) -> None:
    """Read FILE (or accord:NAME), say what is wrong with it, or its hash."""
    from accord.cli.constitution import check

    check(file)


@constitution.command("show")
@click.argument("file")
@click.option(
    "--votes",
    metavar="RECORDS",
    help="What people said of the principles (accord studio export PROJECT RECORDS --skips):"
    " consensus over groups.",
)
@click.option(
    "--attributes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Who voted, as JSON: {"annotator": {"attribute": "value"}}; with --group.',
)
@click.option("--group", help="The attribute whose values are the groups; else the votes tell.")
@click.option("--seed", default=0, show_default=True, help="Of the search for groups.")
@guarded
def constitution_show(
    file: str, votes: str | None, attributes: Path | None, group: str | None, seed: int
) -> None:
    """Print the principles of FILE (or accord:NAME), what is asked with each, and the hash.

    \b
    accord constitution show accord:plain-dealing
    accord constitution show mine.yaml --votes votes.jsonl
    accord constitution show mine.yaml --votes votes.jsonl --attributes people.json --group country
    """
    from accord.cli.constitution import show, show_votes

    if (attributes is None) != (group is None) or (votes is None and group is not None):
        raise click.UsageError("--attributes and --group go together, and with --votes.")
    if votes is None:
        show(file)
    else:
        show_votes(file, votes, attributes, group, seed)


@constitution.command("vote")
@click.argument("file")
@click.option("--project", required=True, help="Name of the project that is made.")
@STUDIO_DATABASE
@click.option(
    "--people",
    default=100,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Votes wanted on each principle.",
)
@guarded
def constitution_vote(file: str, project: str, database: str, people: int) -> None:
    """Make a project of a studio in which people say of each principle of FILE whether they agree.

    \b
    accord constitution vote mine.yaml --project "Our principles"
    accord studio                                   # invite people; they vote
    accord studio export our-principles votes.jsonl --skips
    accord constitution show mine.yaml --votes votes.jsonl
    """
    from accord.cli.constitution import vote

    vote(file, project, database, people)
