"""`accord judge`: what a judge's verdicts rest on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError
from accord.files import write_json

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.feedback.judge_card import JudgeCard, Pull
    from accord.feedback.judge_drift import JudgeDrift
    from accord.feedback.judge_rate import RateOf
    from accord.feedback.records import Feedback
    from accord.runs.judged_arms import ComparedArms
    from accord.runs.judges import AskedJudge
    from accord.statistics.judged_rates import JudgedRate
    from accord.statistics.means import Estimate

FRESH = 3600.0
"""Seconds for which an answer is what a judge says now, so that an audit of its drift can go on
where it stopped."""


def audit(
    judges: Sequence[str],
    source: DataSource,
    own: str | None,
    sample: int,
    seed: int,
    inject: bool,
    against: Path | None,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Ask, measure, print the card; with `against` what has changed since that one."""
    from accord.cli.asking import judge_settings
    from accord.cli.feedback import load
    from accord.runs import judging

    earlier = None if against is None else judging.read_verdicts(against)
    since = 0.0 if earlier is None else max(earlier.asked_at, time.time() - FRESH)
    settings = judge_settings(asking, since)
    pairs, left_out = judging.pairs_of(load(source), own, sample, seed)
    for reason, count in left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}")
    calls = judging.questions_of(pairs, inject) * len(judges)
    click.echo(f"{len(pairs):,} pairs, at most {calls:,} questions")
    if dry_run:
        return
    from accord.cli.run import quiet_libraries
    from accord.feedback.judge_card import judge_card
    from accord.runs.judges import load_judge

    quiet_libraries()
    judge = load_judge(judges, settings)
    judged = judging.ask(judge, pairs, inject)
    card = judge_card(judged)
    kept = judging.verdicts(judges, pairs, judged)
    if out is not None:
        write_json(out, card.model_dump(mode="json") | kept.model_dump(mode="json"))
    print_table(("measure", "judge", "people", "what it is"), list(_rows(card)), right=())
    tell_judges(judge)
    if earlier is not None:
        _print_drift(judging.drift_since(earlier, kept, pairs, judged))


def compare(
    judges: Sequence[str],
    named: Sequence[str],
    all_pairs: bool,
    people: Path | None,
    sample: int,
    seed: int,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Read the arms, ask, print win rates."""
    from accord.cli.asking import judge_settings
    from accord.runs import judged_arms
    from accord.runs.judges import load_judge

    settings = judge_settings(asking)
    paths = _arms(named)
    arms = {name: judged_arms.read_arm(path) for name, path in paths.items()}
    compared, left_out = judged_arms.pair_arms(arms, all_pairs, sample, seed)
    for name, count in left_out.items():
        click.echo(f"{safe_text(name)}: {count:,} responses left out: not drawn, or not shared")
    pairs = sum(len(one.pairs) for one in compared)
    click.echo(f"{pairs:,} comparisons, at most {2 * pairs * len(judges):,} questions")
    labels = [] if people is None else _people(people)
    if dry_run:
        return
    from accord.cli.run import quiet_libraries

    quiet_libraries()
    judge = load_judge(judges, settings)
    found = judged_arms.compare_arms(judge, compared, labels, seed)
    if out is not None:
        write_json(out, {"judges": list(judges)} | found.model_dump(mode="json"))
    print_table(("arm", "against", "measure", "value", ""), list(_win_rows(found)), right=())
    if people is not None and not any(one.labelled for one in found.wins):
        click.secho("none of people's labels are of these responses", fg="yellow")
    tell_judges(judge)


def rate(judged: Path, people: Path, of: RateOf, out: Path | None) -> None:
    """What people would say of all that is judged."""
    from dataclasses import asdict

    from pydantic import TypeAdapter

    from accord.feedback.judge_rate import rate_of
    from accord.statistics.judged_rates import JudgedRate

    found, left_out = rate_of(_people(judged), _people(people), of)
    for reason, count in left_out.items():
        click.echo(f"{count:,} {reason}")
    click.echo(
        f"{safe_text(str(of))}: {found.labels:,} items labelled, {found.judged:,} more judged"
    )
    print_table(("rate", "", "width", "worth"), list(_rate_rows(found)), right=("width", "worth"))
    if found.turned is None:
        click.echo(f"no Rogan and Gladen: {found.why_not}")
    if out is not None:
        write_json(out, {"of": asdict(of), **TypeAdapter(JudgedRate).dump_python(found)})


def _rate_rows(found: JudgedRate) -> Iterator[tuple[str, str, str, str]]:
    for name, estimate, worth in (
        ("people's labels alone", found.people, float(found.labels)),
        ("corrected (PPI++)", found.corrected, found.worth),
        ("turned round (Rogan, Gladen)", found.turned, found.worth_turned),
        ("the judge alone: not people's", found.judge, None),
    ):
        if estimate is not None:
            none = estimate.low is None or estimate.high is None
            width = "–" if none else f"{(estimate.high or 0) - (estimate.low or 0):.3f}"
            shown = "" if worth is None else f"{worth:,.0f} labels"
            yield name, estimate.percent, width, shown


def _arms(named: Sequence[str]) -> dict[str, Path]:
    found = {}
    for text in named:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in found or not Path(path).is_file():
            raise ConfigError(
                f"--arm {text} names no file, or an arm twice",
                "write --arm NAME=FILE, twice or more",
            )
        found[name] = Path(path)
    if len(found) < 2:
        raise ConfigError("one arm is compared with nothing", "give --arm NAME=FILE twice or more")
    return found


def _people(path: Path) -> Sequence[Feedback]:
    from accord.cli.feedback import load
    from accord.feedback.formats.source import DataSource

    return load(DataSource(path=str(path)))


def _win_rows(found: ComparedArms) -> Iterator[tuple[str, str, str, str, str]]:
    for one in found.wins:
        skipped = f", {one.skipped:,} without a verdict" if one.skipped else ""
        worth = "" if one.worth is None else f", worth {one.worth:,.0f} labels"
        rows = [
            ("win rate", one.win_rate, f"{one.comparisons:,} comparisons{skipped}; ties half"),
            ("corrected", one.corrected, f"by people's labels on {one.labelled:,} of them{worth}"),
            ("people", one.people, "what these labels say alone"),
            ("at equal length", one.at_equal_length, "what is left of it without length"),
            ("longer", one.longer, "how often its response is the longer"),
            ("flipped", one.flipped, "verdicts that change with the order: ties"),
        ]
        for name, estimate, meaning in rows:
            if estimate is not None:
                yield one.arm, one.against, name, estimate.percent, meaning
    for name, rating in found.ratings.items():
        elo = f"{400 / log(10) * rating.value:+.0f} Elo"
        yield name, "all", "rating", f"{rating}, {elo}", "log-odds against the first arm"


def tell_judges(judge: AskedJudge) -> None:
    """What was spent, how answers were read, and which were no verdicts."""
    from accord.runs.judges import EndpointJudge, PanelJudge

    members = judge.judges if isinstance(judge, PanelJudge) else [judge]
    for member in members:
        if isinstance(member, EndpointJudge):
            name, spent = member.asker.endpoint.model, member.asker.ledger.spent
            click.echo(
                f"{safe_text(name)}: {spent.calls:,} calls, {spent.tokens:,.0f} tokens in all"
                + (f"; {member.as_text:,} answers read as text" if member.as_text else "")
            )
        for reason, count in member.no_verdict.most_common(3):
            click.echo(f"no verdict, {count:,} times: {safe_text(reason)}")
        others = sum(member.no_verdict.values()) - sum(
            count for _, count in member.no_verdict.most_common(3)
        )
        if others:
            click.echo(f"no verdict, {others:,} times for other reasons")
    if isinstance(judge, PanelJudge):
        alike = judge.agreement()
        click.echo(f"the panel is unanimous in {alike:.0%} of the questions")


def _print_drift(drift: JudgeDrift) -> None:
    rows = [
        ("changed", drift.changed.percent, "verdicts that are others now"),
        ("towards longer", _points(drift.towards_longer), "how much oftener the longer is taken"),
        ("agreement", _points(drift.agreement), "with people, how much more"),
    ]
    click.echo(f"\nsince then, on {drift.shared:,} pairs")
    print_table(("measure", "change", "what it is"), rows, right=())


def _points(estimate: Estimate | None) -> str:
    return "–" if estimate is None else str(estimate)


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
        ("undecided", card.undecided, "pairs of which the judge takes neither in either order"),
    )
    yield "pairs", f"{card.pairs:,}", f"{card.labelled:,}", "judged in both orders; labelled"
    if card.skipped:
        asked = card.skipped + card.pairs
        share = f"{card.skipped:,} of {asked:,}"
        yield "no verdict", share, "", "pairs that count for nothing else here"
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
    if card.label_worth is not None:
        worth = f"{card.label_worth:.2f}"
        yield "label worth", worth, "", "labels that one is worth beside many judged pairs"


def _pulled(pull: Pull | None) -> tuple[str, str]:
    if pull is None:
        return "–", ""
    if pull.people is None or pull.excess is None:
        return pull.judge.percent, ""
    return f"{pull.judge.percent}, {pull.excess.value:+.0%} over people", pull.people.percent
