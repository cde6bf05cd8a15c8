"""`accord studio` and what belongs to it, without a browser too. Only click is imported here, as in
main.py."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli.export_options import export_options
from accord.cli.terminal import guarded

STUDIO_DATABASE = click.option(
    "--database",
    default="studio.db",
    show_default=True,
    help="A file, or postgresql://USER:PASSWORD@HOST/NAME.",
)


@click.group(invoke_without_command=True)
@STUDIO_DATABASE
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others need TLS in front.",
)
@click.option(
    "--port",
    default=8600,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes that serve.",
)
@click.option(
    "--media",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of clips, one subfolder per project.",
)
@click.option(
    "--https",
    is_flag=True,
    help="People reach it over https (through a proxy): cookies then insist on it.",
)
@click.option(
    "--private-webhooks",
    is_flag=True,
    help="Let webhooks go to addresses inside private networks, and over http.",
)
@click.option(
    "--chat-model", "chat_models", multiple=True, metavar="MODEL",
    help="For live chat: a directory, Hub id, accord:NAME, or an OpenAI-compatible URL#NAME "
    "(key in ACCORD_CHAT_KEY). "
    "Given twice, a turn compares the two.",
)  # fmt: skip
@click.option(
    "--chat-max-tokens",
    default=512,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Limit of a chat's replies.",
)
@click.option(
    "--chat-temperature",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 2),
    help="Of a chat's replies.",
)
@click.option(
    "--oidc-issuer", help="Let people sign in with this OpenID Connect provider, too (https://…)."
)
@click.option(
    "--oidc-client-id",
    help="What the provider calls this studio; the secret comes from ACCORD_OIDC_SECRET.",
)
@click.option(
    "--oidc-name", help="What people call the provider, for the button.  [default: its host]"
)
@click.option(
    "--open/--no-open",
    "open_browser",
    default=True,
    show_default=True,
    help="Open it in the browser.",
)
@click.pass_context
@guarded
def studio(
    context: click.Context,
    database: str,
    host: str,
    port: int,
    workers: int,
    media: Path | None,
    https: bool,
    private_webhooks: bool,
    chat_models: tuple[str, ...],
    chat_max_tokens: int,
    chat_temperature: float,
    oidc_issuer: str | None,
    oidc_client_id: str | None,
    oidc_name: str | None,
    open_browser: bool,
) -> None:
    """Start the studio, where people judge: projects, guidelines, comparisons, rankings, ratings,
    chat."""
    if context.invoked_subcommand is not None:
        context.obj = database
        return
    from accord.cli.studio import openid_provider, run_studio
    from accord.cli.studio_chat import ChatSettings
    from accord.studio.server import Serving

    chat = ChatSettings(chat_models, chat_max_tokens, chat_temperature) if chat_models else None
    openid = openid_provider(oidc_issuer, oidc_client_id, oidc_name)
    run_studio(
        Serving(database, host, port, workers, media, https, private_webhooks, openid),
        open_browser,
        chat,
    )


DATABASE = click.option(
    "--database",
    callback=lambda context, _, given: given or context.obj,  # as named before the command
    help="A file, or postgresql://USER:PASSWORD@HOST/NAME.  [default: studio.db]",
)


@studio.command("export")
@click.argument("project")
@click.argument("destination", type=click.Path(path_type=Path))
@DATABASE
@export_options
@click.option("--gold", is_flag=True, help="Items with known answers too.")
@click.option("--skips", is_flag=True, help="Who skipped what, as records.")
@guarded
def studio_export(
    project: str,
    destination: Path,
    database: str,
    shape: str,
    gold: bool,
    skips: bool,
    card: bool,
    hash_annotators: bool,
    salt: str | None,
) -> None:
    """Write what was judged in PROJECT (its short name, as in addresses) to DESTINATION, to train
    on.

    Answers that were taken back, excluded or given by quarantined annotators stay behind and are
    counted.
    """
    from accord.cli.studio import export_project

    export_project(database, project, destination, shape, gold, skips, card, hash_annotators, salt)


@studio.command("import")
@click.argument("project")
@click.argument("source", type=click.Path(path_type=Path))
@DATABASE
@guarded
def studio_import(project: str, source: Path, database: str) -> None:
    """Add SOURCE's items, and judgements it holds, to PROJECT; file, directory or Hub id in any
    known format."""
    from accord.cli.studio import import_into

    import_into(database, project, source)


@studio.command("backup")
@click.argument("destination", type=click.Path(path_type=Path))
@DATABASE
@click.option(
    "--media",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of clips to take along, as given to accord studio.",
)
@click.option("--force", is_flag=True, help="Replace DESTINATION.")
@guarded
def studio_backup(destination: Path, database: str, media: Path | None, force: bool) -> None:
    """Copy a whole studio to DESTINATION (a .zip) while it runs.

    One moment of everything: people, projects, items, answers, the log. It fits SQLite and
    PostgreSQL alike. It holds hashes of passwords and tokens and secrets of webhooks: keep it as
    safe as the studio.
    """
    from accord.cli.studio import back_up_studio

    back_up_studio(database, destination, media, force)


@studio.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@DATABASE
@click.option(
    "--media",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the backup's clips go: a folder that is new or empty.",
)
@click.option("--without-media", is_flag=True, help="Leave the backup's clips where they are.")
@click.option("--dry-run", is_flag=True, help="Do all of it, then keep nothing: is SOURCE whole?")
@guarded
def studio_restore(
    source: Path,
    database: str,
    media: Path | None,
    without_media: bool,
    dry_run: bool,
) -> None:
    """Make a studio out of a backup, in a database that holds nothing yet.

    Counts, hashes and every chain of events are checked; what does not fit is named and nothing is
    restored. Older backups are upgraded on the way.
    """
    from accord.cli.studio import restore_studio

    restore_studio(database, source, media, without_media, dry_run)


@studio.command("password")
@click.argument("name")
@DATABASE
@click.option(
    "--link",
    is_flag=True,
    help="Print a link with which they choose one themselves: once, for a day.",
)
@click.option(
    "--address",
    default="http://127.0.0.1:8600",
    show_default=True,
    help="Where people reach the studio, for the link.",
)
@guarded
def studio_password(name: str, database: str, link: bool, address: str) -> None:
    """Set a new password for the account NAME: typed twice, or one line from a pipe.

    For owners who forgot theirs, too. The account's sessions and API tokens end. Accounts without
    entry, and those that sign in with OpenID Connect alone, are refused.
    """
    from accord.cli.studio_people import password_link, reset_password

    if link:
        password_link(database, name, address)
    else:
        reset_password(database, name)


@studio.command("erase")
@click.argument("name")
@DATABASE
@click.option("--answers", is_flag=True, help="Whatever they answered, too.")
@click.option("--yes", is_flag=True, help="Do not ask for the name again.")
@guarded
def studio_erase(name: str, database: str, answers: bool, yes: bool) -> None:
    """Erase the person with the account NAME, who asked for it: what goes and what stays is said
    first.

    The same as erasing oneself on one's own page. Nothing brings it back.
    """
    from accord.cli.studio_people import erase_person

    erase_person(database, name, answers, yes)
