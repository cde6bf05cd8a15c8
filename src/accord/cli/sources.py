"""The argument that names data, and the options that say what to take of it; together a
DataSource."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import guarded
from accord.errors import ConfigError

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource

_OPTIONS = (
    click.option("--split", help="The split to read, of a directory or a Hub data set."),
    click.option(
        "--config",
        help="The configuration to read, of a directory or a Hub data set that has several.",
    ),
    click.option("--revision", help="Branch, tag or commit of a Hub data set."),
    click.option(
        "--columns",
        multiple=True,
        metavar="OURS=THEIRS",
        help="What a column is called there (repeat).",
    ),
    click.option(
        "--labels",
        type=click.Choice(["binary", "signed"]),
        help="What a column of 0 and 1 means; signed has -1.",
    ),
    click.option("--limit", type=click.IntRange(1), help="Read only that many rows, from the top."),
    click.option("--encoding", help="Of text that is not UTF-8, such as cp1252."),
)
_COMMAS = re.compile(r",(?=[\w.]+=)")


def source(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The argument `name`, a path, Hub id or store; the command is given it with its options as a
    DataSource."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        @guarded
        def with_source(**given: Any) -> None:
            settings = {
                key: given.pop(key)
                for key in ("split", "config", "revision", "labels", "limit", "encoding")
            }
            columns = given.pop("columns")
            command(**{name: _data_source(given.pop(name), columns, settings)}, **given)

        decorated: Callable[..., None] = with_source
        for option in reversed(_OPTIONS):
            decorated = option(decorated)
        return click.argument(name)(decorated)

    return decorate


def _data_source(path: str, columns: Sequence[str], settings: dict[str, Any]) -> DataSource:
    from accord.feedback.formats.source import DataSource
    from accord.validation import validated

    pairs = [pair.partition("=") for given in columns for pair in _COMMAS.split(given)]
    for ours, equals, theirs in pairs:
        if not (ours and equals and theirs):
            raise ConfigError(
                f"--columns {ours}{equals}{theirs}: that names no column", "write prompt=question"
            )
    named = {ours: theirs for ours, _, theirs in pairs} or None
    return validated(DataSource, {"path": path, "columns": named, **settings}, "")
