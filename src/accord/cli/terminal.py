"""Terminal output: errors with their fix, and model text that cannot take the terminal over."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import click

from accord.errors import AccordError, Interrupted

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe_text(text: str) -> str:
    """Text without control characters, escape sequences and direction overrides; line breaks
    stay."""
    return _CONTROL.sub("�", text.replace("\r\n", "\n"))


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
            fail(Interrupted("interrupted", "continue with --resume"))
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
        click.secho("  fix: ", fg="green", nl=False, err=True)
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
