"""`accord studio`: the labelling studio on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from accord.cli.exporting import check_free
from accord.cli.studio_chat import Chat, application
from accord.cli.terminal import safe_text
from accord.errors import ConfigError
from accord.feedback.formats.card import card_paths
from accord.files import write_json, write_text
from accord.studio import exporting, importing, projects
from accord.studio.database import Database, open_database
from accord.studio.openid import OpenIdSettings
from accord.studio.server import HERE, OIDC_SECRET, Serving, check_port, serve


def run_studio(wanted: Serving, open_browser: bool, chat: Chat | None) -> None:
    """Serve until Ctrl-C."""
    check_port(wanted.host, wanted.port)  # before a model is loaded
    serve(wanted, open_browser, click.echo, application(chat, wanted.workers) or HERE)


def openid_provider(
    issuer: str | None, client_id: str | None, name: str | None
) -> OpenIdSettings | None:
    """The provider named on the command line, its secret from the environment. Raises ConfigError
    for half of one."""
    if issuer is None:
        if client_id or name:
            raise ConfigError(
                "a client of OpenID Connect was named without its provider",
                "give --oidc-issuer too",
            )
        return None
    return OpenIdSettings(issuer, client_id or "", os.environ.get(OIDC_SECRET, ""), name or "")


# --- without a browser ----------------------------------------------------------------------------
def _open(database: str) -> Database:
    """A studio that is there; asking for data must not make an empty one."""
    if "://" not in database and not Path(database).is_file():
        raise ConfigError(
            f"there is no studio in {database}",
            "name its file with --database, or start it: accord studio",
        )
    return open_database(database)


def _project(db: Database, slug: str) -> int:
    with db.read() as session:
        return projects.find_project(session, slug).id


def export_project(
    database: str,
    project: str,
    destination: Path,
    shape: str,
    gold: bool,
    skips: bool,
    card: bool,
    hash_annotators: bool,
    salt: str | None,
) -> None:
    """Write a project's judgements with their card; print what stays behind and why."""
    db = _open(database)
    try:
        project_id = _project(db, project)
        wanted = exporting.Wanted(shape, gold, skips, True, hash_annotators, salt)
        made = exporting.bundle(
            exporting.collect(db, project_id, gold, skips), wanted, destination.name
        )
        about = destination.with_suffix(".about.jsonl")
        texts = {destination: made.data} | ({} if made.about is None else {about: made.about})
        page, numbers = card_paths(destination)
        pages = [page, numbers] if card else []
        check_free([*texts, *pages])
        if destination.suffix != made.suffix:
            raise ConfigError(
                f"{shape} is written as {made.suffix[1:].upper()}, not as {destination.name}",
                f"end the name in {made.suffix}",
            )
        for path, text in texts.items():
            write_text(path, text)
        if card:
            write_text(page, made.card)
            write_json(numbers, made.card_json)
        exporting.note_export(db, project_id, made, None)
    finally:
        db.close()
    click.echo(f"{destination}: {len(made.made.rows):,} rows of {shape}")
    left_out = {**made.collected.left_out, **made.made.left_out, **made.made.lost}
    for reason, count in left_out.items():
        click.echo(f"  left out {count:,}: {safe_text(reason)}")
    beside = [*list(texts)[1:], *pages]
    if beside:
        click.echo(f"beside it: {', '.join(path.name for path in beside)}")
    if made.salt is not None:
        click.echo(
            f"salt: {made.salt}  (keep it secret; give it as --salt to get the same names again)"
        )


def import_into(database: str, project: str, source: Path) -> None:
    """Add a file's items and judgements; print what became of them."""
    db = _open(database)
    try:
        done = importing.import_file(db, _project(db, project), source)
    finally:
        db.close()
    click.echo(f"{project}: {done.items.new:,} new items, {done.items.duplicates:,} there already")
    click.echo(
        f"  {done.answers:,} judgements ({done.extra:,} beyond the overlap), {done.repeated:,} there already"
    )
    for reason, count in {**done.items.bad, **done.left_out}.items():
        click.echo(f"  left out {count:,}: {safe_text(reason)}")
