"""Terminal output: errors with their fix, and model text that cannot take the terminal over."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import click

from accord.errors import AccordError, Interrupted

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

WIDEST = 10**6
"""Columns of a table that is not shown on a terminal: as many as it needs."""


def safe_text(text: str) -> str:
    """Text without control characters, escape sequences and direction overrides; line breaks
    stay."""
    return _CONTROL.sub("�", text.replace("\r\n", "\n"))


def table_lines(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Collection[str],
    bold: bool = False,
) -> list[str]:
    """A table as lines; the columns in `right` stand to the right, as numbers do. On a terminal
    long cells are folded to its width; elsewhere a row is one line however long, so that nothing is
    cut and grep finds it. `bold`: the names of the columns are, on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = sys.stdout.isatty()
    style = "bold" if bold else ""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=style)
    for column in columns:
        table.add_column(
            Text(column), justify="right" if column in right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(safe_text(cell)) for cell in row))
    console = Console(width=None if shown else WIDEST, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return [f"  {line.rstrip()}" for line in captured.get().rstrip("\n").split("\n")]


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str]
) -> None:
    """Print what `table_lines` makes."""
    for line in table_lines(columns, rows, right, bold=True):
        click.echo(line)


def plain(value: Any) -> Any:
    """A result as JSON has it: models as objects, what is not a number as null."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return None if isinstance(value, float) and value != value else value


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn exceptions into a message and an exit code; a traceback only with ACCORD_DEBUG=1."""
    import functools

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except KeyboardInterrupt:
            fail(Interrupted("interrupted"))
        except AccordError as error:
            fail(error)
        except Exception as error:
            if os.environ.get("ACCORD_DEBUG"):
                raise
            fail(_unexpected(error))

    return wrapper


def fail(error: AccordError) -> None:
    """Print the error and its fix to stderr and leave with its exit code."""
    if os.environ.get("ACCORD_DEBUG"):
        traceback.print_exc()
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(safe_text(error.message), err=True)
    if error.fix:
        label = "continue" if isinstance(error, Interrupted) else "fix"
        click.secho(f"  {label}: ", fg="green", nl=False, err=True)
        click.echo(safe_text(error.fix), err=True)
    sys.exit(error.exit_code)


def _unexpected(error: Exception) -> AccordError:
    with tempfile.NamedTemporaryFile(
        "w", prefix="accord-error-", suffix=".txt", delete=False
    ) as handle:
        traceback.print_exc(file=handle)
    return AccordError(
        f"unexpected {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        f"this is a bug in accord; the traceback is in {handle.name}",
    )
