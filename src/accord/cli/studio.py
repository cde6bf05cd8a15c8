"""`accord studio`: the labelling studio on this machine."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import click

from accord.cli.exporting import check_free
from accord.cli.progress import RunProgress
from accord.cli.studio_chat import ChatSettings, application
from accord.cli.terminal import safe_text
from accord.errors import ConfigError
from accord.feedback.assistance_plan import ENOUGH
from accord.feedback.formats.card import card_paths
from accord.feedback.words import counted
from accord.files import digest, write_json, write_text
from accord.studio.delivery import exporting
from accord.studio.delivery.archive import Manifest
from accord.studio.delivery.backup import back_up
from accord.studio.delivery.restoring import restore
from accord.studio.people.members import settings_of
from accord.studio.people.openid import OpenIdSettings
from accord.studio.projects import editing, importing, studies
from accord.studio.projects.settings import AssistanceStudy
from accord.studio.projects.studies import StudyPower
from accord.studio.server import HERE, OIDC_SECRET, Serving, check_port, serve
from accord.studio.storage import events
from accord.studio.storage.database import (
    Database,
    check_there,
    open_existing,
)
from accord.studio.storage.engines import parse_url, safe_url
from accord.studio.storage.tables import Project


def run_studio(wanted: Serving, open_browser: bool, chat: ChatSettings | None) -> None:
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
def _project(db: Database, slug: str) -> int:
    with db.read() as session:
        return editing.find_project(session, slug).id


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
    with closing(open_existing(database)) as db:
        project_id = _project(db, project)
        wanted = exporting.Wanted(shape, gold, skips, True, hash_annotators, salt)
        bundle = exporting.bundle(
            exporting.collect(db, project_id, gold, skips), wanted, destination.name
        )
        about = destination.with_suffix(".about.jsonl")
        texts = {destination: bundle.data} | ({} if bundle.about is None else {about: bundle.about})
        page, numbers = card_paths(destination)
        pages = [page, numbers] if card else []
        check_free([*texts, *pages])
        if destination.suffix != bundle.suffix:
            raise ConfigError(
                f"{shape} is written as {bundle.suffix[1:].upper()}, not as {destination.name}",
                f"end the name in {bundle.suffix}",
            )
        for path, text in texts.items():
            write_text(path, text)
        if card:
            write_text(page, bundle.card)
            write_json(numbers, bundle.card_json)
        exporting.note_export(db, project_id, bundle, None)
    click.echo(f"{destination}: {len(bundle.exported.rows):,} rows of {shape}")
    left_out = {**bundle.collected.left_out, **bundle.exported.left_out, **bundle.exported.lost}
    for reason, count in left_out.items():
        click.echo(f"  left out {count:,}: {safe_text(reason)}")
    beside = [*list(texts)[1:], *pages]
    if beside:
        click.echo(f"beside it: {', '.join(path.name for path in beside)}")
    if bundle.salt is not None:
        click.echo(
            f"salt: {bundle.salt}  (keep it secret; give it as --salt to get the same names again)"
        )


def import_into(database: str, project: str, source: Path) -> None:
    """Add a file's items and judgements; print what became of them."""
    with closing(open_existing(database)) as db:
        found = _project(db, project)
        done = importing.import_file(db, found, source)
        with db.read() as session:
            settings = settings_of(session.get_one(Project, found))
            study = studies.study_power(session, found, settings)
    click.echo(f"{project}: {done.items.new:,} new items, {done.items.duplicates:,} there already")
    click.echo(
        f"  {done.answers:,} judgements ({done.extra:,} beyond the overlap), {done.repeated:,} "
        "there already"
    )
    for reason, count in {**done.items.bad, **done.left_out}.items():
        first = done.items.first_bad.get(reason)
        where = "" if first is None else f" (first: {first})"
        click.echo(f"  left out {count:,}: {safe_text(reason)}{where}")
    if study is not None and settings.assistance is not None:
        _say_study(study, settings.assistance)


def _say_study(study: StudyPower, asked: AssistanceStudy) -> None:
    """What a study of assistance can show."""
    items = counted(study.items, "item")
    click.echo(f"study: {items} with claims, {counted(study.judgements, 'judgement')}")
    if study.power is None:
        click.secho("  no arm is without help: no uplift can be measured", fg="yellow")
        return
    what = f"an uplift of {asked.uplift:g} on {asked.baseline:g}"
    click.echo(f"  power to show {what}: {study.power:.0%}")
    if not study.enough:
        click.secho(
            f"  under-powered (below {ENOUGH:.0%}): it takes about {study.needed:,} items with"
            " claims at this overlap; see accord feedback plan --assistance",
            fg="yellow",
        )


def back_up_studio(database: str, destination: Path, media: Path | None, force: bool) -> None:
    """Write a backup; print what it holds and what to mind."""
    check_there(database)
    as_it_is = Database(parse_url(database), time.time)  # a backup changes nothing
    with closing(as_it_is) as db, RunProgress(["backup"]) as progress:
        progress.begin("backup")
        manifest = back_up(db, destination, progress.step, media, force)
    size = destination.stat().st_size / 2**20
    click.echo(f"{destination}: {_held(manifest)}, {size:,.1f} MiB, SHA-256 {digest(destination)}")
    if manifest.left_out:
        click.echo(f"  left out, not the studio's: {safe_text(', '.join(manifest.left_out))}")
    click.echo(f"  it holds {manifest.secrets}: keep it as safe as the studio")
    _say_broken(manifest)


def restore_studio(
    database: str, source: Path, media: Path | None, without_media: bool, dry_run: bool
) -> None:
    """Make a studio out of a backup; print what it holds."""
    with RunProgress(["restore"]) as progress:
        progress.begin("restore")
        made = restore(source, database, progress.step, media, without_media, dry_run)
    what = "is whole and can be restored, nothing was" if dry_run else f"is in {safe_url(database)}"
    click.echo(f"{source} of {made.made_at} {what}: {_held(made)}")
    _say_broken(made)
    if not dry_run:
        where = "" if database == "studio.db" else f" --database {safe_url(database)}"
        click.echo(f"start it: accord studio{where}")


def _held(made: Manifest) -> str:
    clips = "" if made.media is None else f", {made.media.files:,} clips"
    return (
        f"{made.rows:,} rows of {len(made.tables)} tables, {len(made.chains):,} logs{clips},"
        f" revision {made.revision}"
    )


def _say_broken(made: Manifest) -> None:
    for chain, entry in made.chains.items():
        if entry.broken is not None:
            log = events.log_name(chain)
            click.echo(f"  warning: {log} was broken before: {safe_text(entry.broken)}")
