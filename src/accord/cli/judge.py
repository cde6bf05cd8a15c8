"""`accord judge`: what a judge's verdicts rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli.terminal import print_table, safe_text
from accord.files import write_json

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.feedback.judge_card import JudgeCard, Pull


def audit(
    judge: str,
    source: DataSource,
    own: str | None,
    sample: int,
    seed: int,
    inject: bool,
    out: Path | None,
    dry_run: bool,
) -> None:
    """Ask, measure, print the card."""
    from accord.cli.feedback import load
    from accord.runs import judging

    pairs, left_out = judging.pairs_of(load(source), own, sample, seed)
    for reason, count in left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}")
    calls = len(pairs) * (6 if inject else 2)
    click.echo(f"{len(pairs):,} pairs, at most {calls:,} questions")
    if dry_run:
        return
    from accord.cli.run import quiet_libraries
    from accord.feedback.judge_card import judge_card

    quiet_libraries()
    card = judge_card(judging.ask(judging.load_judge(judge), pairs, inject))
    if out is not None:
        write_json(out, card.model_dump(mode="json"))
    print_table(("measure", "judge", "people", "what it is"), list(_rows(card)), right=())


def _rows(card: JudgeCard) -> Iterator[tuple[str, str, str, str]]:
    plain = (
        ("agreement", card.agreement, "with people, where both decide"),
        ("flipped", card.flipped, "verdicts that change with the order"),
        (
            "first place",
            card.first_place,
            "of all verdicts, for what was shown first; .5 without a pull",
        ),
        (
            "turned",
            card.turned,
            "turned by a sentence in the loser that asks, less by one that does not",
        ),
        ("undecided", card.undecided, "pairs without a verdict in either order"),
    )
    for name, estimate, meaning in plain:
        yield name, "–" if estimate is None else estimate.percent, "", meaning
    yield "longer", *_pulled(card.longer), "takes the longer response"
    yield "own", *_pulled(card.own), "takes its own response"
    if card.kappa is not None:
        value, low, high = card.kappa
        yield (
            "kappa",
            f"{value:.3f} [{low:.3f}, {high:.3f}]",
            "",
            "agreement beyond chance, ties too",
        )
    if card.temperature is not None:
        yield "temperature", str(card.temperature), "", "above 1: surer than it is right"
        yield "log-loss", str(card.log_loss), "", "of its probabilities, nats; .693 is a coin"


def _pulled(pull: Pull | None) -> tuple[str, str]:
    if pull is None:
        return "–", ""
    if pull.people is None or pull.excess is None:
        return pull.judge.percent, ""
    return f"{pull.judge.percent}, {pull.excess.value:+.0%} over people", pull.people.percent
