"""Commands of `accord feedback` that say what judgements are worth. Only click is imported here, as
in main.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from accord.cli.sources import source as source_argument
from accord.cli.terminal import guarded

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource


@click.command("agreement")
@source_argument("source")
@click.option("--pairs", is_flag=True, help="Cohen's κ of every two annotators, too.")
@guarded
def feedback_agreement(source: DataSource, pairs: bool) -> None:
    """How far annotators agree, and the ceiling that sets for a reward model."""
    from accord.cli import feedback

    feedback.agreement(source, pairs)


@click.command("annotators")
@source_argument("source")
@guarded
def feedback_annotators(source: DataSource) -> None:
    """Rationality and side bias of every annotator, from the records alone; who stands out."""
    from accord.cli import feedback

    feedback.annotators(source)


@click.command("ratings")
@source_argument("source")
@click.option(
    "--reliability/--no-reliability",
    default=True,
    show_default=True,
    help="Annotators differ in reliability.",
)
@click.option(
    "--side/--no-side", default=True, show_default=True, help="What is shown first may gain."
)
@click.option(
    "--ties/--no-ties",
    default=True,
    show_default=True,
    help="Model ties (Davidson) or leave them out.",
)
@guarded
def feedback_ratings(source: DataSource, reliability: bool, side: bool, ties: bool) -> None:
    """Scores of the producers (models) that comparisons name, with 95 % intervals."""
    from accord.cli import feedback

    feedback.ratings(source, {"reliability": reliability, "side": side, "ties": ties})


@click.command("audit")
@source_argument("source")
@click.option(
    "--trusted",
    multiple=True,
    metavar="ANNOTATOR",
    help="Whose votes are known to be good (repeat).",
)
@click.option(
    "--attributes", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON: annotator to self-described attributes; groups below 5 are not shown.",
)  # fmt: skip
@click.option(
    "--ratings", type=click.Choice(["auto", "levels", "points"]), default="auto", show_default=True,
    help="Take ratings for levels (few, with ends) or for points on a line; auto: for levels where"
    " there are at most 11, evenly spaced.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@guarded
def feedback_audit(
    source: DataSource,
    trusted: tuple[str, ...],
    attributes: Path | None,
    ratings: Literal["auto", "levels", "points"],
    as_json: bool,
) -> None:
    """All alarms on one page: position, annotators, drift, poisoning, gold, groups, each with its
    interval."""
    from accord.cli import quality

    model = None if ratings == "auto" else ratings
    quality.audit(source, trusted, attributes, model, as_json)


@click.command("assistance")
@source_argument("source")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def feedback_assistance(source: DataSource, as_json: bool) -> None:
    """Did a critic's claims help? Recall of known flaws, false marks, time and accuracy with
    claims, with placebos and without; uplift and over-reliance, from SOURCE, a studio's export.

    \b
    accord studio export PROJECT answers.jsonl --gold
    accord feedback assistance answers.jsonl
    """
    from accord.cli import assistance

    assistance.show(source, as_json)


@click.command("debate")
@source_argument("source")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def feedback_debate(source: DataSource, as_json: bool) -> None:
    """How often people or models who judged transcripts chose the right answer, by arm, from
    SOURCE: a studio's export of a debate's items, or a debate stage's feedback.jsonl.

    \b
    accord studio export PROJECT answers.jsonl
    accord feedback debate answers.jsonl
    """
    from accord.cli import transcripts

    transcripts.show(source, as_json)


@click.command("plan")
@click.option("--pilot", help="Judgements to learn share and agreement from: a file or store.")
@click.option("--win-rate", type=float, help="The share expected (default .5).")
@click.option("--agreement", type=float, help="How often two annotators answer one item alike.")
@click.option("--accuracy", type=float, help="How often an annotator gives an item's own answer.")
@click.option("--spread", type=float, help="Standard deviation of the win rate between items.")
@click.option("--half-width", type=float, help="Of the 95 % interval wanted, such as .03.")
@click.option("--power", type=float, help="Chance to tell the win rate from .5, such as .8.")
@click.option(
    "--assistance",
    is_flag=True,
    help="Plan a study of assistance: --uplift, --baseline, --arms, --power (default .8).",
)
@click.option("--uplift", type=float, help="Recall with a critic's claims less that without.")
@click.option("--baseline", type=float, help="Recall without claims (default .5).")
@click.option("--arms", help="Weights of none:critique:placebo (default 1:1:1).")
@click.option(
    "--per-item",
    type=click.IntRange(1),
    multiple=True,
    help="Answers per item (repeat) [default: 1, 2, 3, 5].",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@guarded
def feedback_plan(
    pilot: str | None,
    win_rate: float | None,
    agreement: float | None,
    accuracy: float | None,
    spread: float | None,
    half_width: float | None,
    power: float | None,
    assistance: bool,
    uplift: float | None,
    baseline: float | None,
    arms: str | None,
    per_item: tuple[int, ...],
    as_json: bool,
) -> None:
    """How many items and judgements an interval or a power takes, from a pilot or from assumptions.

    \b
    accord feedback plan --win-rate .55 --agreement .73 --power .8
    accord feedback plan --pilot store.sqlite --half-width .03
    accord feedback plan --assistance --uplift .15      # of claims by a critic
    """
    questions = {
        "--pilot": pilot, "--win-rate": win_rate, "--agreement": agreement, "--accuracy": accuracy,
        "--spread": spread, "--half-width": half_width,
    }  # fmt: skip
    helps = {"--uplift": uplift, "--baseline": baseline, "--arms": arms}
    strange = [name for name, v in (questions if assistance else helps).items() if v is not None]
    if strange:
        from accord.errors import ConfigError

        about = "a win rate" if assistance else "a study of assistance"
        fix = f"leave out {strange[0]}" if assistance else "give --assistance, too"
        raise ConfigError(f"{strange[0]} is for the plan of {about}", fix)
    if assistance:
        from accord.cli import assistance as helped

        least = 0.5 if baseline is None else baseline
        helped.plan(least, uplift, power or 0.8, arms or "1:1:1", per_item, as_json)
        return
    from accord.cli import labels
    from accord.feedback.formats.source import DataSource
    from accord.validation import validated

    source = None if pilot is None else validated(DataSource, {"path": pilot}, "")
    assumed = labels.Assumed(source, win_rate, agreement, accuracy, spread)
    labels.plan(assumed, half_width, power, per_item, as_json)


MEASURES = (
    feedback_agreement,
    feedback_annotators,
    feedback_ratings,
    feedback_audit,
    feedback_assistance,
    feedback_debate,
    feedback_plan,
)
