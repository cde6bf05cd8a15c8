"""`accord constitution`: what a file of principles says."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError, DataError, by_reason
from accord.oversight.constitution import Constitution, Principle, read_constitution
from accord.validation import suggest

WIDTH = 96


def check(file: str) -> None:
    """Say that it can be used, and its hash."""
    found = read_constitution(file)
    click.echo(f"{safe_text(file)}: {_title(found)}, {_count(len(found.principles))}")
    click.echo(found.guideline)


def show(file: str) -> None:
    """All that it says."""
    found = read_constitution(file)
    click.secho(f"{_title(found)}, {_count(len(found.principles))}", bold=True)
    click.echo(f"hash, the guideline of what is judged by it: {found.guideline}")
    whole = sum(one.weight for one in found.principles)
    for one in found.principles:
        click.echo("")
        _show_principle(one, one.weight / whole)


def vote(file: str, project: str, database: str, people: int) -> None:
    """Make the project; say how to go on."""
    from contextlib import closing

    from accord.oversight.voting import ASKED, GUIDELINE, vote_items
    from accord.studio.projects import editing
    from accord.studio.projects.settings import settings_from, slug_of
    from accord.studio.storage.database import open_database
    from accord.studio.storage.engines import safe_url
    from accord.studio.storage.tables import Project

    found = read_constitution(file)
    settings = settings_from(
        {
            "name": project,
            "task": "thumb",
            "question": ASKED,
            "overlap": people,
            "guideline": GUIDELINE.format(name=found.id, version=found.version),
        }
    )
    shown = safe_url(database) if "://" in database else database
    with closing(open_database(database)) as db:
        with db.read() as session:
            if editing.has_project(session, slug_of(project)):
                raise ConfigError(
                    f"there is a project {slug_of(project)!r} in {shown} already",
                    "choose another name: votes on two editions do not mix",
                )
        made = editing.create_project(db, settings, None)
        added = editing.add_items(db, made, vote_items(found))
        with db.read() as session:
            slug = session.get_one(Project, made).slug
    if added.bad:
        raise DataError(f"principles that cannot be voted on: {by_reason(added.bad)}")
    click.echo(f"{slug}: {_count(added.new)} of {_title(found)}, {people} votes wanted on each")
    click.echo(found.guideline)
    where = "" if database == "studio.db" else f" --database {shown}"
    click.echo(f"people vote in the studio: accord studio{where}")
    click.echo(f"then: accord studio{where} export {slug} votes.jsonl --skips")
    click.echo(f"      accord constitution show {file} --votes votes.jsonl")


def show_votes(
    file: str, votes: str, attributes: Path | None, group: str | None, seed: int
) -> None:
    """Consensus on each principle, and how each group voted."""
    from accord.cli.feedback import load
    from accord.cli.quality import attributes_of
    from accord.feedback.formats.source import DataSource
    from accord.oversight.voting import count_votes

    found = read_constitution(file)
    described = attributes_of(attributes)
    groups = None
    if described is not None and group is not None:
        groups = {name: one[group] for name, one in described.items() if group in one}
        if not groups:
            known = sorted({key for one in described.values() for key in one})
            raise ConfigError(
                f"nobody in {attributes} has the attribute {group!r}",
                f"{suggest(group, known)}attributes there: {', '.join(known) or 'none'}",
            )
    source: DataSource = DataSource(path=votes)
    counted = count_votes(found, load(source, True), groups, seed)
    click.secho(f"{_title(found)}: consensus over {len(counted.groups)} groups", bold=True)
    click.echo(found.guideline)
    sizes = ", ".join(f"{name}: {size:,}" for name, size in counted.groups.items())
    click.echo(f"people: {safe_text(sizes)}")
    if groups is None:
        click.echo("groups are those that the votes show (principal components, k-means)")
    names = list(counted.groups)
    rows = [
        (
            one,
            f"{counted.consensus(one):.3f}",
            *(
                f"{said.agreement:.2f}: {said.agree:,} of {said.votes:,}"
                + (f", {said.passed:,} passed" if said.passed else "")
                for said in (counted.by_principle[one][name] for name in names)
            ),
        )
        for one in counted.ordered()
    ]
    print_table(("principle", "consensus", *map(safe_text, names)), rows, right=("consensus",))
    click.echo(
        "of each group: (1 + agree) / (2 + votes), then who agrees; consensus: their product"
    )
    for reason, count in counted.left_out.items():
        click.echo(f"left out, {count:,}: {safe_text(reason)}")


def _show_principle(one: Principle, share: float) -> None:
    click.secho(one.id, bold=True, nl=False)
    click.echo(f"  weight {one.weight:g}, drawn {share:.0%} of the time")
    _paragraph("", one.text)
    for asked, text in (
        ("critics", one.critique), ("revisers", one.revision), ("judges", one.compare)
    ):  # fmt: skip
        _paragraph(f"{asked} are asked: ", text)
    if one.source:
        _paragraph("from: ", one.source)


def _paragraph(label: str, text: str) -> None:
    for number, line in enumerate(safe_text(text).splitlines()):
        if line.strip():
            first = f"  {label}" if number == 0 else "    "
            click.echo(textwrap.fill(line, WIDTH, initial_indent=first, subsequent_indent="    "))


def _title(found: Constitution) -> str:
    return safe_text(f"{found.id} {found.version}")


def _count(number: int) -> str:
    return f"{number} principle{'s' if number != 1 else ''}"
