"""`accord constitution`: what a file of principles says."""

from __future__ import annotations

import textwrap

import click

from accord.cli.terminal import safe_text
from accord.oversight.constitution import Constitution, Principle, read_constitution

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
