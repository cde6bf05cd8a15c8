"""Options of commands that write judgements in another format. Only click is imported here, as in
main.py."""

from __future__ import annotations

from collections.abc import Callable

import click

SHAPES = (
    "accord, trl-prompt, trl-preference, trl-preference-implicit, trl-unpaired, trl-completion, "
    "trl-stepwise, hh, "
    "prm800k, oasst, csv-pairwise or csv-ratings."
)
_OPTIONS = (
    click.option("--to", "shape", default="accord", show_default=True, help=SHAPES),
    click.option(
        "--card/--no-card",
        default=True,
        show_default=True,
        help="Write a data card beside it (.card.md, .card.json).",
    ),
    click.option(
        "--hash-annotators",
        is_flag=True,
        help="Replace annotators, sessions and record ids by a keyed hash.",
    ),
    click.option(
        "--salt",
        envvar="ACCORD_SALT",
        help="Key of the hash (or ACCORD_SALT); without one it is made and shown once.",
    ),
)


def export_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command gets them as `shape`, `card`, `hash_annotators` and `salt`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
