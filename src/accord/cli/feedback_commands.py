"""`accord feedback`: judgements in and out of a store. Only click is imported here, as in
main.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from accord.cli.export_options import export_options
from accord.cli.feedback_measures import MEASURES
from accord.cli.sources import source as source_argument
from accord.cli.terminal import guarded

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.feedback.labels import Method


@click.group()
def feedback() -> None:
    """Judgements in and out of a store, and what they are worth."""


for _measure in MEASURES:
    feedback.add_command(_measure)

SOURCE = source_argument("source")
REDACT = click.option(
    "--redact", type=click.Path(path_type=Path, exists=True), metavar="RULES",
    help="Replace in texts by this file of rules: {kind: email, replace: TEXT} or {pattern: ...}.",
)  # fmt: skip


@feedback.command("import")
@SOURCE
@click.argument("store", type=click.Path(path_type=Path))
@REDACT
@guarded
def feedback_import(source: DataSource, store: Path, redact: Path | None) -> None:
    """Add SOURCE's records (file, directory or Hub id, any known format) to STORE, an SQLite file.

    Says how many e-mail addresses, phone, card and account numbers, IP addresses and keys their
    texts hold; rows that say that there is no consent (consent: false) are left out.
    """
    from accord.cli import feedback

    feedback.import_file(source, store, redact)


@feedback.command("export")
@SOURCE
@click.argument("destination", type=click.Path(path_type=Path))
@export_options
@guarded
def feedback_export(
    source: DataSource,
    destination: Path,
    shape: str,
    card: bool,
    hash_annotators: bool,
    salt: str | None,
) -> None:
    """Write SOURCE's records (a store, or any known format) to DESTINATION (JSONL, or CSV for
    tables).

    Who judged, when, in which order shown, weight and soft label go into further columns, or beside
    it.
    """
    from accord.cli import feedback
    from accord.cli.exporting import ExportOptions

    options = ExportOptions(columns=True, card=card, hash_annotators=hash_annotators, salt=salt)
    feedback.export_file(source, destination, shape, options)


@feedback.command("select")
@SOURCE
@click.option("--count", type=click.IntRange(1), required=True, help="Pairs to choose.")
@click.option(
    "--goal", type=click.Choice(["ranking", "best"]), default="ranking", show_default=True,
    help="Order everything, or find the best.",
)  # fmt: skip
@click.option(
    "--random-share", default=0.25, show_default=True, help="Drawn at random; at least 0.2."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write them to this JSONL file.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same choice.")
@guarded
def feedback_select(
    source: DataSource,
    count: int,
    goal: Literal["ranking", "best"],
    random_share: float,
    out: Path | None,
    seed: int,
) -> None:
    """Which pairs to ask next, beside a random arm on which the saving is measured."""
    from accord.cli import quality

    quality.select(source, count, goal, random_share, out, seed)


@feedback.command("deployment")
@SOURCE
@click.option(
    "--called",
    type=click.Path(path_type=Path, exists=True),
    help="Thumbs of silent users who were asked, such as a studio's export.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True),
    help="logprob of every logged response under another policy, by id or prompt and response.",
)
@click.option(
    "--feature",
    multiple=True,
    metavar="COLUMN",
    help="A number in LOG, and in --policy's file its mean over the other policy's responses.",
)
@click.option("--by", help="Tell the rates for each value of this column.")
@click.option(
    "--call",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N responses that nobody rated, to ask about, and write them to --out.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where --call writes its items.")
@REDACT
@click.option("--seed", default=0, show_default=True, help="Same seed, same draw and folds.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def feedback_deployment(
    source: DataSource,
    called: Path | None,
    policy: Path | None,
    feature: tuple[str, ...],
    by: str | None,
    call: int | None,
    out: Path | None,
    redact: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """What users think of a policy in use, from SOURCE, a log of its responses (columns prompt,
    response, thumb; user, policy, propensity, ...) that most users left without a word.

    \b
    accord feedback deployment log.jsonl --call 150 --out items.jsonl   # whom to ask
    accord studio import PROJECT items.jsonl                            # a project of thumbs
    accord feedback deployment log.jsonl --called answers.jsonl
    accord feedback deployment log.jsonl --called answers.jsonl --policy new_logps.jsonl
    """
    from accord.cli import deployment

    if call is not None or out is not None:
        told = {"--policy": policy, "--feature": feature, "--by": by, "--json": as_json}
        if useless := [name for name, value in told.items() if value]:
            from accord.errors import ConfigError

            raise ConfigError(
                f"--call draws whom to ask, {useless[0]} is for what they said",
                f"leave out {useless[0]}",
            )
        deployment.call(source, called, call, out, redact, seed)
    else:
        deployment.show(source, called, policy, feature, by, redact, seed, as_json)


@feedback.command("claims")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--constitution", required=True, help="A file, or accord:NAME: what is claimed.")
@click.option(
    "--critics",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="YAML: critics: {PRINCIPLE: module:function or {function: ..., arguments: {...}}}.",
)
@click.option(
    "--task",
    type=click.Choice(["comparison", "ranking", "best_worst", "rating", "thumb", "flags", "spans"]),
    default="comparison",
    show_default=True,
    help="Of the project that the items are for.",
)
@guarded
def feedback_claims(source: Path, out: Path, constitution: str, critics: Path, task: Any) -> None:
    """Items of SOURCE to OUT, with what critics that are functions claim of their responses.

    \b
    accord feedback claims pairs.jsonl items.jsonl --constitution accord:two-rules --critics c.yaml
    accord studio import PROJECT items.jsonl        # a project with the setting assistance
    """
    from accord.cli import claims

    claims.write(source, out, constitution, critics, task)


@feedback.command("aggregate")
@SOURCE
@click.option(
    "--method", type=click.Choice(["majority", "dawid-skene", "mace", "glad"]),
    default="dawid-skene", show_default=True,
    help="How votes become a label; the majority is always beside it.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write every item's label to this JSON file."
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same digits.")
@guarded
def feedback_aggregate(source: DataSource, method: Method, out: Path | None, seed: int) -> None:
    """One label per item out of several annotators', with its probability; what each annotator is
    worth, with 95 % intervals.

    \b
    A plain table works: columns item, annotator, label.
    majority     shares of votes
    dawid-skene  a confusion matrix per annotator, its smoothing learned
    mace         annotators who know the answer or spam
    glad         annotators' ability, items' difficulty
    """
    from accord.cli import labels

    labels.aggregate(source, method, out, seed)
