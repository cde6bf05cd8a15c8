"""A verdict in words and tables, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from accord.cli.terminal import print_table, safe_text

if TYPE_CHECKING:
    from accord.cli.asked import AnsweredVerdict
    from accord.examine.asked import PeopleWins
    from accord.examine.asked_groups import GroupsOf
    from accord.examine.evidence import Evidence
    from accord.examine.measures import Checked, Measure
    from accord.examine.verdict import ArmVerdict, Verdict

COLOURS = {"worked": "green", "gamed": "red", "collapsed": "red"}


def print_answered(told: AnsweredVerdict) -> None:
    """What people said of each arm, all together and by their groups."""
    for one in told.wins.values():
        _print_people(one)
        _print_groups(told.groups.get(one.arm, []))


def print_evidence(
    evidence: Evidence,
    verdict: Verdict,
    results: Sequence[Checked],
    listed: Mapping[str, Measure],
) -> None:
    """The verdict on policies that write, with its rules, requirements and measures."""
    print_outcome(verdict)
    if evidence.contamination is not None and any(evidence.contamination):
        exact, overlapping = evidence.contamination
        click.secho(
            f"of {evidence.prompts:,} prompts {exact:,} were trained on word by word,"
            f" {overlapping:,} share a run of 13 words with what was: all numbers say less",
            fg="yellow",
        )
    for arm, measured in zip(verdict.arms, evidence.arms, strict=True):
        click.echo(f"\n{safe_text(arm.arm)} ({measured.method}): {arm.outcome}")
        print_rules(arm)
        if measured.best_step is not None and len(measured.points) > 2:
            last = "the last" if measured.best_step == measured.last.step else "not the last"
            click.echo(f"  gold is highest at step {measured.best_step}, {last} point")
    print_found(results, listed)


def print_outcome(verdict: Verdict) -> None:
    """The outcome with its reason, and the guard that stopped the run."""
    click.secho(verdict.outcome, bold=True, fg=COLOURS.get(verdict.outcome, "yellow"), nl=False)
    click.echo(f": {safe_text(verdict.reason)}")
    if verdict.stopped_by_guard:
        click.echo(f"stopped by a guard: {safe_text(verdict.stopped_by_guard)}")


def print_rules(arm: ArmVerdict) -> None:
    """Every rule, fired or not, with its evidence."""
    heads = ["fired", "rule", "evidence"]
    told = [["yes" if rule.fired else "no", rule.name, rule.statement] for rule in arm.rules]
    if any(rule.in_known_runs for rule in arm.rules):
        heads.append("in known runs")
        told = [[*row, rule.in_known_runs] for row, rule in zip(told, arm.rules, strict=True)]
    print_table(heads, told, right=())


def print_found(results: Sequence[Checked], listed: Mapping[str, Measure]) -> None:
    """Which requirements are met, and the measures that were asked for."""
    if results:
        click.echo("\nrequirements")
        rows = [("met" if one.met else "NOT MET", one.requirement, one.how) for one in results]
        print_table(("", "required", "found"), rows, right=())
    if listed:
        click.echo("\nmeasures")
        print_measures(listed)


def print_measures(listed: Mapping[str, Measure]) -> None:
    """Measures by name, with intervals."""
    columns = ("name", "value", "95 %", "n", "unit", "meaning")
    print_table(columns, [_row(one) for one in listed.values()], right=("value", "n"))


def _print_people(wins: PeopleWins) -> None:
    """What people said of an arm, and how far the stand-ins are from it."""
    click.echo(
        f"\n{safe_text(wins.arm)}: {wins.answered:,} of {wins.asked:,} asked {wins.unit}s answered,"
        f" of {wins.prompts:,}; people take it on {wins.win_rate.percent}"
    )
    if wins.more is not None:
        click.echo(f"about {wins.more:,} more answers would settle it, if the rate stays")
    rows = [
        (one.name, one.win_rate.percent, one.agrees.percent, str(one.bias))
        for one in wins.stand_ins
    ]
    print_table(("stand-in", "it says", "agrees with people", "says more by"), rows, right=())
    click.echo(f"its guesses count {wins.weight:.0%}, corrected by what people said")


def _print_groups(found: Sequence[GroupsOf]) -> None:
    """What groups of annotators say of an arm, on the prompts that were asked."""
    rows = [
        (
            one.attribute,
            safe_text(one.group),
            str(one.annotators),
            str(one.answers),
            _within(one.takes_it, "{:.0%}"),
            "" if one.apart is None else _within(one.apart, "{:+.0%}"),
            "yes" if one.differs else "no",
        )
        for attribute in found
        for one in attribute.groups
    ]
    if rows:
        heads = ("attribute", "group", "annotators", "answers", "take it", "than others", "differs")
        print_table(heads, rows, right=("annotators", "answers"))
    for attribute in found:
        if attribute.hidden_annotators:
            click.echo(
                f"{safe_text(attribute.attribute)}: {attribute.hidden_annotators} annotators are in"
                " groups too small to show"
            )


def _within(found: tuple[float, float | None, float | None], form: str) -> str:
    value, low, high = found
    shown = form.format(value)
    if low is None or high is None:
        return f"{shown} (one prompt: no interval)"
    return f"{shown} [{form.format(low)}, {form.format(high)}]"


def _row(one: Measure) -> tuple[str, ...]:
    interval = "" if one.low is None else f"[{one.low:.3g}, {one.high:.3g}]"
    count = "" if one.n is None else str(one.n)
    return one.name, f"{one.value:.3g}", interval, count, one.unit, one.meaning
