"""People of a studio, at its machine: a new password, a link to one, erasing somebody."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from accord.cli.terminal import safe_text
from accord.errors import ConfigError
from accord.studio.people import accounts, erasing, passwords
from accord.studio.people.erasing import Footprint
from accord.studio.storage.database import open_existing


def reset_password(database: str, name: str) -> None:
    """Ask for a new password and set it. It never stands on the command line, where others read."""
    with closing(open_existing(database)) as db:
        with db.read() as session:
            account = accounts.named(session, name)
            passwords.check_resettable(account)  # before anything is typed
        ended = passwords.reset(db, account.name, _new_password(account.name))
    click.echo(f"{safe_text(account.name)} has a new password")
    click.echo(f"  ended: {ended.sessions:,} sessions, {ended.tokens:,} API tokens")


def _new_password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt(
        f"new password for {safe_text(name)}", hide_input=True, confirmation_prompt="once more"
    )
    return password


def password_link(database: str, name: str, address: str) -> None:
    """Print a link that sets a new password."""
    if not address.startswith(("http://", "https://")):
        raise ConfigError(
            f"{address!r} is not the address of a studio", "write it like --address https://HOST"
        )
    with closing(open_existing(database)) as db:
        with db.read() as session:
            account = accounts.named(session, name)
        secret = passwords.make_link(db, account.public, None)
    click.echo(f"for {safe_text(account.name)}, once, for a day (links made before have ended):")
    click.echo(f"  {address.rstrip('/')}/password/{secret}")


def erase_person(database: str, name: str, answers: bool, sure: bool) -> None:
    """Say what goes and what stays, ask for the name, erase."""
    with closing(open_existing(database)) as db:
        with db.read() as session:
            account = accounts.named(session, name)
            footprint = erasing.footprint(session, account.id, db.now())
        _tell(account.name, account.public, footprint, answers)
        if not sure:
            typed = click.prompt("for good; write the name to go on", prompt_suffix=": ")
            if accounts.same_name(typed) != accounts.same_name(account.name):
                raise ConfigError(
                    f"{typed!r} is not {account.name!r}: nothing was erased", "write the same name"
                )
        gone = erasing.erase(db, account.public, answers, None)
    click.echo(f"erased; answers erased with it: {gone:,}")


def _tell(name: str, public: str, footprint: Footprint, answers: bool) -> None:
    goes = {
        "sessions": footprint.sessions,
        "API tokens": footprint.tokens,
        "open invitations they made": footprint.invitations,
        "drafts": footprint.drafts,
        "notes on skipped items": footprint.notes,
        "questions": footprint.questions,
    } | ({"answers": footprint.answers} if answers else {})
    stays = {"replies": footprint.replies, "guidelines": footprint.guidelines}
    if not answers:
        stays = {f"answers under {public} (--answers erases them too)": footprint.answers} | stays
    click.echo(f"{safe_text(name)} ({public}), in {footprint.projects:,} projects")
    click.echo("  goes: name, password, other sign-in, preferences, what they said of themselves")
    for what, count in goes.items():
        if count:
            click.echo(f"    {what}: {count:,}")
    click.echo(
        "  stays: that something happened and when, in the logs; exports and backups made before"
    )
    for what, count in stays.items():
        if count:
            click.echo(f"    {what}: {count:,}")
