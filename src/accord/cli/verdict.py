"""`accord verdict`: what a run's evidence says, what is required of it, for people and for CI."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from xml.etree import ElementTree

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import GUARD_EXIT, ConfigError
from accord.files import write_text

if TYPE_CHECKING:
    from accord.cli.asked import AnsweredVerdict, AskedPeople
    from accord.examine.asked import PeopleWins
    from accord.examine.asked_groups import GroupsOf
    from accord.examine.episodes import EpisodeEvidence
    from accord.examine.evidence import Evidence
    from accord.examine.measures import Checked, Measure, Requirement
    from accord.examine.verdict import ArmVerdict, Verdict

OUTCOMES = ("worked", "gamed", "collapsed", "inconclusive")
COLOURS = {"worked": "green", "gamed": "red", "collapsed": "red"}


def show(
    run_dir: Path,
    fail_on: str,
    require: Sequence[str],
    as_json: bool,
    junit: Path | None,
    list_measures: bool,
    answers: Path | None,
    seed: int,
    judges: Sequence[str],
    asking: dict[str, Any],
    attributes: Path | None,
    deployed: Path | None = None,
    called: Path | None = None,
) -> None:
    """Print the verdict; leaves with exit code 3 where it is one of `fail_on` or a requirement is
    not met."""
    from accord.cli.asked import AskedPeople, answered
    from accord.examine.error_rates import with_rates
    from accord.examine.measures import measures, of_people, requirement
    from accord.examine.verdict import decide
    from accord.runs.evidence import read_episodes, read_evidence

    ending = _Ending(outcomes(fail_on), [requirement(t) for t in require], as_json, junit)
    people = AskedPeople(answers, seed, judges, asking, attributes)
    if acts := read_episodes(run_dir):
        if deployed or called:
            raise ConfigError(
                "logs of use are about responses; this run's policy acts", "leave them out"
            )
        _show_acts(run_dir, acts, people, ending, list_measures)
    evidence, guard = read_evidence(run_dir)
    gains = {arm.name: arm for arm in evidence.arms}
    told = answered(run_dir, decide(evidence, guard), gains, people, as_json)
    verdict = with_rates(told.verdict)
    users: dict[str, Measure] = {}
    if deployed is None and called is not None:
        raise ConfigError("--called holds answers about a log of use", "give --deployment LOG, too")
    if deployed is not None:
        from accord.cli.deployment import measures_of_users

        users = measures_of_users(deployed, called, as_json)
    found = measures(evidence) | of_people(told.wins) | users

    def printed(results: Sequence[Checked]) -> None:
        _print(evidence, verdict, results, found if list_measures else {})
        if users and not list_measures:
            click.echo("\nusers")
            _print_measures(users)
        _print_answered(told)

    ending.leave(verdict, found, printed, told.as_data())


@dataclass(frozen=True)
class _Ending:
    """What is asked of a verdict, and where it is told. refused: outcomes that fail."""

    refused: frozenset[str]
    asked: Sequence[Requirement]
    as_json: bool
    junit: Path | None

    def leave(
        self,
        verdict: Verdict,
        found: Mapping[str, Measure],
        printed: Callable[[Sequence[Checked]], None],
        more: Mapping[str, Any],
    ) -> NoReturn:
        """Tell it, and leave with the exit code. printed: for people; more: for machines beside the
        verdict and the measures."""
        from accord.examine.measures import requirements_met

        results = requirements_met(self.asked, found)
        failed = verdict.outcome in self.refused or not all(one.met for one in results)
        if self.junit is not None:
            write_text(self.junit, junit_xml(verdict, self.refused, results))
        if self.as_json:
            click.echo(json.dumps({**as_data(verdict, results, found, failed), **more}, indent=1))
        else:
            printed(results)
        sys.exit(GUARD_EXIT if failed else 0)


def _show_acts(
    run_dir: Path,
    acts: Mapping[str, EpisodeEvidence],
    people: AskedPeople,
    ending: _Ending,
    list_measures: bool,
) -> NoReturn:
    """The same of policies that act."""
    from accord.cli.asked import answered
    from accord.examine.episodes import decide_episodes
    from accord.examine.measures import of_episodes, of_people
    from accord.examine.verdict import of_arms

    arms = [decide_episodes(evidence, stage).arms[0] for stage, evidence in acts.items()]
    told = answered(run_dir, of_arms(arms), acts, people, ending.as_json)
    found = of_episodes(acts) | of_people(told.wins)

    def printed(results: Sequence[Checked]) -> None:
        _print_outcome(told.verdict)
        for arm in told.verdict.arms:
            click.echo(f"\n{safe_text(arm.arm)} ({acts[arm.arm].environment}): {arm.outcome}")
            _print_rules(arm)
        _print_found(results, found if list_measures else {})
        _print_answered(told)

    ending.leave(told.verdict, found, printed, told.as_data())


def _print_answered(told: AnsweredVerdict) -> None:
    for one in told.wins.values():
        print_people(one)
        print_groups(told.groups.get(one.arm, []))


def outcomes(text: str) -> frozenset[str]:
    """Names of outcomes divided by commas; "none" is none of them. Raises ConfigError."""
    named = {part.strip() for part in text.split(",") if part.strip()} - {"none"}
    if unknown := sorted(named - set(OUTCOMES)):
        raise ConfigError(
            f"there is no outcome {unknown[0]!r}", f"outcomes: {', '.join(OUTCOMES)}, or none"
        )
    return frozenset(named)


def as_data(
    verdict: Verdict, results: Sequence[Checked], found: Mapping[str, Measure], failed: bool
) -> dict[str, Any]:
    """For machines: the verdict's own fields, requirements, every measure, and whether it
    failed."""
    return verdict.model_dump(mode="json") | {
        "requirements": [one.model_dump(mode="json") for one in results],
        "measures": {name: one.model_dump(mode="json") for name, one in found.items()},
        "failed": failed,
    }


def junit_xml(verdict: Verdict, refused: frozenset[str], results: Sequence[Checked]) -> str:
    """A JUnit report: a case per arm, which fails by its outcome, and one per requirement."""
    suite = ElementTree.Element("testsuite", name="accord verdict")
    failures = 0
    for name, told, passed in [
        *(
            (f"arm {a.arm}", f"{a.outcome}: {a.reason}", a.outcome not in refused)
            for a in verdict.arms
        ),
        *((one.requirement, one.how, one.met) for one in results),
    ]:
        case = ElementTree.SubElement(suite, "testcase", classname="verdict", name=safe_text(name))
        if passed:
            ElementTree.SubElement(case, "system-out").text = safe_text(told)
        else:
            failures += 1
            ElementTree.SubElement(case, "failure", message=safe_text(told))
    suite.set("tests", str(len(verdict.arms) + len(results)))
    suite.set("failures", str(failures))
    return ElementTree.tostring(suite, encoding="unicode") + "\n"


def _print(
    evidence: Evidence,
    verdict: Verdict,
    results: Sequence[Checked],
    listed: Mapping[str, Measure],
) -> None:
    _print_outcome(verdict)
    if evidence.contamination is not None and any(evidence.contamination):
        exact, overlapping = evidence.contamination
        click.secho(
            f"of {evidence.prompts:,} prompts {exact:,} were trained on word by word,"
            f" {overlapping:,} share a run of 13 words with what was: all numbers say less",
            fg="yellow",
        )
    for arm, measured in zip(verdict.arms, evidence.arms, strict=True):
        click.echo(f"\n{safe_text(arm.arm)} ({measured.method}): {arm.outcome}")
        _print_rules(arm)
        if measured.best_step is not None and len(measured.points) > 2:
            last = "the last" if measured.best_step == measured.last.step else "not the last"
            click.echo(f"  gold is highest at step {measured.best_step}, {last} point")
    _print_found(results, listed)


def _print_outcome(verdict: Verdict) -> None:
    click.secho(verdict.outcome, bold=True, fg=COLOURS.get(verdict.outcome, "yellow"), nl=False)
    click.echo(f": {safe_text(verdict.reason)}")
    if verdict.stopped_by_guard:
        click.echo(f"stopped by a guard: {safe_text(verdict.stopped_by_guard)}")


def _print_rules(arm: ArmVerdict) -> None:
    heads = ["fired", "rule", "evidence"]
    told = [["yes" if rule.fired else "no", rule.name, rule.statement] for rule in arm.rules]
    if any(rule.in_known_runs for rule in arm.rules):
        heads.append("in known runs")
        told = [[*row, rule.in_known_runs] for row, rule in zip(told, arm.rules, strict=True)]
    print_table(heads, told, right=())


def _print_found(results: Sequence[Checked], listed: Mapping[str, Measure]) -> None:
    if results:
        click.echo("\nrequirements")
        rows = [("met" if one.met else "NOT MET", one.requirement, one.how) for one in results]
        print_table(("", "required", "found"), rows, right=())
    if listed:
        click.echo("\nmeasures")
        _print_measures(listed)


def _print_measures(listed: Mapping[str, Measure]) -> None:
    columns = ("name", "value", "95 %", "n", "unit", "meaning")
    print_table(columns, [_row(one) for one in listed.values()], right=("value", "n"))


def print_people(wins: PeopleWins) -> None:
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


def print_groups(found: Sequence[GroupsOf]) -> None:
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
