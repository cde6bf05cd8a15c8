"""`accord constitution`: principles in a file. Only click is imported here, as in main.py."""

from __future__ import annotations

import click

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
@guarded
def constitution_show(file: str) -> None:
    """Print the principles of FILE (or accord:NAME), what is asked with each, and the hash.

    \b
    accord constitution show accord:plain-dealing
    """
    from accord.cli.constitution import show

    show(file)
