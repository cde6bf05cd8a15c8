"""`accord reward card`: what a reward model is worth, and what it pays for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError
from accord.files import write_json

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.runs.reward_reports import RewardReport
    from accord.statistics.means import Estimate


def reward_card(
    reward: str | None,
    pairs: Path | None,
    scores: Path | None,
    samples: Path | None,
    best_of: Path | None,
    sample: int,
    seed: int,
    as_json: bool,
    out: Path | None,
    dry_run: bool,
) -> None:
    """Score, measure, print the card."""
    from accord.runs import reward_tables

    _check_given(reward, pairs, scores, samples)
    gains = [] if best_of is None else reward_tables.best_of_table(best_of)
    if scores is not None:
        report = reward_tables.table_report(scores)
        if dry_run:
            click.echo(f"{report.card.pairs:,} pairs of scores")
            return
    else:
        assert reward is not None
        assert pairs is not None
        found = _from_pairs(reward, pairs, samples, sample, seed, as_json, dry_run)
        if found is None:
            return
        report = found
    if gains:
        rest = {k: v for k, v in report.not_measurable.items() if k != "best of n"}
        report = report.model_copy(update={"best_of": gains, "not_measurable": rest})
    if out is not None:
        write_json(out, report.model_dump(mode="json"))
    if as_json:
        click.echo(json.dumps(report.model_dump(mode="json"), indent=1))
    else:
        _print(report)


def _check_given(
    reward: str | None, pairs: Path | None, scores: Path | None, samples: Path | None
) -> None:
    if (reward is None) == (scores is None):
        raise ConfigError(
            "a reward model or its scores are wanted",
            "accord reward card R --pairs FILE, or accord reward card --scores TABLE",
        )
    if reward is not None and pairs is None:
        raise ConfigError(f"which pairs is {reward} to score?", "name them with --pairs")
    if scores is not None and (pairs is not None or samples is not None):
        raise ConfigError("scores alone are measured on what they are of", "leave --pairs out")


def _from_pairs(
    reward: str,
    pairs: Path,
    samples: Path | None,
    sample: int,
    seed: int,
    quiet: bool,
    dry_run: bool,
) -> RewardReport | None:
    from accord.cli.feedback import load
    from accord.feedback.formats.source import DataSource
    from accord.runs import reward_reports
    from accord.runs.judged_arms import read_arm

    source: DataSource = DataSource(path=str(pairs))
    records = load(source, quiet)
    chosen, left_out = reward_reports.judged_pairs(records, sample, seed)
    rows = [] if samples is None else read_arm(samples)
    told = [f"{count:,} left out: {safe_text(why)}" for why, count in left_out.items()]
    rewrites = reward_reports.passes()
    for line in [*told, f"{len(chosen):,} pairs, scored {rewrites} times"]:
        click.echo(line, err=quiet)
    if dry_run:
        return None
    from accord.cli.run import quiet_libraries
    from accord.runs.reward_scorers import load_scorer

    quiet_libraries()
    return reward_reports.examine_reward(
        load_scorer(reward),
        chosen,
        records,
        rows,
        seed,
        left_out,
        lambda text: click.echo(text, err=True),
    )


def _print(report: RewardReport) -> None:
    print_table(("measure", "value", "what it is"), list(_rows(report)), right=())
    if report.probes:
        click.echo(
            "\nrewritten (moved: in deviations of the scores; preferred: .5 is indifference)"
        )
        print_table(
            ("rewrite", "pairs", "moved", "preferred", "loser wins", "broken still wins"),
            [
                (
                    one.name,
                    f"{one.pairs:,}",
                    str(one.moved),
                    one.preferred.percent,
                    "" if one.breaks else _share(one.turned),
                    _share(one.turned) if one.breaks else "",
                )
                for one in report.probes
            ],
            right=("pairs",),
        )
    if report.styles is not None:
        click.echo("\naccuracy with the better response written as (row), the worse as (column)")
        cells = report.styles.cells
        print_table(
            ("", *cells),
            [(name, *(f"{cells[name][other]:.0%}" for other in cells)) for name in cells],
            right=tuple(cells),
        )
    for name, why in report.not_measurable.items():
        click.echo(f"{name}: not measurable: {safe_text(why)}")


def _rows(report: RewardReport) -> Iterator[tuple[str, str, str]]:
    card, members = report.card, report.members
    yield "accuracy", card.accuracy.percent, f"on {card.pairs:,} pairs"
    if report.ceiling is not None:
        share = f"accuracy is {card.accuracy.value / report.ceiling.value:.0%} of it"
        yield "ceiling", report.ceiling.percent, f"what the labels' agreement allows; {share}"
    if card.longer_wins is not None:
        yield "the longer wins", card.longer_wins.percent, "what that rule would reach"
    yield "temperature", str(card.temperature), "at which gaps are log-odds"
    for name, after, before, what in (
        ("log-loss", card.after.nll, card.before.nll, "nats; .693 is a coin"),
        ("calibration error", card.after.ece, card.before.ece, "10 bins of confidence"),
        ("Brier score", card.after.brier, card.before.brier, "0 is best, .25 a coin"),
    ):
        fitted = f"{what}; with a temperature fitted on other prompts {after}"
        yield name, str(before), fitted
    for one in report.invariances:
        what = f"largest change, in deviations; {one.flipped:.1%} of the pairs turned"
        yield one.name, f"{one.largest:.2g}", what
    yield from _shared(
        ("wrong prompt", report.wrong_prompt, "accuracy with another pair's prompt"),
        ("own answer", report.own_answer, "beats the better response to another prompt"),
    )
    if report.styles is not None:
        for name, estimate, what in (
            ("easy", report.styles.easy, "the better response has more length or marks"),
            ("normal", report.styles.normal, "both are in the same style"),
            ("hard", report.styles.hard, "the worse response has more"),
        ):
            yield f"style: {name}", estimate.percent, what
        yield "style: gap", str(report.styles.gap), "easy less hard: what style is worth"
    if members is not None:
        yield "spread", f"{members.spread:.2g}", f"between {members.members} members, deviations"
        yield from _shared(
            ("unanimous", members.unanimous, "pairs that all members order alike"),
            ("  accuracy there", members.when_unanimous, ""),
            ("  elsewhere", members.when_split, ""),
        )
    for rule in report.rules:
        yield f"rule {rule.rule}", rule.accuracy.percent, f"of {rule.answers:,} answers {rule.told}"
    for group in report.groups:
        yield group.name, group.accuracy.percent, f"accuracy on {group.pairs:,} pairs"
    if report.outliers is not None:
        what = (
            f"of {report.outliers.responses:,} samples; {report.outliers.chance:.0%} of the pairs"
        )
        yield "latent outliers", report.outliers.share.percent, what
    for gain in report.best_of:
        low = "" if gain.gain.low is None else f"; at least {gain.gain.low:.3g}"
        yield f"best of {gain.n}", str(gain.gain), f"gold gained{low}"


def _shared(*rows: tuple[str, Estimate | None, str]) -> Iterator[tuple[str, str, str]]:
    for name, estimate, what in rows:
        if estimate is not None:
            yield name, estimate.percent, what


def _share(estimate: Estimate | None) -> str:
    return "–" if estimate is None else estimate.percent
