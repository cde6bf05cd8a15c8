"""`accord ask` and `judge`: models that judge, and whether they can be trusted. Only click is
imported here, as in main.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.asking import asking_options
from accord.cli.sources import source as source_argument
from accord.cli.terminal import guarded

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource


@click.command("ask")
@source_argument("records")
@click.argument("out", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--judge",
    "judges",
    multiple=True,
    required=True,
    metavar="JUDGE",
    help="Who is asked (repeat: each writes its own records, or see --panel).",
)
@click.option(
    "--form",
    default="pairwise",
    show_default=True,
    type=click.Choice(["pairwise", "pointwise", "rubric"]),
    help="Which of two is better; a score; each principle met or not.",
)
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False),
    help="The question as a text file with {prompt}, {first} and {second}, or {response}; with a"
    " constitution {principle}.",
)
@click.option("--constitution", help="Principles asked one by one: a file, or accord:NAME.")
@click.option(
    "--scale",
    "scale",
    nargs=2,
    type=int,
    default=(1, 5),
    show_default=True,
    help="Worst and best score of --form pointwise, within 0 to 9.",
)
@click.option("--panel", is_flag=True, help="One record for all judges together: the mean.")
@click.option(
    "--reasoning-tokens",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Let judges reason first, up to so many tokens.",
)
@click.option(
    "--samples",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Answers drawn where an endpoint gives no log-probabilities (with --temperature).",
)
@click.option(
    "--temperature",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 2),
    help="Of the judges' sampling.",
)
@click.option(
    "--people",
    type=click.Path(exists=True, path_type=Path),
    help="Comparisons by people of some of these pairs (it may be RECORDS itself): probabilities"
    " are softened by a temperature fitted on them.",
)
@click.option(
    "--clamp",
    default=1.0,
    show_default=True,
    help="Keep probabilities within [1 - clamp, clamp], such as .6; 1: as they are.",
)
@click.option(
    "--max-failed",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of items that may get no verdict before asking stops.",
)
@click.option("--seed", default=0, show_default=True, help="Of sampled answers and reasoning.")
@click.option("--show", is_flag=True, help="Print what was judged and said, with --limit first.")
@click.option("--dry-run", is_flag=True, help="Print calls, tokens and money; ask nothing.")
@asking_options
@guarded
def ask_command(
    records: DataSource,
    out: Path | None,
    judges: tuple[str, ...],
    people: Path | None,
    show: bool,
    dry_run: bool,
    scale: tuple[int, int],
    asking: dict[str, Any],
    **settings: Any,
) -> None:
    """Have AI judges judge RECORDS, and write their answers to OUT as feedback like anybody's.

    RECORDS are judgements in any known format (who judged before is not told), or rows with a
    prompt and responses. A pair is asked in both orders. What fails is a skip, never a number.

    \b
    accord ask pairs.jsonl ai.jsonl --judge https://host/v1#model --budget 5 --price 0.15,0.60
    accord ask pairs.jsonl --judge my-model --limit 20 --show
    accord ask pairs.jsonl ai.jsonl --judge my_judges:strict --constitution accord:plain-dealing
    Keys, budget and kept answers as in accord judge audit; audit a judge before you trust it.
    """
    from accord.cli.ask import ask

    low, high = scale
    ask(records, out, judges, {**settings, "low": low, "high": high}, people, show, dry_run, asking)


@click.group()
def judge() -> None:
    """AI judges: what their verdicts rest on."""


@judge.command("audit")
@click.argument("judge_name", metavar="JUDGE")
@source_argument("pairs")
@click.option(
    "--panel",
    multiple=True,
    metavar="JUDGE",
    help="A further judge (repeat): the majority decides.",
)
@click.option("--own", help="The producer whose answers are the judge's own.")
@click.option("--sample", default=200, show_default=True, help="Pairs at most, drawn at random.")
@click.option(
    "--seed", default=0, show_default=True, help="Of the draw and of which is shown first."
)
@click.option(
    "--inject/--no-inject",
    default=True,
    show_default=True,
    help="Also try a sentence in the losing response that asks for it.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What --out wrote earlier on these pairs: ask again (answers of the last hour count), and"
    " say how the judge has drifted.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@click.option("--dry-run", is_flag=True, help="Read the pairs and count the questions.")
@asking_options
@guarded
def judge_audit(
    judge_name: str,
    pairs: DataSource,
    panel: tuple[str, ...],
    own: str | None,
    sample: int,
    seed: int,
    inject: bool,
    against: Path | None,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Ask JUDGE about PAIRS in both orders: position, length, its own answers, injection, agreement
    with people, calibration.

    JUDGE is an OpenAI-compatible endpoint (https://host/v1#model), a model (directory, adapter,
    accord:NAME or Hub id) or a Python function module:function of (prompt, first, second). PAIRS
    are comparisons in any known format.

    \b
    Keys of endpoints: ACCORD_ENDPOINT_KEY, or one per host: ACCORD_KEY_API_OPENAI_COM
    Answers are kept: a run that stopped goes on where it was, a second one asks nothing.
    """
    from accord.cli.judge import audit

    audit([judge_name, *panel], pairs, own, sample, seed, inject, against, out, dry_run, asking)


@judge.command("compare")
@click.argument("judges", metavar="JUDGE...", nargs=-1, required=True)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    required=True,
    metavar="NAME=FILE",
    help="Responses of an arm, a row each with prompt and response (repeat); the first is what the"
    " others are compared with.",
)
@click.option("--all-pairs", is_flag=True, help="Compare the others with each other, too.")
@click.option(
    "--people",
    type=click.Path(exists=True, path_type=Path),
    help="Comparisons of some of these responses by people, which correct the judge.",
)
@click.option("--sample", default=200, show_default=True, help="Prompts at most, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Of the draw and of resamples.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@click.option("--dry-run", is_flag=True, help="Read the responses and count the questions.")
@asking_options
@guarded
def judge_compare(
    judges: tuple[str, ...],
    arms: tuple[str, ...],
    all_pairs: bool,
    people: Path | None,
    sample: int,
    seed: int,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Win rates of policies' responses as JUDGE says (several: the majority), both orders.

    \b
    accord judge compare https://host/v1#model --arm sft=sft.jsonl --arm dpo=dpo.jsonl
    JUDGE as in accord judge audit; audit it first.
    """
    from accord.cli.judge import compare

    compare(judges, arms, all_pairs, people, sample, seed, out, dry_run, asking)


@judge.command("rate")
@click.argument("judged", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--people",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="People's records of some of the same items, a random part of them.",
)
@click.option("--of", "producer", help="How often this producer's response is preferred.")
@click.option("--flag", help="How often this flag is set.")
@click.option("--at-least", type=float, help="How often a score is so much or more.")
@click.option("--score", help="Whose score, where records have several.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@guarded
def judge_rate(
    judged: Path,
    people: Path,
    producer: str | None,
    flag: str | None,
    at_least: float | None,
    score: str | None,
    out: Path | None,
) -> None:
    """A rate that people would report, from a judge's records of many items and people's of a few.

    \b
    accord ask samples.jsonl ai.jsonl --judge https://host/v1#model
    accord judge rate ai.jsonl --people labels.jsonl --of new-policy
    Corrected (PPI++) needs labels of a random part; Rogan and Gladen's holds for other parts too.
    """
    from accord.cli.judge import rate
    from accord.feedback.judge_rate import RateOf

    rate(judged, people, RateOf(producer, flag, score, at_least), out)
